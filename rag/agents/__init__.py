"""A pipeline as a tool of an agent, and an agent's answer with its citations."""
