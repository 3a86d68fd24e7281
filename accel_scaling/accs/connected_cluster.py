"""Which accelerators the connected cluster has or can launch: what `num_accs` means where no type is named.

What it has, its nodes say. What it can launch, the provider on its head writes into Ray's key-value store
(providers.node_types), which every driver and worker can read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.errors import AskingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.model import Chip

KEY = "accel_scaling:node_types"
V1 = "v1"


@dataclass(frozen=True)
class Families:
    """The families of accelerators in a cluster.

    Attributes:
        resources: family -> its Ray resource.
        types: family -> the accelerator types of its nodes and node types.
    """

    resources: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def the_one(self, num_accs: float) -> str:
        """Return the Ray resource of the only family.

        Args:
            num_accs: what was asked for, for the sentence.

        Raises:
            AskingError: there is none, or there are several; they are named.
        """
        if not self.resources:
            raise AskingError(
                f"num_accs={num_accs:g}: this cluster has no accelerator, and none of its node types has one; add a "
                "node type with one, or name the accelerator_type to wait for"
            )
        if len(self.resources) > 1:
            said = ", ".join(
                f"{resource} ({', '.join(sorted(self.types[family]) or [family])})"
                for family, resource in sorted(self.resources.items())
            )
            raise AskingError(
                f"num_accs={num_accs:g} may mean several families of accelerators in this cluster: {said}; name an "
                "accelerator_type"
            )
        return next(iter(self.resources.values()))


def families_of(promises: Iterable[Mapping[str, float]], chips: Mapping[str, Chip]) -> Families:
    """Return the families among what nodes announce and node types promise.

    Args:
        promises: Ray resources, of a node or of a node type each.
        chips: the chips that this machine knows; they say which family a type belongs to.
    """
    by_type = {name: chip for chip in chips.values() for name in (chip.variant, chip.detected_type) if name}
    known = {chip.resource for chip in chips.values()}
    resources: dict[str, str] = {}
    types: dict[str, set[str]] = {}
    for promise in promises:
        named = [
            name.removeprefix(ACCELERATOR_TYPE_PREFIX)
            for name, amount in promise.items()
            if name.startswith(ACCELERATOR_TYPE_PREFIX) and amount > 0
        ]
        for resource in (name for name, amount in promise.items() if name in known and amount > 0):
            of_it = [name for name in named if name in by_type and by_type[name].resource == resource]
            for family in {by_type[name].family for name in of_it} or {resource}:
                resources[family] = resource
                types.setdefault(family, set()).update(of_it)
    return Families(resources, {family: frozenset(names) for family, names in types.items()})


def families_here(chips: Mapping[str, Chip]) -> Families:
    """Return the families of the cluster that this process is connected to; arguments as ``families_of``."""
    return families_of([*_ray.nodes_resources(), *_node_types().get("node_types", {}).values()], chips)


def knows_preferences() -> bool:
    """Whether this cluster's autoscaler launches by label selectors: v2 does, and v1 passes over them."""
    return bool(_node_types().get("autoscaler") != V1)


def _node_types() -> dict[str, Any]:
    """Return what the provider wrote; empty on a cluster that another provider launched, or nobody."""
    written = _ray.kv_get(KEY)
    found: dict[str, Any] = json.loads(written) if written else {}
    return found
