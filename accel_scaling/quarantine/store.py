"""The ledger's file on the head: its format, read and changed under a lock, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import AccelScalingError
from accel_scaling.inputs.file_text import MissingFileError, NotUtf8Error, UnreadableError, read_text
from accel_scaling.inputs.json_text import loads
from accel_scaling.message_text import shown
from accel_scaling.quarantine import drain_record, launch_failure, machine_json
from accel_scaling.quarantine.file_identity import FileIdentity, identity_of
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.record import Boot, Cause, Quarantine, Record
from accel_scaling.quarantine.values import checked, strings, texts, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE_FILE = ".accel_scaling/quarantine.json"  # under the home of the account that runs the head's autoscaler
VERSION = 1

logger = logging.getLogger(__name__)


class StateError(AccelScalingError):
    """The state file cannot be read or written: the text names it and says why."""


class BrokenStateError(StateError):
    """The state file is not one of accel-scaling, or is damaged."""


class NewerVersionError(ValueError):
    """The state file is of a newer version of this package."""


def default_path() -> Path:
    """Return the path of the state file on a cluster's head."""
    return Path.home() / STATE_FILE


class Store:
    """The ledger in a file, shared by the autoscaler and ``accel-scaling status``."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; nothing is written before the first change."""
        self._path = path
        # A ledger, and the file that it is in. An autoscaler asks for it several times for each machine: to parse
        # the file of 1,000 machines takes 20 ms, a look at it 2 us.
        self._last: tuple[FileIdentity, Ledger] | None = None

    @property
    def exists(self) -> bool:
        """True where there is a file; its first change writes one."""
        return self._identity() is not None

    def read(self) -> Ledger:
        """Return the ledger; an empty one where there is no file. The file stays as it is.

        Raises:
            BrokenStateError: it is not a state file of accel-scaling.
            StateError: it cannot be read, or a newer version wrote it.
        """
        # Before it is read: where another process replaces it meanwhile, the next look sees that.
        identity = self._identity()
        last = self._last
        if last is not None and last[0] == identity:
            return last[1]
        try:
            ledger = ledger_from(loads(read_text(self._path)))
            self._last = identity and (identity, ledger)
            return ledger
        except MissingFileError:
            return Ledger()
        except NotUtf8Error as error:
            raise self._broken(error) from error
        except UnreadableError as error:
            raise StateError(f"{self._path} cannot be read ({error})") from error
        except NewerVersionError as error:
            raise StateError(
                f"{self._path} was written by a newer accel-scaling ({error}): use that version, or move the file away"
            ) from error
        except ValueError as error:
            raise self._broken(error) from error

    def _identity(self) -> FileIdentity | None:
        try:
            return identity_of(self._path.stat())
        except (OSError, ValueError):  # reading it says what is wrong
            return None

    def _broken(self, error: Exception) -> BrokenStateError:
        return BrokenStateError(
            f"{self._path} is not a state file of accel-scaling ({error}); at its next change the autoscaler"
            " renames it and starts with an empty one"
        )

    def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Apply ``change`` to the ledger, write it, and return it. A broken file is renamed, not lost.

        Raises:
            StateError: the file cannot be read or written, or a newer version wrote it.
        """
        try:
            with self._locked():
                before = self._read_or_rename()
                after = change(before)
                # Most launches and verdicts tell nothing new, and need no write.
                if after != before:
                    new = self._path.with_name(self._path.name + ".new")
                    new.write_text(json.dumps(to_json(after), indent=1) + "\n", encoding="utf-8")
                    written = identity_of(new.stat())
                    # One step of the file system: a reader takes no lock, and finds the old ledger or the new one.
                    new.replace(self._path)
                    self._last = (written, after)
                return after
        except OSError as error:
            raise StateError(f"{self._path} cannot be written ({error.strerror})") from error

    def _read_or_rename(self) -> Ledger:
        try:
            return self.read()
        except BrokenStateError as error:
            renamed = self._path.with_name(f"{self._path.name}.broken-{int(time.time())}")
            self._path.replace(renamed)
            logger.error("%s: it is kept as %s", error, renamed)  # noqa: TRY400 - a traceback says no more
            return Ledger()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own: the state file is replaced at each write, and a lock on the old one would lock nothing.
        descriptor = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # Closing the descriptor ends the lock; so does the end of the process, however it ends.
            os.close(descriptor)


class FallbackStore:
    """The ledger for a process that continues when its disk fails: what cannot be written is kept in memory."""

    def __init__(self, store: Store) -> None:
        """Read and change ``store`` while that is possible."""
        self._store = store
        self._lock = threading.RLock()
        self._unwritten: Ledger | None = None
        self._last_error = ""

    def read(self) -> Ledger:
        """Return the ledger: the one in memory, where it could not be written, or else the file's."""
        if self._unwritten is not None:
            return self._unwritten
        try:
            return self._store.read()
        except StateError as error:
            self._log(error)
            # An empty one opens all node types: a file that cannot be read must stop no launch.
            return Ledger()

    def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Apply ``change`` and return the ledger; once the disk accepts it again, all of it is written."""
        with self._lock:
            unwritten = self._unwritten
            try:
                # What is in memory was made from the file's content, and stands for it.
                after = self._store.change(change if unwritten is None else lambda _: change(unwritten))
            except StateError as error:
                self._log(error)
                after = self._unwritten = change(self.read())
            else:
                self._unwritten, self._last_error = None, ""
            return after

    def _log(self, error: StateError) -> None:
        """Log an error, once in a row: the autoscaler comes here every few seconds."""
        if str(error) != self._last_error:
            self._last_error = str(error)
            logger.error("%s; this process keeps the quarantines in memory", error)


def to_json(ledger: Ledger) -> dict[str, Any]:
    """Return the content of the state file."""
    return {
        "version": VERSION,
        "kept": dict(ledger.kept),
        "types": {
            name: {
                "zones": list(record.zones),
                "boots": [asdict(boot) for boot in record.boots],
                "quarantines": [_quarantine_to_json(quarantine) for quarantine in record.quarantines],
                "launch_errors": list(record.launch_errors),
            }
            for name, record in ledger.types.items()
        },
        "judged": dict(ledger.judged),
        "machines": {name: machine_json.to_json(machine) for name, machine in ledger.machines.items()},
        "failures": [launch_failure.to_json(failure) for failure in ledger.failures],
        "drains": {name: drain_record.to_json(drain) for name, drain in ledger.drains.items()},
    }


def _quarantine_to_json(quarantine: Quarantine) -> dict[str, Any]:
    content = asdict(quarantine)
    # Files that heads already have, and `status --json`, call the cause `kind`.
    del content["cause"]
    return {**content, "kind": quarantine.cause.value}


def ledger_from(content: Any) -> Ledger:
    """Return the ledger of a state file's content. Each value is checked, as people edit the file by hand.

    Raises:
        NewerVersionError: a newer version wrote it.
        ValueError: it is not a state file; the text names the place.
    """
    version = checked(content, dict, "the file").get("version")
    if isinstance(version, int) and version > VERSION:
        raise NewerVersionError(f"version {version}")
    if version != VERSION:
        raise ValueError(f"version {shown(version)}")
    types = checked(content.get("types"), dict, "types")
    # Files of earlier versions have neither verdicts by machine, nor machines, nor failed launches, nor drains.
    machines = checked(content.get("machines", {}), dict, "machines")
    failures = checked(content.get("failures", []), list, "failures")
    drains = checked(content.get("drains", {}), dict, "drains")
    return Ledger(
        {name: _record(record, name) for name, record in types.items()},
        texts(content.get("kept"), "kept"),
        texts(content.get("judged", {}), "judged"),
        {name: machine_json.machine_from(machine, f"machines.{name}") for name, machine in machines.items()},
        tuple(launch_failure.failure_from(failure, "failures") for failure in failures),
        {name: drain_record.drain_from(drain, f"drains.{name}") for name, drain in drains.items()},
    )


def _record(content: Any, name: str) -> Record:
    checked(content, dict, name)
    zones, boots, quarantines = (
        checked(content.get(key), list, f"{name}.{key}") for key in ("zones", "boots", "quarantines")
    )
    errors = checked(content.get("launch_errors", []), list, f"{name}.launch_errors")
    return Record(
        tuple(checked(zone, str, f"{name}.zones") for zone in zones),
        tuple(Boot(**strings(boot, ("zone", "verdict"), f"{name}.boots")) for boot in boots),
        tuple(_quarantine(quarantine, f"{name}.quarantines") for quarantine in quarantines),
        tuple(checked(zone, str, f"{name}.launch_errors") for zone in errors),
    )


def _quarantine(content: Any, path: str) -> Quarantine:
    words = strings(content, ("zone", "kind", "reason", "message"), path)
    times = content.get("times")
    # Not isinstance, by which a bool is an int too.
    if type(times) is not int or times < 1:
        raise ValueError(f"{path}.times is {shown(times)}")
    return Quarantine(
        words["zone"],
        Cause(words["kind"]),
        words["reason"],
        words["message"],
        time_of(content.get("since_s"), f"{path}.since_s"),
        time_of(content.get("until_s"), f"{path}.until_s"),
        times,
    )
