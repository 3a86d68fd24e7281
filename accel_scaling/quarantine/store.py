"""The ledger's file on the head: read and changed under a lock, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import AccelScalingError
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.ledger_format import NewerVersionError, ledger_from, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE_FILE = ".accel_scaling/quarantine.json"  # under the home of the account that runs the head's autoscaler

logger = logging.getLogger(__name__)


class StateError(AccelScalingError):
    """The state file cannot be read or written: the text names it and says why."""


class BrokenStateError(StateError):
    """The state file is none of ours, or torn."""


def default_path() -> Path:
    """Return where the head of a cluster remembers."""
    return Path.home() / STATE_FILE


class Store:
    """The ledger in a file, shared by the autoscaler and ``accel-scaling status``."""

    def __init__(self, path: Path) -> None:
        """Nothing is written before the first change."""
        self._path = path

    def read(self) -> Ledger:
        """Return the ledger; an empty one where there is no file. The file stays as it is.

        Raises:
            BrokenStateError: it is none of ours.
            StateError: it cannot be read, or a newer version wrote it.
        """
        try:
            return ledger_from(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Ledger()
        except OSError as error:
            raise StateError(f"{self._path} cannot be read ({error.strerror})") from error
        except NewerVersionError as error:
            raise StateError(
                f"{self._path} is of a newer accel-scaling ({error}): use that version, or move the file away"
            ) from error
        except (ValueError, RecursionError) as error:
            raise BrokenStateError(
                f"{self._path} is no state file of accel-scaling ({error}); the autoscaler puts it aside at the next"
                " change and counts anew"
            ) from error

    def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Apply ``change`` to the ledger, write it, and return it. A broken file is put aside, not lost.

        Raises:
            StateError: the file cannot be read or written, or a newer version wrote it.
        """
        try:
            with self._locked():
                before = self._read_or_put_aside()
                after = change(before)
                if after != before:
                    new = self._path.with_name(self._path.name + ".new")
                    new.write_text(json.dumps(to_json(after), indent=1) + "\n", encoding="utf-8")
                    new.replace(self._path)
                return after
        except OSError as error:
            raise StateError(f"{self._path} cannot be written ({error.strerror})") from error

    def _read_or_put_aside(self) -> Ledger:
        try:
            return self.read()
        except BrokenStateError as error:
            aside = self._path.with_name(f"{self._path.name}.broken-{int(time.time())}")
            self._path.replace(aside)
            logger.error("%s: it is kept as %s", error, aside)  # noqa: TRY400 - a traceback says no more
            return Ledger()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Memory:
    """The ledger for a process that must go on whatever becomes of its disk: what cannot be written is remembered."""

    def __init__(self, store: Store) -> None:
        """Read and change ``store`` while that is possible."""
        self._store = store
        self._lock = threading.RLock()
        self._unwritten: Ledger | None = None
        self._told = ""

    def read(self) -> Ledger:
        """Return the ledger; what is only remembered here goes before the file."""
        if self._unwritten is not None:
            return self._unwritten
        try:
            return self._store.read()
        except StateError as error:
            self._tell(error)
            return Ledger()

    def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Apply ``change`` and return the ledger; once the disk takes it again, all of it is written."""
        with self._lock:
            unwritten = self._unwritten
            try:
                after = self._store.change(change if unwritten is None else lambda _: change(unwritten))
            except StateError as error:
                self._tell(error)
                after = self._unwritten = change(self.read())
            else:
                self._unwritten, self._told = None, ""
            return after

    def _tell(self, error: StateError) -> None:
        """Log it, once in a row: this is asked every few seconds."""
        if str(error) != self._told:
            self._told = str(error)
            logger.error("%s; this process remembers by itself", error)
