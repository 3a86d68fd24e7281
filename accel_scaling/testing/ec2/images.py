"""The machine images that stand for those of a user's account on the local EC2: the local hosts have no disks."""

IMAGES = {"x86_64": "ami-0123456789abcdef0", "arm64": "ami-0123456789abcdef1"}
"""Architecture -> id; EC2 starts no machine from an image of another architecture."""
