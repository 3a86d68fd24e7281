"""What is promised of a plug-in family that could not be loaded: nobody can ask its driver, so the node stays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.families.plugins import REPAIR, loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

ADVICE = f"{REPAIR} where `ray up` runs, from where it travels to the nodes"


def left_out(promised: Mapping[str, float]) -> list[str]:
    """Return a sentence for each promised resource whose plug-in was left out.

    Args:
        promised: the Ray resources that the node is to announce.
    """
    return [
        f"promised {promised[resource]:g} {resource}; {broken.entry} is left out ({broken.reason}), so that "
        f"nothing here can ask the driver"
        for resource, broken in loaded().broken.items()
        if promised.get(resource, 0) > 0
    ]
