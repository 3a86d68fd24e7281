"""The labels that say how a node's machine was bought: whoever starts the node knows it from the machine's tags.

The promise of a node type with several capacity types has none of them: only the machine that came knows its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.cluster.capacity import CapacityType, capacity_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUGHT = "ACCEL_SCALING_BOUGHT"
"""The word of the capacity type of this node's machine; unset where its node_config alone says how it was bought."""


def with_bought(command: str, word: str) -> str:
    """Return a start command that tells its node how its machine was bought; without a known word, as it is."""
    return f"export {BOUGHT}={word}; {command}" if word in {value.value for value in CapacityType} else command


def bought_labels(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of this node's capacity type that nobody has given.

    Args:
        environment: this process's.
        given: the labels that `ray start` has; each of them stays.
    """
    word = environment.get(BOUGHT, "")
    if word not in {value.value for value in CapacityType}:
        return {}
    labels = capacity_labels(CapacityType(word), ordered=True)
    return {key: value for key, value in labels.items() if key not in given}
