"""Families of accelerators: the built-in ones, a file each, and those that other packages bring.

A package names its ``Family`` in its entry points, in the group ``accel_scaling.families``, under the family's Ray
resource; docs/families-of-your-own.md takes an author from nothing to a rehearsed cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.families.family import Family as Family
    from accel_scaling.families.plugins import Broken as Broken
    from accel_scaling.families.registration import register as register

__all__ = ["Broken", "Family", "broken", "families", "register"]

_HOMES = {"Broken": "plugins", "Family": "family", "register": "registration"}


def __getattr__(name: str) -> Any:
    # A probe is imported on each boot; what plug-ins need of the catalog is imported where it is asked for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def families() -> Mapping[str, Family]:
    """Return the plug-in families of this Python by their Ray resource; broken ones are not among them."""
    from accel_scaling.families.plugins import loaded

    return {resource: plug_in.family for resource, plug_in in loaded().plug_ins.items()}


def broken() -> Mapping[str, Broken]:
    """Return the plug-ins that were left out by the Ray resource that they are for; as text, each says why."""
    from accel_scaling.families.plugins import loaded

    return loaded().broken
