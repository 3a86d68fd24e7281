"""Machine types and accelerators: files, their checks, look-ups."""
