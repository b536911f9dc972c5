"""Answers that a person looks at: which ones, the queue of them, and what reviewers decide."""
