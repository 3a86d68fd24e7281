"""The catalog's layers, strongest first, and how one catalog is made of them.

1. the user's files (``provider.catalog: FILE``), the first strongest
2. ``~/.accel_scaling/*.csv``
3. plug-in families' machine types: the CSV files of the packages that bring them
4. shipped corrections, ``<cloud>_corrections.csv``: where the cloud's API is wrong
5. a refresh, ``~/.accel_scaling/refresh/<cloud>.csv``: what the cloud's API said
6. the shipped rows, ``<cloud>.csv``

Where they are offered comes from offerings files (``aws_places.csv``), in the same order.

Accelerators come from ``accelerators.yaml`` and from plug-ins; a YAML file beside a user's CSV adds to them or
overrides them.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog.chips import chips_on_demand, parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, Source, read, shipped, shipped_files, shipped_rules
from accel_scaling.catalog.lookup import Catalog
from accel_scaling.catalog.machine_types import parse_rows
from accel_scaling.catalog.offerings import Offerings, is_places, parse_places
from accel_scaling.catalog.schema import CORRECTIONS, MACHINE_TYPES, OFFERINGS
from accel_scaling.catalog.table import OnDemand
from accel_scaling.catalog.user_files import chips_beside, refreshed_files, user_catalog_files
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip, MachineType

__all__ = [
    "Addition",
    "Catalog",
    "build_catalog",
    "chips_beside",
    "merged_chips",
    "shipped_catalog",
    "shipped_sources",
]


@dataclass(frozen=True)
class Addition:
    """What a plug-in adds to the catalog.

    Attributes:
        chips: its accelerators by name.
        machine_types: the machine types that have them, by (cloud, name).
        sources: the files, for the catalog's version.
    """

    chips: Mapping[str, Chip] = field(default_factory=dict)
    machine_types: Mapping[tuple[str, str], MachineType] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()


def build_catalog(
    user_files: Sequence[Path] = (), additions: Sequence[Addition] = (), *, home: Path | None = None
) -> Catalog:
    """Load every layer; ``families.catalog.load_catalog`` adds what the plug-ins of this Python bring.

    Args:
        user_files: CSV files of machine types and YAML files of accelerators, the first strongest.
        additions: what plug-ins bring.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.

    Raises:
        CatalogFileError: a file cannot be read or has a wrong row.
    """
    users = [read(path) for path in user_catalog_files(user_files, home=home)]
    refreshes = {cloud: [read(path) for path in refreshed_files(cloud, home=home)] for cloud in known_clouds()}
    return _build(users, refreshes, additions)


@functools.cache
def shipped_catalog() -> Catalog:
    """Load what ships with the package: nothing of the user's, nothing of plug-ins."""
    return _build([], {}, [])


def shipped_sources(cloud: str) -> list[Source]:
    """Return a cloud's shipped files: the rows, then the corrections, which are stronger."""
    return shipped_files(cloud, (MACHINE_TYPES, CORRECTIONS))


def merged_chips(sources: Iterable[Source], additions: Iterable[Addition] = ()) -> Mapping[str, Chip]:
    """Return the accelerators of the YAML files among ``sources`` (strongest first) over plug-ins' and shipped ones.

    Raises:
        CatalogFileError: one of the files is wrong.
    """
    shipped = chips_on_demand(read(SHIPPED_FOLDER / CHIPS_FILE, label=CHIPS_FILE))
    own = [source for source in reversed(list(sources)) if source.is_chips]
    added = [addition.chips for addition in additions]
    if not own and not any(added):
        return shipped
    chips = dict(shipped)
    for each in added:
        chips.update(each)
    for source in own:
        chips.update(source.accept(parse_chips(source.text, chips)))
    return chips


def _build(
    users: Sequence[Source], refreshes: Mapping[str, Sequence[Source]], additions: Sequence[Addition]
) -> Catalog:
    """Make a catalog of the users' sources (strongest first) over plug-ins' and the clouds' own (weakest first)."""
    clouds = known_clouds()
    chips = merged_chips(users, additions)
    of_users: list[Mapping[tuple[str, str], MachineType]] = [addition.machine_types for addition in additions]
    of_users += [
        source.accept(parse_rows(source, chips, clouds))
        for source in reversed(users)
        if not source.is_chips and not is_places(source.path)
    ]
    tables: dict[str, Callable[[], Sequence[Mapping[str, MachineType]]]] = {}
    places: dict[str, Callable[[], Offerings]] = {}
    stack = [
        *users,
        *(source for addition in additions for source in addition.sources),
        read(SHIPPED_FOLDER / CHIPS_FILE),
        *shipped_rules(),
    ]
    for cloud in clouds:
        layers = _layers(cloud, refreshes.get(cloud, ()))
        stack += layers
        rows = [source for source in layers if not is_places(source.path)]
        tables[cloud] = functools.partial(_tables, cloud, rows, of_users, chips, clouds)
        places[cloud] = functools.partial(_offered, cloud, [*layers, *reversed(users)], {each.label for each in users})
    return Catalog(_version(stack), chips, tables, places)


def _layers(cloud: str, refreshed: Sequence[Source]) -> list[Source]:
    """Return a cloud's own files, the weakest first: what ships, what a refresh brought, corrections."""
    rows, *corrections = shipped_sources(cloud)
    places = shipped(OFFERINGS, cloud)
    return [rows, *([places] if places else []), *refreshed, *corrections]


def _tables(
    cloud: str,
    sources: Sequence[Source],
    of_users: Sequence[Mapping[tuple[str, str], MachineType]],
    chips: Mapping[str, Chip],
    clouds: Collection[str],
) -> list[Mapping[str, MachineType]]:
    ships, *stronger = sources
    layers = [ships.accept(parse_rows(ships, chips, clouds, on_demand=True))]
    layers += [source.accept(parse_rows(source, chips, clouds)) for source in stronger]
    return [_of_cloud(cloud, layer) for layer in (*layers, *of_users)]


def _of_cloud(cloud: str, layer: Mapping[tuple[str, str], MachineType]) -> Mapping[str, MachineType]:
    names = {name: None for of, name in layer if of == cloud}
    if isinstance(layer, OnDemand):
        return OnDemand(names, lambda name: layer[cloud, name])
    return {name: layer[cloud, name] for name in names}


def _offered(cloud: str, sources: Sequence[Source], own: Collection[str]) -> Offerings:

    found = (source for source in sources if is_places(source.path))
    return Offerings(cloud, [(source.label, source.accept(parse_places(source))) for source in found], own)


def _version(sources: Iterable[Source]) -> str:
    """Return the package's version and 8 hex digits over the content of the layers, in their order."""
    from accel_scaling.version import __version__

    check_sum = 0
    for source in sources:
        check_sum = zlib.crc32(source.text.encode() + b"\0", check_sum)
    return f"{__version__}+{check_sum:08x}"
