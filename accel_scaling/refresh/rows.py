"""The rows of a refresh: what the API said of machine types and of offerings, over what the files had.

A file is written at once or not at all.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.columns import UNKNOWN
from accel_scaling.catalog.files import PLACES, cloud_of_file, read
from accel_scaling.catalog.load import parse_rows
from accel_scaling.catalog.offerings import offerings_text, parse_places, places_of_region
from accel_scaling.catalog.schema import MACHINE_TYPES
from accel_scaling.catalog.table import cells_of, csv_text
from accel_scaling.clouds import known_clouds
from accel_scaling.refresh.accelerators import accelerator_cells
from accel_scaling.refresh.requests import RefreshError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.offerings import OfferingRow, Where
    from accel_scaling.refresh.records import ApiDevice, CloudAnswer

    Cells = Mapping[str, str]  # by column


def rows_of(
    answer: CloudAnswer, chips: Mapping[str, Chip], before: Mapping[str, MachineType]
) -> tuple[dict[str, Cells], dict[str, ApiDevice]]:
    """Return the row of each type in the answer, and the accelerators that the catalog lacks, by their names.

    A type without an architecture keeps what the catalog has, or takes what all of its family have; where neither says
    it, the type goes into ``answer.lacking``.
    """
    rows: dict[str, Cells] = {}
    unknown: dict[str, ApiDevice] = {}
    for name, machine in sorted(answer.types.items()):
        arch = machine.arch or _arch_of_family(answer.cloud, name, before)
        if arch is None:
            answer.lacking[name] = "no architecture"
            continue
        device = accelerator_cells(machine, answer.cloud, chips, before.get(name))
        rows[name] = {
            "instance_type": name,
            "vcpus": str(machine.vcpus),
            "memory_mib": str(machine.memory_mib),
            "arch": arch,
            "accelerator": device.accelerator,
            "count": device.devices,
        }
        if device.unknown:
            unknown.setdefault(device.accelerator.lstrip(UNKNOWN), device.unknown)
    return rows, unknown


def kept_rows(path: Path, cloud: str, chips: Mapping[str, Chip], clouds: Collection[str]) -> dict[str, Cells]:
    """Return the rows that a file has already; none where it is not there.

    Raises:
        CatalogFileError: it has a mistake.
        RefreshError: it has columns or rows that a refresh would lose.
    """
    if not path.exists():
        return {}
    source = read(path)
    # Only to refuse a file with a mistake: the cells are kept as they are written.
    source.accept(parse_rows(source, chips, clouds))
    rows = [row for _, row in cells_of(source)]
    more = [name for name in (rows[0] if rows else ()) if name not in (*MACHINE_TYPES.required, "cloud")]
    if more:
        raise RefreshError(f"{path} has the columns {', '.join(more)}, which a refresh would lose; name another file")
    file_cloud = cloud_of_file(path.name, clouds)
    if any((row.get("cloud") or file_cloud) != cloud for row in rows):
        raise RefreshError(f"{path} has rows of another cloud than {cloud}; name another file")
    return {row["instance_type"]: row for row in rows}


def text_of(rows: Mapping[str, Cells], path: Path, cloud: str, clouds: Collection[str]) -> str:
    """Return the file's text, sorted by name; a file whose name does not tell the cloud has a column that does."""
    columns = MACHINE_TYPES.required
    if cloud_of_file(path.name, clouds) != cloud:
        columns = (*columns, "cloud")
    every = ({**rows[name], "cloud": cloud} for name in sorted(rows))
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in every))


def write(path: Path, text: str) -> bool:
    """Put a text in a file's place, whole or not at all; False where the file has it already.

    Raises:
        RefreshError: it cannot be written.
    """
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file behind a link is replaced, and the link stays; the temporary file is beside it, as a file cannot be
        # renamed into another file system.
        target = path.resolve()
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            # mkstemp makes a file that only its owner may read.
            Path(temporary).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            Path(temporary).replace(target)
        except BaseException:  # Ctrl-C, too, must leave no temporary file behind
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RefreshError(f"{path} cannot be written: {error.strerror}") from None
    return True


def _arch_of_family(cloud: str, name: str, before: Mapping[str, MachineType]) -> str | None:
    if name in before:
        return before[name].arch
    family = known_clouds()[cloud].machine_family(name)
    # Only what all of the family agree on: a wrong architecture would choose an image that does not boot.
    archs = {
        row.arch for other, row in before.items() if family and known_clouds()[cloud].machine_family(other) == family
    }
    return archs.pop() if len(archs) == 1 else None


class RegionChange(NamedTuple):
    """The difference between a region and what was known of it.

    Attributes:
        region: its name.
        more: types that it has now.
        fewer: types that it no longer has.
        zones: types that it has in other zones than before.
        new: nothing was known of the region.
    """

    region: str
    more: tuple[str, ...]
    fewer: tuple[str, ...]
    zones: tuple[str, ...]
    new: bool


def places_file(path: Path) -> Path:
    """Return the places file that belongs to a file of machine types."""
    return path.with_name(f"{path.stem}_{PLACES}.csv")


def places_text(answer: CloudAnswer, path: Path, known: Collection[str], month: str) -> str:
    """Return the places file's text: the regions that answered again, all others as the file has them.

    A region that is as it was keeps its rows, source and all: a refresh that changes nothing changes no byte.

    Args:
        answer: what the API said.
        path: the places file.
        known: every machine type and attached accelerator of the catalog.
        month: when it was asked, for the source.

    Raises:
        CatalogFileError: the file that is there has a mistake.
    """
    before = _by_region(_kept(path))
    every = {*known, *(name for offered in answer.offered.values() for name in offered)}
    for region, offered in answer.offered.items():
        source = f"{answer.source} {month}"
        rows = places_of_region(answer.cloud, region, offered, every, source=source)
        if _unsourced(rows) != _unsourced(before.get(region, ())):
            before[region] = rows
    return offerings_text(place for rows in before.values() for place in rows)


def region_changes(answer: CloudAnswer, before: Mapping[str, Where], regions: Collection[str]) -> list[RegionChange]:
    """Return how each region that answered differs from what was known; regions without a difference are left out.

    Args:
        answer: what the API said.
        before: where each known machine type and attached accelerator was offered.
        regions: those that anything was known of.
    """
    changes = []
    for region, offered in sorted(answer.offered.items()):
        earlier = {name for name, where in before.items() if where.in_region(region)}
        zones = {name: set(before[name].zones(region)) for name in earlier & set(offered)}
        # Where no zones were known, zones that are known now are no change.
        other = sorted(name for name, known in zones.items() if known and _main(known) != _main(offered[name]))
        more, fewer = sorted(set(offered) - earlier), sorted(earlier - set(offered))
        if more or fewer or other:
            changes.append(RegionChange(region, tuple(more), tuple(fewer), tuple(other), region not in regions))
    return changes


def _main(zones: Iterable[str]) -> set[str]:
    """Return zones without Local Zones (``atl2-az1``), which an API lists only to the accounts that opted in."""
    return {zone for zone in zones if "-" not in zone}


def gone_types(answer: CloudAnswer, before: Mapping[str, Where]) -> list[str]:
    """Return the types that only regions which answered offered before, and that none offers now.

    A type that a region had which did not answer, or was not asked, is not gone.
    """
    here = {name for offered in answer.offered.values() for name in offered}
    names = []
    for name, where in before.items():
        regions = set(where.regions) if name not in here else set()
        if regions and regions <= set(answer.offered):
            names.append(name)
    return sorted(names)


def _kept(path: Path) -> list[OfferingRow]:
    if not path.exists():
        return []
    source = read(path)
    return source.accept(parse_places(source))


def _by_region(places: Iterable[OfferingRow]) -> dict[str, list[OfferingRow]]:
    regions: dict[str, list[OfferingRow]] = {}
    for place in places:
        regions.setdefault(place.region, []).append(place)
    return regions


def _unsourced(places: Iterable[OfferingRow]) -> list[tuple[str, str]]:
    return sorted((place.types, "" if place.zones is None else " ".join(place.zones) or "-") for place in places)
