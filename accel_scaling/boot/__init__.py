"""The boot check: the package arrives on a node, and `ray start` compares the promise with the machine."""
