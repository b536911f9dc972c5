"""What every room stands on: errors, records, text, numbers. Imports nothing of `rag` but itself."""
