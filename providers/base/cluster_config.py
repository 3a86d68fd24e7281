"""The cluster config on its way through a provider: filled, with the boot check, and published to the cluster.

The fill runs at `ray up`; a refusal travels in the config until Ray prints it. The head's autoscaler tells every
process of the cluster which node types can be launched: a task that asks for accelerators of any type needs to know.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from accel_scaling import _ray
from accel_scaling.accs.connected_cluster import KEY
from accel_scaling.boot import bundle
from accel_scaling.boot.start_prefix import add_boot_check
from accel_scaling.catalog.files import travelling_files
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import catalog_of, user_catalogs
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.cluster.policies import spares_accelerators
from accel_scaling.cluster.ray_requirement import with_version_of_this_machine
from accel_scaling.cluster.shape import MAPPINGS, check_filled_in, check_shape
from accel_scaling.errors import AccelScalingError, disk_sentence
from accel_scaling.families.catalog import chips_here
from accel_scaling.fill.defaults import with_defaults
from accel_scaling.fill.file_notes import stale_note, with_old_fill
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE
from accel_scaling.inputs.file_text import expanded, is_file
from accel_scaling.message_text import sentence
from accel_scaling.providers.base import authentication, config_cache
from accel_scaling.providers.base.demand_reports import collected_as_by_ray, collected_often
from accel_scaling.quarantine.max_workers import limited
from accel_scaling.requirements import check_launcher_tools, check_ray
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accel_scaling.clouds import Cloud
    from accel_scaling.cluster.cluster_file import ClusterFile

    Config = dict[str, Any]
    Fill = Callable[[Config], tuple[Config, list[str]]]
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

# Keys of `provider` that live from the fill to bootstrap_config: Ray's schema is checked in between.
REFUSED = "accel_scaling_refused"
_READ = "accel_scaling_read"


def promised(config: Config, cloud: Cloud, fill_of_cloud: Fill) -> Config:
    """Return the config with every node type's promise, Ray's defaults for the cloud, and the boot check.

    For a provider's `fillout_available_node_types_resources`.

    Args:
        config: a cluster config.
        cloud: whose provider asks.
        fill_of_cloud: fills the config, with what only this cloud checks before.

    Raises:
        AccelScalingError: a config that cannot be filled. `ray up` would swallow it and continue; there the config
            carries it to `bootstrap_config`, which raises it.
    """
    if _ray.reads_only():
        # Machines must be ended whatever is wrong with catalogs, node types and policies: none of them is read.
        return _stand_in(**{_READ: with_defaults(config, cloud)})
    try:
        # Before the defaults: they would hide what is empty in the file, and is refused by `fill`.
        complete = with_version_of_this_machine(with_defaults(check_shape(config), cloud))
        filled, notes = fill_of_cloud(complete)
        # Packed only for a config that can be filled: most mistakes are in the file, and need no work on the disk.
        bundled = _bundle(config)
    except AccelScalingError as error:
        if not _ray.called_by_ray_up():
            raise
        file = _file_of_ray_up()
        return _stand_in(**{REFUSED: str(with_old_fill(file, error) if file else error)})
    for note in [*_of_an_old_fill(config), *notes]:
        _warn(note)
    add_boot_check(collected_as_by_ray(filled), bundled)
    return collected_often(filled)


def for_the_head(config: Config) -> Config:
    """Return the config as the head gets it: its files of ``provider.catalog`` are in the bundle there.

    A path of this machine means nothing on the head, and what came with the cluster is asked there anyway.
    """
    provider = {key: value for key, value in config["provider"].items() if key != "catalog"}
    # Here, as this is the last that is done to a config before Ray caches it.
    _ray.name_config_cache(provider)
    return {**config, "provider": provider}


def _of_an_old_fill(config: Config) -> list[str]:
    """Return the note about what an earlier fill wrote into the file of `ray up`, whose comments Ray does not read."""
    file = _file_of_ray_up()
    try:
        return stale_note(file, catalog_of(config)) if file else []
    except AccelScalingError:  # the file has changed since Ray read it
        return []


def _file_of_ray_up() -> ClusterFile | None:
    """Return the file that `ray up` was given; None where it cannot be read again."""
    path = _ray.file_of_ray_up()
    # A pipe, such as `<(accel-scaling fill cluster.yaml)`, has been read.
    if path is None or not is_file(expanded(Path(path))):
        return None
    try:
        return read_cluster(expanded(Path(path)))
    except AccelScalingError:
        return None


def _bundle(config: Config) -> Path:
    try:
        return bundle.build(catalog=travelling_files(user_catalogs(config["provider"]), known_clouds()))
    except OSError as error:
        problem = disk_sentence(error) or f"{error.filename}: {error.strerror}; may you write to the folder HOME?"
        raise AccelScalingError(f"the bundle for the nodes cannot be made: {problem}") from None


def check_ready(config: Config) -> None:
    """Refuse what makes anything further pointless: a refusal by the fill, another Ray, a machine without ssh.

    Raises:
        AccelScalingError: one of them.
    """
    # First of all: a refused config is a stand-in, and everything else that is wrong with it is of our own making.
    if refusal := refusal_of(config):
        raise AccelScalingError(refusal)
    check_ray(_warn)
    check_filled_in(config)
    if _ray.may_launch_head():
        check_launcher_tools()
        authentication.prepare(config)


def _warn(text: str) -> None:
    _ray.cli_logger().warning("{}", wrapped(sentence(text)))


def read_for_a_command(config: Config) -> Config | None:
    """Return what the cluster file says, for a command that launches nothing, as `ray down`; None for all others.

    Whatever such a command takes for granted is there, and of the right kind.
    """
    read: Config | None = config["provider"].get(_READ)
    if read is None:
        return None
    for key in MAPPINGS:
        if not isinstance(read.get(key), dict):
            read[key] = {}
    config_cache.mark_as_read(read["provider"])
    return read


@contextlib.contextmanager
def said_by_click() -> Iterator[None]:
    """Turn what a person can do something about into the kind of error that `ray up` prints as one sentence.

    Raises:
        click.ClickException: in place of an AccelScalingError, and of a disk that is full or may not be written.
    """
    try:
        yield
    except AccelScalingError as error:
        raise click.ClickException(wrapped(str(error), stream=sys.stderr, used=len("Error: "))) from None
    except OSError as error:
        if problem := disk_sentence(error):
            raise click.ClickException(problem) from None
        raise


def refusal_of(config: Config) -> str | None:
    """Return the sentence that the fill left in a config that it could not fill; None in a filled one."""
    refusal: str | None = config["provider"].get(REFUSED)
    return refusal


def _stand_in(**carried: Any) -> Config:
    """Return a config that passes Ray's schema before `bootstrap_config`, and carries something there."""
    return {
        "cluster_name": "refused",
        "max_workers": 0,
        "provider": {"type": "external", "module": "accel_scaling", **carried},
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
        config: the autoscaler's cluster config; a type that is quarantined counts as it was before.
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


def name_machine_types(config_path: Path | None) -> None:
    """Have autoscaler v2 say the machine types of the cluster's nodes, where this process is one.

    Args:
        config_path: the autoscaler's config; None in every other process.
    """
    if config_path is None:
        return
    try:
        _ray.name_machine_types(LABEL_INSTANCE_TYPE)
    except Exception:  # a Ray whose config is another: the cluster's status lacks a word then
        logger.exception("autoscaler v2 cannot be told the machine types of its nodes")


def spare_accelerators(provider_config: Mapping[str, Any], config_path: Path | None) -> None:
    """Have the autoscaler launch nodes with accelerators last for demands without them, where this process is one.

    Args:
        provider_config: the ``provider`` section; ``spare_accelerators: false`` leaves it to Ray, which spares GPUs.
        config_path: the autoscaler's config; None in every other process.
    """
    if config_path is None:
        return
    try:
        resources = {chip.resource for chip in chips_here().values()} if spares_accelerators(provider_config) else ()
        _ray.spare_accelerators(resources)
    except Exception:  # a Ray whose scheduler is another; it does what Ray does
        logger.exception(
            "only GPU nodes are spared from tasks without accelerators (by Ray); the nodes of other families are not"
        )
