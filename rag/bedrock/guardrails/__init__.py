"""Guardrails as code: files under version control, compared with the account, applied, and tested."""
