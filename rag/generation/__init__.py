"""The local extractive answerer, and the policies around a model."""
