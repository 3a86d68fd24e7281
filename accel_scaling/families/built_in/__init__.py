"""The built-in families: each module here has one, as ``FAMILY``; the registry finds them by that."""
