"""The values of a plan: demands, placement groups, planned nodes and pending demands."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling._ray import Selector


@dataclass(frozen=True)
class Demand:
    """A number of equal tasks or actors, or of equal bundles of a placement group.

    Attributes:
        text: the form of the command line, without the count.
        count: the number of them.
        resources: Ray resources of each.
        selectors: label selectors, the preferred first; empty for none.
    """

    text: str
    count: int
    resources: Mapping[str, float]
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True)
class Gang:
    """A placement group: Ray places all of it or nothing.

    Attributes:
        strategy: ``PACK``, ``SPREAD``, ``STRICT_PACK`` or ``STRICT_SPREAD``.
        bundles: its bundles.
    """

    strategy: str
    bundles: tuple[Demand, ...]

    @property
    def text(self) -> str:
        """The group in readable form: its strategy and bundles."""
        return f"{self.strategy} {' '.join(counted(bundle.text, bundle.count) for bundle in self.bundles)}"


@dataclass(frozen=True)
class PlanRequest:
    """The demands of one plan."""

    demands: tuple[Demand, ...] = ()
    gangs: tuple[Gang, ...] = ()


class PendingCause(str, enum.Enum):
    """The cause of a pending demand, as a word that users can search for."""

    MAX_WORKERS = "MaxWorkers"
    MAX_WORKERS_OF_TYPE = "MaxWorkersOfType"
    QUARANTINED = "Quarantined"
    NEVER_LAUNCHED = "NeverLaunched"
    PROMISE_NOT_HELD = "PromiseNotHeld"
    NOT_PROMISED = "NotPromised"
    PART_OF_A_REPLICA = "PartOfAReplica"
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
        text: the demand in the form of the command line; or a placement group's strategy and bundles.
        count: the number that stays pending.
        resources: Ray resources of each; of a whole placement group in sum.
        strategy: of a placement group, else "".
        cause: the cause, as a word.
        reason: the cause, in one sentence.
    """

    text: str
    count: int
    resources: Mapping[str, float]
    strategy: str
    cause: PendingCause
    reason: str


@dataclass(frozen=True)
class PlannedNodes:
    """The nodes of one node type, launched or existing.

    Attributes:
        node_type: its name in the cluster file.
        instance_type: the cloud's name for the machine.
        count: how many nodes.
        launched: the plan launches them; else they exist, or are being launched.
        uses: the demands on them, with their number; empty where there are none.
        for_min_workers: the number of them that are launched for ``min_workers`` alone.
    """

    node_type: str
    instance_type: str
    count: int
    launched: bool
    uses: tuple[tuple[str, int], ...] = ()
    for_min_workers: int = 0


@dataclass(frozen=True)
class ExistingNodes:
    """The nodes of a running cluster that are alike.

    Attributes:
        node_type: as they announce it.
        zone: where they are; empty where they do not say.
        capacity_type: how they were bought; empty where nobody says.
        verdict: of their boot check; empty where they had none.
        count: how many.
        joined: they are Ray nodes; False for those on their way.
        instance_type: the cloud's name for the machine, as they announce it; empty where they do not.
    """

    node_type: str
    zone: str
    capacity_type: str
    verdict: str
    count: int
    joined: bool = True
    instance_type: str = ""


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        rows: the nodes, those to be launched first.
        pending: the demands that are not placed.
        limits: sentences about the limits that keep demands pending.
        notes: other sentences about the plan.
        existing: the nodes of the running cluster that was asked; None where none was.
    """

    rows: tuple[PlannedNodes, ...] = ()
    pending: tuple[Pending, ...] = ()
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    existing: tuple[ExistingNodes, ...] | None = None

    @property
    def launch(self) -> dict[str, int]:
        """The number of nodes to launch, by node type."""
        return {row.node_type: row.count for row in self.rows if row.launched}


def counted(text: str, count: int) -> str:
    """Return a demand in the form of the command line, with its count where that is not 1."""
    return f"{text}x{count}" if count != 1 else text


def uses_text(row: PlannedNodes) -> str:
    """Return the demands that a row's nodes serve."""
    texts = [counted(text, count) for text, count in row.uses]
    if row.for_min_workers:
        texts.append(f"min_workers ({row.for_min_workers} without work)")
    return ", ".join(texts) or ("nothing" if row.launched else "")
