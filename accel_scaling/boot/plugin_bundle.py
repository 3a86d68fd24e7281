"""What of the plug-in families travels with the cluster: their packages' files, and their entry points."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.families.entry_points import GROUP, entry_points, normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.families.entry_points import EntryPoint


def plug_in_files() -> dict[str, bytes]:
    """Return what nodes need of the plug-ins that are installed here, by its path in the bundle.

    A package that is broken or gone travels too, with as much as there is of it: a node that is promised its resource
    must know that nothing there can ask the driver.
    """
    files: dict[str, bytes] = {}
    of_package: dict[str, list[EntryPoint]] = {}
    for entry in entry_points():
        of_package.setdefault(entry.package, []).append(entry)
    for package, entries in of_package.items():
        folder = f"{normalized(package)}-{entries[0].version or '0'}.dist-info"
        lines = "".join(f"{entry.resource} = {entry.value}\n" for entry in entries)
        files[f"{folder}/entry_points.txt"] = f"[{GROUP}]\n{lines}".encode()
        head = f"Metadata-Version: 2.1\nName: {package}\nVersion: {entries[0].version or '0'}\n"
        files[f"{folder}/METADATA"] = head.encode()
        for root in sorted({entry.root for entry in entries} - {"accel_scaling"}):
            files |= {path: file.read_bytes() for path, file in _files_of(root)}
    return files


def _files_of(root: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a top-level package or module, wherever it was installed from."""
    try:
        spec = importlib.util.find_spec(root)
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
