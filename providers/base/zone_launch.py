"""A launch over zones: the quarantine is asked, zone after zone is tried, and each result is reported to it.

A cloud's own part is one function, which tries one zone. `over_zones` calls it zone after zone; `gated` stands round a
whole launch of workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accel_scaling.catalog.launch_errors import ELSEWHERE, FOR_GOOD, SOLD_OUT, Category
from accel_scaling.quarantine.record import EVERY_ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from accel_scaling.catalog.launch_errors import Failure
    from accel_scaling.quarantine.gate import Gate

    # Asks for so many machines in a zone; returns those that exist there now, and why they are fewer.
    TryZone = Callable[[str, int], tuple[list[str], Failure | None]]


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
    for zone in zones:
        launch.zones.append(zone)
        nodes, last = try_zone(zone, count - len(launch.nodes))
        if nodes:
            launch.made[zone] = nodes
        if last is None or len(launch.nodes) >= count:
            break
        launch.failures[zone] = last
        # A wrong request, or a missing permission, is refused in every zone alike.
        if last.category not in go_on_after:
            break
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
            # A quota of the region is used up in each of its zones: they are closed together.
            everywhere = failure.category is Category.QUOTA and workers.quota_is_regional
            gate.failed(
                node_type,
                EVERY_ZONE if everywhere else zone,
                failure.code,
                failure.message,
                sold_out=failure.category in SOLD_OUT,
                for_good=failure.category in FOR_GOOD,
            )
    return result
