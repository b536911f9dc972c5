"""Files to Documents: one module per family of formats, the limits, the metadata."""
