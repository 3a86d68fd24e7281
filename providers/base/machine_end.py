"""Why a machine ended that nobody here has ended: the cloud's word for it, and who did it."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class EndedBy(Enum):
    """Who ended a machine."""

    CLOUD = "the cloud, or the machine itself"
    USER = "the user"
    INTERRUPTION = "an interruption of a spot machine"
    UNKNOWN = "unknown: the cloud has no record of it"


class MachineEnd(NamedTuple):
    """The end of a machine.

    Attributes:
        by: who ended it.
        code: the cloud's word: EC2's StateReason, Compute Engine's operation type.
        message: the cloud's sentence; empty where it has none.
        sold_out: the cloud had no capacity for it after all.
        tags: the machine's, where the cloud still has them.
    """

    by: EndedBy
    code: str
    message: str = ""
    sold_out: bool = False
    tags: Mapping[str, str] = MappingProxyType({})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message and self.message != self.code else self.code
