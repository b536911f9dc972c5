"""Amazon S3 and batch inference jobs."""
