"""What every other part of rag builds on; nothing here imports from the rest."""
