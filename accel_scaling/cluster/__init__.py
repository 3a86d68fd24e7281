"""The cluster file: its node types, and what each of them needs."""
