"""Builds the bundle, a folder with this package, and adds it and the boot check to a cluster config.

Ray copies the bundle to the nodes by `file_mounts`: head and workers run the version that ran `ray up`, and need
neither pip nor a package index. It holds what a wheel would install, without the machinery for tests; the plug-in
families that are installed here; the user's own catalog; and a `bin/accel-scaling` for people on the node.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from accel_scaling.boot.admission import JOIN, ON_MISMATCH
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
from accel_scaling.cluster.policies import OnMismatch, confirmation_policy
from accel_scaling.families.plugins import GROUP, entry_points, normalized
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.families.plugins import EntryPoint

REMOTE_FOLDER = "~/.accel_scaling/bundle"
SCRIPT = f"{REMOTE_FOLDER}/accel_scaling/boot/before_ray_start.sh"
VERDICT_FILE = ".accel_scaling/verdict.json"  # under the home of the account that starts ray
LABEL_VERDICT = "accel-scaling.io/verdict"

# Sourced, not run: the variables that the script exports must reach the `ray start` behind it.
# A missing script must stop the node: without it Ray would start unconfirmed.
PREFIX = f". {SCRIPT} || exit {EXIT_NOT_CONFIRMED}; "

NO_FILES: Mapping[str, Path] = MappingProxyType({})

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


def build(cache: Path | None = None, catalog: Mapping[str, Path] = NO_FILES) -> Path:
    """Return the folder with this installation's package; build it where it does not exist yet.

    Args:
        cache: the folder of all bundles; ``~/.cache/accel_scaling`` by default.
        catalog: the user's own catalog files by their path below ``catalog/``; nodes read them too.
    """
    package = Path(__file__).parent.parent
    cache = cache or Path.home() / ".cache" / "accel_scaling"
    plug_ins = plug_in_files()
    target = cache / f"bundle-{fingerprint(package, catalog, plug_ins)}"
    # The name has the hash of the content, and a folder gets it only when it is complete.
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # In the same folder: the rename is then one step, and a second `ray up` never sees half a bundle.
        fresh = Path(tempfile.mkdtemp(prefix="bundle-", dir=cache))
        _write(fresh, package, catalog, plug_ins)
        _move_into_place(fresh, target)
    return target


def fingerprint(
    package: Path, catalog: Mapping[str, Path] = NO_FILES, plug_ins: Mapping[str, bytes] | None = None
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
        # This imports nothing: a plug-in that fails to import is copied all the same.
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


def _write(folder: Path, package: Path, catalog: Mapping[str, Path], plug_ins: Mapping[str, bytes]) -> None:
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
    compileall.compile_dir(folder, quiet=2)  # an error in a plug-in is reported where it is loaded


def _move_into_place(fresh: Path, target: Path) -> None:
    # mkdtemp makes a folder that only its owner can read (0700), and rsync copies the permissions to the nodes.
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # another `ray up` was faster; its bundle has the same files
        shutil.rmtree(fresh, ignore_errors=True)


def add_boot_check(config: dict[str, Any], bundle: str) -> None:
    """Add the package and the boot check to a complete cluster config, in place; doing it twice changes nothing.

    Args:
        config: a cluster config with its start commands.
        bundle: the folder on this machine that bundle.build() returned.
    """
    config["file_mounts"] = {**(config.get("file_mounts") or {}), REMOTE_FOLDER: bundle}
    joins = confirmation_policy(config.get("provider") or {}).on_mismatch is OnMismatch.JOIN
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[key] = [with_boot_check(command, joins=joins) for command in config.get(key) or []]


def with_boot_check(command: str, *, joins: bool = False) -> str:
    """Return the command with the boot check before it, where it starts Ray.

    Args:
        command: any command of a cluster config.
        joins: a machine with fewer devices than promised joins with those.
    """
    # Only `ray start` needs the check: `ray stop`, and commands of the user's own, stay as they are.
    if "ray start" not in command or has_boot_check(command):
        return command
    return (f"export {ON_MISMATCH}={JOIN}; " if joins else "") + PREFIX + command


def has_boot_check(command: str) -> bool:
    """Return whether this command runs the boot check before Ray."""
    return SCRIPT in command
