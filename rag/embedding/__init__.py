"""Texts to vectors: the models that ship, the write-ahead cache, and what a build asks of any."""
