"""How the objects of `rag` look in a notebook and as text; records find it by name."""
