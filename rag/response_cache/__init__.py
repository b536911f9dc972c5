"""Answers that were paid for once, given again where nothing that decides them has changed."""
