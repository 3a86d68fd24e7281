"""The ends of machines of Capacity Blocks, of which EC2 tells the machines nothing.

EC2 announces it by an event of EventBridge, which a cluster does not receive. DescribeCapacityReservations has the
EndDate, and a block may be extended: it is asked again while machines run in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling import _ray, timeouts
from accel_scaling.message_text import utc
from accel_scaling.providers.aws.capacity import BLOCK
from accel_scaling.providers.aws.subnet_zones import described_in
from accel_scaling.providers.base.known_ends import KnownEnd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from accel_scaling.providers.aws.reservations import Reservations


def ends_of(reservations: Reservations, machines: Iterable[Any]) -> Iterator[KnownEnd]:
    """Yield the ends of machines that run in blocks, as far as EC2 says when these end.

    Args:
        reservations: what EC2 says of the blocks.
        machines: instances of boto3, as EC2 has listed them.
    """
    for machine in machines:
        described = described_in(machine)
        name = described.get("CapacityReservationId") if described.get("InstanceLifecycle") == BLOCK else None
        block = name and (reservations.of(name, timeouts.AWS_BLOCK_LOOK_S) or reservations.last(name))
        if not block or block.ends_s is None:
            continue
        message = f"EC2 ends the machines of {block.title} from {utc(block.ends_s)} on"
        yield end_of(machine, block.ends_s, "block ends", message)


def end_of(machine: Any, at_s: float, code: str, message: str) -> KnownEnd:
    """Return the end of a machine.

    Args:
        machine: an instance of boto3, as EC2 has listed it.
        at_s: when EC2 ends it, in Unix seconds.
        code: one word or two for the log.
        message: one sentence.
    """
    described = described_in(machine)
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags") or ()}
    address, node_type = described.get("PrivateIpAddress"), _ray.node_type_of(tags)
    return KnownEnd(machine.id, address, node_type, at_s, code, message, is_head=_ray.is_head(tags))
