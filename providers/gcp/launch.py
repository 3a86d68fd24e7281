"""What a launch came to, and how both autoscalers and the person at the keyboard are told that it fell short."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import SOLD_OUT, Category
from accel_scaling.quarantine.ledger import EVERY_ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel_scaling.catalog.launch_errors import Failure
    from accel_scaling.quarantine.gate import Gate


@dataclass(frozen=True)
class Launch:
    """What a launch came to.

    Attributes:
        made: the nodes that exist now.
        failure: why there are fewer than asked for; None where all are there.
        zones: the zones that were tried, in this order.
        failures: of the zones among them that had too few, why.
    """

    made: list[str]
    failure: Failure | None
    zones: list[str]
    failures: dict[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """How many nodes of a type, and whether they are TPU slices."""

    node_type: str
    count: int
    slices: bool


def guarded(guard: Gate, asked: Asked, zones: Sequence[str], create: Callable[[list[str]], Launch]) -> Launch:
    """Launch where the guard lets it, and tell the guard what came of it.

    Raises:
        NodeLaunchException: the node type is left alone in every zone.
    """
    node_type = asked.node_type
    allowed = guard.check(node_type, zones)
    with guard.launching(node_type, asked.count):
        launch = create(allowed)
        guard.launched(node_type, launch.zones[-1] if launch.zones else allowed[0], launch.made)
        for zone, failure in launch.failures.items():
            # Compute Engine's quota is a region's, Cloud TPU's a zone's.
            where = EVERY_ZONE if failure.category is Category.QUOTA and not asked.slices else zone
            guard.failed(node_type, where, failure.code, failure.message, sold_out=failure.category in SOLD_OUT)
    return launch


def raise_if_short(launch: Launch, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
    """Say that a launch fell short; the nodes that came are kept, and found by the next listing.

    Raises:
        NodeLaunchException: with the kind of failure (launch_errors.Category) and Google's reason.
        click.ClickException: the same, for the head node, which `ray up` launches.
    """
    failure = launch.failure
    if failure is None:
        return
    what, zones = _what(node_config), ", ".join(launch.zones)
    if _ray.is_head(tags):
        raise click.ClickException(
            f"the head node ({what}) could not be launched in {zones}: {failure.category.value}: Google says: {failure}"
        )
    came = f"{len(launch.made)} of {count} x {what} created and kept; for the rest " if launch.made else f"{what}: "
    raise _ray.node_launch_exception()(failure.category.value, f"{came}Google says: {failure} (tried in {zones})", None)


def _what(node_config: dict[str, Any]) -> str:
    """Return the name of what was to be launched, with the GPUs that are attached to it."""
    shape = node_config.get("acceleratorConfig") or {}
    name = (
        node_config.get("machineType")
        or node_config.get("acceleratorType")
        or (f"{shape.get('type')} {shape.get('topology')}" if shape else None)
        or node_config.get("sourceInstanceTemplate")
        or "?"
    )
    attached = [
        f"{one.get('acceleratorCount', 1)} {str(one.get('acceleratorType')).rsplit('/', 1)[-1]}"
        for one in node_config.get("guestAccelerators") or []
    ]
    return " + ".join([str(name).rsplit("/", 1)[-1], *attached])
