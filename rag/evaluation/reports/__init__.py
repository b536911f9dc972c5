"""Reports of evaluations and gates: one HTML file, which needs no script and asks for nothing outside it."""
