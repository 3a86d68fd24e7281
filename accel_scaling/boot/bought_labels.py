"""The labels that say which machine came, and how it was bought: whoever starts the node knows it from its tags.

The promise of a node type with several capacity types, or with a list of machine types, has none of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.cluster.capacity import CapacityType, capacity_labels
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUGHT = "ACCEL_SCALING_BOUGHT"
"""The word of the capacity type of this node's machine; unset where its node_config alone says how it was bought."""

MACHINE = "ACCEL_SCALING_MACHINE"
"""The machine type of this node's machine, where its node type has a list of them; unset elsewhere."""

# What clouds name machine types by; tags may be anybody's, and nothing else of them reaches a shell.
_MACHINE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


def with_bought(command: str, word: str, machine: str = "") -> str:
    """Return a start command that tells its node which machine came and how it was bought.

    Args:
        command: which starts Ray.
        word: of the capacity type; one that is not known is left out.
        machine: the machine type; one that is no name is left out.
    """
    if _MACHINE.fullmatch(machine):
        command = f"export {MACHINE}={machine}; {command}"
    return f"export {BOUGHT}={word}; {command}" if word in {value.value for value in CapacityType} else command


def bought_labels(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of this node's capacity type and machine type that nobody has given.

    Args:
        environment: this process's.
        given: the labels that `ray start` has; each of them stays.
    """
    word, machine = environment.get(BOUGHT, ""), environment.get(MACHINE, "")
    labels = {LABEL_INSTANCE_TYPE: machine} if machine else {}
    if word in {value.value for value in CapacityType}:
        labels |= capacity_labels(CapacityType(word), ordered=True)
    return {key: value for key, value in labels.items() if key not in given}
