"""Search over one opened version: dense, lexical and hybrid scores under masks."""
