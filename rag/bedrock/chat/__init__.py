"""Claude on Bedrock: chat, structured output, guardrails."""
