"""What the providers of all clouds do with a cluster config: fill it, wire the boot check in, and carry a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.catalog.files import known_clouds
from accel_scaling.catalog.users import travelling_files
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.cluster import catalog_of, fill, user_catalogs
from accel_scaling.fill.defaults import with_defaults
from accel_scaling.node import bundle, wiring

if TYPE_CHECKING:
    from collections.abc import Callable

    Config = dict[str, Any]
    Fill = Callable[[Config], tuple[Config, list[str]]]

REFUSED = "accel_scaling_refused"  # a key of `provider` that lives from the fill to bootstrap_config


def fill_from_catalog(config: Config, *, places: bool = True) -> tuple[Config, list[str]]:
    """Return the config with every node type's promise from its own catalog, and the notes.

    Args:
        config: a cluster config.
        places: check that region and zones have the machines; False where the cloud is asked before the launch.

    Raises:
        AccelScalingError: a node type that cannot be filled.
    """
    return fill(config, catalog_of(config), places=places)


def promised(config: Config, cloud: str, fill_of_cloud: Fill = fill_from_catalog) -> Config:
    """Return the config with every node type's promise, Ray's defaults for the cloud, and the boot check.

    For a provider's `fillout_available_node_types_resources`, which must call it directly.

    Raises:
        AccelScalingError: a config that cannot be filled. `ray up` would swallow it and go on; there the config
            carries it to `bootstrap_config`, which raises it.
    """
    try:
        filled, notes = fill_of_cloud(with_defaults(config, cloud))
    except AccelScalingError as error:
        if not _ray.called_by_ray_up(above=3):
            raise
        return _carrying(error)
    for note in notes:
        _ray.cli_logger().warning("{}", note)
    catalog = travelling_files(user_catalogs(config["provider"]), known_clouds())
    wiring.wire(filled, str(bundle.build(catalog=catalog)))
    return filled


def for_the_head(config: Config) -> Config:
    """Return the config as the head gets it: its files of ``provider.catalog`` are in the bundle there.

    A path of this machine means nothing on the head, and what came with the cluster is asked there anyway.
    """
    return {**config, "provider": {key: value for key, value in config["provider"].items() if key != "catalog"}}


def refusal_of(config: Config) -> str | None:
    """Return the sentence that the fill left in a config that it could not fill; None in a filled one."""
    refusal: str | None = config["provider"].get(REFUSED)
    return refusal


def forget_cached_config(provider_config: Config) -> None:
    """Remove Ray's cached copy of this config: it is keyed before the fill, so a new catalog would change nothing."""
    path = provider_config.get("_config_cache_path")
    if path:
        Path(path).unlink(missing_ok=True)


def _carrying(error: AccelScalingError) -> Config:
    """Return a config that passes Ray's schema, which stands before `bootstrap_config`, and carries the error there."""
    return {
        "cluster_name": "refused",
        "max_workers": 0,
        "provider": {"type": "external", "module": "accel_scaling", REFUSED: str(error)},
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {}, "node_config": {}}},
        "cluster_synced_files": [],
    }
