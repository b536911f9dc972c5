"""The explorer: a question, a filter and settings, and what they find, by the keys of a notebook."""
