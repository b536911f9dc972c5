"""Draft golden questions from an index's documents, or from a log of questions; a person accepts them."""
