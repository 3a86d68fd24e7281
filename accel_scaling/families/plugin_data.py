"""The data of a plug-in family: its chips, its machine types, the table of its rehearsals, in the catalog's formats."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling import documentation
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from accel_scaling.catalog.files import Problem, Source
    from accel_scaling.catalog.load import Addition
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.families.family import Family

HARDWARE = "hardware.csv"  # what rehearsed machines have: no machine types

_KEY = re.compile(r"^([\w.-]+):", re.MULTILINE)


def data_of(family: Family, package: str) -> Addition:
    """Read and check a plug-in's files.

    Args:
        family: the family, whose ``folder`` is set.
        package: the package's name, for the layer that answers are said to come from.

    Raises:
        CatalogFileError: a file is wrong, or there is no chip; the text names file and line.
    """
    from accel_scaling.catalog.files import read
    from accel_scaling.catalog.load import Addition, parse_rows

    if family.folder is None:
        raise CatalogFileError(
            "it has no folder of data: make the module a package (a folder with __init__.py) and put the files there"
        )
    sources = [
        read(path, label=f"{package}: {path.name}")
        for pattern in ("*.yaml", "*.csv")
        for path in sorted(family.folder.glob(pattern))
        if path.name != HARDWARE
    ]
    chips: dict[str, Chip] = {}
    # Accelerators before machine types, whose rows name them.
    for source in filter(lambda source: source.is_chips, sources):
        chips |= source.accept(_plug_in_chips(source, family))
    if not chips:
        raise CatalogFileError(
            f"{family.folder} has no chip of the family {family.name}: describe one in a YAML file there, as in "
            f"{documentation.page('families-of-your-own')}"
        )
    machine_types: dict[tuple[str, str], MachineType] = {}
    for source in filter(lambda source: not source.is_chips, sources):
        # A plug-in's rows may name its own accelerators only.
        machine_types |= source.accept(parse_rows(source, chips, known_clouds()))
    return Addition(chips, machine_types, tuple(sources))


def _plug_in_chips(source: Source, family: Family) -> tuple[dict[str, Chip], list[Problem]]:
    """Read a file's chips; of another family or with a name that ships, they would change what others have."""
    from accel_scaling.catalog.chips import parse_chips
    from accel_scaling.catalog.files import CHIPS_FILE, Problem, read

    chips, problems = parse_chips(source.text, {})
    # By a pattern: only the names are needed, and composing the YAML of all that ships takes far longer.
    shipped = set(_KEY.findall(read(SHIPPED_FOLDER / CHIPS_FILE).text))
    lines = {name: line for line, text in enumerate(source.text.splitlines(), 1) for name in _KEY.findall(text)}
    for chip in chips.values():
        at = lines.get(chip.name, 1)
        if (chip.family, chip.resource) != (family.name, family.resource):
            has = f"{chip.name} has family {chip.family}, resource {chip.resource}"
            problems.append(Problem(at, f"{has}; expected family {family.name}, resource {family.resource}"))
        if chip.name in shipped:
            problems.append(Problem(at, f"{chip.name} ships with accel_scaling; give your chip another name"))
    return chips, problems
