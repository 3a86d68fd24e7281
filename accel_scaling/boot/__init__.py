"""The boot check: the package is copied to a node, and `ray start` compares the promise with the machine."""
