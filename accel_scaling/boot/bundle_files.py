"""What is in a bundle: this package without the machinery for tests, the installed plug-ins, the user's own catalog."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import TRAVELLED
from accel_scaling.families.plugins import GROUP, entry_points, normalized
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.families.plugins import EntryPoint

NO_FILES: Mapping[str, Path] = MappingProxyType({})
COMMAND_FILE = "bin/accel-scaling"

# Nodes need no rehearsals; and a .pyc that Python writes here later would change the fingerprint.
_NOT_BUNDLED = {"testing", "__pycache__"}

_COMMAND = """#!/bin/sh
# accel-scaling, as `ray up` installed it; $ACCEL_SCALING_PYTHON is the Python that runs ray on this node.
# Not -m, which would import from the current folder first.
exec "${ACCEL_SCALING_PYTHON:-python3}" -c '
import sys
sys.path[:] = [path for path in sys.path if path]
from accel_scaling.cli.main import main
sys.exit(main())
' "$@"
"""


def contents(package: Path, catalog: Mapping[str, Path], plug_ins: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return every file of a bundle by its path there, without what is compiled from them.

    Args:
        package: the folder of this package.
        catalog: the user's own catalog files by their path below ``catalog/``.
        plug_ins: the files of the plug-in families by their path in the bundle.
    """
    return {
        **{f"accel_scaling/{path.relative_to(package)}": path.read_bytes() for path in _files(package)},
        **plug_ins,
        **{f"{TRAVELLED}/{name}": path.read_bytes() for name, path in catalog.items()},
        COMMAND_FILE: _COMMAND.encode(),
    }


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """Return twelve hex digits that change with any of these files."""
    digest = hashlib.sha256(__version__.encode())
    for name, content in sorted(files.items()):
        # The lengths, too: else two files could be another two with the same bytes.
        digest.update(f"\0{len(name.encode())} {name} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def _files(package: Path) -> list[Path]:
    files = []
    # Not rglob: it does not follow the links providers/ and catalogs/ of a source checkout.
    for folder, folders, names in os.walk(package, followlinks=True):
        # os.walk has the order of the file system: unsorted, the same package would have several fingerprints.
        folders[:] = sorted(set(folders) - _NOT_BUNDLED)
        files += [Path(folder) / name for name in sorted(names)]
    return files


def plug_in_files() -> dict[str, bytes]:
    """Return the files of the plug-in families that are installed here, by their path in the bundle.

    A package that is broken or gone is bundled too, as far as it exists: a node that is promised its resource must know
    that the package cannot ask the driver.
    """
    files: dict[str, bytes] = {}
    by_package: dict[str, list[EntryPoint]] = {}
    for entry in entry_points():
        by_package.setdefault(entry.package, []).append(entry)
    for package, entries in by_package.items():
        # Our entry_points() reads nothing else on the node: name, version, and the lines of our group.
        folder = f"{normalized(package)}-{entries[0].version or '0'}.dist-info"
        lines = "".join(f"{entry.resource} = {entry.value}\n" for entry in entries)
        files[f"{folder}/entry_points.txt"] = f"[{GROUP}]\n{lines}".encode()
        head = f"Metadata-Version: 2.1\nName: {package}\nVersion: {entries[0].version or '0'}\n"
        files[f"{folder}/METADATA"] = head.encode()
        # Entry points into this package need no files of their own: it is in the bundle as a whole.
        for root in sorted({entry.root for entry in entries} - {"accel_scaling"}):
            files |= {path: file.read_bytes() for path, file in _module_files(root)}
    return files


def _module_files(root: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a top-level package or module, wherever it was installed from."""
    try:
        # This imports nothing: a plug-in that fails to import is copied anyway.
        spec = importlib.util.find_spec(root)
    # find_spec raises ValueError where a module of this name is loaded and has no __spec__.
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if not spec.submodule_search_locations:
        if spec.origin and Path(spec.origin).is_file():
            yield Path(spec.origin).name, Path(spec.origin)
        return
    for location in spec.submodule_search_locations:
        for folder, folders, names in os.walk(location, followlinks=True):
            folders[:] = sorted(set(folders) - {"__pycache__"})
            for name in sorted(names):
                file = Path(folder, name)
                yield str(Path(root, file.relative_to(location))), file
