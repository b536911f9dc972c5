"""Guardrails of Amazon Bedrock on this machine: their control plane, and an engine that enforces them."""
