"""The package's version, in a module of its own: every module may import it without importing what programs use."""

__version__ = "0.1.0"
