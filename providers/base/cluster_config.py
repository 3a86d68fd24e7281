"""The cluster config on its way through a provider: filled, with the boot check, and published to the cluster.

The fill runs at `ray up`; a refusal travels in the config until Ray prints it. The head's autoscaler tells every
process of the cluster which node types can be launched: a task that asks for accelerators of any type needs to know.
"""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from accel_scaling import _ray
from accel_scaling.accs.connected_cluster import KEY
from accel_scaling.boot import bundle
from accel_scaling.catalog.files import travelling_files
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import user_catalogs
from accel_scaling.cluster.shape import check_filled_in
from accel_scaling.errors import AccelScalingError, disk_sentence
from accel_scaling.fill.defaults import with_defaults
from accel_scaling.message_text import sentence
from accel_scaling.quarantine.max_workers import limited
from accel_scaling.requirements import check_launcher_tools, check_ray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.clouds import Cloud

    Config = dict[str, Any]
    Fill = Callable[[Config], tuple[Config, list[str]]]
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

REFUSED = "accel_scaling_refused"  # a key of `provider` that lives from the fill to bootstrap_config


def promised(config: Config, cloud: Cloud, fill_of_cloud: Fill) -> Config:
    """Return the config with every node type's promise, Ray's defaults for the cloud, and the boot check.

    For a provider's `fillout_available_node_types_resources`.

    Args:
        config: a cluster config.
        cloud: whose provider asks.
        fill_of_cloud: fills the config, with what only this cloud checks before.

    Raises:
        AccelScalingError: a config that cannot be filled. `ray up` would swallow it and go on; there the config
            carries it to `bootstrap_config`, which raises it.
    """
    try:
        filled, notes = fill_of_cloud(with_defaults(config, cloud))
        # Packed only for a config that can be filled: most mistakes are in the file, and need no work on the disk.
        bundled = _bundle(config)
    except AccelScalingError as error:
        if not _ray.called_by_ray_up():
            raise
        return _carrying(error)
    for note in notes:
        _ray.cli_logger().warning("{}", sentence(note))
    bundle.add_boot_check(filled, str(bundled))
    return filled


def for_the_head(config: Config) -> Config:
    """Return the config as the head gets it: its files of ``provider.catalog`` are in the bundle there.

    A path of this machine means nothing on the head, and what came with the cluster is asked there anyway.
    """
    return {**config, "provider": {key: value for key, value in config["provider"].items() if key != "catalog"}}


def _bundle(config: Config) -> Path:
    try:
        return bundle.build(catalog=travelling_files(user_catalogs(config["provider"]), known_clouds()))
    except OSError as error:
        problem = disk_sentence(error) or f"{error.filename}: {error.strerror}; is HOME a folder that you may write?"
        raise AccelScalingError(f"what the nodes get of this package cannot be packed: {problem}") from None


def check_ready(config: Config) -> None:
    """Refuse what makes anything further pointless: a refusal by the fill, another Ray, a machine without ssh.

    `ray down` and its like are refused for the first only: machines must be ended whatever is installed.

    Raises:
        AccelScalingError: one of them.
    """
    # First of all: a refused config is a stand-in, and everything else that is wrong with it is of our own making.
    if refusal := refusal_of(config):
        raise AccelScalingError(refusal)
    if _ray.reads_only():
        return
    check_ray()
    check_filled_in(config)
    if _ray.launched_by_ray_up():
        check_launcher_tools()


@contextlib.contextmanager
def said_by_click() -> Iterator[None]:
    """Turn what a person can do something about into the kind of error that `ray up` prints as one sentence.

    Raises:
        click.ClickException: in place of an AccelScalingError, and of a disk that is full or may not be written.
    """
    try:
        yield
    except AccelScalingError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        if problem := disk_sentence(error):
            raise click.ClickException(problem) from None
        raise


def refusal_of(config: Config) -> str | None:
    """Return the sentence that the fill left in a config that it could not fill; None in a filled one."""
    refusal: str | None = config["provider"].get(REFUSED)
    return refusal


def forget_cached_config(provider_config: Config) -> None:
    """Remove Ray's cached copy of this config: it is keyed before the fill, so a new catalog would change nothing."""
    # Ray writes the cache after bootstrap_config, and makes the provider next: here the file is there.
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
        # Ray's validate_config takes a config without this key for one of an older Ray, and stops.
        "cluster_synced_files": [],
    }


def publish(config_path: Path | None) -> None:
    """Write the node types into Ray's key-value store, where this process is a head's autoscaler.

    Without it a task that names no accelerator type is asked to: that is no reason to stop an autoscaler.

    Args:
        config_path: the autoscaler's config; None in every other process.
    """
    if config_path is None:
        return
    try:
        config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        _ray.autoscaler_kv_put(KEY, json.dumps(published(config, _ray.autoscaler_version())))
    except Exception:  # Ray raises what gRPC does; the sentence and the trace are in the log
        logger.exception("the node types could not be told to the cluster; tasks must name an accelerator_type")


def published(config: Mapping[str, Any], autoscaler: str) -> dict[str, Any]:
    """Return what is written: the autoscaler's version, and the resources of each type that may be launched.

    Args:
        config: the autoscaler's cluster config; a type that is left alone for a while counts as it was before.
        autoscaler: ``v1`` or ``v2``.
    """
    # {}: without the limits that a quarantine has written into the head's config.
    before = limited(dict(config), {})
    # A node type without a max_workers of its own has the cluster's.
    most = before.get("max_workers", 0)
    types = before["available_node_types"].items()
    return {
        "autoscaler": autoscaler,
        "node_types": {
            name: node_type.get("resources") or {}
            for name, node_type in types
            if node_type.get("max_workers", most) > 0
        },
    }
