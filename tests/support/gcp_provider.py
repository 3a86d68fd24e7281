"""The GCP provider, and Ray's own beside it, on one local Compute Engine."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from accel_scaling import timeouts
from accel_scaling.providers.gcp.client import client
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import CallFault, FaultInjection
from accel_scaling.testing.gce.instances import capacity_type_of, reservation_of
from accel_scaling.testing.gce.reservations import GceReservation
from accel_scaling.testing.gce.server import serve
from tests.support.resolved import resolved

MODULE = "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider"
PROJECT = "rehearsal"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
CLUSTER = "mine"

DISKS = [
    {
        "boot": True,
        "autoDelete": True,
        "initializeParams": {"diskSizeGb": 50, "sourceImage": "projects/p/global/images/i"},
    }
]
MACHINES: dict[str, dict[str, Any]] = {
    "head": {"machineType": "n2-standard-2", "disks": DISKS},
    "cpu": {"machineType": "n1-standard-4", "disks": DISKS},
    "l4": {"machineType": "g2-standard-4", "disks": DISKS, "scheduling": {"provisioningModel": "SPOT"}},
    "t4": {
        "machineType": "n1-standard-4",
        "disks": DISKS,
        "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}],
        "scheduling": {"preemptible": True, "onHostMaintenance": "TERMINATE"},
    },
}
SLICES: dict[str, dict[str, Any]] = {
    "v4": {"acceleratorType": "v4-16", "runtimeVersion": "tpu-ubuntu2204-base"},
}


@dataclass
class Google:
    """The local Compute Engine, and what the tests do to it."""

    engine: ComputeEngine
    url: str

    @property
    def injection(self) -> FaultInjection:
        return self.engine.injection

    def fault(self, method: str, *, times: int = 1, **how: Any) -> None:
        self.injection.call_faults.append(CallFault(method=method, times=times, **how))

    def add_template(self, name: str, properties: dict[str, Any]) -> None:
        """Put an instance template into the project, as a user has done before."""
        compute = client(config_of(self.url)["provider"], "compute")
        compute.instanceTemplates().insert(project=PROJECT, body={"name": name, "properties": properties}).execute()

    def reserve(self, *reservations: GceReservation) -> None:
        """Give the account these reservations, and no others."""
        self.engine.set_reservations(reservations)

    def bought(self) -> list[str]:
        """How each machine was bought, by Google's own records."""
        return sorted(
            (reservation_of(one).rpartition("/")[2] or capacity_type_of(one)) for one in self.machines().values()
        )

    def machines(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.engine.instances()}

    def slices(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.engine.tpu_nodes()}

    def queued(self) -> dict[str, dict[str, Any]]:
        """Return the queued resources of Cloud TPU."""
        return {one["name"]: one for one in self.engine.queued_resources()}

    def count(self, method: str) -> int:
        return sum(1 for call in self.engine.calls if call[1] == method)


@contextlib.contextmanager
def google(**injection: Any) -> Iterator[Google]:
    engine = ComputeEngine(project=PROJECT, zones=ZONES, injection=FaultInjection(**injection))
    try:
        with serve(engine) as url:
            yield Google(engine, url)
    finally:
        from accel_scaling.providers.gcp.labels import abandon_all

        abandon_all()  # else the process would try to write them when it ends


def config_of(url: str, *, slices: bool = False, **provider: Any) -> dict[str, Any]:
    """A cluster file of ours, with a node type of each kind of machine."""
    kinds = {**MACHINES, **(SLICES if slices else {})}
    return {
        "cluster_name": CLUSTER,
        "max_workers": 1000,
        "provider": {
            "type": "external",
            "module": MODULE,
            "project_id": PROJECT,
            "region": "us-central1",
            "availability_zone": ZONES[0],
            "api_endpoints": url,
            "gcp_credentials": {"type": "anonymous"},
            **provider,
        },
        "auth": {"ssh_user": "ubuntu"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": copy.deepcopy(one)} for name, one in kinds.items()},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


def provider_of(config: dict[str, Any]) -> Any:
    from ray.autoscaler._private.providers import _get_node_provider

    return _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)


def ours(at: Google, **how: Any) -> tuple[Any, dict[str, Any]]:
    """Our provider for a resolved config, and that config's node_configs."""
    config = resolved(config_of(at.url, **how))
    return provider_of(config), node_configs(config)


def node_configs(config: dict[str, Any]) -> dict[str, Any]:
    return {name: one["node_config"] for name, one in config["available_node_types"].items()}


def tags(node_type: str = "cpu", kind: str = "worker", cluster: str = CLUSTER) -> dict[str, str]:
    return {
        "ray-node-name": f"ray-{cluster}-{kind}",
        "ray-node-type": kind,
        "ray-node-status": "uninitialized",
        "ray-launch-config": "a" * 40,
        "ray-user-node-type": node_type,
    }


@contextlib.contextmanager
def rays_client_at(url: str, sleeps: float = 0.01) -> Iterator[None]:
    """Let Ray's own provider call the Compute Engine at this URL; its fixed sleeps of 5 s take 0.05 s."""
    from googleapiclient import discovery
    from ray.autoscaler._private.gcp import config as rays_config
    from ray.autoscaler._private.gcp import node as rays_node
    from ray.autoscaler._private.gcp import node_provider as rays_provider

    build, sleep = discovery.build, time.sleep

    def aimed(api: str, version: str, **arguments: Any) -> Any:
        arguments.pop("discoveryServiceUrl", None)  # Ray fetches this document from Google each time
        path = "/compute/v1/" if api == "compute" else "/"
        own = {"static_discovery": True, "client_options": {"api_endpoint": url + path}}
        return build(api, "v2" if api == "tpu" else version, **{**arguments, **own})

    quick = SimpleNamespace(sleep=lambda seconds: sleep(seconds * sleeps), time=time.time)
    modules = (rays_config, rays_node, rays_provider)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(discovery, "build", aimed))
        for module in modules:
            stack.enter_context(mock.patch.object(module, "time", quick))
        yield


@contextlib.contextmanager
def stock(
    at: Google, *, slices: bool = False, sleeps: float = 0.01, **how: Any
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Ray's own provider on the same Compute Engine, and the node_configs."""
    from ray.autoscaler._private.gcp import node_provider as rays_provider

    with rays_client_at(at.url, sleeps):
        config = config_of(at.url, slices=slices, **how)
        config["provider"] |= {"type": "gcp", "gcp_credentials": {"type": "credentials_token", "credentials": "x"}}
        made = rays_provider.GCPNodeProvider.bootstrap_config(config)
        yield rays_provider.GCPNodeProvider(made["provider"], CLUSTER), node_configs(made)


def wait_until(what: str, done: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)


@pytest.fixture(name="gce")
def quick_google_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """A local Compute Engine that is asked again at once."""
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.001, 0.001))
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.005)
    with google() as at:
        yield at
