"""`catalog show` of a name that is no machine type: a series (`g5`), an accelerator (`v5e`), or a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.suggest import hint, nearest
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import UnknownAcceleratorError
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType

_NAMED = 8  # machine types of a series that an error names


def cloud_with(catalog: Catalog, name: str, cloud: str | None) -> str | None:
    """Return the cloud whose machine type a name is, or is written like; None for a name that is of no cloud.

    Args:
        catalog: where it is looked up.
        name: as it was written.
        cloud: the one that was named; None for all.
    """
    for each in (cloud,) if cloud else catalog.clouds:
        if name in catalog.machine_types(each):
            return each
    if series(catalog, name, cloud) or (cloud is None and means_accelerator(catalog, name)):
        return None
    if cloud is not None:
        return cloud
    # A full name has a series and a size: only then, and where the cloud has names like it, the form says whose it is.
    # A custom type (`n2-custom-8-32768`) is in no list: its cloud has a rule for it.
    like = [each for each in known_clouds().values() if each.names_like(name) and each.series_separator in name]
    whose = next((each for each in like if each.name in catalog.clouds), None)
    if whose is None:
        return None
    by_rule = whose.has_custom_machine_types and "custom" in name
    return whose.name if by_rule or nearest(name, catalog.machine_types(whose.name)) else None


def series(catalog: Catalog, name: str, cloud: str | None) -> list[MachineType]:
    """Return the machine types of a series, of one cloud or of all; none where the name is no series."""
    clouds = (cloud,) if cloud else catalog.clouds
    return [machine for each in clouds for machine in catalog.family(each, name)]


def series_text(name: str, members: Sequence[MachineType], catalog: Catalog) -> str:
    """Return the text that `catalog show` prints of a series."""
    from accel_scaling.cli.catalog_text import listed as table

    clouds = listed([known_clouds()[cloud].title for cloud in dict.fromkeys(one.cloud for one in members)])
    return f"{name} is a series of {clouds}; its machine types are:\n\n{table(list(members), catalog)}"


def means_accelerator(catalog: Catalog, name: str) -> bool:
    """Return whether a name is one of an accelerator."""
    try:
        return bool(catalog.chips_named(name))
    except UnknownAcceleratorError:
        return False


def unknown_name(catalog: Catalog, name: str, members: Sequence[MachineType]) -> str:
    """Return the sentence for a name that is not a machine type of any cloud.

    Args:
        catalog: where it was looked up.
        name: as it was written.
        members: its machine types, where it is a series.
    """
    if members:
        names = [one.name for one in members]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{shown(name)} is a series; name one of its machine types: {', '.join(names[:_NAMED])}{more}"
    if means_accelerator(catalog, name):
        return f"{shown(name)} is an accelerator; `accel-scaling catalog find --accelerator {name}` lists what has it"
    types = [key for cloud in catalog.clouds for key in catalog.machine_types(cloud)]
    all_series = dict.fromkeys(
        key.partition(known_clouds()[cloud].series_separator)[0]
        for cloud in catalog.clouds
        for key in catalog.machine_types(cloud)
    )
    return (
        f"{shown(name)} is not a machine type of {' or '.join(catalog.clouds)} in the catalog {catalog.version}"
        f"{hint(name, [*all_series, *types])}; `accel-scaling catalog find` lists all"
    )
