"""Reads the accelerators that the value of a node label may mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.catalog.model import Chip
from accel_scaling.catalog.product_names import ray_nvidia_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.catalog.lookup import Catalog

# What GPU feature discovery appends to the product: shared in time, or divided into MIG partitions.
_BEHIND = re.compile(r"-(?:SHARED|MIG-(?P<profile>[0-9a-z.+-]+))(?=-|$)")


def chips_of(naming: str, value: str, catalog: Catalog) -> list[Chip]:
    """Return the chips that a label's value may mean; empty where none has that name.

    Args:
        naming: how the label names chips, a cell ``names`` of ``kuberay_selectors.csv``.
        value: the label's value.
        catalog: the accelerators.
    """
    how, _, detail = naming.partition(":")
    chips = catalog.chips.values()
    if how == "api":
        return [chip for chip in chips if _fold(value) in map(_fold, chip.api_names.get(detail, ()))]
    if how == "pci":
        return [chip for chip in chips if f"{detail}:{value.lower()}" in chip.pci_ids and chip.partition_of is None]
    if how == "driver":
        return _of_driver(_BEHIND.sub("", value), chips)
    names = {_fold(detail + value), _fold(value)}
    return [chip for chip in chips if names & {_fold(name) for name in (chip.name, chip.detected_type or "")}]


def mig_profile_in(product: str) -> str | None:
    """Return the MIG profile in a product label (``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb``), None where there is none."""
    match = _BEHIND.search(product)
    return match["profile"] if match else None


def _of_driver(product: str, chips: Iterable[Chip]) -> list[Chip]:
    """Return the chips with a driver's name; for an unknown name, a chip of the type that Ray reads in it."""
    folded = _fold(product)
    named = [
        chip for chip in chips if folded in {_fold(spelling) for name in chip.driver_names for spelling in _ways(name)}
    ]
    if named:
        return named
    type_name = ray_nvidia_type(product.replace("-", " "))
    return [Chip(name=product, family="nvidia", resource="GPU", detected_type=type_name)] if type_name else []


def _ways(name: str) -> tuple[str, str]:
    return name, name.removeprefix("NVIDIA ")


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "-").replace("_", "-")
