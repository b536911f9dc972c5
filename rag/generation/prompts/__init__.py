"""Versioned system prompts, one Markdown file each: ``<name>-v<version>.md``."""
