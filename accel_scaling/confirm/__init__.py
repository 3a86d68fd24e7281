"""A promise against a machine: claims, the comparison, the verdict. Needs neither Ray nor a cloud."""
