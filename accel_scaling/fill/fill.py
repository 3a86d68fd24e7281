"""The fill of a whole cluster config: what each node type promises and what its nodes need. No network."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.node_dependencies import with_dependencies
from accel_scaling.cluster.offering_checks import unknown_region
from accel_scaling.cluster.policies import check_names, confirmation_policy, quarantine_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.promise import Promise, promise_for, with_users_own
from accel_scaling.providers.aws import node_config as aws_node_config
from accel_scaling.providers.gcp import node_config as gcp_node_config
from accel_scaling.providers.gcp import tpu_node_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.machine import Machine

# Each reads its cloud's node_config: CLOUD, machine(), check_place(), place_labels().
MODULES = {
    "accel_scaling.providers.aws.AWSAcceleratorNodeProvider": aws_node_config,
    "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider": gcp_node_config,
}
STOCK_TYPES = {"aws": aws_node_config, "gcp": gcp_node_config}


# What people write at the top level, by Ray's own ray-schema.json; of the wrong kind, Ray's scheduler falls over it.
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
MAPPINGS = ("auth", "docker", "file_mounts")


def check_shape(config: Any) -> dict[str, Any]:
    """Return the config if it is a cluster config with node types.

    Raises:
        ClusterConfigError: names the key that is missing or of the wrong kind.
    """
    if not isinstance(config, dict):
        raise ClusterConfigError(f"this is not a cluster config: expected keys and values, found {_kind(config)}")
    for key in ("provider", "available_node_types"):
        if not isinstance(config.get(key), dict) or not config[key]:
            raise ClusterConfigError(
                f"this is not a cluster config: `{key}` is missing or empty; see example_clusters/ for complete ones"
            )
    head = config.get("head_node_type")
    for name in config["available_node_types"]:
        if not isinstance(name, str):
            raise ClusterConfigError(
                f"available_node_types has a node type {_as_yaml(name)}, which YAML reads as no text; quote it"
            )
    if not isinstance(head, str) or head not in config["available_node_types"]:
        raise ClusterConfigError(f"head_node_type is {head!r}, which is not one of available_node_types")
    for name, node_type in config["available_node_types"].items():
        if not isinstance(node_type, dict) or not isinstance(node_type.get("node_config") or {}, dict):
            raise ClusterConfigError(f"available_node_types.{name} must hold keys, among them node_config")
    _check_kinds(config)
    check_names(config["provider"])
    confirmation_policy(config["provider"])
    quarantine_policy(config["provider"])
    return config


def _check_kinds(config: dict[str, Any]) -> None:
    for key in COMMANDS:
        value = config.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ClusterConfigError(f"{key} must be a list of commands, each of them text; write [] for none")
    for key in MAPPINGS:
        if not isinstance(config.get(key, {}), dict):
            raise ClusterConfigError(f"{key} must hold keys and values; leave it out for none")
    region = config["provider"].get("region")  # its other keys are its cloud's to check: Google's zones may be a list
    if region is not None and not isinstance(region, str):
        raise ClusterConfigError(f"provider.region is {region!r}; it takes text, in quotes if need be")


def machines(config: dict[str, Any], catalog: Catalog) -> dict[str, Machine]:
    """Return the machine of each node type of a cluster config.

    Raises:
        AccelScalingError: the first node type that names none, or an unknown one, named with its key.
    """
    cloud = reader_of(config["provider"])
    return {
        name: cloud.machine(f"available_node_types.{name}", node_type.get("node_config") or {}, catalog)
        for name, node_type in config["available_node_types"].items()
    }


def promises(config: dict[str, Any], catalog: Catalog) -> dict[str, Promise]:
    """Return the promise of each node type of a cluster config.

    Raises:
        AccelScalingError: the first node type that cannot be filled, named with its key.
    """
    found = machines(config, catalog)
    check_places(config, found, catalog)
    return _promises(config, found)


def check_places(config: dict[str, Any], found: Mapping[str, Machine], catalog: Catalog) -> None:
    """Refuse machines that the cluster's region or zones do not have, as far as the catalog knows.

    Args:
        config: a cluster config.
        found: what each node type names, of machines().
        catalog: where the machine types come from.

    Raises:
        AccelScalingError: the first node type with such a machine, named with its key.
    """
    cloud = reader_of(config["provider"])
    for name, node_type in config["available_node_types"].items():
        where = f"available_node_types.{name}"
        cloud.check_place(where, config["provider"], node_type.get("node_config") or {}, found[name], catalog)


def _promises(config: dict[str, Any], found: Mapping[str, Machine]) -> dict[str, Promise]:
    cloud = reader_of(config["provider"])
    result = {}
    for name, node_type in config["available_node_types"].items():
        where = f"available_node_types.{name}"
        node_config = node_type.get("node_config") or {}
        promised = promise_of(where, found[name], head=name == config["head_node_type"])
        placed = {**promised.labels, **cloud.place_labels(config["provider"], node_config)}
        own = _users_own(where, node_type)
        result[name] = with_users_own(
            Promise(promised.resources, placed, promised.notes), f"{where} ({found[name].name})", *own
        )
    return result


def promise_of(where: str, found: Machine, *, head: bool = False) -> Promise:
    """Return what each Ray node of a node type announces.

    Args:
        where: the node type's place in the cluster file, for the error and the notes.
        found: what the node type names.
        head: the node type is the head node's.

    Raises:
        ClusterConfigError: a TPU slice of several hosts cannot be the head node.
    """
    promised = promise_for(found.machine, head=head)
    notes = tuple(f"{where}: {note}" for note in found.notes)
    if found.slice is None:
        return Promise(promised.resources, promised.labels, notes)
    if head:
        tpu_node_config.check_head(where, found.slice)
    of_slice = tpu_node_config.of_slice(promised, found.slice)
    return Promise(of_slice.resources, of_slice.labels, notes)


def fill(config: dict[str, Any], catalog: Catalog, *, places: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of the cluster config, filled, and the notes.

    Every node type has resources and labels, an image with its accelerator's driver where the user named none, and
    container options that show the devices where the config uses containers.

    Args:
        config: a cluster config.
        catalog: what is known about machine types.
        places: check that region and zones have them; False where the cloud itself is asked next, which knows better.

    Raises:
        AccelScalingError: a node type that cannot be filled; nothing is half-filled.
    """
    found = machines(check_shape(config), catalog)
    if places:
        check_places(config, found, catalog)
    promised = _promises(config, found)
    filled, notes = with_dependencies(copy.deepcopy(config), reader_of(config["provider"]).CLOUD, found)
    for name, promise in promised.items():
        filled["available_node_types"][name]["resources"] = promise.resources
        filled["available_node_types"][name]["labels"] = promise.labels
    # Cloud TPU has regions of its own, which no list of machine types names.
    said = _of_region(config, catalog) if places and not any(one.slice for one in found.values()) else []
    return filled, [*said, *(note for promise in promised.values() for note in promise.notes), *notes]


def _of_region(config: dict[str, Any], catalog: Catalog) -> list[str]:
    """Return the note about a region that nobody knows."""
    cloud = reader_of(config["provider"])
    region = config["provider"].get("region") if cloud is aws_node_config else cloud.region_of(config)
    note = unknown_region(cloud.CLOUD, region, catalog.places(cloud.CLOUD).regions) if region else None
    return [note] if note else []


def catalog_of(config: dict[str, Any]) -> Catalog:
    """Return the catalog that a cluster config's promises come from, its user's files included.

    Raises:
        CatalogFileError: one of those files is missing or wrong.
    """
    provider = config.get("provider")
    return load_catalog(user_catalogs(provider) if isinstance(provider, dict) else [])  # check_shape() refuses it


def user_catalogs(provider: dict[str, Any]) -> list[Path]:
    """Return the files that `provider.catalog` names: one path or a list of them, strongest first.

    Raises:
        ClusterConfigError: it is something else.
    """
    named = provider.get("catalog") or []
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ClusterConfigError(f"provider.catalog is {named!r}; expected the path of a file, or a list of them")
    return [Path(path).expanduser() for path in paths]


def reader_of(provider: dict[str, Any]) -> Any:
    """Return the module that reads the node types of this provider's cloud: ``fill.aws`` or ``fill.gcp``.

    Raises:
        ClusterConfigError: no such provider is known.
    """
    kind, module = provider.get("type"), provider.get("module")
    found = MODULES.get(str(module)) if kind == "external" else STOCK_TYPES.get(str(kind))
    if kind == "external" and not module:
        raise ClusterConfigError(
            f"provider.module is missing; with `type: external` write module: {' or '.join(MODULES)}"
        )
    if found is None:
        raise ClusterConfigError(
            f"provider.type is {kind!r}" + (f" with module {module!r}" if module else "") + "; this fill knows "
            f"`type: external` with `module: {'` or `module: '.join(MODULES)}`, and "
            + ", ".join(f"`type: {known}`" for known in STOCK_TYPES)
        )
    return found


def _users_own(where: str, node_type: dict[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    resources, labels = node_type.get("resources") or {}, node_type.get("labels") or {}
    if not isinstance(resources, dict) or not isinstance(labels, dict):
        raise ClusterConfigError(f"{where}: resources and labels must hold names and values")
    for name in (*resources, *labels):
        if not isinstance(name, str):
            raise ClusterConfigError(f"{where}: the name {_as_yaml(name)} is no text for YAML; quote it")
    for name, value in resources.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ClusterConfigError(
                f"{where}.resources.{name} is {value!r}; Ray's cluster files take whole numbers of 0 or more there"
            )
    return resources, labels


def _as_yaml(value: Any) -> str:
    """Return a value as it stands in the file: ``5``, ``true``, ``null``."""
    return json.dumps(value, default=str)


def _kind(value: Any) -> str:
    return {str: "text", list: "a list", type(None): "nothing"}.get(type(value), type(value).__name__)
