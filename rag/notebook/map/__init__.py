"""The map: an index's chunks in two dimensions, near each other where their vectors are."""
