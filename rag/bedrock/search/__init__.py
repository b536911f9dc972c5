"""Bedrock's rerankers and knowledge bases."""
