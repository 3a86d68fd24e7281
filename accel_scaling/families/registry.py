"""The families of this Python: the built-in ones, and those of plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.families.built_in import built_in
from accel_scaling.families.plugins import loaded
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.families.family import Family

__all__ = [
    "all_families",
    "built_in",
    "family_of",
    "family_of_name",
    "names_of",
    "registered_families",
    "visible_devices",
]


def all_families() -> tuple[Family, ...]:
    """Return the families that can be probed in this Python: the built-in ones, then plug-ins'."""
    return (*built_in(), *(plug_in.family for plug_in in loaded().plug_ins.values()))


def family_of(resource: str) -> Family | None:
    """Return the first family with a Ray resource, None for a resource that no family has."""
    # Several families have GPU: NVIDIA's is the first by its position.
    return next((family for family in all_families() if family.resource == resource), None)


def family_of_name(name: str) -> Family:
    """Return the family with a name.

    Raises:
        KeyError: no family of this Python has it.
    """
    return {family.name: family for family in all_families()}[name]


def registered_families() -> Mapping[str, Family]:
    """Return the families that Ray must be told of, by their Ray resource."""
    return {family.resource: family for family in all_families() if family.registered}


def visible_devices() -> tuple[str, ...]:
    """Return the environment variables that tell processes their devices."""
    return tuple(sorted({family.visible_devices for family in all_families()} - {""}))


def names_of(family: str, root: str) -> list[str]:
    """Call a family's ``probe`` and return what it says: the product's name for each device.

    Args:
        family: its name.
        root: the folder used as ``/``.

    Raises:
        TypeError: it says something else.
    """
    ask = family_of_name(family).probe
    names = list(ask(Path(root))) if ask else []
    # This runs in the child that asks (probe): there, what it raises becomes the reason that the verdict names.
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"it returned {shown(names)}, not the product's name for each device")
    return names
