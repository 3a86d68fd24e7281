"""Rules over the rows of catalog files: what must be true beyond the form of one row."""
