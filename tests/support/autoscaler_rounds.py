"""Ray's own autoscalers round by round, in emulated time, with a cloud behind them and machines that are folders.

Real: v2's reconciler, scheduler, instance manager, adapter and installer; all of v1's autoscaler and its updaters; the
provider; the cloud's API. Left out: the cluster itself. Demands wait until a machine that serves them has joined.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from tests.support.emulated_ssh import EmulatedSsh
from tests.support.emulated_time import EmulatedTime

ROUND_S = 5.0
Demands = Sequence[Mapping[str, float]]

# ThreadedRayInstaller's: three attempts, and a wait after each of them, the last too.
_ATTEMPTS, _FIRST_WAIT_S = 3, 10.0


class Rounds:
    """An autoscaler: its rounds, and the machines that it waits for."""

    def __init__(self, path: Path, provider: Any, ssh: EmulatedSsh, clock: EmulatedTime) -> None:
        """Take over a cluster whose head runs.

        Args:
            path: the cluster config, as the head has it.
            provider: of the autoscaler.
            ssh: how machines are reached.
            clock: the time.
        """
        self.path = path
        self.provider = provider
        self.ssh = ssh
        self.clock = clock

    def round(self, demands: Demands) -> None:
        """Let one round of the autoscaler pass, and the time until the next."""
        raise NotImplementedError

    def joined(self) -> list[str]:
        """The workers whose Ray was started."""
        return [
            node for node in self.provider.non_terminated_nodes({"ray-node-type": "worker"}) if self.ssh.joined(node)
        ]

    def resources_of(self, node: str) -> dict[str, float]:
        """The promised resources of a node."""
        node_types = yaml.load(self.path.read_text(), yaml.CSafeLoader)["available_node_types"]
        resources: dict[str, float] = node_types[self.type_of(node)]["resources"]
        return resources

    def type_of(self, node: str) -> str:
        """The node type of a node."""
        return str(self.provider.node_tags(node)["ray-user-node-type"])


def node_state(name: str, node_type: str, resources: Mapping[str, float]) -> Any:
    """Return what Ray's control store tells v2 of a node that runs, with nothing on it."""
    from ray.core.generated import autoscaler_pb2 as pb

    return pb.NodeState(
        node_id=name.encode(),
        instance_id=name,
        ray_node_type_name=node_type,
        status=pb.NodeStatus.RUNNING,
        total_resources=resources,
        available_resources=resources,
    )


def head_state(name: str) -> Any:
    """Return the same of the head, which no demand fits."""
    return node_state(name, "head", {"node:__internal_head__": 1.0})


def cluster_state(nodes: Sequence[Any], demands: Demands) -> Any:
    """Return what Ray's control store tells v2 of a cluster.

    Args:
        nodes: those that run.
        demands: what waits.
    """
    from ray.core.generated import autoscaler_pb2 as pb

    return pb.ClusterResourceState(
        node_states=nodes,
        pending_resource_requests=[
            pb.ResourceRequestByCount(request=pb.ResourceRequest(resources_bundle=demand), count=1)
            for demand in demands
        ],
    )


def settle(adapter: Any) -> None:
    """Let the launches and terminations of a round of v2 end: its adapter has threads for them."""
    adapter._main_executor.submit(lambda: None).result()
    pool = adapter._node_launcher_executors
    idle = threading.Barrier(pool._max_workers)  # reached when no thread is busy with anything else
    for waiting in [pool.submit(idle.wait) for _ in range(pool._max_workers)]:
        waiting.result()


class V2(Rounds):
    """Autoscaler v2."""

    def __init__(self, path: Path, provider: Any, ssh: EmulatedSsh, clock: EmulatedTime) -> None:
        super().__init__(path, provider, ssh, clock)
        from ray.autoscaler.v2.instance_manager import (
            config,
            instance_manager,
            instance_storage,
            node_provider,
            ray_installer,
            storage,
        )
        from ray.autoscaler.v2.instance_manager.subscribers import cloud_instance_updater, cloud_resource_monitor
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

        (self.head,) = provider.non_terminated_nodes({"ray-node-type": "head"})
        self.reader = config.FileConfigReader(str(path))
        self.adapter = node_provider.NodeProviderAdapter(provider, self.reader)
        self.monitor = cloud_resource_monitor.CloudResourceMonitor()
        store = instance_storage.InstanceStorage("c", storage.InMemoryStorage())
        installer = ray_installer.RayInstaller(provider, self.reader.get_cached_autoscaling_config())
        self.installs = _Installs(store, installer, clock)
        updater = cloud_instance_updater.CloudInstanceUpdater(self.adapter)
        self.manager = instance_manager.InstanceManager(store, [updater, self.installs, self.monitor])
        self.scheduler = ResourceDemandScheduler(None)

    def round(self, demands: Demands) -> None:
        from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

        self.reader.refresh_cached_autoscaling_config()
        Reconciler.reconcile(
            instance_manager=self.manager,
            scheduler=self.scheduler,
            cloud_provider=self.adapter,
            cloud_resource_monitor=self.monitor,
            ray_cluster_resource_state=self._state(demands),
            non_terminated_cloud_instances=self.adapter.get_non_terminated(),
            cloud_provider_errors=self.adapter.poll_errors(),
            ray_install_errors=self.installs.take_errors(),
            ray_stop_errors=[],
            autoscaling_config=self.reader.get_cached_autoscaling_config(),
        )
        settle(self.adapter)
        self.installs.run()
        self.clock.sleep(ROUND_S)

    def _state(self, demands: Demands) -> Any:
        workers = [node_state(node, self.type_of(node), self.resources_of(node)) for node in self.joined()]
        return cluster_state([head_state(self.head), *workers], demands)


class _Installs:
    """Stands for ThreadedRayInstaller, whose threads sleep: the same attempts and waits, in emulated time."""

    def __init__(self, store: Any, installer: Any, clock: EmulatedTime) -> None:
        self._store = store
        self._installer = installer
        self._clock = clock
        self._due: dict[str, tuple[float, int]] = {}  # instance -> when, and which attempt
        self._errors: list[tuple[float, Any]] = []

    def notify(self, events: Sequence[Any]) -> None:
        """Note the machines on which Ray is to be installed; Ray calls this."""
        from ray.core.generated.instance_manager_pb2 import Instance

        for event in events:
            if event.new_instance_status == Instance.RAY_INSTALLING:
                self._due[event.instance_id] = (time.time(), 0)

    def run(self) -> None:
        """Make the attempts that are due."""
        for instance_id, (due_s, attempt) in list(self._due.items()):
            if due_s > time.time():
                continue
            del self._due[instance_id]
            (instance,) = self._store.get_instances(instance_ids={instance_id})[0].values() or [None]
            with self._clock.elsewhere() as took:
                error = self._attempt(instance)
            if error is None:
                continue
            next_s = time.time() + took[0] + _FIRST_WAIT_S * 2**attempt
            if attempt + 1 < _ATTEMPTS:
                self._due[instance_id] = (next_s, attempt + 1)
            else:
                self._errors.append((next_s, self._error(instance_id, error)))

    def take_errors(self) -> list[Any]:
        """Return what failed permanently, as far as it is known by now."""
        now_s = time.time()
        taken = [error for at_s, error in self._errors if at_s <= now_s]
        self._errors = [(at_s, error) for at_s, error in self._errors if at_s > now_s]
        return taken

    def _attempt(self, instance: Any) -> Exception | None:
        try:
            self._installer.install_ray(instance, "10.0.0.1")
        except Exception as error:  # noqa: BLE001 - as Ray's installer does
            return error
        return None

    @staticmethod
    def _error(instance_id: str, error: Exception) -> Any:
        from ray.autoscaler.v2.instance_manager.subscribers.threaded_ray_installer import RayInstallError

        return RayInstallError(instance_id, str(error))


class V1(Rounds):
    """Autoscaler v1."""

    def __init__(self, path: Path, provider: Any, ssh: EmulatedSsh, clock: EmulatedTime) -> None:
        super().__init__(path, provider, ssh, clock)
        from ray.autoscaler._private.autoscaler import StandardAutoscaler
        from ray.autoscaler._private.load_metrics import LoadMetrics

        self.load = LoadMetrics()
        with mock.patch("ray.autoscaler._private.autoscaler._get_node_provider", return_value=provider):
            self.autoscaler = StandardAutoscaler(str(path), self.load, mock.Mock(), update_interval_s=0)

    def round(self, demands: Demands) -> None:
        joined = self.joined()
        # What no joined machine serves; v1 is told of the machines by what they report.
        self.load.waiting_bundles = [
            dict(demand) for demand in demands if not any(_serves(self.resources_of(node), demand) for node in joined)
        ]
        for node in joined:
            self.load.mark_active(self.provider.internal_ip(node))
        with mock.patch("ray.autoscaler._private.autoscaler.NodeUpdaterThread", self._updater):
            self.autoscaler.update()
        self.clock.sleep(ROUND_S)

    def _updater(self, **arguments: Any) -> Any:
        from ray.autoscaler._private.updater import NodeUpdater

        return _Updater(NodeUpdater(**arguments), self.clock)


class _Updater:
    """Stands for NodeUpdaterThread: the same updater, in emulated time."""

    def __init__(self, updater: Any, clock: EmulatedTime) -> None:
        self._updater = updater
        self._clock = clock
        self._ends_s: float | None = None
        self.exitcode = -1
        self.update_time: float | None = None
        self.for_recovery = updater.for_recovery

    def start(self) -> None:
        """Begin, in the round after this."""
        self._begins_s = time.time() + ROUND_S

    def is_alive(self) -> bool:
        """Run it where it is due; say whether it still runs."""
        if self._ends_s is None and time.time() >= self._begins_s:
            with self._clock.elsewhere() as took:
                try:
                    self._updater.run()
                    self.exitcode = getattr(self._updater, "exitcode", -1)
                except Exception:  # noqa: BLE001 - the thread would end
                    self.exitcode = -1
            self._ends_s = time.time() + took[0]
        return self._ends_s is None or time.time() < self._ends_s


def _serves(resources: Mapping[str, float], demand: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in demand.items())
