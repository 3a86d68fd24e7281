"""The sample tasks of a rehearsal: one for each accelerator type, then one for each node type that had no machine.

A task of the second kind asks for a resource that its node type alone has. For the first kind Ray chooses the node
type, and falls back to another one where the cloud has no machine.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import NodeType

MARK = "rehearsal-"
"""The resource of a node type is its name behind this."""

Demand = dict[str, Any]


def demands_of(config: dict[str, Any], catalog: Catalog) -> tuple[list[Demand], list[Demand]]:
    """Return one small task for each accelerator type of the file's workers, and one for each worker node type.

    The accelerator type is asked for by its most exact name.
    """
    workers = [one for one in read_config(config, catalog).node_types.values() if not one.is_head]
    of_node_types = [_demand(node_type) for node_type in workers]
    of_accelerators: dict[str, Demand] = {}
    for demand in of_node_types:
        if name := demand.get("accelerator_type"):
            of_accelerators.setdefault(name, demand)
    return list(of_accelerators.values()), [{**demand, "mark": MARK + demand["node_type"]} for demand in of_node_types]


def with_marks(config: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return the config with a resource for each node type that no accelerator type tells from the others."""
    workers = [one for one in read_config(config, catalog).node_types.values() if not one.is_head]
    known = Counter(_demand(node_type).get("accelerator_type") for node_type in workers)
    marked = copy.deepcopy(config)
    for node_type in workers:
        name = _demand(node_type).get("accelerator_type")
        if name is None or known[name] > 1:
            entry = marked["available_node_types"][node_type.name]
            entry["resources"] = {**(entry.get("resources") or {}), MARK + node_type.name: 1}
    return marked


def _demand(node_type: NodeType) -> Demand:
    chip = node_type.machine.machine.chip
    demand: Demand = {"node_type": node_type.name, "resource": "", "count": 1}
    if chip is None:
        return demand
    keys = [key for key in node_type.resources if key.startswith(ACCELERATOR_TYPE_PREFIX)]
    types = [key.removeprefix(ACCELERATOR_TYPE_PREFIX) for key in keys] or accelerator_types(chip)
    return {**demand, "resource": chip.resource, "accelerator_type": types[-1]}


def name_of(demand: Demand) -> str:
    """Return the demand in the words of the timeline."""
    wanted = f"accelerator_type={shown(demand['accelerator_type'])}" if demand.get("accelerator_type") else ""
    if not demand.get("mark"):
        return wanted
    of_node_type = f"node type {demand['node_type']}"
    return f"{of_node_type}, {wanted}" if wanted else of_node_type
