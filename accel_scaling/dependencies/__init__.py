"""What a node needs besides its machine: the driver on its image, the options of its container, a default image."""
