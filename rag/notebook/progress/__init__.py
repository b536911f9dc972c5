"""How far long work is, as a bar: in a terminal, and in a notebook."""
