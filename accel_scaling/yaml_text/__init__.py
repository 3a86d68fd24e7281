"""YAML as its author wrote it: nodes with their places, and edits that leave every other byte as it is."""
