"""Amazon Bedrock Knowledge Bases: documents and sidecars on S3, knowledge bases, and their ingestion."""
