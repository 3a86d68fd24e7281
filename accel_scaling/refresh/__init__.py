"""`catalog refresh`: what a cloud's API says of its machine types, in the catalog's format, and what is new in it."""
