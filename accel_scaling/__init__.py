"""Ray node providers that launch correctly typed accelerator machines and confirm them on boot.

Importing this package imports neither ray nor a cloud SDK.
"""

__version__ = "0.1.0"
