"""The control plane of Amazon Bedrock: what an account has, and changes to it."""
