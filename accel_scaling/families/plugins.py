"""The plug-in families of this Python: found by their entry points, each loaded and checked once.

A broken one is named once and left out. What loads a plug-in is imported where there is one: without plug-ins, commands
do not wait for it.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import CatalogFileError
from accel_scaling.import_path import import_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from accel_scaling.catalog.load import Addition
    from accel_scaling.families.family import Family

GROUP = "accel_scaling.families"

_GROUP_BYTES = GROUP.encode()
_FILE = "entry_points.txt"
_METADATA_FILES = ("METADATA", "PKG-INFO")  # of a wheel, of an egg
_SEPARATORS = re.compile(r"[-_.]+")

REPAIR = "repair it or uninstall the package"


@dataclass(frozen=True)
class EntryPoint:
    """An entry point: the module and attribute that have a package's family.

    Attributes:
        resource: the entry point's name, which is the family's Ray resource: it is known even where the rest is broken.
        value: ``module:attribute``.
        package: the package's name, as pip has it.
        version: the package's version; empty where it does not say.
    """

    resource: str
    value: str
    package: str
    version: str = ""

    @property
    def module(self) -> str:
        """The module that has the family."""
        return self.value.partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """The family's name there."""
        return self.value.partition(":")[2].partition("[")[0].strip()

    @property
    def root(self) -> str:
        """The top-level package or module: what travels to the nodes."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"the plug-in {self.package} (entry point {self.resource} = {self.value})"


def entry_points(path: Iterable[str] | None = None) -> list[EntryPoint]:
    """Return the entry points of our group, in the order of the path; of a package that is there twice, the first.

    ``importlib.metadata`` takes 60 to 140 ms for it, and whole commands of ours take 110: this looks at each installed
    package's ``entry_points.txt`` once, and at nothing else.

    Args:
        path: the folders to look into; by default those from which Python imports, without the current one.
    """
    entries: list[EntryPoint] = []
    packages: set[str] = set()
    for metadata, text in _texts(import_folders() if path is None else path):
        lines = _lines_of_group(text)
        name, version = _name_and_version(metadata)
        if lines and normalized(name) not in packages:
            packages.add(normalized(name))
            entries += [EntryPoint(resource, value, name, version) for resource, value in lines]
    return entries


def normalized(package: str) -> str:
    """Return a package's name as folders and files have it: ``ferrum_n1`` for ``Ferrum-N1``."""
    return _SEPARATORS.sub("_", package).lower()


def _texts(path: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the packages' folders of metadata whose entry points mention the group."""
    for folder in dict.fromkeys(path):  # sys.path may have a folder twice
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a thousand names: no objects for those that do not matter
        except OSError:  # an archive, or not there
            continue
        # os.listdir() has no order, and of a package that is there twice the first one counts.
        for name in sorted(names):
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            try:
                with open(f"{folder}/{name}/{_FILE}", "rb", buffering=0) as file:  # noqa: PTH123 - as above
                    data = file.read()
                text = data.decode() if _GROUP_BYTES in data else ""
            except (OSError, UnicodeDecodeError):
                continue
            if text:
                yield Path(folder, name), text


def _lines_of_group(text: str) -> list[tuple[str, str]]:
    """Return the ``name = value`` lines of our section."""
    lines, inside = [], False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            lines.append((name.strip(), value.strip()))
    return lines


def _name_and_version(metadata: Path) -> tuple[str, str]:
    """Return what a package calls itself; its folder's name where it does not say."""
    fields = dict.fromkeys(("Name", "Version"), "")
    for name in _METADATA_FILES:
        try:
            # The fields end at the first blank line: in the description below it, any line may look like a field.
            head = (metadata / name).read_text(encoding="utf-8").partition("\n\n")[0]
        except (OSError, UnicodeDecodeError):
            continue
        for line in head.splitlines():
            key, _, value = line.partition(":")
            if key in fields and not fields[key]:
                fields[key] = value.strip()
        break
    return fields["Name"] or metadata.name.partition("-")[0].removesuffix(".egg"), fields["Version"]


class _BrokenError(Exception):
    """The reason why a plug-in is left out, as the end of a sentence."""


@dataclass(frozen=True)
class PlugIn:
    """A family with where it came from and what it adds to the catalog."""

    entry: EntryPoint
    family: Family
    data: Addition


@dataclass(frozen=True)
class Broken:
    """A plug-in that was left out.

    Attributes:
        entry: which.
        reason: why, as the end of a sentence.
    """

    entry: EntryPoint
    reason: str

    def __str__(self) -> str:
        return f"{self.entry} is left out: {self.reason}; {REPAIR}"


@dataclass(frozen=True)
class Loaded:
    """All plug-ins of this Python.

    Attributes:
        plug_ins: by Ray resource.
        broken: by Ray resource; the first where several are for one.
    """

    plug_ins: Mapping[str, PlugIn] = field(default_factory=dict)
    broken: Mapping[str, Broken] = field(default_factory=dict)


class _Teller:
    """Names broken plug-ins on the standard error, unless it is hushed."""

    hushed = False


def hush() -> None:
    """Name no broken plug-in from here on: Ray repeats what a worker says on the driver's terminal, for each worker."""
    _Teller.hushed = True


@functools.cache
def loaded() -> Loaded:
    """Return the plug-ins of this Python; names those that are left out on the standard error, once."""
    entries = entry_points()
    if not entries:
        return Loaded()
    plug_ins, broken = _load_all(entries)
    for plug_in in broken:
        if not _Teller.hushed:
            sys.stderr.write(f"accel_scaling: {plug_in}\n")
    # Reversed, so of several broken ones for one resource the first one stays.
    return Loaded(plug_ins, {plug_in.entry.resource: plug_in for plug_in in reversed(broken)})


def _load_all(entries: Sequence[EntryPoint]) -> tuple[dict[str, PlugIn], list[Broken]]:
    plug_ins: dict[str, PlugIn] = {}
    broken: list[Broken] = []
    for entry in entries:
        try:
            plug_ins[entry.resource] = _load(entry, entries, plug_ins)
        except _BrokenError as error:  # noqa: PERF203 - one that is broken must not stop the others
            broken.append(Broken(entry, str(error)))
    return plug_ins, broken


def _load(entry: EntryPoint, entries: Sequence[EntryPoint], others: Mapping[str, PlugIn]) -> PlugIn:
    from accel_scaling.catalog.node_images import shipped_families
    from accel_scaling.families.built_in import built_in
    from accel_scaling.families.family import problem_of
    from accel_scaling.families.plugin_data import data_of

    # Before the import: where two packages claim a resource, the code of neither runs.
    if sum(other.resource == entry.resource for other in entries) > 1:
        raise _BrokenError(_claimed_by(entry.resource, entries))
    family = _family(entry)
    if problem := problem_of(family, built_in()):
        raise _BrokenError(problem)
    if family.resource != entry.resource:
        raise _BrokenError(f"its resource is {family.resource}; the entry point must have that name")
    if family.name in shipped_families():
        raise _BrokenError(f"name is {family.name}, a family that accel_scaling already has; choose another name")
    placed = replace(family, folder=_folder(entry, family))
    try:
        plug_in = PlugIn(entry, placed, data_of(placed, entry.package))
    except CatalogFileError as error:
        raise _BrokenError(str(error)) from None
    _check_beside(plug_in, others)
    return plug_in


def _family(entry: EntryPoint) -> Family:
    try:
        family = getattr(importlib.import_module(entry.module), entry.attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: whatever it does, the others continue
        raise _BrokenError(f"it cannot be imported ({type(error).__name__}: {error})") from None
    from accel_scaling.families.family import Family

    if not isinstance(family, Family):
        raise _BrokenError(f"{entry.value} is {type(family).__name__}; expected an accel_scaling.families.Family")
    return family


def _folder(entry: EntryPoint, family: Family) -> Path | None:
    """Return where the data are; they must lie in what travels to the nodes."""
    package = sys.modules[entry.root]
    # A single module has no folder of its own: what is beside it in site-packages belongs to other packages.
    roots = [Path(path).resolve() for path in getattr(package, "__path__", ())]
    beside = Path(str(sys.modules[entry.module].__file__)).parent if roots else None
    folder = beside if family.folder is None else family.folder
    if folder is not None and not any(folder.resolve().is_relative_to(root) for root in roots):
        raise _BrokenError(f"its folder {folder} is not in the package {entry.root}, so nodes would not get it")
    return folder


def _check_beside(plug_in: PlugIn, others: Mapping[str, PlugIn]) -> None:
    """Refuse what another plug-in has: names that two have would mean either."""
    family = plug_in.family
    for other in others.values():
        of_other = f"{other.entry.package} has"
        if other.family.name == family.name:
            raise _BrokenError(f"{of_other} the family {family.name}, too")
        if other.family.visible_devices == family.visible_devices:
            raise _BrokenError(f"{of_other} the variable {family.visible_devices}, too")
        if both := sorted(set(other.data.chips) & set(plug_in.data.chips)):
            raise _BrokenError(f"{of_other} the chip {both[0]}, too")


def _claimed_by(resource: str, entries: Sequence[EntryPoint]) -> str:
    packages = " and ".join(entry.package for entry in entries if entry.resource == resource)
    return f"{packages} both define the resource {resource}, and it is not known which one a node must use"
