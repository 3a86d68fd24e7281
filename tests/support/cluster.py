"""A real Ray cluster on a local cloud, with the commands that a user has: ray up, exec, down.

Each `ray` command takes 2.5 s of CPU on the laptop. Where the command itself is not what a test is about, its
question goes to the head over plain ssh, which takes a twentieth of that.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_scaling.boot import bundle
from accel_scaling.testing.base_cloud import LocalCloud
from accel_scaling.testing.hosts.events import Event, EventKind
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.local_clouds import local_cloud_of

ROOT = Path(__file__).resolve().parents[2]
MODULE = "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"
GCP_MODULE = "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider"

# As the shells of `ray exec` begin.
LOGIN = "source ~/.bashrc; "
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10")
# Part of a cluster file: Ray without what no test asks it for (on each head 10 s of CPU, most of it the dashboard), on
# machines where there is none to stop, with an autoscaler that looks every 2 s, not every 5 s.
LEAN_HEAD = (
    "export AUTOSCALER_UPDATE_INTERVAL_S=2; ray start --head --port=6379 --object-manager-port=8076 "
    "--include-dashboard=false --include-log-monitor=false "
    "--autoscaling-config=~/ray_bootstrap_config.yaml"
)
LEAN_WORKER = "ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 --include-log-monitor=false"
LEAN = {"head_start_ray_commands": [LEAN_HEAD], "worker_start_ray_commands": [LEAN_WORKER]}
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
        self.exec(f"cat > {program}", (ROOT / "tests" / "programs" / program).read_text(encoding="utf-8"))

    def exec(self, command: str, content: str = "") -> str:
        """What a command prints on the head, with this content as its input."""
        keys = (self.local.settings.laptop / ".ssh").glob("ray-autoscaler*")
        (key,) = [path for path in keys if path.suffix != ".pub"]
        options = [word for option in SSH_OPTIONS for word in ("-o", option)]
        line = shlex.join(["bash", "--login", "-c", "-i", LOGIN + command])
        words = ["ssh", "-i", key, *options, f"{self.local.settings.ssh_user}@{self.head.address}", line]
        done = self.local.run(words, input=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    @property
    def head(self) -> Event:
        """How the machine began that `ray up` launched."""
        return next(event for event in self.local.events() if event.kind is EventKind.BOOTED)

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
        """The autoscaler's log, from the head's disk."""
        sessions = self.local.host_file(str(self.head.instance_id), "/tmp/ray")
        logs = sorted(sessions.glob("session_[0-9]*/logs/monitor.log"))
        return logs[-1].read_text(encoding="utf-8") if logs else ""

    def wait(self, what: str, until: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait for something, and say what never happened."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
            time.sleep(0.5)


@contextlib.contextmanager
def cluster(config: Any, autoscaler: Mapping[str, str] = V2, kind: HostKind | None = None) -> Iterator[Cluster]:
    """A local cloud with this cluster file, not yet up; everything is gone afterwards."""
    cloud = local_cloud_of(config)
    with (
        tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True) as folder,
        cloud(Path(folder), place=cloud.place_of(config), kind=kind) as local,
    ):
        # `ray up` finds the package packed, as on a laptop that has used it before: half a second of CPU.
        shutil.copytree(bundle.build().parent, local.settings.laptop / ".cache" / "accel_scaling")
        yield Cluster(local, local.write_cluster(config)[0].path, autoscaler)


def machines_of(local: LocalCloud, events: Sequence[str]) -> list[str]:
    """The instance types of these kinds of events, oldest first."""
    return [event.instance_type for event in local.events() if event.kind.value in events]
