"""The files of the installed Ray, read without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def text_of(path: str) -> str | None:
    """Return the text of a file below the folder of the package ray; None where there is no Ray, or no such file."""
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        return None
    try:
        return (Path(spec.origin).parent / path).read_text(encoding="utf-8")
    except OSError:
        return None
