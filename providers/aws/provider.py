"""Ray's AWS node provider, with promises from the catalog and machines that are confirmed before they join.

Use it in a cluster file with

    provider:
      type: external
      module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
      region: us-west-2

What happens, in the order of a node's life: `fillout_available_node_types_resources` writes the promise;
`bootstrap_config` checks it against the region, then does what Ray's does; `create_node` launches, zone after zone, and
says why if it cannot; the boot check is watched, and a machine that it refuses is terminated for real.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray, timeouts
from accel_scaling.boot import head_packages
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.cluster import read_checked, read_config
from accel_scaling.cluster.policies import watcher_policy
from accel_scaling.cluster.shape import check_shape
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.node_config import region_of
from accel_scaling.providers.base import config_cache
from accel_scaling.providers.base.cluster_config import (
    check_ready,
    for_the_head,
    promised,
    read_for_a_command,
    said_by_click,
)
from accel_scaling.providers.base.provider import BootCheckedProvider
from accel_scaling.requirements import missing
from accel_scaling.status_line import doing

head_packages.use(CLOUD)  # on a head whose own client is too old; before that is imported

try:
    from accel_scaling.providers.aws import (
        account_checks,
        block_ends,
        bootstrap,
        cloudwatch,
        launch_block,
        launch_templates,
        machine_end,
        ray_steps,
        reservation_checks,
        teardown,
        training,
    )
    from accel_scaling.providers.aws.errors import one_sentence
    from accel_scaling.providers.aws.interruptible_ends import InterruptibleEnds
    from accel_scaling.providers.aws.launch import MachineLaunch
    from accel_scaling.providers.aws.passing_states import PassingStates
    from accel_scaling.providers.aws.reservations import Reservations
    from accel_scaling.providers.aws.reserved_launch import ReservedLaunches
    from accel_scaling.providers.aws.run_instances import NewMachines
    from accel_scaling.providers.aws.stopped_machines import StoppedMachines
    from accel_scaling.providers.aws.subnet_zones import SubnetZones

    # An Any base: Ray ships no types for it.
    _RayAWSNodeProvider: Any = _ray.aws_node_provider()
except ModuleNotFoundError as error:  # in `ray up`, which prints this kind of error as a sentence
    raise click.ClickException(str(missing(error.name, "aws"))) from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from accel_scaling.providers.base.known_ends import KnownEnd
    from accel_scaling.providers.base.machine_end import MachineEnd


class AWSAcceleratorNodeProvider(teardown.EndedProvider, BootCheckedProvider, _RayAWSNodeProvider):  # type: ignore[misc]
    """A node provider for EC2 that both autoscalers, `ray up` and `ray down` use as they use Ray's own."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        config_cache.forget(provider_config, cluster_name)
        # `ray get-head-ip` makes a provider of the cluster file as it is.
        with said_by_click(), one_sentence():
            region_of({"provider": provider_config})
            super().__init__(provider_config, cluster_name)
        self._set_teardown()
        self._set_gate(provider_config)
        # Ray would try a sold-out zone five times; MachineLaunch continues with the next, and waits where that helps.
        _ray.aws_tries_each_subnet_once()
        # Without boto's retries: a launch has its own, and its own end.
        self._zones = SubnetZones(self.ec2_fail_fast.meta.client, provider_config)
        self._reservations = Reservations(self.ec2_fail_fast.meta.client, self._now_s)
        self._interruptible_ends = InterruptibleEnds(self._reservations, self._now_s)
        self._new = NewMachines(self._create_node, self.ec2_fail_fast, cluster_name)
        self._stopped = StoppedMachines(self.ec2_fail_fast, cluster_name, self._set_tags_now)
        self._listed: frozenset[str] = frozenset()
        self._launched: dict[str, tuple[float, Any]] = {}  # when, and what EC2 said
        self._states = PassingStates(self._write_tags)

    @staticmethod
    def fillout_available_node_types_resources(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config with every node type's promise, Ray's defaults, and the boot check.

        Raises:
            AccelScalingError: a config that cannot be filled. `ray up` would swallow it and continue; there the config
                carries it to `bootstrap_config`, which raises it.
        """
        return promised(cluster_config, CLOUD, _fill)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Return the config with IAM role, key pair, subnets and security group, as Ray's provider makes them.

        Raises:
            click.ClickException: one sentence: an unfillable node type, no credentials, a region without the type.
        """
        with said_by_click():
            if read := read_for_a_command(cluster_config):
                return teardown.for_reading(read)
            check_ready(cluster_config)
            region_of(cluster_config)
            # Without a network, or behind a proxy that does not answer, each of these questions takes its time.
            with doing("AWS is asked about the machine types, images and names of the file"):
                cluster_config = machine_lists.separated(cluster_config, CLOUD.machine_key)
                cluster_config, templates = launch_templates.merged(cluster_config)
                cluster = read_config(cluster_config)
                cloudwatch.check_files(cluster.provider)
                refused = bootstrap.check(cluster)
                cluster_config = bootstrap.resolved(cluster)
                image_names = account_checks.check_named(cluster, cluster_config)
            resolved = ray_steps.prepared(cluster_config)
            # What would be refused comes before what is made in the account.
            notes = reservation_checks.check_reservations(cluster, resolved)
            notes += account_checks.check_zones(cluster, resolved, refused)
            resolved, more = training.prepared(cluster, resolved)
            for note in [*notes, *more]:
                _ray.cli_logger().warning("{}", note)
            resolved = machine_lists.joined(launch_templates.put_back(resolved, templates))
            launch_block.say(cluster.config, resolved, image_names)
        # Merged into head_ and worker_setup_commands by now; v2 would merge, and so run, them a second time.
        resolved["setup_commands"] = []
        return for_the_head(resolved)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Launch all of ``count`` machines, or raise; machines that came are kept.

        Raises:
            NodeLaunchException: fewer came than asked for; with AWS's code and reason.
            click.ClickException: the head node could not be launched.
        """
        stopped = self._stopped if self.cache_stopped_nodes else None
        drain_s = watcher_policy(self.provider_config).of(_ray.node_type_of(tags)).drain_s
        launch = MachineLaunch(
            self._new,
            stopped,
            self._zones,
            self.gate,
            self._listed,
            reserved=ReservedLaunches(self._reservations, self._now_s, lambda: drain_s),
            order=self.capacity_order(tags),
            machines=self.machines(tags, node_config, CLOUD.machine_key),
        )
        try:
            return launch.run(node_config, tags, count)
        finally:
            # Those too that were found by their token, of a launch without an answer.
            self.created_here.update(launch.created)
            self.arrived(launch.created)

    def known_ends(self) -> Iterable[KnownEnd]:
        """Return the ends of capacity blocks and of interruptible reservations, of which EC2 tells no node."""
        machines = list(self.cached_nodes.values())
        yield from block_ends.ends_of(self._reservations, machines)
        yield from self._interruptible_ends.of(machines)

    def _create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        # What Ray's create_node calls for machines that it creates; stopped ones, it starts without this.
        created: dict[str, Any] = super()._create_node(node_config, tags, count)
        self.created_here.update(created)
        # EC2's answer has all that a list says of them: address, zone, tags.
        self._launched.update((name, (time.monotonic(), machine)) for name, machine in created.items())
        self._keep_launched()
        return created

    def answers(self, node_id: str, *, head: bool) -> None:
        """Set CloudWatch up on a node, where the cluster file asks for it."""
        cloudwatch.set_up(self.provider_config, node_id, self.cluster_name, head=head)

    def _keep_launched(self) -> None:
        """Keep machines among Ray's cached ones until EC2 lists them: Ray would ask for each by itself, and wait."""
        oldest_s = time.monotonic() - timeouts.LISTED_AFTER_S
        for name, (launched_s, machine) in list(self._launched.items()):
            # What is gone, or not listed for so long, is to be asked for.
            if launched_s < oldest_s or self.is_over(name):
                self._launched.pop(name, None)
                continue
            with self.tag_cache_lock:
                if name not in self.tag_cache:
                    self.tag_cache[name] = _tags_of(machine)
            self.cached_nodes.setdefault(name, machine)

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd]:
        """Return why machines ended, as EC2 says it."""
        return machine_end.ends_of(self.ec2.meta.client, node_ids)

    def listed_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return what Ray's provider lists, and learn the zones of machines and subnets from it."""
        # Asked before Ray's provider, which adds a tag to the filters that it is given.
        of_all = not tag_filters
        nodes = super().listed_nodes(tag_filters)
        self._zones.learn(self.cached_nodes.values())
        for name in nodes:
            self._launched.pop(name, None)
        self._keep_launched()
        if of_all:
            self._listed = frozenset(nodes)
        return nodes

    def is_running(self, node_id: str) -> bool:
        """Return whether a machine runs, or is about to, in an autoscaler: v2 starts its set-up then.

        ssh is tried until it answers, as v1 does from the launch on; so EC2 need not be asked when the machine runs.
        """
        return not self.is_terminated(node_id) if self.gate.active else bool(super().is_running(node_id))

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return a machine's tags, with its state of a moment ago, of which EC2 may not know."""
        tags: dict[str, str] = super().node_tags(node_id)
        return {**tags, **self._states.of(node_id)}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Set tags, with those of other threads in one call; a state of the set-up without waiting for EC2."""
        if _ray.is_passing(tags):
            self._states.set(node_id, tags)
            self.starts.tagged(node_id, tags)
            return
        self._states.forget(node_id)
        try:
            super().set_node_tags(node_id, tags)
        except BaseException:
            # Ray's batch is not ended where EC2 refuses it: each further call would wait for it, and hold a lock that
            # all other calls need.
            self.batch_update_done.set()
            self.ready_for_new_batch.set()
            raise

    def end_for_good(self, node_id: str) -> None:
        """Terminate a machine; never stop it to use it again."""
        # Not by Ray's terminate_node: it stops the machine, and starts the same one the next time.
        self.ec2.meta.client.terminate_instances(InstanceIds=[node_id])

    def left_to_ray(self, node_ids: Iterable[str]) -> list[str]:
        """Return the nodes that end as Ray's provider ends them: one of an order of capacity types is not stopped."""
        nodes = super().left_to_ray(node_ids)
        ended = [node for node in nodes if self.cache_stopped_nodes and self.of_an_order(node)]
        if ended:
            self.ec2.meta.client.terminate_instances(InstanceIds=ended)
        return [node for node in nodes if node not in ended]

    def zone_of(self, node_id: str) -> str:
        """Return the availability zone of a machine; empty where EC2 has not said it."""
        if zone := self._zones.of_machine(node_id):
            return zone
        self._zones.learn([self._get_cached_node(node_id)])
        return self._zones.of_machine(node_id)

    def _write_tags(self, node_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Write tags of machines in one call; Ray's own waits a second for each machine."""
        to_ec2, _ = _ray.aws_tags()
        pairs = [{"Key": key, "Value": value} for key, value in to_ec2(dict(tags)).items()]
        self.ec2_fail_fast.meta.client.create_tags(Resources=list(node_ids), Tags=pairs)

    def _set_tags_now(self, machines: Sequence[Any], tags: dict[str, str]) -> None:
        self._write_tags([one.id for one in machines], tags)
        with self.tag_cache_lock:
            for one in machines:
                # The listing does not read the tags of a machine again that is known here.
                self.tag_cache[one.id] = {**_tags_of(one), **tags}


def _tags_of(machine: Any) -> dict[str, str]:
    """Return the tags of a machine by Ray's names, as EC2 gave them with it."""
    _, from_ec2 = _ray.aws_tags()
    tags: dict[str, str] = from_ec2({tag["Key"]: tag["Value"] for tag in machine.tags or ()})
    return tags


def _fill(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    region_of(config)
    merged, templates = launch_templates.merged(check_shape(config))
    filled, notes = fill_cluster(read_checked(merged), offerings=False)  # bootstrap.check() asks what the region has
    return launch_templates.put_back(filled, templates, for_bootstrap=True), notes
