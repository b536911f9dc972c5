"""Erasing documents from an index and from all that the library keeps about them."""
