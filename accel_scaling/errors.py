"""Errors with a text for the user: the mistake, its place, and what to do; and the sentence for a full disk."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from accel_scaling.message_text import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED_CODE = 130  # what a shell reports for Ctrl-C


class AccelScalingError(Exception):
    """A user's mistake or a fact of the world, in one sentence. Commands print it and exit with 2.

    Attributes:
        text: the sentence as it was written; ``str()`` of the error is what may be shown.
    """

    exit_code = 2

    @property
    def text(self) -> str:
        """The sentence as it was written."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        # What Ray, a log or a terminal prints: names in it may be of a file, or of another machine.
        return sentence(super().__str__())


class UnknownInstanceTypeError(AccelScalingError):
    """An instance type that no layer of the catalog has."""


class UnknownRegionError(AccelScalingError):
    """A region that no places file lists."""


class UnknownTpuError(AccelScalingError):
    """A TPU slice that Google does not have: an accelerator type or a topology."""


class UnknownAcceleratorError(AccelScalingError):
    """An accelerator name that the catalog does not have."""


class AttachError(AccelScalingError):
    """An accelerator and a machine type that the cloud does not put together: the text says what is possible."""


class CatalogFileError(AccelScalingError):
    """A catalog file with a wrong row: the text names the file and the line."""


class ClusterConfigError(AccelScalingError):
    """A cluster file that is not one, or that lacks something: the text names the key.

    Args:
        text: the sentence, which begins with the key.
        others: more keys that it is about, whose lines are told too.
    """

    def __init__(self, text: str, others: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.others = tuple(others)


class MachineInTemplateError(ClusterConfigError):
    """A node type whose machine is in a template of the account: only the cloud can say which it is."""


class InitError(AccelScalingError):
    """A cluster file that `accel-scaling init` is asked for and cannot write: the text names the option."""


class NotInstalledError(AccelScalingError):
    """Something that must be installed beside this package is not, or in another version: the text has the line."""


class RehearsalError(AccelScalingError):
    """The local cloud could not be started or used on this machine."""


class AskingError(AccelScalingError, ValueError):
    """A task or an actor asks for accelerators in a way that cannot be: a number, a type, or two that contradict.

    A ``ValueError`` too, as what Ray raises for a wrong option.
    """


class PlanError(AccelScalingError):
    """A demand, a label, a price file or an address that a plan can make nothing of."""


# Errors that the user can do something about; any other OSError is a mistake of ours, and its traceback is wanted.
_OF_THE_DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_NO_TEMPORARY = "No usable temporary directory"  # how Python's tempfile begins


def disk_sentence(error: OSError) -> str | None:
    """Return the sentence for a folder that cannot be written; None where the error is about something else."""
    problem = error.strerror or str(error)
    if error.errno not in _OF_THE_DISK and not problem.startswith(_NO_TEMPORARY):
        return None
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{problem}; free some space there, or set HOME and TMPDIR to folders that you may write to"
