"""Families of accelerators that other packages bring: found by entry point, checked, and left out where broken."""
