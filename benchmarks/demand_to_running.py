"""From a task's demand to the task running on a new node: ours (boot check included) beside stock Ray's provider.

Real `ray up` and the real autoscaler, each cluster on a local cloud of its own; rounds alternate. In each, three tasks
ask for three kinds of GPU, one after another, so each waits for a new node. Set-up commands are empty for both.
The way is shown in two parts: until the cloud is asked for a machine, and from there until the task runs on it. The
calls of the cloud's API are counted from the first demand to the last running task.
"""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.providers.gcp.local_cloud import DISKS, LocalGCE
from accel_scaling.tables import render
from accel_scaling.testing.hosts.call_log import read_calls
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.base_cloud import LocalCloud

SIDES = ("ours", "stock")

Config = dict[str, Any]


class DemandCloud(ABC):
    """What the benchmark knows of a cloud.

    Attributes:
        workers: the machine types of the workers, each with the accelerator type that a task asks for.
    """

    local_cloud: type[LocalCloud]
    workers: Mapping[str, str]

    @abstractmethod
    def config(self, side: str, local: LocalCloud) -> Config:
        """Return a cluster config of ``ours`` or ``stock`` with three GPU node types that start with no node."""

    def variables(self, side: str, local: LocalCloud) -> dict[str, str]:  # noqa: ARG002 - a cloud may need them
        """Return the environment variables that `ray` needs on the laptop."""
        return {}


class Aws(DemandCloud):
    """EC2, where stock Ray fills in the resources itself."""

    local_cloud = LocalEC2
    workers = {"g4dn.xlarge": "T4", "g5.xlarge": "A10G", "g6.xlarge": "L4"}  # noqa: RUF012 - never changed

    def config(self, side: str, local: LocalCloud) -> Config:
        """See the base class."""
        ours = {"type": "external", "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"}
        types = {name: {"InstanceType": name} for name in ("m5.large", *self.workers)}
        config = _config({**(ours if side == "ours" else {"type": "aws"}), "region": "us-west-2"}, types)
        return local.adapted(config, local.settings.endpoint_url)[0]


class Gcp(DemandCloud):
    """Compute Engine. Stock Ray promises no GPU there, so its file has the resources, written by hand.

    Stock Ray knows Google's own addresses only: ``REDIRECT`` aims its clients at the local Compute Engine, on the
    laptop and, copied there, on the head. Nothing else of it is changed.
    """

    local_cloud = LocalGCE
    workers = {"n1-standard-4": "T4", "a2-highgpu-1g": "A100", "g2-standard-4": "L4"}  # noqa: RUF012 - never changed

    def config(self, side: str, local: LocalCloud) -> Config:
        """See the base class."""
        provider = {
            "type": "external",
            "module": "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
            "project_id": "rehearsal",
            "region": "us-central1",
            "availability_zone": "us-central1-a",
        }
        types = {name: _gcp_node_config(name) for name in ("n2-standard-2", *self.workers)}
        config = local.adapted(_config(provider, types), local.settings.endpoint_url)[0]
        return config if side == "ours" else self._stock(config, local)

    def variables(self, side: str, local: LocalCloud) -> dict[str, str]:
        """See the base class."""
        return {"PYTHONPATH": str(_redirect_folder(local))} if side == "stock" else {}

    def _stock(self, config: Config, local: LocalCloud) -> Config:
        folder = _redirect_folder(local)
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(REDIRECT.format(url=local.settings.endpoint_url), encoding="utf-8")
        del config["provider"]["module"], config["provider"]["api_endpoints"]
        config["provider"] |= {"type": "gcp", "gcp_credentials": {"type": "credentials_token", "credentials": "x"}}
        for name, node_type in config["available_node_types"].items():
            accelerator = self.workers.get(name)
            accelerators = {"GPU": 1, f"accelerator_type:{accelerator}": 1} if accelerator else {}
            node_type["resources"] = {"CPU": 2, **accelerators}
        config["file_mounts"] = {**config.get("file_mounts", {}), "~/redirect": str(folder)}
        # Ray's own commands (ray/autoscaler/gcp/defaults.yaml), with the folder of the redirection.
        ray = "ray start --head --port=6379 --object-manager-port=8076 --autoscaling-config=~/ray_bootstrap_config.yaml"
        config["head_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; PYTHONPATH=~/redirect {ray}"]
        worker = "ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076"
        config["worker_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; {worker}"]
        return config


CLOUDS: Mapping[str, DemandCloud] = {"aws": Aws(), "gcp": Gcp()}

# Imported by each Python there before anything else; Google's library is patched only where something imports it.
REDIRECT = """
import importlib.abc, importlib.util, sys

class Redirect(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "googleapiclient.discovery":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            build = module.build
            def aimed(api, version, **more):
                path = "/compute/v1/" if api == "compute" else "/"
                options = {{"api_endpoint": "{url}" + path}}
                return build(api, version, **{{**more, "static_discovery": True, "client_options": options}})
            module.build = aimed
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Redirect())
"""


def _redirect_folder(local: LocalCloud) -> Path:
    return Path(local.directory) / "redirect"


def _gcp_node_config(machine_type: str) -> Config:
    config: Config = {"machineType": machine_type, "disks": copy.deepcopy(DISKS)}
    if not machine_type.startswith("n2-"):
        config["scheduling"] = {"onHostMaintenance": "TERMINATE"}
    if machine_type.startswith("n1-"):
        config["guestAccelerators"] = [
            {"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}
        ]
    return config


def _config(provider: Config, node_configs: Mapping[str, Config]) -> Config:
    (head, head_config), *workers = node_configs.items()
    return {
        "cluster_name": "demand",
        "provider": provider,
        "max_workers": len(workers),
        "head_node_type": head,
        "available_node_types": {
            head: {"node_config": head_config},
            **{name: {"max_workers": 1, "node_config": one} for name, one in workers},
        },
    }


# Runs on the head: one demand after another, the times of each on the machine's one clock.
DRIVER = """
import json, ray, sys, time
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
for name in sys.argv[1:]:
    asked_s = time.time()
    task = ray.remote(num_gpus=1, accelerator_type=name)(lambda: time.time())
    print("SAMPLE " + json.dumps([name, asked_s, ray.get(task.remote(), timeout=300)]), flush=True)
"""


@dataclass(frozen=True)
class Run:
    """One cluster: a sample for each demand, and the calls of the cloud's API meanwhile."""

    samples: list[Sample]
    calls: Counter[str]
    seconds: float


@dataclass(frozen=True)
class Sample:
    """One demand: seconds until the cloud was asked for a machine, and from there until the task ran on it."""

    to_asked_s: float
    to_running_s: float

    @property
    def total_s(self) -> float:
        """Seconds from the demand to the running task."""
        return self.to_asked_s + self.to_running_s


def one_cluster(cloud: DemandCloud, side: str, hosts: str | None, *, v1: bool = False) -> Run:
    """Bring a cluster up, submit the demands one after another, and return their times."""
    with (
        tempfile.TemporaryDirectory(prefix="demand-", ignore_cleanup_errors=True) as folder,
        cloud.local_cloud(Path(folder), kind=HostKind(hosts) if hosts else None) as local,
    ):
        path = Path(folder) / "cluster.yaml"
        path.write_text(yaml.safe_dump(cloud.config(side, local)), encoding="utf-8")
        variables = cloud.variables(side, local) | ({"RAY_UP_enable_autoscaler_v2": "0"} if v1 else {})
        _ray(local, variables, "up", "-y", "--no-config-cache", str(path))
        driver = shlex.join(["python3", "-c", DRIVER, *cloud.workers.values()])
        output = _ray(local, variables, "exec", str(path), driver)
        run = _run(cloud, local, output)
        _ray(local, variables, "down", "-y", str(path))
        return run


def _ray(local: LocalCloud, variables: dict[str, str], *arguments: str) -> str:
    command = ["env", *(f"{name}={value}" for name, value in variables.items()), "ray", *arguments]
    done = local.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"ray {arguments[0]} failed:\n{done.stdout[-3000:]}")
    return str(done.stdout)


def _run(cloud: DemandCloud, local: LocalCloud, output: str) -> Run:
    asked_s = {event.instance_type: event.time for event in local.events() if event.kind is EventKind.ASKED}
    machines = {accelerator: machine for machine, accelerator in cloud.workers.items()}
    lines = [line.partition("SAMPLE ")[2] for line in output.splitlines() if "SAMPLE [" in line]
    found = [json.loads(line[: line.rindex("]") + 1]) for line in lines]
    samples = [
        Sample(asked_s[machines[name]] - demanded_s, running_s - asked_s[machines[name]])
        for name, demanded_s, running_s in found
    ]
    first_s, last_s = found[0][1], found[-1][2]
    calls = (call.action for call in read_calls(local.settings.directory) if first_s <= call.time_s <= last_s)
    return Run(samples, Counter(calls), last_s - first_s)


def show(runs: dict[str, list[Run]]) -> str:
    """Return the medians and their ratio, and the calls, as two tables."""
    samples = {name: [sample for run in of_name for sample in run.samples] for name, of_name in runs.items()}
    parts: dict[str, Callable[[Sample], float]] = {
        "demand to launch request": lambda sample: sample.to_asked_s,
        "launch request to running": lambda sample: sample.to_running_s,
        "demand to running": lambda sample: sample.total_s,
    }
    rows = []
    for title, part in parts.items():
        ours, stock = (statistics.median(map(part, samples[name])) for name in SIDES)
        rows.append((title, f"{ours:.2f} s", f"{stock:.2f} s", f"{ours / stock:.3f}"))
    count = min(map(len, samples.values()))
    times = render((f"median of {count}", "ours", "stock", "ours / stock"), rows, right={1, 2, 3})
    return f"{times}\n\n{_calls(runs)}"


def _calls(runs: dict[str, list[Run]]) -> str:
    """Return the API's calls for each node, and for each minute, as a table."""
    sums = {name: sum((run.calls for run in of_name), Counter()) for name, of_name in runs.items()}
    nodes = {name: sum(len(run.samples) for run in of_name) for name, of_name in runs.items()}
    minutes = {name: sum(run.seconds for run in of_name) / 60 for name, of_name in runs.items()}
    rows = []
    for action in sorted({*sums["ours"], *sums["stock"]}):
        row = [action]
        for name in SIDES:
            row += [f"{sums[name][action] / nodes[name]:.1f}", f"{sums[name][action] / minutes[name]:.1f}"]
        rows.append(tuple(row))
    head = ("calls", "ours a node", "a minute", "stock a node", "a minute")
    return render(head, rows, right={1, 2, 3, 4})


def main() -> None:
    """Alternate clusters of both and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="clusters of each (default: 3), 80 s each")
    parser.add_argument("--cloud", choices=sorted(CLOUDS), default="aws", help="the local cloud (default: aws)")
    parser.add_argument("--v1", action="store_true", help="autoscaler v1, on both sides")
    parser.add_argument(
        "--hosts", choices=[host.value for host in HostKind], help="the kind of host; by default the best"
    )
    arguments = parser.parse_args()
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for turn in range(arguments.rounds):
        for side in sorted(SIDES, reverse=bool(turn % 2)):
            new = one_cluster(CLOUDS[arguments.cloud], side, arguments.hosts, v1=arguments.v1)
            runs[side].append(new)
            sys.stderr.write(f"{side}: {', '.join(f'{sample.total_s:.1f} s' for sample in new.samples)}\n")
    print(show(runs))


if __name__ == "__main__":
    main()
