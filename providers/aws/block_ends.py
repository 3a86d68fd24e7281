"""The end of a Capacity Block, of which EC2 tells its machines nothing: the head knows it, and drains them before.

EC2 announces it by an event of EventBridge, which a cluster does not receive. DescribeCapacityReservations has the
EndDate, and a block may be extended: it is asked again while machines run in it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, NodeEvent
from accel_scaling.cluster.policies import OnEvent
from accel_scaling.providers.aws.capacity import BLOCK
from accel_scaling.providers.aws.reservations import utc
from accel_scaling.providers.aws.subnet_zones import described_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from accel_scaling._ray import JoinedNode
    from accel_scaling.cluster.policies import WatcherPolicy
    from accel_scaling.providers.aws.reservations import Reservation, Reservations

logger = logging.getLogger(__name__)

CODE = "block ends"


class BlockEnds:
    """Finds the nodes whose blocks end soon, and has Ray drain them once.

    Args:
        reservations: what EC2 says of the blocks.
        clock: Unix seconds.
        policy: returns whether a node is drained, and for how long; a wrong one must not keep `ray down` from ending
            machines, so it is read in an autoscaler only.
    """

    def __init__(
        self, reservations: Reservations, clock: Callable[[], float], policy: Callable[[], WatcherPolicy]
    ) -> None:
        self._reservations, self._clock, self._policy = reservations, clock, policy
        self._drained: set[str] = set()

    def events(self, machines: Iterable[Any], joined: Callable[[], list[JoinedNode] | None]) -> dict[str, bytes]:
        """Return the events of nodes whose blocks end within the time of a drain, by their ids in Ray.

        Args:
            machines: instances of boto3, as EC2 has listed them.
            joined: returns who has joined Ray; asked where a block ends soon.
        """
        blocks = {machine: name for machine in machines if (name := _block_of(machine))}
        if not blocks:
            return {}
        ending = self._ending(blocks, self._policy())
        if not ending:
            return {}
        found = dict[str, bytes]()
        for node in joined() or ():
            machine = next((one for one in ending if _is(one, node)), None)
            if machine is None or not node.alive:
                continue
            event = _event(ending[machine], machine, node, acts=self._acts(machine))
            if event.acts:
                self._drain_once(node.node_id, event)
            found[node.node_id] = event.to_text().encode()
        return found

    def _ending(self, blocks: Mapping[Any, str], policy: WatcherPolicy) -> Mapping[Any, Reservation]:
        """Return the machines whose blocks end within the time of a drain."""
        ending = {}
        for machine, name in blocks.items():
            of_its_type = policy.of(_node_type(machine))
            if of_its_type.interruption is OnEvent.IGNORE:
                continue
            block = self._reservations.of(name, timeouts.AWS_BLOCK_LOOK_S) or self._reservations.last(name)
            if block is not None and block.ends_s is not None and self._clock() >= block.ends_s - of_its_type.drain_s:
                ending[machine] = block
        return ending

    def _acts(self, machine: Any) -> bool:
        return self._policy().of(_node_type(machine)).interruption is OnEvent.ACT

    def _drain_once(self, node_id: str, event: NodeEvent) -> None:
        if node_id in self._drained:
            return
        try:
            refused = _ray.drain_nodes([node_id], f"accel_scaling: {event.code}: {event.message}", event.deadline_s)
        except Exception as error:  # noqa: BLE001 - Ray's client raises what it likes; the next round asks again
            logger.warning("a node whose block ends is not drained yet: %s", error)
            return
        # Ray may refuse it: the machine is terminated at the deadline anyway.
        for why in refused:
            logger.warning("Ray does not drain the node: %s", why)
        self._drained.add(node_id)


def _block_of(machine: Any) -> str:
    described = described_in(machine)
    is_block = described.get("InstanceLifecycle") == BLOCK
    return str(described.get("CapacityReservationId") or "") if is_block else ""


def _node_type(machine: Any) -> str:
    return _ray.node_type_of({tag["Key"]: tag["Value"] for tag in described_in(machine).get("Tags") or ()})


def _event(block: Reservation, machine: Any, node: JoinedNode, *, acts: bool) -> NodeEvent:
    ends_s = block.ends_s or 0.0
    message = f"EC2 ends the machines of {block.name} from {utc(ends_s)} on"
    return NodeEvent(EventKind.INTERRUPTION, CODE, message, acts, ends_s, machine.id, node.address)


def _is(machine: Any, node: JoinedNode) -> bool:
    """Return whether a node of Ray runs on a machine; autoscaler v1 tells no node which machine it is."""
    if node.instance_id:
        return bool(node.instance_id == machine.id)
    return node.address == described_in(machine).get("PrivateIpAddress")
