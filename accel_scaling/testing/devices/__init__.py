"""Emulated accelerators: the files and the driver library that make a folder look like a machine with them."""
