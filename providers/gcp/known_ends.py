"""The ends of machines that Google has set beforehand, of which it tells the machine nothing in time.

A machine of calendar mode ends with its reservation, a flex-start machine after `maxRunDuration`: its description says
when (`resourceStatus.scheduling.terminationTimestamp` in the document of Compute Engine).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.message_text import utc
from accel_scaling.providers.base.known_ends import KnownEnd
from accel_scaling.providers.gcp.capacity import is_block, reservation_in
from accel_scaling.providers.gcp.reservations import unix_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from accel_scaling.providers.gcp.reservations import Reservations


def ends_of(reservations: Reservations, machines: Iterable[Any]) -> Iterator[KnownEnd]:
    """Yield the ends of machines, as far as Google says when they are.

    Args:
        reservations: what Google says of them.
        machines: `compute.Machine`, as Google has listed them.
    """
    for machine in machines:
        if (found := _end_of(reservations, machine)) is not None:
            labels = machine.get_labels()
            node_type, is_head = _ray.node_type_of(labels), _ray.is_head(labels)
            yield KnownEnd(machine["name"], machine.get_internal_ip(), node_type, *found, is_head=is_head)


def _end_of(reservations: Reservations, machine: Any) -> tuple[float, str, str] | None:
    """Return when a machine ends, with a code and a sentence."""
    status = (machine.get("resourceStatus") or {}).get("scheduling") or {}
    if (ends_s := unix_s(status.get("terminationTimestamp"))) is not None:
        return ends_s, "run time ends", f"Google ends the machine at {utc(ends_s)}, as it was asked for"
    name = reservation_in(machine) if is_block(machine) else None
    if name is None:
        return None
    block = reservations.of(name, timeouts.GCP_END_LOOK_S) or reservations.last(name)
    if block is None or block.ends_s is None:
        return None
    return block.ends_s, "block ends", f"Google ends the machines of {block} at {utc(block.ends_s)}"
