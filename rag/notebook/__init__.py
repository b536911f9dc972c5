"""Rich displays for notebooks."""
