"""Filters: parsed from four notations, bound to a schema, evaluated as masks over rows."""
