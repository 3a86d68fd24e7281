"""The ledger's file on the head: read and changed under a lock, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.quarantine.ledger import Ledger, ledger_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE_FILE = ".accel_scaling/quarantine.json"  # under the home of the account that runs the head's autoscaler

logger = logging.getLogger(__name__)


def default_path() -> Path:
    """Return where the head of a cluster remembers."""
    return Path.home() / STATE_FILE


class Store:
    """The ledger in a file, shared by the autoscaler and ``accel-scaling status``."""

    def __init__(self, path: Path) -> None:
        """Nothing is written before the first change."""
        self._path = path

    def read(self) -> Ledger:
        """Return the ledger; an empty one where there is no file. A file that cannot be read is put aside."""
        try:
            return ledger_from(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Ledger()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            aside = self._path.with_name(f"{self._path.name}.broken-{int(time.time())}")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            words = f"{self._path} could not be read ({error}); it is kept as {aside}, and counting begins anew"
            logger.error(words)  # noqa: TRY400 - a traceback says no more
            return Ledger()

    def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Apply ``change`` to the ledger, write it, and return it."""
        with self._locked():
            before = self.read()
            after = change(before)
            if after != before:
                new = self._path.with_name(self._path.name + ".new")
                new.write_text(json.dumps(after.to_json(), indent=1) + "\n", encoding="utf-8")
                new.replace(self._path)
            return after

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
