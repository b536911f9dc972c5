"""The index on disk: segments, versions, filters and search. Knows no models and no AWS."""
