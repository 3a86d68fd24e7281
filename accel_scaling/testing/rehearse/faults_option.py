"""`--fault WORD:TYPE[=VALUE]` on the command line, or a file of such lines that may change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.faults import Faults, HardwareFault, fewer, no_devices, no_driver, other

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = ("no-capacity", "capacity", "fewer", "other", "no-driver", "no-devices")


class FaultSource:
    """The faults of a rehearsal: those of the command line, and those of a file as it is now."""

    def __init__(self, options: Sequence[str] = (), file: Path | None = None) -> None:
        """Read both once, so that a mistake is said before anything starts.

        Raises:
            RehearsalError: as parse_faults(), or the file cannot be read.
        """
        self._options = list(options)
        self._file = file
        self.now = Faults()
        self.changed()

    def changed(self) -> bool:
        """Read the file again; say whether the faults are others now.

        Raises:
            RehearsalError: as parse_faults(), or the file cannot be read.
        """
        before = self.now
        self.now = parse_faults([*self._options, *self._lines()])
        return self.now != before

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise RehearsalError(f"--faults {self._file} cannot be read: {error.strerror}") from None
        return [text for line in lines if (text := line.partition("#")[0].strip())]


def parse_faults(options: Sequence[str]) -> Faults:
    """Return the faults that these options switch on.

    Raises:
        RehearsalError: an option that is not one of WORDS with an instance type, and a value where it needs one.
    """
    no_capacity: set[str] = set()
    capacity: dict[str, int] = {}
    hardware: dict[str, HardwareFault] = {}
    for option in options:
        word, _, rest = option.partition(":")
        machine, _, value = rest.partition("=")
        if word not in WORDS or not machine:
            raise RehearsalError(f"--fault {option}: expected WORD:TYPE, where WORD is one of {', '.join(WORDS)}")
        if word == "no-capacity":
            no_capacity.add(machine)
        elif word == "capacity":
            capacity[machine] = _number(option, value)
        else:
            hardware[machine] = _hardware(option, word, value)
    return Faults(frozenset(no_capacity), capacity, hardware)


def _hardware(option: str, word: str, value: str) -> HardwareFault:
    if word == "fewer":
        return fewer(_number(option, value))
    if word == "other":
        if not value:
            raise RehearsalError(f"--fault {option}: say what the driver names, e.g. {option}='NVIDIA L4'")
        return other(value)
    return no_driver() if word == "no-driver" else no_devices()


def _number(option: str, value: str) -> int:
    if not value.isdigit():
        raise RehearsalError(f"--fault {option}: expected a whole number after `=`")
    return int(value)
