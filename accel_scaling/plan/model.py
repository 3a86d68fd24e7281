"""What is asked of a plan, and what it answers. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling._ray import Selector


@dataclass(frozen=True)
class Demand:
    """So many times the same: a task or an actor, or a bundle of a placement group.

    Attributes:
        text: as it is written on the command line, without the count.
        count: how many.
        resources: Ray resources of each.
        selectors: label selectors, the best first; empty for none.
    """

    text: str
    count: int
    resources: Mapping[str, float]
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True)
class Gang:
    """A placement group: all of it or nothing.

    Attributes:
        strategy: ``PACK``, ``SPREAD``, ``STRICT_PACK`` or ``STRICT_SPREAD``.
        bundles: what it is made of.
    """

    strategy: str
    bundles: tuple[Demand, ...]

    @property
    def text(self) -> str:
        """The group as a reader knows it: its strategy and bundles."""
        return f"{self.strategy} {' '.join(counted(each.text, each.count) for each in self.bundles)}"


@dataclass(frozen=True)
class Asked:
    """All demands of one plan."""

    demands: tuple[Demand, ...] = ()
    gangs: tuple[Gang, ...] = ()


class Kind(str, enum.Enum):
    """Why a demand stays pending, as words to search for."""

    MAX_WORKERS = "MaxWorkers"
    MAX_WORKERS_OF_TYPE = "MaxWorkersOfType"
    NEVER_LAUNCHED = "NeverLaunched"
    NO_SUCH_LABEL = "NoSuchLabel"
    TOO_FEW_DEVICES = "TooFewDevices"
    OVER_SEVERAL_HOSTS = "OverSeveralHosts"
    TOO_SMALL = "TooSmall"
    OTHER_VARIANT = "OtherVariant"
    PART_OF_A_DEVICE = "PartOfADevice"
    NO_SUCH_ACCELERATOR = "NoSuchAccelerator"
    GROUP_TOO_BIG = "GroupTooBig"


@dataclass(frozen=True)
class Pending:
    """A demand, or a whole placement group, that is not placed.

    Attributes:
        text: the demand as it is written; the strategy and the bundles of a placement group.
        count: how many stay pending.
        resources: Ray resources of each; of a whole placement group in sum.
        strategy: of a placement group, else "".
        kind: why.
        reason: why, in one sentence.
    """

    text: str
    count: int
    resources: Mapping[str, float]
    strategy: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Row:
    """Nodes of one type.

    Attributes:
        node_type: its name in the cluster file.
        instance_type: the cloud's name for the machine.
        count: how many nodes.
        launched: they are to be launched; else they are there, or on their way.
        uses: what runs on them, with its number; empty where nothing does.
        for_min_workers: how many of them are launched for ``min_workers`` alone.
    """

    node_type: str
    instance_type: str
    count: int
    launched: bool
    uses: tuple[tuple[str, int], ...] = ()
    for_min_workers: int = 0


@dataclass(frozen=True)
class Answer:
    """A plan.

    Attributes:
        rows: the nodes, those to be launched first.
        pending: what is not placed.
        limits: sentences about the limits that bite.
        notes: sentences about what to know besides.
    """

    rows: tuple[Row, ...] = ()
    pending: tuple[Pending, ...] = ()
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def launch(self) -> dict[str, int]:
        """How many nodes of each type are to be launched."""
        return {row.node_type: row.count for row in self.rows if row.launched}


def counted(text: str, count: int) -> str:
    """Return a demand as it is written, with its count where that is not 1."""
    return f"{text}x{count}" if count != 1 else text
