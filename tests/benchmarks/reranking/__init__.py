"""A reranker that reads, trained here: the data, the training, and what it is worth (RERANKING.md)."""
