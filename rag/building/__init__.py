"""The build path: files to a new version of an index."""
