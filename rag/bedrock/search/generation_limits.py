"""Limits of RetrieveAndGenerate, and the words that the service itself uses."""

from __future__ import annotations

#: Characters of the question and of the prompt template, and results (botocore 1.44.5's model of
#: bedrock-agent-runtime).
MAX_CHARS, MAX_TEMPLATE, MAX_RESULTS = 1_000, 4_000, 100
#: What the service replaces in a template (Bedrock User Guide, "Configure and customize queries").
PASSAGES, CITING = "$search_results$", "$output_format_instructions$"
#: The text of a knowledge base that finds no answer (Bedrock User Guide, "Test your knowledge base with
#: queries and responses").
NO_ANSWER = "Sorry, I am unable to assist you with this request."
