"""A client of `rag serve`, with the methods of a pipeline (`rag.Client`)."""
