"""The part that the providers of all clouds share."""
