"""A first cluster file: from the accelerators that somebody asks for to a complete, commented YAML."""
