"""One catalog of all layers, and the machine types of each file.

The layers, the strongest first:

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
from accel_scaling.catalog.columns import ACCELERATOR, OF_CLOUD, UNKNOWN
from accel_scaling.catalog.files import (
    CHIPS_FILE,
    Problem,
    Source,
    cloud_of_file,
    is_places,
    read,
    refreshed_files,
    refusal,
    shipped,
    shipped_files,
    shipped_rules,
    table_of,
    user_catalog_files,
)
from accel_scaling.catalog.lookup import Catalog
from accel_scaling.catalog.model import Chip, MachineType
from accel_scaling.catalog.offerings import Offerings, parse_places
from accel_scaling.catalog.schema import CORRECTIONS, MACHINE_TYPES, OFFERINGS
from accel_scaling.catalog.table import CellError, OnDemand, RowReader, csv_records, header_of, read_table
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.columns import Table
    from accel_scaling.catalog.table import Known, RowValues

    Key = tuple[str, str]

__all__ = [
    "Addition",
    "Catalog",
    "build_catalog",
    "merged_chips",
    "shipped_catalog",
    "shipped_sources",
]


@dataclass(frozen=True)
class Addition:
    """Additions of one plug-in to the catalog.

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
    of_user = [source for source in reversed(list(sources)) if source.is_chips]
    added = [addition.chips for addition in additions]
    if not of_user and not any(added):
        return shipped
    chips = dict(shipped)
    # The weakest first: an entry replaces that of the same name.
    for of_plug_in in added:
        chips.update(of_plug_in)
    for source in of_user:
        chips.update(source.accept(parse_chips(source.text, chips)))
    return chips


def _build(
    users: Sequence[Source], refreshes: Mapping[str, Sequence[Source]], additions: Sequence[Addition]
) -> Catalog:
    """Make a catalog of the users' sources (strongest first) over plug-ins' and the clouds' own (weakest first)."""
    clouds = known_clouds()
    chips = merged_chips(users, additions)
    of_users: list[Mapping[tuple[str, str], MachineType]] = [addition.machine_types for addition in additions]
    # Users' rows are read at once, whichever cloud is asked for: a wrong one must not wait for its cloud's turn.
    of_users += [
        source.accept(parse_rows(source, chips, clouds))
        for source in reversed(users)
        if not source.is_chips and not is_places(source.path)
    ]
    tables: dict[str, Callable[[], Sequence[Mapping[str, MachineType]]]] = {}
    places: dict[str, Callable[[], Offerings]] = {}
    # All that an answer may depend on, rules too, so the version tells two catalogs apart.
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
        places[cloud] = functools.partial(
            _offered, cloud, [*layers, *reversed(users)], {source.label for source in users}
        )
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
    # Only what ships: `catalog check` has read it whole; a file of others is refused whole where a row is wrong.
    layers = [ships.accept(parse_rows(ships, chips, clouds, on_demand=True))]
    layers += [source.accept(parse_rows(source, chips, clouds)) for source in stronger]
    return [_of_cloud(cloud, layer) for layer in (*layers, *of_users)]


def _of_cloud(cloud: str, layer: Mapping[tuple[str, str], MachineType]) -> Mapping[str, MachineType]:
    names = {name: None for of, name in layer if of == cloud}
    if isinstance(layer, OnDemand):
        return OnDemand(names, lambda name: layer[cloud, name])
    return {name: layer[cloud, name] for name in names}


def _offered(cloud: str, sources: Sequence[Source], own: Collection[str]) -> Offerings:
    files = (source for source in sources if is_places(source.path))
    return Offerings(cloud, [(source.label, source.accept(parse_places(source))) for source in files], own)


def _version(sources: Iterable[Source]) -> str:
    """Return the package's version and 8 hex digits over the content of the layers, in their order."""
    from accel_scaling.version import __version__

    check_sum = 0
    for source in sources:
        # The zero byte ends a text: moved from one file to the next, a line must change the sum.
        check_sum = zlib.crc32(source.text.encode() + b"\0", check_sum)
    return f"{__version__}+{check_sum:08x}"


def parse_rows(
    source: Source, chips: Mapping[str, Chip], clouds: Collection[str], *, on_demand: bool = False
) -> tuple[Mapping[Key, MachineType], list[Problem]]:
    """Read the machine types of a CSV file.

    Args:
        source: the file; its name gives the cloud (``aws.csv``) where rows have no ``cloud`` cell.
        chips: every accelerator that a row may name.
        clouds: every cloud that a row may name.
        on_demand: read a row when it is asked for, which refuses it where it is wrong; the header, the number of cells
            and the names are checked at once.

    Returns:
        The rows by (cloud, name), and everything that is wrong; with a problem, the rows are not complete.
    """
    table = CORRECTIONS if table_of(source.path) is CORRECTIONS else MACHINE_TYPES
    cloud = cloud_of_file(source.path.name, clouds)
    known = {ACCELERATOR: chips, OF_CLOUD: clouds}
    make = _machine_maker(cloud, source.label, chips)
    if on_demand and (unread := _on_demand(source, table, cloud, known, make)) is not None:
        return unread, []
    rows, problems = read_table(
        source, table, make, known, key=lambda row: (row["cloud"] or cloud, row["instance_type"])
    )
    return {(row.cloud, row.name): row for row in rows}, problems


def _on_demand(
    source: Source, table: Table, cloud: str, known: Known, make: Callable[[RowValues, int], MachineType]
) -> OnDemand[Key, MachineType] | None:
    """Return the rows unread; None where they must be read to know their names, or what is wrong with the file."""
    text = source.text
    problems: list[Problem] = []
    header = header_of(csv_records(text, problems), table, problems)
    # Lines are cut at their commas, without the csv module. So a file with quotes is read whole, and so is one whose
    # rows must be read to know their names: with a column `cloud`, or accelerators by their API's name.
    if header is None or problems or any(mark in text for mark in ('"', "\r", "\0", UNKNOWN)) or "cloud" in header:
        return None
    reader = RowReader(table, header, known)
    name_at, width = header.index("instance_type"), len(header)
    lines = text.split("\n")
    by_key: dict[Key, int] = {}
    for at, line in enumerate(lines):
        if line and at:
            cells = line.split(",")
            if len(cells) != width:
                return None
            by_key[cloud, cells[name_at].strip()] = at
    if not lines[0] or len(by_key) != sum(map(bool, lines)) - 1:  # a name is there twice
        return None

    def row_of(key: Key) -> MachineType:
        at = by_key[key]
        cells = lines[at].split(",")
        try:
            return make(reader.row(cells), at + 1)
        except CellError as error:
            raise refusal(source.path, reader.problems(at + 1, cells, error)) from None

    return OnDemand(by_key, row_of)


def _machine_maker(cloud: str, layer: str, chips: Mapping[str, Chip]) -> Callable[[RowValues, int], MachineType]:
    """Return the function that makes a machine type of a row and its line."""
    # Over a thousand rows name few different accelerators: each is worked out once.
    has = functools.cache(functools.partial(_accelerator, chips=chips))

    def machine_of(row: RowValues, line: int) -> MachineType:
        of = row["cloud"] or cloud
        chip, count, unknown = has(row["accelerator"], row["count"], of)
        machine = object.__new__(MachineType)
        machine.__dict__.update(  # the __init__ of a frozen dataclass takes three times as long
            cloud=of,
            name=row["instance_type"],
            vcpus=row["vcpus"],
            memory_mib=row["memory_mib"],
            arch=row["arch"],
            chip=chip,
            count=count,
            layer=layer,
            line=line,
            unknown=unknown,
        )
        return machine

    return machine_of


def _accelerator(
    name: str, count: int | None, cloud: str, *, chips: Mapping[str, Chip]
) -> tuple[Chip | None, int, str | None]:
    """Return the chip and how many; for an API's name that no chip has, what is in the machine by that name."""
    if name.startswith(UNKNOWN):
        known, unknown = _resolved(name, count or 0, cloud, chips)
        return known, 0 if known is None else count or 0, unknown
    if not name:
        if count:
            text = f"count is {count} but accelerator is empty; name the accelerator, or empty both"
            raise CellError("accelerator", text)
        return None, 0, None
    if not count:
        amount = "empty" if count is None else count
        text = f"accelerator is {name} but count is {amount}; expected how many devices, 1 or more"
        raise CellError("count", text)
    return chips[name], count, None


def _resolved(cell: str, number: int, cloud: str, chips: Mapping[str, Chip]) -> tuple[Chip | None, str | None]:
    """Return the chip of an API's name, ``?L5``, once exactly one has it; until then, what is in the machine."""
    name = cell.removeprefix(UNKNOWN).strip()
    if not name:
        expected = MACHINE_TYPES.column("accelerator").expected
        raise CellError("accelerator", f"accelerator is {cell}; expected {expected}")
    named = [chip for chip in chips.values() if name in chip.api_names.get(cloud, ())]
    if len(named) == 1 and number:
        return named[0], None
    return None, f"{number} x {name}" if number else name
