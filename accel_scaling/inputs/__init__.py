"""Files and texts of users, read within bounds."""
