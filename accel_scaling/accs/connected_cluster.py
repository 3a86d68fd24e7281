"""The accelerators that the connected cluster has or can launch: they decide what `num_accs` means without a type.

Its nodes announce what it has. The provider on its head writes what it can launch into Ray's key-value store
(providers/base/cluster_config.py), which every driver and worker can read.
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
class ClusterFamilies:
    """The families of accelerators in a cluster.

    Attributes:
        resources: family -> its Ray resource.
        types: family -> the accelerator types of its nodes and node types.
    """

    resources: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def only_resource(self, num_accs: float) -> str:
        """Return the Ray resource of the only family.

        Args:
            num_accs: the number in the request, for the message.

        Raises:
            AskingError: the cluster has no family, or several; the text names them.
        """
        if not self.resources:
            raise AskingError(
                f"num_accs={num_accs:g}: this cluster has no accelerator, and none of its node types has one; add a "
                "node type with one, or name the accelerator_type to wait for"
            )
        if len(self.resources) > 1:
            names = ", ".join(
                f"{resource} ({', '.join(sorted(self.types[family]) or [family])})"
                for family, resource in sorted(self.resources.items())
            )
            raise AskingError(
                f"num_accs={num_accs:g} can mean several families of accelerators in this cluster: {names}; name an "
                "accelerator_type"
            )
        return next(iter(self.resources.values()))


def families_of(promises: Iterable[Mapping[str, float]], chips: Mapping[str, Chip]) -> ClusterFamilies:
    """Return the families of what nodes announce and node types promise.

    Args:
        promises: Ray resources, of a node or of a node type each.
        chips: the chips of this machine's catalog; they have the family of each type.
    """
    by_type = {name: chip for chip in chips.values() for name in (chip.variant, chip.detected_type) if name}
    accelerator_resources = {chip.resource for chip in chips.values()}
    resources: dict[str, str] = {}
    types: dict[str, set[str]] = {}
    for promise in promises:
        named = [
            name.removeprefix(ACCELERATOR_TYPE_PREFIX)
            for name, amount in promise.items()
            if name.startswith(ACCELERATOR_TYPE_PREFIX) and amount > 0
        ]
        for resource in (name for name, amount in promise.items() if name in accelerator_resources and amount > 0):
            of_it = [name for name in named if name in by_type and by_type[name].resource == resource]
            # A node may announce GPUs without a type: their family is not known, and the resource stands for it.
            for family in {by_type[name].family for name in of_it} or {resource}:
                resources[family] = resource
                types.setdefault(family, set()).update(of_it)
    return ClusterFamilies(resources, {family: frozenset(names) for family, names in types.items()})


def families_here(chips: Mapping[str, Chip]) -> ClusterFamilies:
    """Return the families of the connected cluster; arguments as ``families_of``."""
    return families_of([*_ray.nodes_resources(), *_node_types().get("node_types", {}).values()], chips)


def supports_preferences() -> bool:
    """Return whether this cluster's autoscaler launches by label selectors: v2 does, v1 ignores them."""
    # Without an entry another provider launched the cluster: v2 is assumed, Ray's default.
    return bool(_node_types().get("autoscaler") != V1)


def _node_types() -> dict[str, Any]:
    """Return the provider's entry; empty on a cluster that another provider, or no provider, launched."""
    written = _ray.kv_get(KEY)
    content: dict[str, Any] = json.loads(written) if written else {}
    return content
