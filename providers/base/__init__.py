"""What the providers of all clouds share."""
