"""The faults of a rehearsal: of its command line, and of a file that may change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.inputs.file_text import STANDARD_INPUT, UnreadableError, read_text
from accel_scaling.testing.faults import Faults, all_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.testing.file_machines import Machines


class FaultSource:
    """The faults of a rehearsal: those of the command line, and those of a file as it is now.

    Args:
        options: the faults of the command line.
        file: has one on each line; `-` for standard input.
        machines: those that faults must be for; None lets every fault through.

    Raises:
        RehearsalError: as ``Fault.parse`` and ``Machines.check``, or the file cannot be read; before anything starts.
    """

    def __init__(self, options: Sequence[str] = (), file: Path | None = None, machines: Machines | None = None) -> None:
        self._options = list(options)
        self._file = file
        self._machines = machines
        if file == STANDARD_INPUT:  # it is read once, and has its end
            self._options += self._lines()
            self._file = None
        self.now: Faults = ()
        self.changed()

    def changed(self) -> bool:
        """Read the file again; say whether the faults are others now.

        Raises:
            RehearsalError: as ``Fault.parse``, or the file cannot be read.
        """
        before, now = self.now, all_of([*self._options, *self._lines()])
        for fault in now if self._machines else ():
            self._machines.check(fault)  # type: ignore[union-attr]
        self.now = now
        return self.now != before

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        try:
            lines = read_text(self._file).splitlines()
        except UnreadableError as error:
            raise RehearsalError(f"--faults {self._file} cannot be read: {error}") from None
        return [text for line in lines if (text := line.partition("#")[0].strip())]
