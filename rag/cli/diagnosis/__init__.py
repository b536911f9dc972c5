"""The checks of ``rag doctor``, a file for each part of what is checked."""
