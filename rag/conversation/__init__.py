"""Conversations: questions that build on the questions before them."""
