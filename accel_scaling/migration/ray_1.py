"""What Ray 1 had in cluster files, and the form that Ray takes now: values, each change with its sentence."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling.cluster.cluster import node_config_reader
from accel_scaling.cluster.node_type_defaults import HEAD, TYPES, ray_defaults
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.clouds import Cloud

HEAD_NODE, WORKER_NODES = "head_node", "worker_nodes"
HEAD_NAME, WORKER_NAME = "head", "worker"

# Of Ray's StandardAutoscaler.reset, which reads both keys to this day, where there is no upscaling_speed.
AGGRESSIVE_SPEED = 99999.0
_LEAST_FRACTION = 0.001


class Change(NamedTuple):
    """One change of a file.

    Attributes:
        place: the key in the file that it is about; empty where the file has none.
        text: what was done.
    """

    place: str
    text: str


class Renewed(NamedTuple):
    """A config without keys of Ray 1.

    Attributes:
        config: a copy, whose node types are those of the file.
        changes: what was done.
        moved: the new node type of each key of Ray 1 that became one as it stands.
    """

    config: dict[str, Any]
    changes: list[Change]
    moved: dict[str, str]


def renewed(config: dict[str, Any], cloud: Cloud, catalog: Catalog) -> Renewed:
    """Return a config in the form that Ray takes now.

    Args:
        config: what a cluster file for Ray's own provider holds.
        cloud: its cloud.
        catalog: tells what is a node_config: what names a machine.

    Raises:
        ClusterConfigError: a key of Ray 1 holds something that was none of Ray 1 either.
    """
    new, changes = copy.deepcopy(config), list[Change]()
    moved = dict[str, str]()
    for key in (HEAD_NODE, WORKER_NODES):
        if key in new and not isinstance(new[key], (dict, list, type(None))):
            raise ClusterConfigError(f"{key} is {shown(new[key])}; it must hold the keys of a node_config")
    if new.get(HEAD_NODE) or new.get(WORKER_NODES):
        if not new.get(TYPES):
            new.pop(TYPES, None)
        if TYPES in new:
            _merge(new, changes)
        else:
            moved = _to_node_types(new, cloud, catalog, changes)
    for key in (HEAD_NODE, WORKER_NODES):
        new.pop(key, None)
        if key in config and not config[key]:
            changes.append(Change(key, f"{key} is of Ray 1 and empty: dropped"))
    _drop(new, changes)
    return Renewed(new, changes, moved)


def _to_node_types(new: dict[str, Any], cloud: Cloud, catalog: Catalog, changes: list[Change]) -> dict[str, str]:
    """Write head_node and worker_nodes as node types; return the name of each that became one as it stands."""
    least = new.pop("min_workers", None)
    defaults = ray_defaults(cloud)
    usual_head = defaults[HEAD]
    types, moved = {}, {}
    if isinstance(new.get(HEAD_NODE), list):
        raise ClusterConfigError(f"{HEAD_NODE} is a list; it must hold the keys of one node_config")
    if new.get(HEAD_NODE):
        types[HEAD_NAME], moved[HEAD_NODE] = _node_type(new[HEAD_NODE]), HEAD_NAME
        changes.append(Change(HEAD_NODE, f"{HEAD_NODE} became the node type {HEAD_NAME}"))
    else:
        types[HEAD_NAME] = copy.deepcopy(defaults[TYPES][usual_head])
        changes.append(Change("", f"there was no {HEAD_NODE}: wrote Ray's own of `type: {cloud.name}`"))
    workers = new.get(WORKER_NODES)
    several = _several(workers, cloud, catalog)
    if several:
        types |= several
        changes.append(Change(WORKER_NODES, f"{WORKER_NODES} became the node types {listed(list(several))}"))
    elif workers:
        types[WORKER_NAME], moved[WORKER_NODES] = _node_type(workers), WORKER_NAME
        changes.append(Change(WORKER_NODES, f"{WORKER_NODES} became the node type {WORKER_NAME}"))
    else:
        name = next(name for name in defaults[TYPES] if name != usual_head)
        types[WORKER_NAME] = copy.deepcopy(defaults[TYPES][name])
        changes.append(Change("", f"there were no {WORKER_NODES}: wrote Ray's own of `type: {cloud.name}`"))
    if isinstance(least, int) and least:
        first = next(name for name in types if name != HEAD_NAME)
        types[first] = {"min_workers": 0, **types[first]} | {"min_workers": least}
    if least is not None:
        what = "became that of the workers" if least else "is the default: dropped"
        changes.append(Change("min_workers", f"min_workers: {shown(least)} {what}"))
    new[TYPES], new[HEAD] = types, HEAD_NAME
    for key in (HEAD_NODE, WORKER_NODES):
        new.pop(key, None)
    return moved


def _node_type(node_config: dict[str, Any]) -> dict[str, Any]:
    """Return a node type with this node_config; Ray 1 took the node's resources from there too."""
    rest = {key: value for key, value in node_config.items() if key != "resources"}
    resources = node_config.get("resources")
    return {"node_config": rest, **({"resources": resources} if resources else {})}


def _several(workers: Any, cloud: Cloud, catalog: Catalog) -> dict[str, Any]:
    """Return the node types of worker_nodes that holds several, as a list or by name; none where it is one."""
    if isinstance(workers, list):
        named = {f"{WORKER_NAME}-{number}": one for number, one in enumerate(workers, 1)}
    elif isinstance(workers, dict) and all(isinstance(one, dict) for one in workers.values()):
        named = {str(name): one for name, one in workers.items()}
    else:
        return {}
    result = {}
    for name, one in named.items():
        if not isinstance(one, dict):
            raise ClusterConfigError(
                f"{WORKER_NODES} has {shown(one)}; each of them must hold the keys of a node_config"
            )
        whole = one if isinstance(one.get("node_config"), dict) else _node_type(one)
        if isinstance(workers, dict) and not _names_machine(whole["node_config"], cloud, catalog):
            return {}
        result[name] = copy.deepcopy(whole)
    return result


def _names_machine(node_config: dict[str, Any], cloud: Cloud, catalog: Catalog) -> bool:
    try:
        node_config_reader(cloud).machine("worker_nodes", node_config, catalog)
    except AccelScalingError:
        return False
    return True


def _merge(new: dict[str, Any], changes: list[Change]) -> None:
    """Put what head_node and worker_nodes hold under the node_configs that lack it, as Ray does when it launches."""
    types, head = new[TYPES], new.get(HEAD)
    for key in (HEAD_NODE, WORKER_NODES):
        base = new.get(key)
        if not base:
            continue
        if not isinstance(base, dict) or not isinstance(types, dict):
            raise ClusterConfigError(f"{key} must hold keys of a node_config; there are {TYPES} besides")
        got = []
        for name, node_type in types.items():
            if isinstance(node_type, dict) and (name == head) == (key == HEAD_NODE):
                own = node_type.get("node_config") or {}
                added = {one: copy.deepcopy(value) for one, value in base.items() if one not in own}
                if added:
                    node_type["node_config"] = {**own, **added}
                    got.append(f"{name} ({', '.join(added)})")
        whom = (
            f"went into the node_config of {listed(got)}" if got else "held nothing that a node_config lacks: dropped"
        )
        changes.append(Change(key, f"{key} is of Ray 1, and {whom}"))
        new.pop(key)


def _drop(new: dict[str, Any], changes: list[Change]) -> None:
    """Take away what Ray refuses or ignores; write upscaling_speed where one of them meant it."""
    if "worker_default_node_type" in new:
        name = new.pop("worker_default_node_type")
        text = (
            f"worker_default_node_type: {shown(name)} was dropped: Ray chooses among the node types by what a task asks"
        )
        changes.append(Change("worker_default_node_type", text))
    if "initial_workers" in new:
        count = new.pop("initial_workers")
        more = "; write min_workers under a node type for workers that are there from the start" if count else ""
        changes.append(Change("initial_workers", f"initial_workers: {shown(count)} was dropped{more}"))
    speed = None
    if "target_utilization_fraction" in new:
        fraction = new.pop("target_utilization_fraction")
        if isinstance(fraction, (int, float)) and 0 < fraction < 1:
            speed = 1 / max(fraction, _LEAST_FRACTION) - 1
        changes.append(_speed_change("target_utilization_fraction", fraction, speed, new))
    if "autoscaling_mode" in new:
        mode = new.pop("autoscaling_mode")
        aggressive = AGGRESSIVE_SPEED if mode == "aggressive" else None
        changes.append(_speed_change("autoscaling_mode", mode, aggressive, new))
        speed = aggressive or speed
    if speed is not None and "upscaling_speed" not in new:
        new["upscaling_speed"] = round(speed, 3)
    if "min_workers" in new:
        least = new.pop("min_workers")
        more = ": Ray reads it nowhere; write min_workers under a node type" if least else ""
        changes.append(Change("min_workers", f"min_workers: {shown(least)} of the whole file was dropped{more}"))


def _speed_change(key: str, value: Any, speed: float | None, new: dict[str, Any]) -> Change:
    became = f"became upscaling_speed: {round(speed, 3)}, as Ray reads it" if speed is not None else "was dropped"
    if "upscaling_speed" in new:
        became = "was dropped: the file has upscaling_speed"
    return Change(key, f"{key}: {shown(value)} {became}")
