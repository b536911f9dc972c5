"""Answers as data: a schema, the form in which a model fills it, and a citation for each field."""
