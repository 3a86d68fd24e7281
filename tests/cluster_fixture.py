"""A real Ray cluster on a local cloud, with the commands that a user has: ray up, exec, down."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from accel_scaling.local_hosts.local_cloud import LocalCloud
from accel_scaling.local_hosts.settings import Kind
from accel_scaling.rehearse.clouds import cloud_of

ROOT = Path(__file__).resolve().parent.parent
MODULE = "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"
GCP_MODULE = "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider"

V2: Mapping[str, str] = {}
V1: Mapping[str, str] = {"RAY_UP_enable_autoscaler_v2": "0"}


def config_of(machines: Mapping[str, str], *, head: str = "m5.large", provider: Mapping[str, Any] | None = None) -> Any:
    """A cluster config with a node type per entry, at most two of each."""
    node_types = {name: {"max_workers": 2, "node_config": {"InstanceType": one}} for name, one in machines.items()}
    return {
        "cluster_name": "loop",
        "provider": {"type": "external", "module": MODULE, "region": "us-west-2", **(provider or {})},
        "max_workers": 8,
        "idle_timeout_minutes": 10,
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"InstanceType": head}}, **node_types},
    }


def gcp_config_of(
    node_configs: Mapping[str, Any], *, head: str = "n2-standard-2", zones: str = "us-central1-a"
) -> dict[str, Any]:
    """A cluster config on Google Cloud, at most two nodes of each type; a word is a machine type."""
    node_types = {
        name: {"max_workers": 2, "node_config": {"machineType": one} if isinstance(one, str) else one}
        for name, one in node_configs.items()
    }
    config: dict[str, Any] = config_of({}, provider={"module": GCP_MODULE, "availability_zone": zones})
    config["provider"] |= {"project_id": "p", "region": zones.partition(",")[0].rpartition("-")[0]}
    config["available_node_types"] = {"head": {"node_config": {"machineType": head}}, **node_types}
    return config


@dataclass
class Cluster:
    """A cluster file on a local cloud."""

    local: LocalCloud
    path: Path
    autoscaler: Mapping[str, str]

    def ray(self, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a ray command on the laptop."""
        env = {**self.local.environment(), **self.autoscaler}
        return self.local.run(
            ["ray", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s
        )

    def up(self) -> None:
        done = self.ray("up", "-y", str(self.path))
        assert done.returncode == 0, done.stdout[-3000:]
        self.has("cluster_task.py")

    def has(self, program: str) -> None:
        """Put one of the tests' programs on the head."""
        done = self.ray("rsync-up", str(self.path), str(ROOT / "tests" / program), program)
        assert done.returncode == 0, done.stdout[-3000:]

    def exec(self, command: str) -> str:
        done = self.ray("exec", str(self.path), command)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def task(self, *, timeout_s: float = 120, **options: Any) -> dict[str, Any]:
        """Run one task with these options of ray.remote; say what it saw and which machines are alive."""
        result: dict[str, Any] = self._said("cluster_task.py", json.dumps(options), str(timeout_s))
        return result

    def scenario(self, name: str, argument: Any) -> Any:
        """What a scenario of cluster_accs.py returns on the head."""
        return self._said("cluster_accs.py", name, json.dumps(argument))

    def _said(self, *words: str) -> Any:
        text = self.exec(shlex.join(["python3", *words]))
        result = next(line for line in text.splitlines() if line.startswith("RESULT "))
        return json.loads(result.removeprefix("RESULT "))

    def log(self) -> str:
        """The autoscaler's log, from the head."""
        return self.exec("cat ${RAY_TMPDIR:-/tmp}/ray/session_latest/logs/monitor.log")

    def wait(self, what: str, until: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait for something, and say what never happened."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
            time.sleep(0.5)


@contextlib.contextmanager
def cluster(config: Any, autoscaler: Mapping[str, str] = V2, kind: Kind | None = None) -> Iterator[Cluster]:
    """A local cloud with this cluster file, not yet up; everything is gone afterwards."""
    cloud = cloud_of(config)
    with (
        tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True) as folder,
        cloud.local(Path(folder), kind, config) as local,
    ):
        path = Path(folder) / "cluster.yaml"
        path.write_text(yaml.safe_dump(cloud.aimed(config, local)[0]))
        yield Cluster(local, path, autoscaler)


def machines_of(local: LocalCloud, events: Sequence[str]) -> list[str]:
    """The instance types of these kinds of events, oldest first."""
    return [event.instance_type for event in local.events() if event.kind.value in events]
