"""An index for others: the web service, its callers and what each may see."""
