"""The rows of a refresh: what the API said, over what the file had; written at once or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import cloud_of_file, read
from accel_scaling.catalog.load import parse_rows
from accel_scaling.catalog.schema import MACHINE_TYPES, UNKNOWN
from accel_scaling.catalog.table import cells_of, written
from accel_scaling.clouds import known_clouds
from accel_scaling.refresh.match_accelerators import has
from accel_scaling.refresh.retry import RefreshError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.refresh.records import Answer, Device

    Cells = Mapping[str, str]  # by column


def rows_of(
    answer: Answer, chips: Mapping[str, Chip], before: Mapping[str, MachineType]
) -> tuple[dict[str, Cells], dict[str, Device]]:
    """Return the row of each type that the API told of, and the accelerators that the catalog lacks, by their names.

    A type without an architecture keeps what the catalog has, or takes what all of its family have; where neither says
    it, the type goes into ``answer.lacking``.
    """
    rows: dict[str, Cells] = {}
    unknown: dict[str, Device] = {}
    for name, told in sorted(answer.types.items()):
        arch = told.arch or _arch_of_family(answer.cloud, name, before)
        if arch is None:
            answer.lacking[name] = "no architecture"
            continue
        device = has(told, answer.cloud, chips, before.get(name))
        rows[name] = {
            "instance_type": name,
            "vcpus": str(told.vcpus),
            "memory_mib": str(told.memory_mib),
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
    return written(columns, ([row.get(column, "") for column in columns] for row in every))


def write(path: Path, text: str) -> bool:
    """Put a text in a file's place, whole or not at all; False where the file has it already.

    Raises:
        RefreshError: it cannot be written.
    """
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            Path(temporary).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RefreshError(f"{path} cannot be written: {error.strerror}") from None
    return True


def _arch_of_family(cloud: str, name: str, before: Mapping[str, MachineType]) -> str | None:
    if name in before:
        return before[name].arch
    family = known_clouds()[cloud].machine_family(name)
    archs = {
        row.arch for other, row in before.items() if family and known_clouds()[cloud].machine_family(other) == family
    }
    return archs.pop() if len(archs) == 1 else None
