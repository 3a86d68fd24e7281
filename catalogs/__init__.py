"""Data only: one row a machine type, one entry a chip. See CONTRIBUTING.md before you edit."""
