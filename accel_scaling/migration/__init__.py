"""Turns a cluster file for Ray's own providers (`type: aws`, `type: gcp`) into one for this package."""
