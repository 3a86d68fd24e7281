"""The `accel-scaling` command, one module per sub-command."""
