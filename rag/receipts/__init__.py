"""Receipts of answers: from what and by what each was made, so that it can be made again."""
