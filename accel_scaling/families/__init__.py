"""Families of accelerators that other packages bring: how one is written, which are here, and telling Ray of them.

A package names its ``Family`` in its entry points, in the group ``accel_scaling.families``, under the family's Ray
resource; docs/families-of-your-own.md takes an author from nothing to a rehearsed cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.families.register import register
from accel_scaling.plugins.family import Family
from accel_scaling.plugins.load import Broken, loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Broken", "Family", "broken", "families", "register"]


def families() -> Mapping[str, Family]:
    """Return the plug-in families of this Python by their Ray resource; broken ones are not among them."""
    return {resource: plug_in.family for resource, plug_in in loaded().plug_ins.items()}


def broken() -> Mapping[str, Broken]:
    """Return the plug-ins that were left out by the Ray resource that they are for; as text, each says why."""
    return loaded().broken
