"""Clients of Amazon Bedrock: errors, retries, rate limits, streams."""
