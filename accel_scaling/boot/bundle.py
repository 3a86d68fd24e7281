"""The package as a folder that travels with the cluster: head and workers run the version that ran `ray up`.

Ray copies it by `file_mounts`; no registry and no pip stand in between. It holds what a wheel would install, less
the rehearsal, the plug-in families that are installed here, the user's own catalog, and a `bin/accel-scaling` for
people on the node.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from accel_scaling.boot.plugin_bundle import plug_in_files
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

REMOTE_FOLDER = "~/.accel_scaling/bundle"
SCRIPT = f"{REMOTE_FOLDER}/accel_scaling/boot/before_ray_start.sh"

NOTHING: Mapping[str, Path] = MappingProxyType({})

_LEFT_AT_HOME = {"testing", "__pycache__"}

_COMMAND = """#!/bin/sh
# accel-scaling, as it came with `ray up`; python3 is the one that runs ray here.
exec "${ACCEL_SCALING_PYTHON:-python3}" -m accel_scaling "$@"
"""


def build(cache: Path | None = None, catalog: Mapping[str, Path] = NOTHING) -> Path:
    """Return the folder with this installation's package, building it if it is not there yet.

    Args:
        cache: where bundles are kept; ``~/.cache/accel_scaling`` by default.
        catalog: the user's own catalog files by their path below ``catalog/``; nodes confirm and answer by them too.
    """
    package = Path(__file__).parent.parent
    cache = cache or Path.home() / ".cache" / "accel_scaling"
    plug_ins = plug_in_files()
    target = cache / f"bundle-{fingerprint(package, catalog, plug_ins)}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="bundle-", dir=cache))
        _fill(fresh, package, catalog, plug_ins)
        _move_into_place(fresh, target)
    return target


def fingerprint(
    package: Path, catalog: Mapping[str, Path] = NOTHING, plug_ins: Mapping[str, bytes] | None = None
) -> str:
    """Return twelve hex digits that change with any file of the bundle."""
    digest = hashlib.sha256(__version__.encode())
    for name, path in sorted(catalog.items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name, content in sorted((plug_ins or {}).items()):
        digest.update(name.encode() + b"\0" + content)
    for path in _files(package):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _files(package: Path) -> list[Path]:
    found = []
    # Not rglob: it does not follow the links providers/ and catalogs/ of a source checkout.
    for folder, folders, names in os.walk(package, followlinks=True):
        folders[:] = sorted(set(folders) - _LEFT_AT_HOME)
        found += [Path(folder) / name for name in sorted(names)]
    return found


def _fill(folder: Path, package: Path, catalog: Mapping[str, Path], plug_ins: Mapping[str, bytes]) -> None:
    for path in _files(package):
        target = folder / "accel_scaling" / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    for name, content in plug_ins.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name, path in catalog.items():
        (folder / "catalog" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "catalog" / name)
    command = folder / "bin" / "accel-scaling"
    command.parent.mkdir()
    command.write_text(_COMMAND, encoding="utf-8")
    command.chmod(0o755)
    # Compiled here: a .pyc written later on the head would change the mounts' hash, and v1 would sync all workers.
    compileall.compile_dir(folder, quiet=2)  # a plug-in that does not compile is named where it is loaded


def _move_into_place(fresh: Path, target: Path) -> None:
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # another `ray up` was faster; its bundle has the same fingerprint
        shutil.rmtree(fresh, ignore_errors=True)
