"""Indexes on an object store: pushed from a folder, pulled into one, and opened through a local copy."""
