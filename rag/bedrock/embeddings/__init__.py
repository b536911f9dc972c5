"""Titan, Cohere and Nova embeddings on Bedrock."""
