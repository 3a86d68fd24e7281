"""What happens on a node: the package arrives, and `ray start` confirms the machine before it joins."""
