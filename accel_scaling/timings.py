"""Every timeout and threshold of the package, each with its reason."""
