"""JSON files by which processes of a local cloud tell each other something."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def replace_json(file: Path, value: Any) -> None:
    """Write a value; whoever reads at that moment sees the old content or the new, never half."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(json.dumps(value, default=str), encoding="utf-8")
    fresh.replace(file)
