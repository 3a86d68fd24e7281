"""Ray's GCP node provider, with promises from the catalog and machines that are confirmed before they join.

Use it in a cluster file with

    provider:
      type: external
      module: accel_scaling.providers.gcp.GCPAcceleratorNodeProvider
      project_id: my-project
      region: us-central1
      availability_zone: us-central1-a,us-central1-b   # tried in this order

What happens, in the order of a node's life: `fillout_available_node_types_resources` writes the promise;
`bootstrap_config` checks it and does what Ray's does; `create_node` launches, zone after zone, and says why if it
cannot; the boot check is watched, and a machine that it refuses is deleted for real. What is known of nodes is in
node_cache, calls to Compute Engine are in compute, to Cloud TPU in tpu.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.boot import head_packages
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.cluster import read_checked
from accel_scaling.cluster.policies import watcher_policy
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.providers.base import config_cache
from accel_scaling.providers.base.capacity_launch import places_of
from accel_scaling.providers.base.cluster_config import (
    check_ready,
    for_the_head,
    promised,
    read_for_a_command,
    said_by_click,
)
from accel_scaling.providers.base.provider import BootCheckedProvider
from accel_scaling.providers.base.zone_launch import Workers, gated
from accel_scaling.providers.gcp import waiting
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.node_config import check_zones_named, is_tpu, zones_of
from accel_scaling.requirements import missing
from accel_scaling.status_line import doing

head_packages.use(CLOUD)  # on a head whose own client is too old; before that is imported

try:
    from accel_scaling.providers.gcp import bootstrap, checks, images, launch, launch_block, machine_end, teardown
    from accel_scaling.providers.gcp.calls import ListingFailedError
    from accel_scaling.providers.gcp.client import client
    from accel_scaling.providers.gcp.compute import Compute
    from accel_scaling.providers.gcp.known_ends import ends_of
    from accel_scaling.providers.gcp.launch import in_large_batches
    from accel_scaling.providers.gcp.node_cache import NodeCache
    from accel_scaling.providers.gcp.tpu import Tpu
except ModuleNotFoundError as error:  # in `ray up`, which prints this kind of error as a sentence
    raise click.ClickException(str(missing(error.name, "gcp"))) from None
except RuntimeError as error:  # httplib2 looks for its certificates when it is imported
    raise click.ClickException(
        f"Google cannot be asked: {error}; name the file with your network's certificates there, or unset it"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from accel_scaling.providers.base.known_ends import KnownEnd
    from accel_scaling.providers.base.machine_end import MachineEnd
    from accel_scaling.providers.base.zone_launch import Launch

logger = logging.getLogger(__name__)

# An Any base: Ray ships no types for it.
_RayGCPNodeProvider: Any = _ray.gcp_node_provider()


class _RunnersUnasked(_RayGCPNodeProvider):  # type: ignore[misc]
    """Ray's provider, which asks Google for each node that it makes a command runner of."""

    def get_command_runner(self, log_prefix: str, node_id: str, *args: Any, **kwargs: Any) -> Any:
        """Return Ray's command runner; only that of a slice is made of what Google says of the node."""
        is_machine = isinstance(self._get_resource_depending_on_node_name(node_id), Compute)
        make: Any = super(_RayGCPNodeProvider, self) if is_machine else super()
        return make.get_command_runner(log_prefix, node_id, *args, **kwargs)


class GCPAcceleratorNodeProvider(teardown.EndedProvider, BootCheckedProvider, _RunnersUnasked):
    """A node provider for Compute Engine and Cloud TPU that both autoscalers, `ray up` and `ray down` use."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        config_cache.forget(provider_config, cluster_name)
        # `ray get-head-ip` makes a provider of the cluster file as it is.
        with said_by_click():
            checks.check_place(provider_config)
            super().__init__(provider_config, cluster_name)
        self._set_teardown()
        self._set_gate(provider_config)

    # Ray's constructor calls it, and its retries call it again after a broken pipe.
    def _construct_clients(self) -> None:
        self.resources: dict[Any, Any] = {}
        self._reservations = self._resource("compute").reserved.reservations
        if self.provider_config.get(_ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD):
            self._resource("tpu")
        self._node_cache = NodeCache(
            lambda: list(self.resources.values()),
            self._get_resource_depending_on_node_name,
            keep_stopped=bool(self.provider_config.get("cache_stopped_nodes", False)),
        )

    def _resource(self, service: str) -> Any:
        """Return Compute Engine or Cloud TPU, as Ray keeps them."""
        # Ray keeps its resources under its own enum of node kinds, and finds them by the end of a node's name.
        key = _ray.gcp_node_kinds()(service)
        if key not in self.resources:
            provider = self.provider_config
            asked = client(provider, service), provider["project_id"], zones_of(provider), self.cluster_name
            if service == "tpu":
                self.resources[key] = Tpu(*asked, queues=waiting.queues(provider))
            else:
                # Read at a launch: a wrong policy must not keep `ray down` from ending machines.
                self.resources[key] = Compute(*asked, lambda: watcher_policy(provider).drain_s)
        return self.resources[key]

    # The promise.

    @staticmethod
    def fillout_available_node_types_resources(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config with every node type's promise, Ray's defaults, and the boot check.

        Raises:
            AccelScalingError: a config that cannot be filled. `ray up` would swallow it and continue; there the config
                carries it to `bootstrap_config`, which raises it.
        """
        return waiting.allowed(in_large_batches(promised(cluster_config, CLOUD, _fill)))

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config with project, service account, key pair and network, as Ray's provider makes them.

        Raises:
            click.ClickException: one sentence: an unfillable node type, no credentials, a name that Google refuses.
        """
        with said_by_click():
            if read := read_for_a_command(cluster_config):
                return teardown.for_reading(read)
            check_ready(cluster_config)
            _ray.check_legacy_fields(cluster_config)
            # Without a network, or behind a proxy that does not answer, each of these questions takes its time.
            with doing("Google Cloud is asked about the machine types, images and names of the file"):
                cluster_config = machine_lists.separated(cluster_config, CLOUD.machine_key)
                checks.check(cluster_config)
            resolved = machine_lists.joined(bootstrap.prepared(cluster_config))
            launch_block.say(cluster_config, resolved)
        # Merged into head_ and worker_setup_commands by now; v2 would merge, and so run, them a second time.
        resolved["setup_commands"] = []
        return for_the_head(resolved)

    # The launch.

    def create_node(self, base_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, dict[str, Any]]:
        """Launch all of ``count`` nodes, or raise; nodes that came are kept.

        Raises:
            NodeLaunchException: fewer came than asked for; with the kind of failure and Google's reason.
            click.ClickException: the head node could not be launched.
        """
        slices = is_tpu(base_config)
        resource = self._resource("tpu" if slices else "compute")

        order, machines = self.capacity_order(tags), self.machines(tags, base_config, CLOUD.machine_key)
        if slices:
            places = places_of(order, resource.zones)
        else:
            places = launch.places(resource, base_config, tags, order, machines)

        def create(allowed: Collection[str]) -> Launch:
            return self._node_cache.create(resource, base_config, tags, count, allowed, order=order, machines=machines)

        # A head is launched by `ray up`, at which a person sees the reason: no quarantine is asked about it.
        if _ray.is_head(tags):
            result = create(places)
        else:
            # Compute Engine's quota is a region's, Cloud TPU's a zone's.
            workers = Workers(_ray.node_type_of(tags), count, quota_is_regional=not slices)
            result = gated(self.gate, workers, places, create)
        self.arrived(node for nodes in result.made.values() for node in nodes)
        launch.raise_if_short(result, base_config, tags, count, machines)
        return {name: {} for name in result.nodes}

    def ready(self, node_ids: list[str]) -> list[str]:
        """Return which nodes of a launch are listed: one list says of all of them that they run, and where."""
        try:
            there = set(self._node_cache.existing({}))
        except ListingFailedError as error:  # the next regular round lists them
            logger.warning("what was launched is not known yet: %s", error)
            return []
        return [node for node in node_ids if node in there]

    # What is known of nodes.

    def listed_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the names of all nodes with these tags that exist or are about to, from all zones and pages.

        Raises:
            ListingFailedError: a zone could not be asked; at the keyboard a click.ClickException says so.
        """
        with _said_to_a_person():
            return self._node_cache.existing(tag_filters)

    def is_running(self, node_id: str) -> bool:
        """Return whether a node runs; False for one that is gone."""
        return self._node_cache.is_running(node_id)

    def is_waiting(self, node_id: str) -> bool:
        """Return whether a node waits in a queue of Google's; False for one that is gone."""
        return self._node_cache.is_waiting(node_id)

    def is_terminated(self, node_id: str) -> bool:
        """Return whether a node does not exist any more."""
        return self._node_cache.is_terminated(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return a node's tags, those that were set a moment ago included."""
        return self._node_cache.tags(node_id)

    def internal_ip(self, node_id: str) -> str | None:
        """Return a node's address within the network; None while it has none, or when it is gone."""
        return self._address(node_id, "get_internal_ip")

    def external_ip(self, node_id: str) -> str | None:
        """Return a node's public address; None where it has none, or when it is gone."""
        return self._address(node_id, "get_external_ip")

    def _address(self, node_id: str, getter: str) -> str | None:
        node = self._node_cache.node(node_id)
        if node is not None and self._node_cache.is_waiting(node_id):
            return None  # each round of v1 asks for the address of each node, often
        address: str | None = getattr(node, getter)() if node is not None else None
        # What is cached may be from before Google gave the machine its address: it is asked once more.
        if address is None and node is not None:
            node = self._node_cache.ask(node_id)
            address = getattr(node, getter)() if node is not None else None
        return address

    def get_command_runner(self, log_prefix: str, node_id: str, *args: Any, **kwargs: Any) -> Any:
        """Return the command runner of a node; of one that waits in Google's queue, one that is made later."""
        make = super().get_command_runner
        # Ray's runner of a slice is made of its hosts, which are not known before.
        if self._node_cache.is_waiting(node_id):
            return waiting.LaterRunner(lambda: make(log_prefix, node_id, *args, **kwargs))
        return make(log_prefix, node_id, *args, **kwargs)

    def _get_node(self, node_id: str) -> Any:
        return self._node_cache.ask(node_id)

    def _get_cached_node(self, node_id: str) -> Any:
        return self._node_cache.node(node_id)

    # What is done to them.

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Set tags: visible here at once, at Google within a second, and in any case before the process ends.

        An updater that is about to wait for ssh, a quarter of an hour at most, waits here first until the node has left
        Google's queue: v1 sets up what is listed, running or not.
        """
        if _ray.status_of(tags) == _ray.WAITING_FOR_SSH:
            cache = self._node_cache
            waiting.until_over(lambda: cache.is_waiting(node_id), lambda: cache.is_waiting(node_id, fresh=True))
        self._node_cache.set_tags(node_id, tags)
        self.starts.tagged(node_id, tags)

    def flush_tags(self) -> list[str]:
        """Write all tags to Google now; return the nodes whose tags could not be written in 30 s."""
        return self._node_cache.flush()

    def end_for_good(self, node_id: str) -> None:
        """Delete a machine or slice; never stop it to use it again."""
        self._node_cache.delete(node_id)

    def known_ends(self) -> Iterable[KnownEnd]:
        """Return the ends that Google has set, which it tells no node."""
        return ends_of(self._reservations, self._node_cache.machines())

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd]:
        """Return why machines and slices ended, as Google says it."""
        return machine_end.ends_of(self._get_resource_depending_on_node_name, node_ids)

    def addresses_of(self, node_id: str) -> list[str]:
        """Return the addresses of a machine, or of all hosts of a slice, within the network."""
        node = self._node_cache.node(node_id)
        if node is None or not hasattr(node, "get_internal_ips"):
            return super().addresses_of(node_id)
        return [host["ipAddress"] for host in node.get_internal_ips() if host.get("ipAddress")]

    @property
    def created_here(self) -> set[str]:
        """The nodes that this process has created; one that was stopped and is started again is none of them."""
        return self._node_cache.created

    def zone_of(self, node_id: str) -> str:
        """Return the zone of a machine or slice; empty for one that is gone."""
        return self._node_cache.zone_of(node_id)

    def terminate_node(self, node_id: str) -> None:
        """Delete a node, or stop it with `cache_stopped_nodes`; one that is gone is no error."""
        self._node_cache.terminate(self.left_to_ray([node_id]))

    def terminate_nodes(self, node_ids: list[str]) -> None:
        """Delete nodes, many at once; a failure of one does not keep the others."""
        if self._tearing_down:
            super().terminate_nodes(node_ids)
        else:
            self._node_cache.terminate(self.left_to_ray(node_ids))


@contextlib.contextmanager
def _said_to_a_person() -> Iterator[None]:
    """Turn a failed listing into one sentence for `ray up`; the autoscaler logs it, and lists again."""
    try:
        yield
    except ListingFailedError as error:
        if _ray.autoscaler_config_path() is not None:
            raise
        raise click.ClickException(str(error)) from None


def _fill(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Fill a config by what its machines will have, those of instance templates too; its node_configs gain images."""
    checks.check(config)  # before Google is asked for templates: a mistake in the file needs no network
    cluster = read_checked(bootstrap.with_templates(config))
    for node_type in cluster.node_types.values():
        check_zones_named(node_type, cluster)
    filled, notes = fill_cluster(cluster, offerings=False)  # bootstrap.prepared() asks Google what the zones have
    # What a template holds stays there: written into the node_config, it would win over a later change of the template.
    for name, node_type in filled["available_node_types"].items():
        given, merged = config["available_node_types"][name].get("node_config"), cluster.node_types[name].node_config
        node_type["node_config"] = images.with_added(given, merged, node_type["node_config"])
    # In Ray's schema availability_zone is one string, and gcp_credentials has two types; it is checked after the fill.
    filled["provider"] = checks.for_rays_schema(filled["provider"])
    return filled, notes
