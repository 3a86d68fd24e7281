"""Rehearsals: a cluster file's whole loop on the local EC2, told as a timeline."""
