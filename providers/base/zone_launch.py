"""A launch over zones: the quarantine is asked, zone after zone is tried, and each result is reported to it.

A cloud's own part is one function, which tries one zone. `over_zones` calls it zone after zone; `gated` stands round a
whole launch of workers. Where a node type has an order of capacity types, a "zone" here is a place: one of these types
in a zone (accel_scaling/quarantine/place.py), in the user's order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog.launch_errors import ELSEWHERE, FOR_GOOD, SOLD_OUT, Category, Failure
from accel_scaling.quarantine.place import EVERY_ZONE, capacity_in, everywhere

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from accel_scaling.quarantine.gate import Gate

    # Asks for so many machines in a zone; returns those that exist there now, and why they are fewer.
    TryZone = Callable[[str, int], tuple[list[str], Failure | None]]


# After these, the next capacity type of an order is tried. Not after a passing failure, which may have launched some:
# what nobody knows of is not bought a second time in another way.
_NEXT_TYPE_AFTER = SOLD_OUT | FOR_GOOD


@dataclass(frozen=True)
class NotYet(Failure):
    """No machines in a place now, and the cloud has said when: a block begins then, or a reservation is in use.

    Attributes:
        until_s: when to ask for machines there again, in Unix seconds.
    """

    until_s: float = 0.0


@dataclass(frozen=True)
class Launch:
    """The result of a launch.

    Attributes:
        made: the new nodes, by the zone that they are in.
        failure: why there are fewer than asked for; None where all are there.
        zones: the zones that were tried, in this order.
        failures: why a zone had too few, for those that had.
        started: stopped nodes that were started again, by their zones: that shows of no zone that it has capacity.
    """

    made: dict[str, list[str]]
    failure: Failure | None
    zones: list[str]
    failures: dict[str, Failure] = field(default_factory=dict)
    started: dict[str, list[str]] = field(default_factory=dict)

    @property
    def nodes(self) -> list[str]:
        """The nodes that exist now, in every zone: started again, and made."""
        return [node for placed in (self.started, self.made) for nodes in placed.values() for node in nodes]


@dataclass(frozen=True)
class Workers:
    """A request for workers.

    Attributes:
        node_type: their node type.
        count: how many.
        quota_is_regional: the cloud's quota for them is a region's; False for a zone's.
    """

    node_type: str
    count: int
    quota_is_regional: bool = True


def over_zones(
    zones: Iterable[str], count: int, try_zone: TryZone, go_on_after: Collection[Category] = ELSEWHERE
) -> Launch:
    """Launch up to ``count`` nodes, one zone after another; those that come are kept.

    Args:
        zones: in the order to try them.
        count: how many nodes.
        try_zone: asks one zone for nodes.
        go_on_after: the kinds of failure after which the next zone is tried; any other ends the launch.
    """
    launch = Launch({}, None, [])
    last: Failure | None = None
    refused = set[str]()  # capacity types that the cloud refuses, in every zone alike
    for zone in zones:
        if capacity_in(zone) in refused:
            continue
        launch.zones.append(zone)
        nodes, last = try_zone(zone, count - len(launch.nodes))
        if nodes:
            launch.made[zone] = nodes
        if last is None or len(launch.nodes) >= count:
            break
        launch.failures[zone] = last
        if last.category in go_on_after or isinstance(last, NotYet):
            continue
        # A wrong request, or a missing permission, is refused in every zone alike.
        if not capacity_in(zone) or last.category not in _NEXT_TYPE_AFTER:
            break
        refused.add(capacity_in(zone))
    return Launch(launch.made, None if len(launch.nodes) >= count else last, launch.zones, launch.failures)


def gated(gate: Gate, workers: Workers, zones: Sequence[str], launch: Callable[[list[str]], Launch]) -> Launch:
    """Launch workers in the zones where their node type is not in quarantine, and report the result.

    Args:
        gate: of the head's autoscaler.
        workers: what is asked for.
        zones: every zone of the cluster, in the order to try them.
        launch: launches in the zones that it is given.

    Raises:
        NodeLaunchException: the node type is in quarantine in every zone.
    """
    node_type = workers.node_type
    # Before the cloud is asked: this raises where every zone is in quarantine.
    allowed = gate.check(node_type, zones)
    # Until they are listed, these machines count as nodes of their type: a limit set meanwhile must not end them.
    with gate.launching(node_type, workers.count):
        try:
            result = launch(allowed)
        except Exception as error:
            # No answer of the cloud's, but of its SDK or of Ray: `accel-scaling status` lists it anyway.
            words = " ".join(str(error).split())
            gate.failed(node_type, EVERY_ZONE, type(error).__name__, words, sold_out=False)
            raise
        for zone, nodes in result.started.items():
            gate.launched(node_type, zone, nodes, started_again=True)
        for zone, nodes in result.made.items():
            gate.launched(node_type, zone, nodes)
        for zone, failure in result.failures.items():
            if isinstance(failure, NotYet):
                gate.not_yet(node_type, zone, failure.code, failure.message, failure.until_s)
                continue
            # A quota of the region is used up in each of its zones: they are closed together.
            of_region = failure.category is Category.QUOTA and workers.quota_is_regional
            gate.failed(
                node_type,
                everywhere(zone) if of_region else zone,
                failure.code,
                failure.message,
                sold_out=failure.category in SOLD_OUT,
                for_good=failure.category in FOR_GOOD,
            )
    return result
