"""The node types and the head of a cluster file that names none: what `ray up` takes then, or a sentence.

With `type: aws` and `type: gcp` Ray merges its own defaults.yaml of that cloud. With `type: external` it knows a name
for the head and one for workers, and no machine; it has put both into the config before a provider is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import documentation
from accel_scaling._ray.cluster_defaults import cluster_defaults
from accel_scaling._ray.facts import EXTERNAL_NODE_TYPES, FIRST_NODE_TYPES
from accel_scaling.catalog.suggest import nearest
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import listed, shown
from accel_scaling.requirements import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.clouds import Cloud

TYPES, HEAD = "available_node_types", "head_node_type"

# Of Ray 1, with what became of each. `min_workers` is not among them: Ray drops it before it asks a provider.
_OF_RAY_1 = {
    "head_node": "head_node became the node_config of the node type that head_node_type names",
    "worker_nodes": "worker_nodes became the node_config of another node type",
    "worker_default_node_type": "worker_default_node_type was dropped, as the scheduler chooses among the node types",
    "initial_workers": "initial_workers became min_workers of a node type",
    "target_utilization_fraction": "target_utilization_fraction became upscaling_speed",
    "autoscaling_mode": "autoscaling_mode became upscaling_speed",
}
DROPPED_IF_EMPTY = ("head_node", "worker_nodes")
"""Keys of Ray 1 that Ray drops where they are empty, as older defaults have them."""

_LOOKS_LIKE = 0.85  # of difflib: some letters may be wrong; none of Ray's own keys are as near to each other
_MOST_NAMES = 6  # of node types in a sentence


def check_ray_1(config: dict[str, Any]) -> None:
    """Refuse the keys of Ray 1.

    Raises:
        ClusterConfigError: names them, with what they became.
    """
    keys = [key for key in _OF_RAY_1 if (config.get(key) if key in DROPPED_IF_EMPTY else key in config)]
    if not keys:
        return
    are = "is a key" if len(keys) == 1 else "are keys"
    # Before a provider is asked, Ray turns both into node types: whether the file has any besides cannot be seen.
    has_machines = {*keys} & {*DROPPED_IF_EMPTY}
    instead = f"write them under {TYPES}: see {documentation.examples()}" if has_machines else "leave it out"
    raise ClusterConfigError(
        f"{listed(keys)} {are} that Ray's cluster files do not have any more, as they had in Ray 1: "
        f"{', '.join(_OF_RAY_1[key] for key in keys)}; {instead}",
        others=keys[1:],
    )


def ray_defaults(cloud: Cloud) -> dict[str, Any]:
    """Return Ray's own `<cloud>/defaults.yaml`, found without importing ray.

    Raises:
        NotInstalledError: Ray is not installed.
    """
    defaults = cluster_defaults(cloud.ray_defaults)
    if defaults is None:
        raise missing("ray", cloud.name)
    return defaults


def with_node_types(config: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    """Return the config with the node types and the head that `ray up` takes where it names none.

    Args:
        config: a cluster config, whose provider was read.
        cloud: its cloud.

    Raises:
        ClusterConfigError: Ray has none for this provider, or the default is not one of the file's node types.
        NotInstalledError: Ray's defaults are asked for, and it is not installed.
    """
    added = {}
    if TYPES not in config and not _is_external(config):
        added[TYPES] = ray_defaults(cloud)[TYPES]
    elif not _has_node_types(config.get(TYPES)):
        raise ClusterConfigError(_no_node_types(config))
    if HEAD not in config:
        added[HEAD] = EXTERNAL_NODE_TYPES[0] if _is_external(config) else ray_defaults(cloud)[HEAD]
    return _with_head_first(config, added) if added else config


def misspelt(key: str, config: Mapping[Any, Any]) -> str:
    """Return the words about a key that is nearly the one that a config lacks, or has nothing in; empty for none."""
    others = [str(other) for other in config if other != key]
    near = nearest(key, others, at_most=1, cutoff=_LOOKS_LIKE)
    return f" (there is {near[0]}, which nothing reads)" if near else ""


def default_types_note(config: dict[str, Any], cloud: Cloud) -> str | None:
    """Return the note about node types that Ray adds by itself; None where the file has its own."""
    if TYPES in config:
        return None
    names = [shown(name) for name in ray_defaults(cloud)[TYPES]]
    return f"{TYPES} is missing: as `ray up` does, it takes Ray's own for `type: {cloud.name}`, {listed(names)}"


def check_head(config: dict[str, Any], cloud: Cloud) -> None:
    """Refuse a head that is no node type of the config.

    Raises:
        ClusterConfigError: says where its name comes from, and what to write.
    """
    head, names = config[HEAD], list(config[TYPES])
    if isinstance(head, str) and head in names:
        return
    source = ""
    usual = EXTERNAL_NODE_TYPES[0] if _is_external(config) else _known_default(HEAD, cloud)
    if head == usual:
        source = f", the name that Ray takes for `type: {config['provider']['type']}` where a file has no {HEAD}"
    raise ClusterConfigError(
        f"{HEAD} is {shown(head)}{source}, which is not one of {TYPES}; {_head_of(names, cloud, head)}"
    )


def _head_of(names: list[str], cloud: Cloud, head: object) -> str:
    """Return what to write in place of a head that does not exist."""
    of_ray = _known_default(HEAD, cloud) if cloud.stock else None
    if of_ray in names and of_ray != head:
        return f"write {HEAD}: {of_ray}, which Ray takes by itself for `type: {cloud.name}` only"
    heads = [name for name in names if "head" in name.casefold()]
    if len(heads) == 1 or len(names) == 1:
        return f"write {HEAD}: {(heads or names)[0]}"
    more = ["..."] if len(names) > _MOST_NAMES else []
    return f"write one of {', '.join([*names[:_MOST_NAMES], *more])} there"


def _no_node_types(config: dict[str, Any]) -> str:
    lacks = f"`{TYPES}` is missing or empty{misspelt(TYPES, config)}"
    lacks += ", and Ray has no machines of its own for `type: external`" if _is_external(config) else ""
    return (
        f"this is not a cluster config: {lacks}; name the machines there: see "
        f"{documentation.examples()} for complete files, or let `accel-scaling init` write one"
    )


def _has_node_types(types: Any) -> bool:
    """Return whether these are node types, and not only the names that Ray gives where a file has none."""
    if not isinstance(types, dict) or not types:
        return False
    return not (_names_of_ray(types) and all(_says_nothing(one) for one in types.values()))


def _names_of_ray(names: Iterable[object]) -> bool:
    return any(set(names) <= set(known) for known in (EXTERNAL_NODE_TYPES, FIRST_NODE_TYPES))


def _says_nothing(node_type: Any) -> bool:
    # The limits are Ray's, too (fill_node_type_min_max_workers).
    return isinstance(node_type, dict) and not {*node_type} - {"min_workers", "max_workers"}


def _is_external(config: dict[str, Any]) -> bool:
    return bool(config["provider"].get("type") == "external")


def _with_head_first(config: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Return the config with both keys where a reader looks for them: the head's name before the node types."""
    complete: dict[str, Any] = {}
    for key, value in config.items():
        if key == TYPES and HEAD in added:
            complete[HEAD] = added[HEAD]
        complete[key] = value
    return {**complete, **{key: added[key] for key in (HEAD, TYPES) if key in added and key not in complete}}


def _known_default(key: str, cloud: Cloud) -> Any:
    return (cluster_defaults(cloud.ray_defaults) or {}).get(key)
