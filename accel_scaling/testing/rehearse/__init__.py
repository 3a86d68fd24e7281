"""Rehearsals: the whole loop of a cluster file on this machine, with a local cloud."""
