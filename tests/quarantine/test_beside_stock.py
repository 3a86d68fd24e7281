"""Ten minutes of Ray's own autoscalers, round by round, on the local EC2: stock Ray's provider beside ours.

Real: Ray's reconciler, scheduler, instance manager and adapter, or all of v1's autoscaler; the providers; EC2's API. A
round is 5 s of emulated time. A machine that is up takes three rounds to boot; its start then fails, as the updater
would see it.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.settings import HostKind
from tests.providers.aws.test_provider import tags
from tests.support.autoscaler_rounds import cluster_state, head_state, settle
from tests.support.cluster import config_of, machines_of
from tests.support.resolved import resolved

pytestmark = pytest.mark.slow

ROUNDS, ROUND_S, BOOT_ROUNDS = 120, 5.0, 3
LIAR, DRY = "g4dn.xlarge", "g5.xlarge"
WANTED = [{"GPU": 1, f"accelerator_type:{name}": 0.001} for name in ("T4", "A10G")]  # one that each of them serves
# To the third type: each of two liars is launched in one round and boots; then the sold-out type, then the third.
MOST_ROUNDS = 2 * (1 + BOOT_ROUNDS) + 2
# Without updaters and threads, as a round at a time needs it: keys of Ray's for providers that start Ray themselves.
PROVIDER = {
    "cache_stopped_nodes": False,
    "disable_node_updaters": True,
    "foreground_node_launch": True,
    "worker_liveness_check": False,
}


class Booting:
    """The workers of a provider, and for how many rounds each has been up."""

    provider: Any
    age: dict[str, int]

    def booted(self) -> list[str]:
        """The workers that have been up for as long as a boot takes."""
        nodes = self.provider.non_terminated_nodes({"ray-node-type": "worker"})
        self.age = {node: self.age.get(node, 0) + 1 for node in nodes}
        return [node for node in nodes if self.age[node] == BOOT_ROUNDS]

    def launch_head(self, path: Path) -> str:
        node_config = yaml.safe_load(path.read_text())["available_node_types"]["head"]["node_config"]
        (head,) = self.provider.create_node(node_config, tags("head", "head"), 1)
        return str(head)


class V1(Booting):
    """v1's autoscaler without its cluster: demands that nothing serves, for ever pending."""

    def __init__(self, path: Path, provider: Any) -> None:
        from ray.autoscaler._private.autoscaler import StandardAutoscaler
        from ray.autoscaler._private.load_metrics import LoadMetrics

        self.provider, self.age = provider, {}
        self.launch_head(path)
        self.load = LoadMetrics()
        with mock.patch("ray.autoscaler._private.autoscaler._get_node_provider", return_value=provider):
            self.autoscaler = StandardAutoscaler(str(path), self.load, mock.Mock(), update_interval_s=0)

    def run(self, demands: list[dict[str, float]]) -> None:
        self.load.waiting_bundles = demands
        self.autoscaler.update()


class V2(Booting):
    """v2's autoscaler without its cluster: demands that nothing serves, for ever pending."""

    def __init__(self, path: Path, provider: Any) -> None:
        from ray.autoscaler.v2.instance_manager import (
            config,
            instance_manager,
            instance_storage,
            node_provider,
            storage,
        )
        from ray.autoscaler.v2.instance_manager.subscribers import cloud_instance_updater, cloud_resource_monitor
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

        self.provider = provider
        self.reader = config.FileConfigReader(str(path))
        self.adapter = node_provider.NodeProviderAdapter(provider, self.reader)
        self.monitor = cloud_resource_monitor.CloudResourceMonitor()
        self.manager = instance_manager.InstanceManager(
            instance_storage.InstanceStorage("c", storage.InMemoryStorage()),
            [cloud_instance_updater.CloudInstanceUpdater(self.adapter), self.monitor],
        )
        self.scheduler = ResourceDemandScheduler(None)
        self.age = {}
        self.head = self.launch_head(path)

    def run(self, demands: list[dict[str, float]]) -> None:
        from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

        self.reader.refresh_cached_autoscaling_config()
        Reconciler.reconcile(
            instance_manager=self.manager,
            scheduler=self.scheduler,
            cloud_provider=self.adapter,
            cloud_resource_monitor=self.monitor,
            ray_cluster_resource_state=cluster_state([head_state(self.head)], demands),
            non_terminated_cloud_instances=self.adapter.get_non_terminated(),
            cloud_provider_errors=self.adapter.poll_errors(),
            ray_install_errors=[],
            ray_stop_errors=[],
            autoscaling_config=self.reader.get_cached_autoscaling_config(),
        )
        settle(self.adapter)


@pytest.fixture(name="ec2", scope="module")
def ec2_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEC2]:
    with LocalEC2(tmp_path_factory.mktemp("cloud") / "ec2", kind=HostKind.PROCESSES) as local:
        yield local


@pytest.fixture(autouse=True)
def _yaml_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both autoscalers read their config in each of these rounds, with a parser that takes a fourth of the time."""
    monkeypatch.setattr(yaml, "safe_load", functools.partial(yaml.load, Loader=yaml.CSafeLoader))


@pytest.fixture(name="account")
def account_fixture(ec2: LocalEC2, monkeypatch: pytest.MonkeyPatch) -> LocalEC2:
    from ray.autoscaler._private.aws import utils

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "rehearsal")
    monkeypatch.setenv("AWS_ENDPOINT_URL", ec2.endpoint_url)
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
    ec2.set_faults(Fault.capacity(DRY, 0))
    return ec2


def on_the_head(account: LocalEC2, machines: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """Return a cluster config as the head has it, and its file; this process is the head's autoscaler."""
    config = resolved(with_keys_needed_by_ray(config_of(machines, provider=PROVIDER)))
    for key in ("head_node", "worker_nodes", "_config_cache_path"):  # as `ray up` takes them out on its way to the head
        config.pop(key, None)
    path = account.directory / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
    return config, path


def asked_in_ten_minutes(account: LocalEC2, path: Path, provider: Any, autoscaler: type[V1 | V2]) -> Counter[str]:
    """Return how often EC2 was asked for each machine, with a demand for each of the two bad ones."""
    before = len(machines_of(account, ["asked"]))
    now_s = time.time()
    gate = getattr(provider, "gate", None)
    rounds = autoscaler(path, provider)
    for number in range(ROUNDS):
        if gate:
            gate._clock = lambda after_s=number * ROUND_S: now_s + after_s
        rounds.run(WANTED)
        for node in rounds.booted():
            if gate:
                provider.refuse(node, "DriverMissing", "DriverMissing: promised 1; 0 seen")
            else:
                provider.terminate_node(node)  # what v2 does, after its third failed start
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    return Counter(machines_of(account, ["asked"])[before:])


@pytest.mark.parametrize(
    ("autoscaler", "stocks"),
    [
        (V2, {LIAR: 20, DRY: 60}),
        # v1 leaves a type alone for half an hour that it could not launch. By night: tests/benchmarks has ours with v1.
        pytest.param(V1, {LIAR: 20, DRY: 1}, marks=pytest.mark.wide),
    ],
)
def test_in_ten_minutes_stock_ray_asks_for_bad_types_again_and_again_and_ours_a_few_times(
    autoscaler: type[V1 | V2], stocks: dict[str, int], account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider

    config, path = on_the_head(account, {"liar": LIAR, "dry": DRY}, monkeypatch)
    asked = []
    for provider in (AWSAcceleratorNodeProvider, AWSNodeProvider):
        path.write_text(yaml.safe_dump(config))
        made = provider(config["provider"], config["cluster_name"])
        asked.append(asked_in_ten_minutes(account, path, made, autoscaler))
    ours, stock = asked
    assert 1 <= ours[LIAR] <= 4
    assert 1 <= ours[DRY] <= 16
    for machine, least in stocks.items():
        assert stock[machine] >= least


@pytest.mark.parametrize("autoscaler", [V2, V1])
def test_the_third_type_is_asked_for_after_two_liars_one_round_of_sold_out_zones_and_no_round_lost(
    autoscaler: type[V1 | V2], account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long that takes on real clusters, benchmarks/quarantine.py measures."""
    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider

    machines = {"liar": "g4dn.xlarge", "dry": "g4dn.2xlarge", "good": "g4dn.4xlarge"}
    account.set_faults(Fault.capacity(machines["dry"], 0))
    config, path = on_the_head(account, machines, monkeypatch)
    provider = AWSAcceleratorNodeProvider(config["provider"], config["cluster_name"])
    rounds = autoscaler(path, provider)
    before = len(machines_of(account, ["asked"]))
    taken = 0
    while machines["good"] not in machines_of(account, ["asked"])[before:]:
        taken += 1
        assert taken <= MOST_ROUNDS, f"asked for: {machines_of(account, ['asked'])[before:]}"
        rounds.run([{"CPU": 1, "GPU": 1, "accelerator_type:T4": 0.001}])
        for node in rounds.booted():
            provider.refuse(node, "DriverMissing", "DriverMissing: promised 1; 0 seen")
    asked = Counter(machines_of(account, ["asked"])[before:])
    assert asked[machines["liar"]] == 2, "one in each of two zones: then it is not the zone"
    assert asked[machines["dry"]] == len(config["available_node_types"]["dry"]["node_config"]["SubnetIds"]), "once each"
    provider.terminate_nodes(provider.non_terminated_nodes({}))
