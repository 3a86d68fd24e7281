"""The provider class of all clouds: it watches the start of nodes, and ends a node that fails before it joins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.boot.bought_labels import with_bought
from accel_scaling.boot.deep_check import with_deep_check
from accel_scaling.boot.network_devices import with_expected
from accel_scaling.boot.start_prefix import with_policy
from accel_scaling.boot.verdicts import holds_promise
from accel_scaling.boot.watcher_start import with_watch
from accel_scaling.cluster import machine_lists, networks
from accel_scaling.cluster.capacity import TAG, capacity_orders
from accel_scaling.cluster.policies import confirmation_policy, watcher_policy
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.base import cluster_config
from accel_scaling.providers.base.authentication import Authentication, of_head, of_laptop
from accel_scaling.providers.base.command_output import TailingProcessRunner
from accel_scaling.providers.base.command_runner import RefusingCommandRunner
from accel_scaling.providers.base.early_rounds import EarlyRounds
from accel_scaling.providers.base.known_ends import KnownEnd, KnownEnds
from accel_scaling.providers.base.known_nodes import KnownNodes
from accel_scaling.providers.base.machine_drain import RayNodes
from accel_scaling.providers.base.machine_start import MachineStarts
from accel_scaling.providers.base.machine_watch import MachineWatch
from accel_scaling.providers.base.node_drains import NodeDrains
from accel_scaling.providers.base.node_start import ToldStart
from accel_scaling.providers.base.tpu_slice_start import Rounds, wait_until_seen
from accel_scaling.quarantine.head_gate import gate_of
from accel_scaling.quarantine.machine import NO_VERDICT
from accel_scaling.requirements import check_ray

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.providers.base.machine_end import MachineEnd
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)

# Of the arguments of get_command_runner behind the node's name: authentication, cluster name, process runner.
_PROCESS_RUNNER = 2

_LEFT = (
    "{}; this head node existed before; it stays as it is, without Ray: repair it and run `ray up` again, or "
    "terminate it with `ray down`"
)


class BootCheckedProvider:
    """A provider whose nodes are checked before they join. Put it before Ray's provider in a class's bases."""

    # Of Ray's provider, which ships no types.
    node_tags: Any
    internal_ip: Any
    provider_config: dict[str, Any]
    # None where the autoscaler waits as long as Ray does: v1, and an interval of the user's own.
    _early: EarlyRounds | None = None
    # What workers are told about tokens; None where this process is no autoscaler.
    _of_head: Authentication | None = None

    def capacity_order(self, tags: Mapping[str, str]) -> tuple[CapacityEntry, ...]:
        """Return the capacity types of a launch with these tags, in the order to try them; none without an order."""
        return capacity_orders(self.provider_config).get(_ray.node_type_of(dict(tags)), ())

    def machines(self, tags: Mapping[str, str], node_config: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
        """Return the node_config of each machine type of a launch with these tags; none where there is no list."""
        return machine_lists.machines_of(self.provider_config, _ray.node_type_of(dict(tags)), node_config, key)

    def listed_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return what Ray's provider lists."""
        nodes: list[str] = super().non_terminated_nodes(tag_filters)  # type: ignore[misc]
        return nodes

    def zone_of(self, node_id: str) -> str:
        """Return the zone of a node; empty where it is not known."""
        raise NotImplementedError

    def end_for_good(self, node_id: str) -> None:
        """Terminate or delete a node; never stop it to use it again."""
        raise NotImplementedError

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd]:
        """Return why nodes ended that the cluster has not ended; a node that has not ended is left out.

        A cloud that does not say it leaves out all: such a machine is only missed.
        """
        del node_ids
        return {}

    def is_waiting(self, node_id: str) -> bool:
        """Return whether a node that is listed waits in a queue of its cloud's, and has no machine yet."""
        del node_id
        return False

    def ready(self, node_ids: list[str]) -> list[str]:
        """Return those nodes of a launch whose set-up may begin: their tags and addresses are known.

        A cloud that does not say these with the launch itself asks for them here.
        """
        return node_ids

    def answers(self, node_id: str, *, head: bool) -> None:
        """Do what Ray's updater does for `type: aws` alone, now that a node that it sets up has answered."""

    def addresses_of(self, node_id: str) -> list[str]:
        """Return the addresses of a node's hosts within the network."""
        address = self.internal_ip(node_id)
        return [address] if address else []

    def joined_nodes(self) -> list[_ray.JoinedNode] | None:
        """Return the nodes that have joined Ray; None where this process is no autoscaler."""
        return _ray.joined_nodes()

    def known_ends(self) -> Iterable[KnownEnd]:
        """Return the ends of machines that the cloud has set, and tells the machines too late or never."""
        return ()

    def node_events(self) -> dict[str, bytes]:
        """Return what the watchers of nodes have told, by key, and the known ends that are near."""
        return {**self._known_ends.events(self.known_ends(), self.joined_nodes), **_ray.node_events()}

    # Both by the nodes' ids in Ray.
    drain_nodes = staticmethod(_ray.drain_nodes)
    stop_nodes = staticmethod(_ray.stop_nodes)

    def _set_gate(self, provider_config: Mapping[str, Any]) -> None:
        config_path = _ray.autoscaler_config_path()
        if config_path is not None:  # on the head, whose Ray may be another than `ray up`'s
            check_ray(logger.warning)
            self._of_head = of_head()
        self.gate: Gate = gate_of(provider_config)
        self._known_ends = KnownEnds(self._now_s, lambda: watcher_policy(self.provider_config))
        # `ray up` and `ray down` make a provider too; only the autoscaler has a config to publish, and schedules.
        cluster_config.publish(config_path)
        cluster_config.spare_accelerators(provider_config, config_path)
        cluster_config.name_machine_types(config_path)
        self._rounds = Rounds()
        self._known = KnownNodes()
        if self.gate.active:
            early = EarlyRounds(_ray.demand_reader())
            self._early = early if _ray.replace_pause(early.pause) else None

    def _now_s(self) -> float:
        # Of the gate that there is now: a test gives a provider another one.
        return self.gate.clock()

    @property
    def watch(self) -> MachineWatch:
        """The watch over the machines that have not joined yet."""
        return self._watches()[0]

    @property
    def drains(self) -> NodeDrains:
        """The nodes whose watchers have found something."""
        known = self.__dict__.get("_drains")
        if known is None or known[0] is not self.gate:
            # Elsewhere nothing is drained, and a wrong policy must not keep `ray down` from ending machines.
            policy = watcher_policy(self.provider_config if self.gate.active else {})
            ray = RayNodes(self.node_events, self.joined_nodes, self.drain_nodes, self.stop_nodes)
            drains = NodeDrains(self.gate, self.watch.cloud, ray, policy)
            known = self.__dict__["_drains"] = (self.gate, drains)
        drained: NodeDrains = known[1]
        return drained

    @property
    def starts(self) -> MachineStarts:
        """The machines that are being set up."""
        return self._watches()[1]

    def _watches(self) -> tuple[MachineWatch, MachineStarts]:
        # Of this very gate: a test gives a provider another one.
        known = self.__dict__.get("_watching")
        if known is None or known[0] is not self.gate:
            watch = MachineWatch(self.gate, self, self.gate.clock, self.joined_nodes)
            # One step: threads of Ray's updaters come here at the same time.
            known = self.__dict__["_watching"] = (self.gate, watch, MachineStarts(self.gate, watch))
        return known[1], known[2]

    # Heads. `ray up` launches them, in a process of its own.

    @property
    def created_here(self) -> set[str]:
        """The nodes that this process has created; one that was stopped and is started again is none of them."""
        nodes: set[str] = self.__dict__.setdefault("_created_here", set())
        return nodes

    # What Ray asks and does.

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the names of the cluster's nodes with these tags; without a machine that is kept for inspection."""
        # Only a listing without filters is a round of an autoscaler, v1's and v2's; `ray up` filters by kind of node.
        if not tag_filters:
            self._rounds.began()
            if self._early is not None and self._early.is_early:
                return self._without_a_question()
        everything = nodes = self.listed_nodes(tag_filters)
        # In the list, a kept machine would count as a worker, and the autoscaler ends workers that do not join.
        hidden = self.gate.hidden()
        nodes = [node for node in nodes if node not in hidden]
        if not tag_filters and self.gate.active:
            # What the autoscaler was told of, and the cloud does not list yet, is a node anyway.
            late = [node for node in self._known.listed(nodes) if not self.is_over(node)]
            self.gate.kept.listed(everything)
            workers, late_workers = self._workers(nodes), self._workers(late)
            self.gate.listed(lambda: {**workers, **late_workers})
            self.watch.round(workers)
            self.drains.round(workers)
            nodes = [node for node in nodes if node not in self.gate.hidden()]
            nodes += [node for node in late if not self.is_over(node)]
        return nodes

    def _without_a_question(self) -> list[str]:
        """Return the nodes that are known, for a round that comes early: the cloud is asked as often as by Ray."""
        hidden = self.gate.hidden()
        nodes = [node for node in self._known.all() if node not in hidden]
        self.watch.shown(nodes)
        return nodes

    def is_over(self, node_id: str) -> bool:
        """Return whether a machine is known to have ended before it joined, or is given up."""
        machine = self.gate.machines.get(node_id)
        return machine is not None and bool(machine.ended or machine.given_up)

    def arrived(self, node_ids: Iterable[str]) -> None:
        """Take note of new nodes that a launch has made: their set-up may begin."""
        nodes = list(node_ids)
        if self._early is None or not nodes:
            return
        if ready := self.ready(nodes):
            self._known.launched(ready)
            self._early.came()

    def get_command_runner(self, log_prefix: str, node_id: str, *args: Any, **kwargs: Any) -> Any:
        """Return Ray's command runner for a node or for all hosts of a slice, watching the node's start."""
        if self.gate.active:  # in `ray up`, commands have the terminal
            if len(args) > _PROCESS_RUNNER:
                before, after = args[:_PROCESS_RUNNER], args[_PROCESS_RUNNER + 1 :]
                args = (*before, TailingProcessRunner(args[_PROCESS_RUNNER]), *after)
            elif "process_runner" in kwargs:
                kwargs["process_runner"] = TailingProcessRunner(kwargs["process_runner"])
        runner = super().get_command_runner(log_prefix, node_id, *args, **kwargs)  # type: ignore[misc]
        return RefusingCommandRunner(
            runner,
            lambda word, sentence: self.refuse(node_id, word, sentence),
            lambda word, sentence: self._joined(node_id, word, sentence),
            lambda: wait_until_seen(node_id, self._rounds),
            ToldStart(self.starts, node_id, self.answers),
            authentication=self._authentication,
            policies=lambda command: self._with_policies(node_id, command),
        )

    def _with_policies(self, node_id: str, command: str) -> str:
        """Return a start command with what the cluster file says of its node: the boot check's policy, the watcher."""
        # Of the config, as the gate has policies in an autoscaler only.
        confirmation, watcher = confirmation_policy(self.provider_config), watcher_policy(self.provider_config)
        named = any(policy.node_types for policy in (confirmation, confirmation.deep, watcher))
        asks = named or networks.DEVICES in self.provider_config
        asks = asks or machine_lists.MACHINES in self.provider_config
        node_type = self.watch.cloud.node_type(node_id) if asks else ""
        tags = self.watch.cloud.tags(node_id)
        machine = tags.get(machine_lists.TAG, "")
        prepared = machine_lists.entry_name(self.provider_config, node_type, machine)
        command = with_deep_check(with_policy(command, confirmation.of(node_type)), confirmation.deep.of(node_type))
        command = with_expected(command, networks.devices_of(self.provider_config, prepared))
        try:
            cloud = cloud_of(self.provider_config).name
        except ClusterConfigError:
            return command  # another package's provider, on ours: which service has its notices is not known
        command = with_bought(command, tags.get(TAG, ""), machine)
        return with_watch(command, cloud, watcher.of(node_type), head=self._is_head(node_id))

    def _authentication(self) -> Authentication:
        """Return what a node that is started from here is told about tokens."""
        return self._of_head or of_laptop(self.provider_config)

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Set tags of a node; one of Ray's says how far its set-up is."""
        super().set_node_tags(node_id, tags)  # type: ignore[misc]
        self.starts.tagged(node_id, tags)

    def terminate_node(self, node_id: str) -> None:
        """Terminate a node, or stop it with `cache_stopped_nodes`; one that failed before it joined is terminated."""
        if self.left_to_ray([node_id]):
            super().terminate_node(node_id)  # type: ignore[misc]

    def terminate_nodes(self, node_ids: list[str]) -> None:
        """Terminate nodes, or stop them with `cache_stopped_nodes`; those that failed are terminated."""
        if rest := self.left_to_ray(node_ids):
            super().terminate_nodes(rest)  # type: ignore[misc]

    def left_to_ray(self, node_ids: Iterable[str]) -> list[str]:
        """Return the nodes that end as Ray's provider ends them; those that failed are ended permanently here."""
        nodes = list(node_ids)
        self._known.ended(nodes)
        return self.watch.left_to_ray(self.drains.left_to_ray(nodes))

    # The verdict.

    def refuse(self, node_id: str, word: str, sentence: str) -> bool | str:
        """Terminate a machine or slice that does not hold what was promised, and remember it of its node type.

        Returns:
            Whether it is given up, or the sentence to say then; a head whose check came to no verdict is left to the
            person at `ray up`.
        """
        if not self._is_head(node_id):
            self.watch.refuse(node_id, word, sentence)
            return True
        # `ray up` shows Ray's own error then, and the machine is there to look at.
        if word == NO_VERDICT:
            return False
        logger.error("head node %s of type %s refused: %s", node_id, self.watch.cloud.node_type(node_id), sentence)
        # It has the disk, the logs and the results of a cluster that worked.
        if node_id not in self.created_here:
            return _LEFT.format(sentence)
        # A head is launched by `ray up`, at which a person sees the reason: it counts for no quarantine.
        self.end_for_good(node_id)
        logger.error("head node %s is terminated; nothing was scheduled on it", node_id)
        return True

    def _joined(self, node_id: str, word: str, sentence: str) -> None:
        if self._is_head(node_id):
            return
        node_type, zone = self.watch.cloud.node_type(node_id), self.watch.cloud.zone(node_id)
        if holds_promise(word) or self.gate.confirmation.of(node_type).always_joins:
            self.gate.confirmed(node_id, node_type, zone, word, joins_later=self.watch.asks_who_joined)
        else:  # it may join with less; but its type is no better for that
            logger.error("node %s of type %s joins with what it has: %s: %s", node_id, node_type, word, sentence)
            self.gate.refused(node_id, node_type, zone, word, sentence, ends=False)

    def _is_head(self, node_id: str) -> bool:
        # An autoscaler starts workers only: what it knows of one need not be asked of the cloud, which may not answer.
        if node_id in self.gate.workers() or self.gate.machines.get(node_id):
            return False
        try:
            return _ray.is_head(self.node_tags(node_id))
        except Exception:
            if self.gate.active:
                return False
            raise

    def _workers(self, nodes: list[str]) -> dict[str, str]:
        tags = ((node, self.node_tags(node)) for node in nodes)
        return {node: _ray.node_type_of(node_tags) for node, node_tags in tags if not _ray.is_head(node_tags)}
