"""Builds the bundle, the folder with this package that Ray copies to each node by `file_mounts`, in a cache.

Head and workers run the version that ran `ray up`, and need neither pip nor a package index. A bundle is a folder with
one folder in it, whose name is the fingerprint of its content: Ray's rsync removes nothing on a node, and what an older
bundle has left there is never beside the files of a newer one.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.boot.bundle_files import COMMAND_FILE, NO_FILES, contents, fingerprint_of, plug_in_files
from accel_scaling.catalog.files import BUNDLE_RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping

# Directly below the home folder: where a container mounts the bundle, its runtime makes missing parents, and they
# belong to root. In `~/.accel_scaling`, an image whose user is not root could then write nothing of its own.
REMOTE_FOLDER = "~/.accel_scaling_bundle"
FORMER_REMOTE_FOLDERS = ("~/.accel_scaling/bundle",)

_NAME, _MAKING, _DISCARDED = "bundle-", "making-", "discarded-"
_COMPILED = "compiled"
_LETTERS_OF_FINGERPRINT = 12
# Of every file: Python compares a .pyc with its source's, and rsync keeps it.
_MODIFIED_S = 1_577_836_800  # 2020-01-01


def build(cache: Path | None = None, catalog: Mapping[str, Path] = NO_FILES) -> Path:
    """Return the folder with this installation's bundle; build it where it does not exist yet, or is not whole.

    Args:
        cache: the folder of all bundles; ``~/.cache/accel_scaling`` by default.
        catalog: the user's own catalog files by their path below ``catalog/``; nodes read them too.
    """
    cache = cache or Path.home() / ".cache" / "accel_scaling"
    files = contents(Path(__file__).parent.parent, catalog, plug_in_files())
    target = cache / f"{_NAME}{fingerprint_of(files)}"
    if not is_whole(target, files):
        cache.mkdir(parents=True, exist_ok=True)
        # In the same folder: the rename is then one step, and a second `ray up` never sees half a bundle.
        fresh = Path(tempfile.mkdtemp(prefix=_MAKING, dir=cache))
        try:
            _write(content_of(target, fresh), files)
            _move_into_place(fresh, target, files)
        finally:
            # It is gone where all went well; a full disk must not be left fuller.
            shutil.rmtree(fresh, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.utime(target)  # when it was used last
    remove_old(cache, target)
    return target


def content_of(bundle: Path, folder: Path | None = None) -> Path:
    """Return the folder with a bundle's files: the one folder in it.

    Args:
        bundle: what `build` returned.
        folder: where the bundle is for now; by default there.
    """
    return (folder or bundle) / bundle.name.removeprefix(_NAME)


def is_whole(target: Path, files: Mapping[str, bytes]) -> bool:
    """Return whether a bundle in the cache has exactly these files, and what was compiled from them when it was built.

    A name says nothing: a disk may have been full, and anything may have removed or changed a file since.
    """
    folder = content_of(target)
    try:
        compiled = json.loads((folder / BUNDLE_RECORD).read_text(encoding="utf-8"))[_COMPILED]
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
        return (
            {entry.name for entry in target.iterdir()} == {folder.name}
            and there == {*files, *compiled, BUNDLE_RECORD}
            and all((folder / name).read_bytes() == content for name, content in files.items())
            and all(_digest(folder / name) == digest for name, digest in compiled.items())
        )
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ):  # what is there may be anything
        return False


def remove_old(cache: Path, current: Path) -> None:
    """Remove what nobody needs of a cache: half-made bundles after an hour, others a month after their last use."""
    now = time.time()
    for entry in _entries(cache):
        if entry == current:
            continue
        of_length = len(entry.name) - len(_NAME) == _LETTERS_OF_FINGERPRINT
        if entry.name.startswith(_NAME) and of_length:
            longest_s = timeouts.BUNDLE_UNUSED_S
        # Earlier versions gave a half-made bundle the beginning of a whole one's name, and eight letters.
        elif entry.name.startswith((_MAKING, _DISCARDED, _NAME)):
            longest_s = timeouts.BUNDLE_HALF_MADE_S
        else:
            continue  # it is not ours
        with contextlib.suppress(OSError):
            if now - entry.stat().st_mtime > longest_s:
                shutil.rmtree(entry, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        os.utime(folder / name, (_MODIFIED_S, _MODIFIED_S))
    (folder / COMMAND_FILE).chmod(0o755)
    # Compiled here: a .pyc written later on the head would change the mounts' hash, and v1 would sync all workers.
    # An error in a plug-in is reported where it is loaded. The paths in it: not those of a folder that will not stay.
    compileall.compile_dir(folder, quiet=2, stripdir=str(folder))
    compiled = {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*.pyc"))}
    (folder / BUNDLE_RECORD).write_text(json.dumps({_COMPILED: compiled}) + "\n", encoding="utf-8")


def _move_into_place(fresh: Path, target: Path, files: Mapping[str, bytes]) -> None:
    # mkdtemp makes a folder that only its owner can read (0700), and rsync copies the permissions to the nodes.
    fresh.chmod(0o755)
    if _renamed(fresh, target):
        return
    # Another `ray up` was faster, and its bundle has the same files; or what is there is not whole.
    if not is_whole(target, files):
        _discard(target)
        if not _renamed(fresh, target) and not is_whole(target, files):
            raise OSError(f"{target} cannot be replaced; remove it")


def _renamed(fresh: Path, target: Path) -> bool:
    try:
        fresh.rename(target)
    except OSError:
        return False
    return True


def _discard(target: Path) -> None:
    aside = target.with_name(f"{_DISCARDED}{os.getpid()}-{time.monotonic_ns()}")
    target.rename(aside)
    # A file of this name may be there instead of a folder.
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink()
