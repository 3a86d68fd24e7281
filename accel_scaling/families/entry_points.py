"""The entry points of the group ``accel_scaling.families``, read from the packages' own files.

``importlib.metadata`` takes 60 to 140 ms for it, and whole commands of ours take 110: this looks at each installed
package's ``entry_points.txt`` once, and at nothing else.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUP = "accel_scaling.families"

_GROUP_BYTES = GROUP.encode()
_FILE = "entry_points.txt"
_METADATA_FILES = ("METADATA", "PKG-INFO")  # of a wheel, of an egg
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class EntryPoint:
    """Where a package says that its family is.

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

    Args:
        path: the folders to look into; by default those from which Python imports.
    """
    entries: list[EntryPoint] = []
    packages: set[str] = set()
    for metadata, text in _texts(sys.path if path is None else path):
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
    for folder in dict.fromkeys(entry or "." for entry in path):
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a thousand names: no objects for those that do not matter
        except OSError:  # an archive, or not there
            continue
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
            head = (metadata / name).read_text(encoding="utf-8").partition("\n\n")[0]
        except (OSError, UnicodeDecodeError):
            continue
        for line in head.splitlines():
            key, _, value = line.partition(":")
            if key in fields and not fields[key]:
                fields[key] = value.strip()
        break
    return fields["Name"] or metadata.name.partition("-")[0].removesuffix(".egg"), fields["Version"]
