"""Lists of machine types: with `InstanceType: [p5e.48xlarge, p5en.48xlarge]`, the second where the first is sold out.

A node type is one promise, by which Ray schedules before a machine exists. So the machines of a list hold the same
promise; they may differ in what is no part of it, as their network interfaces. What `ray up` prepares, it prepares for
each of them: `separated` makes each other machine a node type of its own meanwhile, and `joined` puts them together
again. No network.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.cluster.networks import NETWORK, PLACEMENT
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.cluster.cluster import Cluster, NodeType
    from accel_scaling.errors import AccelScalingError

    Config = dict[str, Any]

MACHINES = "accel_scaling_machines"
"""The key of a provider section with the other machines of each node type: what their node_configs have of their own.

While they are separate, the name of each one's node type."""

TAG = "accel-scaling-machine"
"""The tag, or label, of a machine of a list: its machine type, by the name that the list has for it."""

_BY_NODE_TYPE = (CAPACITY, NETWORK, PLACEMENT)  # sections of `provider` that a launch is prepared by
_MIB_PER_GIB = 1024
_TWO = "write a node type for each, and `priority` (since Ray 2.56) in the first to be launched"


def each_of(at: str, node_config: Config, key: str) -> list[Config]:
    """Return a node_config for each machine type that it names, in its order; itself where it names one as text.

    Args:
        at: its place in the cluster file.
        node_config: a node type's.
        key: of the machine type; empty where the cloud has no lists.

    Raises:
        ClusterConfigError: something in the list is no machine type's name, or nothing is in it.
    """
    given = node_config.get(key) if key else None
    if not isinstance(given, list):
        return [node_config]
    names = [name.strip() for name in given if isinstance(name, str) and name.strip()]
    if not names or len(names) < len(given):
        raise ClusterConfigError(f"{at}.{key} is {shown(given)}; expected machine types, each of them as text")
    if path := next((name for name in names if "/" in name), ""):
        # A path has a zone in it, and the list is for all of them.
        raise ClusterConfigError(f"{at}.{key} has {shown(path)}: write the names alone in a list of machine types")
    return [{**node_config, key: name} for name in dict.fromkeys(names)]


def check_alike(at: str, machines: Sequence[MachineType]) -> None:
    """Refuse a list of machine types whose promises differ.

    Args:
        at: the place of the list in the cluster file.
        machines: with the accelerators that the node_config attaches.

    Raises:
        ClusterConfigError: it says what they differ in.
    """
    differences = _differences({machine.name: machine for machine in machines})
    if differences:
        raise ClusterConfigError(
            f"{at} is a list of machine types; a node type makes one promise, and these differ: {differences}; {_TWO}"
        )


def check_one_slice(key: str, given: Any, machine_of: Callable[[str], MachineType]) -> None:
    """Refuse a list of TPU slices; anything else that is no text is refused by the cloud's own reader.

    Args:
        key: its place in the cluster file.
        given: what it holds.
        machine_of: what all hosts of a slice have, by its name.

    Raises:
        ClusterConfigError: it is such a list; it names what its slices differ in.
        AccelScalingError: the catalog does not have one of them.
    """
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        return
    names = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    if len(names) < 2:
        return
    why = _differences({name: machine_of(name) for name in names}) or "their topologies"
    raise ClusterConfigError(
        f"{key} is a list of slices; a node type makes one promise, and these differ: {why}; {_TWO}"
    )


def separated(config: Config, key: str) -> Config:
    """Return a config in which each other machine type of a list is a node type of its own; as it is without lists.

    Args:
        config: a cluster config; its lists hold like machines.
        key: of the machine type in a node_config.

    Raises:
        ClusterConfigError: a list is none of machine types, or the file has a node type of such a name.
    """
    types: dict[str, Config] = config["available_node_types"]
    if not any(isinstance((node_type.get("node_config") or {}).get(key), list) for node_type in types.values()):
        return config
    made = {**config, "provider": dict(config["provider"]), "available_node_types": dict(types)}
    others: dict[str, dict[str, str]] = {}
    for name, node_type in types.items():
        first, *rest = each_of(f"available_node_types.{name}.node_config", node_type.get("node_config") or {}, key)
        made["available_node_types"][name] = {**node_type, "node_config": first}
        for node_config in rest:
            # The name is in messages: `available_node_types.h200 (p5en.48xlarge)`.
            other = f"{name} ({node_config[key]})"
            if other in types:
                raise ClusterConfigError(f"available_node_types has {other} and a list of machine types of {name}")
            made["available_node_types"][other] = copy.deepcopy(
                {**node_type, "node_config": node_config, "min_workers": 0}
            )
            others.setdefault(name, {})[node_config[key]] = other
    if others:
        made["provider"][MACHINES] = others
        _copy_sections(made["provider"], others)
    return made


def joined(config: Config) -> Config:
    """Return a config of `separated` with the other machines in its provider section, and no node types of their own.

    Of each it keeps the keys of the node_config that are not those of the node type; None for a key that it lacks.
    """
    others = _written(config["provider"])
    if not others:
        return config
    types = dict(config["available_node_types"])
    own: dict[str, dict[str, Config]] = {}
    for name, machines in others.items():
        given = types[name]["node_config"]
        for machine, other in machines.items():
            prepared = types.pop(other)["node_config"]
            keys = dict.fromkeys((*given, *prepared))
            own.setdefault(name, {})[machine] = {
                key: prepared.get(key) for key in keys if prepared.get(key) != given.get(key)
            }
    provider = {**config["provider"], MACHINES: own}
    _drop_sections(provider, types)
    return {**config, "provider": provider, "available_node_types": types}


def without_others(config: Config, given: Config, key: str) -> Config:
    """Return a config of `separated`, filled, as a cluster file has it: with the lists that were given.

    Args:
        config: filled.
        given: the config before it was separated.
        key: of the machine type in a node_config.
    """
    types = {name: config["available_node_types"][name] for name in given["available_node_types"]}
    for name, node_type in given["available_node_types"].items():
        machines = (node_type.get("node_config") or {}).get(key)
        if isinstance(machines, list):
            types[name] = {**types[name], "node_config": {**types[name]["node_config"], key: machines}}
    provider = {name: value for name, value in config["provider"].items() if name != MACHINES}
    _drop_sections(provider, types)
    return {**config, "provider": provider, "available_node_types": types}


def is_other(provider: Mapping[str, Any], node_type: str) -> bool:
    """Return whether a node type is the other machine of a list, in a config of `separated`."""
    return node_type != owner_of(provider, node_type)


def of_lists(provider: Mapping[str, Any]) -> list[str]:
    """Return all node types that machines of lists have, in a config of `separated`."""
    written = _written(provider)
    return [*written, *(str(other) for machines in written.values() for other in machines.values())]


def owner_of(provider: Mapping[str, Any], node_type: str) -> str:
    """Return the node type of the file that a node type in a config of `separated` is a machine of."""
    for name, machines in _written(provider).items():
        if node_type in machines.values():
            return str(name)
    return node_type


def raised_or_noted(cluster: Cluster, refusals: Mapping[str, AccelScalingError]) -> list[str]:
    """Raise the refusal of a node type none of whose machines is left; return the other refusals as notes.

    Args:
        cluster: of `separated`.
        refusals: of machines, by their node types, in the order of the file.

    Raises:
        AccelScalingError: the first such refusal.
    """
    owners = {name: owner_of(cluster.provider, name) for name in cluster.node_types}
    left = {owner for name, owner in owners.items() if name not in refusals}
    for name, error in refusals.items():
        if owners[name] not in left:
            raise error
    return [f"{error}; the other machine types of its list are launched" for error in refusals.values()]


def machine_names(cluster: Cluster, node_type: NodeType) -> list[str]:
    """Return the names of the machines that a node of a node type may have, in a cluster of `separated`."""
    own = [one for one in cluster.node_types.values() if owner_of(cluster.provider, one.name) == node_type.name]
    return [machine.name for one in own for machine in one.machines]


def entry_name(provider: Mapping[str, Any], node_type: str, machine: str) -> str:
    """Return the name that a machine of a node type had while it was prepared: of its own where it is another one.

    Args:
        provider: the provider section, as `joined` has written it.
        node_type: of the machine.
        machine: its tag; empty for none.
    """
    return f"{node_type} ({machine})" if machine in (_written(provider).get(node_type) or {}) else node_type


def machines_of(provider: Mapping[str, Any], node_type: str, node_config: Config, key: str) -> dict[str, Config]:
    """Return the node_config of each machine of a node type, by machine type in the user's order; none without a list.

    Args:
        provider: the provider section, as `joined` has written it.
        node_type: its name.
        node_config: which Ray launches it with.
        key: of the machine type in a node_config.
    """
    others = _written(provider).get(node_type) or {}
    if not others:
        return {}
    made = {str(node_config.get(key)): node_config}
    for machine, own in others.items():
        merged = {**node_config, **own}
        made[str(machine)] = {name: value for name, value in merged.items() if own.get(name, value) is not None}
    return made


def _written(provider: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    # A file may have the key too; `ray up` writes its own over it.
    written = provider.get(MACHINES)
    return {} if not isinstance(written, dict) else {k: one for k, one in written.items() if isinstance(one, dict)}


def _copy_sections(provider: Config, others: Mapping[str, Mapping[str, str]]) -> None:
    for key in _BY_NODE_TYPE:
        section = provider.get(key)
        if isinstance(section, dict):
            copies = {
                other: section[name] for name, all_of in others.items() if name in section for other in all_of.values()
            }
            provider[key] = {**section, **copies}


def _drop_sections(provider: Config, node_types: Mapping[str, Any]) -> None:
    for key in _BY_NODE_TYPE:
        section = provider.get(key)
        if isinstance(section, dict):
            provider[key] = {name: value for name, value in section.items() if name in node_types}


def _differences(machines: Mapping[str, MachineType]) -> str:
    def texts() -> Iterator[str]:
        for text in (_accelerators, _vcpus, _memory, _arch):
            if len({text(machine) for machine in machines.values()}) > 1:
                yield listed([f"{name} has {text(machine)}" for name, machine in machines.items()])

    return "; ".join(texts())


def _accelerators(machine: MachineType) -> str:
    return f"{machine.count} x {machine.chip.name}" if machine.chip else "no accelerator"


def _vcpus(machine: MachineType) -> str:
    return f"{machine.vcpus} vCPUs"


def _memory(machine: MachineType) -> str:
    return f"{machine.memory_mib / _MIB_PER_GIB:g} GiB"


def _arch(machine: MachineType) -> str:
    return machine.arch
