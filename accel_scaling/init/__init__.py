"""`accel-scaling init`: a complete, commented cluster file for the accelerators that a user names."""
