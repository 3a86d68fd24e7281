"""Rules over the rows of machine types and of their offerings, beyond the form of one row; they hold for every cloud.

Each function takes all that is checked and yields what is wrong; MACHINE_RULES, and CHIP_RULES of chips.py, list them.
A new cloud's file, or a contributor's, is checked against all of them by being there.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.columns import MIXED, UNKNOWN, WHOLE
from accel_scaling.catalog.custom_machine_types import custom_rules, is_custom
from accel_scaling.catalog.files import Problem, cloud_of_file, read, shipped, table_of
from accel_scaling.catalog.offerings import parse_places
from accel_scaling.catalog.schema import CORRECTIONS, OFFERINGS
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import cells_of
from accel_scaling.clouds import cloud_of_region, known_clouds
from accel_scaling.errors import CatalogFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.files import Source
    from accel_scaling.catalog.model import Chip, MachineType

    Rows = Mapping[tuple[str, str], MachineType]

TPU_CHIPS = (1, 2, 4, 8)  # of a host: TPU_VALID_CHIP_OPTIONS of Ray 2.60


class Wrong(NamedTuple):
    """A mistake in the content: of which row or accelerator, in which column or field, and what is expected.

    ``may_be``: it may be right, where it is new: a note rather than a mistake.
    """

    of: MachineType | Chip
    column: str
    text: str
    may_be: bool = False


@dataclass(frozen=True)
class Checked:
    """Everything that is checked together.

    Attributes:
        files: the files of machine types, each with its rows.
        known: every machine type that is known, of the files and of what ships; the files' own go first.
        base: the shipped rows and the files' own that are no corrections: what corrections refer to.
        chips: every accelerator that is known.
        own: the names of those that are checked.
        chip_families: every family of accelerators, those of plug-ins too.
    """

    files: Sequence[tuple[Source, Rows]]
    known: Rows
    base: Rows
    chips: Mapping[str, Chip]
    own: Sequence[str]
    chip_families: Collection[str]

    @property
    def rows(self) -> Iterator[MachineType]:
        """Every row that is checked."""
        return (row for _, rows in self.files for row in rows.values())

    @functools.cached_property
    def families(self) -> Mapping[tuple[str, str], Sequence[MachineType]]:
        """Every known machine type by (cloud, family), of the clouds that rows are checked of."""
        clouds = {row.cloud for row in self.rows}
        families: dict[tuple[str, str], list[MachineType]] = {}
        for row in self.known.values():
            if row.cloud in clouds:
                families.setdefault(_family(row), []).append(row)
        return families


def no_accelerator_is_unknown(checked: Checked) -> Iterator[Wrong]:
    """An accelerator that only the cloud's API names must be described, before anything can be promised."""
    for row in checked.rows:
        if row.unknown and MIXED in row.unknown:
            text = f"has {row.unknown}; expected the one accelerator that tasks may ask for"
            yield Wrong(row, "accelerator", f"accelerator of {row.name} {text}")
        elif row.unknown:
            name = row.unknown.partition(" x ")[2] or row.unknown
            text = f"{UNKNOWN}{name}, which no accelerator's api_names have; expected an entry in accelerators.yaml"
            yield Wrong(row, "accelerator", f"accelerator of {row.name} is {text}")


def a_family_has_one_architecture(checked: Checked) -> Iterator[Wrong]:
    """All sizes of a family have the same processor: g5g is arm64, as every Graviton; g5 is x86_64."""
    for row in checked.rows:
        (most, _), *others = Counter(row_of.arch for row_of in checked.families[_family(row)]).most_common()
        if others and row.arch != most:
            yield Wrong(row, "arch", f"arch of {row.name} is {row.arch}; expected {most}, as of its family")


def an_arm_only_chip_is_in_arm64_machines(checked: Checked) -> Iterator[Wrong]:
    """A GB200 is soldered to an arm64 processor, and so is a T4G: no other machine can have one."""
    seen: dict[str, Counter[str]] = {}
    for row in checked.known.values():
        if row.chip:
            seen.setdefault(row.chip.name, Counter())[row.arch] += 1
    for row in checked.rows:
        archs = seen[row.chip.name] if row.chip else Counter()
        # A single row is treated as a slip; several agree on a new kind of machine.
        if row.arch != "arm64" and archs["arm64"] > archs[row.arch] == 1:
            text = f"arch of {row.name} is {row.arch}; expected arm64, as of every machine with {row.chip.name}"  # type: ignore[union-attr]
            yield Wrong(row, "arch", text)


def more_vcpus_never_come_with_less_memory(checked: Checked) -> Iterator[Wrong]:
    """In a family, a size with more vCPUs has at least the memory of the smaller ones."""
    own = {(row.cloud, row.name) for row in checked.rows}
    for family in {_family(row) for row in checked.rows}:
        rows = list(checked.families[family])
        while wrong := _most_contradicted(rows, own):
            row, other = wrong
            size = f"{row.memory_mib} with {row.vcpus} vCPUs"
            text = f"where {other.name} has {other.memory_mib} with {other.vcpus}"
            yield Wrong(row, "memory_mib", f"memory_mib of {row.name} is {size}; expected memory that grows, {text}")
            rows.remove(row)  # a slip in one row contradicts many others: it is one mistake, not as many


def the_number_in_a_name_is_the_count(checked: Checked) -> Iterator[Wrong]:
    """Google writes how many GPUs or TPU chips a machine has into its name: a2-highgpu-8g, ct5lp-hightpu-4t."""
    for row in checked.rows:
        named = known_clouds()[row.cloud].count_in_name(row.name)
        if row.chip and named is not None and named != row.count:
            yield Wrong(row, "count", f"count of {row.name} is {row.count}; expected {named}, as its name says")


def a_tpu_machine_has_as_many_chips_as_ray_takes(checked: Checked) -> Iterator[Wrong]:
    """A host of TPU chips has one, two, four or eight: a task of Ray's can ask for no other number."""
    for row in checked.rows:
        if row.chip and row.chip.family == "tpu" and row.count not in TPU_CHIPS:
            text = f"count of {row.name} is {row.count}; expected 1, 2, 4 or 8 chips of {row.chip.name}"
            yield Wrong(row, "count", text)


def a_name_is_of_one_cloud(checked: Checked) -> Iterator[Wrong]:
    """No two clouds have a machine type of the same name: a row in the wrong file would never be found."""
    clouds = sorted({cloud for cloud, _ in checked.base})
    for row in checked.rows:
        for cloud in clouds:
            if cloud != row.cloud and (cloud, row.name) in checked.base:
                text = f"{row.name} is a row of {row.cloud}; expected {cloud}, which has it: name the cloud in a column"
                yield Wrong(row, "cloud", f"instance_type {text} `cloud`, or let the file's name begin with {cloud}")


def a_correction_changes_a_row_that_is_there(checked: Checked) -> Iterator[Wrong]:
    """A correction refers to a row of the cloud's own file, and says something else than it."""
    for source, rows in checked.files:
        for key, row in rows.items() if table_of(source.path) is CORRECTIONS else ():
            base = checked.base.get(key)
            if base is None:
                yield Wrong(row, "instance_type", f"{row.name} is no row of {row.cloud}; expected one to correct")
            elif _content(base) == _content(row):
                yield Wrong(row, "instance_type", f"{row.name} says what {base.layer} says; expected a difference")


MACHINE_RULES: tuple[Callable[[Checked], Iterator[Wrong]], ...] = (
    no_accelerator_is_unknown,
    a_family_has_one_architecture,
    an_arm_only_chip_is_in_arm64_machines,
    more_vcpus_never_come_with_less_memory,
    the_number_in_a_name_is_the_count,
    a_tpu_machine_has_as_many_chips_as_ray_takes,
    a_name_is_of_one_cloud,
    a_correction_changes_a_row_that_is_there,
)


def _family(row: MachineType) -> tuple[str, str]:
    return row.cloud, known_clouds()[row.cloud].machine_family(row.name) or row.name


def _content(row: MachineType) -> tuple[object, ...]:
    # Without layer and line: two rows of two files differ in those in any case.
    return row.vcpus, row.memory_mib, row.arch, row.chip, row.count


def _most_contradicted(
    rows: Sequence[MachineType], own: set[tuple[str, str]]
) -> tuple[MachineType, MachineType] | None:
    """Return the row of ours whose memory contradicts the most others', and one of those; None where none does."""
    ordered = sorted(rows, key=lambda row: (row.vcpus, row.memory_mib))
    # Most families end here: the comparison of each row with each other is for those with a mistake.
    if all(smaller.memory_mib <= larger.memory_mib for smaller, larger in itertools.pairwise(ordered)):
        return None
    against: dict[str, list[MachineType]] = {}
    for row in rows:
        if (row.cloud, row.name) in own:
            against[row.name] = [other for other in rows if _contradict(row, other) or _contradict(other, row)]
    name = max(against, key=lambda name: len(against[name]), default="")
    if not against.get(name):
        return None
    return next(row for row in rows if row.name == name), against[name][0]


def _contradict(smaller: MachineType, larger: MachineType) -> bool:
    return smaller.vcpus < larger.vcpus and smaller.memory_mib > larger.memory_mib


class MayBeNamed(NamedTuple):
    """The names that a row of a cloud may have.

    Attributes:
        types: of machines, and of accelerators that are attached.
        more: the types of layers that are read only where a row names another: the user's own, and plug-ins'.
    """

    types: Collection[str]
    more: Callable[[], Collection[str]]


def unknown_types(source: Source, names: Callable[[str], MayBeNamed]) -> Iterator[Problem]:
    """Yield each row whose type, or family, no layer of the catalog has.

    Args:
        source: a places file whose form is right.
        names: what rows of a cloud may name.
    """
    known: dict[str, set[str]] = {}
    complete: set[str] = set()
    for line, region, types in _places(source):
        cloud = cloud_of_region(region) or ""
        if types == WHOLE or (is_custom(types) and custom_rules(cloud)):
            continue
        if cloud not in known:
            known[cloud] = _with_families(cloud, names(cloud).types)
        if types not in known[cloud] and cloud not in complete:
            # The user's files and plug-ins are read for a name that what ships lacks, and once for each cloud.
            known[cloud] |= _with_families(cloud, names(cloud).more())
            complete.add(cloud)
        if types not in known[cloud]:
            text = f"types is {types}, which no catalog file has as a machine type or a family of {cloud}"
            expected = "correct it, or give the file with its row, too"
            yield Problem(line, f"{text}{hint(types, known[cloud])}; {expected}", "types")


def new_regions(source: Source) -> Iterator[Problem]:
    """Yield the first row of each region that neither what ships nor this file lists: new, or misspelt."""
    rows = [(line, region, types) for line, region, types in _places(source)]
    noted = {region for _, region, types in rows if types == WHOLE}
    for line, region, _ in rows:
        known = _listed(cloud_of_region(region) or "") if region not in noted else ()
        if region not in noted and region not in known:
            noted.add(region)
            near = hint(region, known)
            yield Problem(
                line, f"region {region} is not in the places files that ship{near}; ignore this if it is new", "region"
            )


def names_in(path: Path, cloud: str) -> set[str]:
    """Return the machine types of a cloud that a CSV file has, whatever else may be wrong with it."""
    try:
        rows = cells_of(read(path))
    except CatalogFileError:
        return set()
    whose = cloud_of_file(path.name)
    named = ((row.get("instance_type"), row.get("cloud") or whose) for _, row in rows)
    return {name for name, of in named if name and of == cloud}


def _places(source: Source) -> Iterator[tuple[int, str, str]]:
    return ((line, row["region"], row["types"]) for line, row in cells_of(source))


def _with_families(cloud: str, names: Collection[str]) -> set[str]:
    families = {family for name in names if (family := known_clouds()[cloud].machine_family(name))}
    return {*names, *families}


@functools.cache
def _listed(cloud: str) -> set[str]:
    """Return the regions of a cloud of which the shipped file lists all that they have."""
    source = shipped(OFFERINGS, cloud) if cloud in known_clouds() else None
    places = parse_places(source)[0] if source else ()
    return {place.region for place in places if place.types == WHOLE}
