"""The index on disk: segments, manifests, postings, and everything that writes them."""
