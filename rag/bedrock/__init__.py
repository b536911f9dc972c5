"""Everything that knows AWS, and nothing else does."""
