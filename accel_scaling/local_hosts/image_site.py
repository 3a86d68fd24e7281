"""Copied to plain-process hosts as ``sitecustomize.py``: a fresh machine image does not hold accel_scaling.

The environment that the hosts share with the laptop may have it installed. On a host it may come only from the host's
own directory, where it must have been put. Stands alone: it is read where the package can't be imported.
"""

import importlib.machinery
import os
import sys

HOST_FOLDER_VARIABLE = "ACCEL_SCALING_HOST_FOLDER"
HIDDEN = "accel_scaling"


class OnlyFromThisHost:
    """A finder, first in ``sys.meta_path``, that sees accel_scaling below one folder only."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118 - no import at each start

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> "importlib.machinery.ModuleSpec | None":
        """Answers for the package alone; its modules are found through its own path."""
        del path, target
        if name != HIDDEN:
            return None
        here = [entry for entry in sys.path if os.path.realpath(entry).startswith(self._folder)]
        spec = importlib.machinery.PathFinder.find_spec(name, here)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} (it has not been put on this host)", name=name)
        return spec


if __name__ == "sitecustomize" and HOST_FOLDER_VARIABLE in os.environ:
    sys.meta_path.insert(0, OnlyFromThisHost(os.environ[HOST_FOLDER_VARIABLE]))
