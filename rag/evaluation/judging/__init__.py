"""A chat model as a judge of answers, and how far it agrees with people."""
