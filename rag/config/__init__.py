"""Names and ``rag.toml`` to stages."""
