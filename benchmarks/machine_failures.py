"""Ten emulated minutes for each way in which a machine fails: how many are launched, with stock Ray and with ours.

A task waits for a T4. The node type `bad` has one, and its machines fail in one way; `good` is as promised, and bigger.
Real: both autoscalers with their updaters, the providers, the clouds' APIs (moto; the local Compute Engine), every
command that the updaters run, the boot check on emulated devices. Emulated: the time (rounds of 5 s), ssh (commands
run in a folder that stands for the machine), and Ray on the machines. Stock Ray has the same promises, by hand.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import yaml

from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.tables import render
from accel_scaling.testing import Fault
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind, Latencies
from accel_scaling.testing.local_clouds import local_cloud_of
from tests.support.autoscaler_rounds import V1, V2
from tests.support.emulated_ssh import EmulatedSsh
from tests.support.emulated_time import emulated_time
from tests.support.gcp_provider import rays_client_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.testing.devices.hardware import Hardware

DURATION_S = 600.0
NO_LATENCIES = Latencies(boot_s=0.0, stop_s=0.0, terminate_s=0.0)
DEMAND = {"CPU": 1.0, "GPU": 1.0, "accelerator_type:T4": 0.001}
AUTOSCALERS = {"v2": V2, "v1": V1}
SET_UP = "test ! -e ~/set-up-fails || { echo 'ERROR: No matching distribution found for torch==9.9'; exit 1; }"


@dataclass(frozen=True)
class Failure:
    """One way in which a machine fails.

    Attributes:
        name: for the table.
        machine: what is wrong with a machine of the type `bad`: EmulatedSsh's words.
        cloud: faults of the local cloud.
        refused: the cloud refuses its node_config.
        start: what the user's start command has behind it.
    """

    name: str
    machine: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()
    refused: bool = False
    start: str = ""


FAILURES = (
    Failure("set-up command fails", machine=("set-up-fails",)),
    Failure("no driver", machine=("no-driver",)),
    Failure("no driver, exit code lost", machine=("no-driver",), start=" || true"),
    Failure("start ends without a verdict", machine=("crashes",)),
    Failure("start fails after Confirmed", machine=("start-fails",)),
    Failure("ended by the cloud at once", cloud=("ends-at-launch",)),
    Failure("launch refused permanently", refused=True),
    Failure("sold out", cloud=("no-capacity",)),
)


@dataclass(frozen=True)
class Result:
    """What happened in ten minutes.

    Attributes:
        launched: machines of the type `bad` that the cloud launched: each was paid for.
        asked: how often the cloud was asked for one.
        served_s: when a machine of the other type had joined; None for never.
        joined_bad: whether a bad machine is in the cluster at the end; its tasks fail.
    """

    launched: int
    asked: int
    served_s: float | None
    joined_bad: bool

    def __str__(self) -> str:
        """Return a cell of the table."""
        count = f"{self.launched}" if self.launched or not self.asked else f"0 of {self.asked}"
        if self.joined_bad:
            return f"{count}, bad one joined"
        return f"{count}, never served" if self.served_s is None else f"{count}, served at {self.served_s:.0f} s"


@dataclass(frozen=True)
class CloudNames:
    """A cloud and its two machine types with one T4.

    Attributes:
        module: our provider.
        head: the head's node_config.
        bad: that of the type whose machines fail.
        good: that of the other type.
        provider: more keys of the provider section.
        hardware: the devices of a node_config's machine.
        stock: Ray's own type of provider.
        stock_provider: more keys of the provider section with it.
        refused: what the cloud refuses in a node_config, permanently.
    """

    module: str
    head: dict[str, Any]
    bad: dict[str, Any]
    good: dict[str, Any]
    provider: dict[str, Any]
    hardware: Callable[[dict[str, Any]], Hardware]
    stock: str
    stock_provider: dict[str, Any]
    refused: dict[str, Any]


_T4 = {
    "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}],
    "scheduling": {"onHostMaintenance": "TERMINATE"},
}
CLOUDS = {
    "aws": CloudNames(
        "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
        {"InstanceType": "m5.large"},
        {"InstanceType": "g4dn.xlarge"},
        {"InstanceType": "g4dn.2xlarge"},
        {"region": "us-west-2", "cache_stopped_nodes": False},
        lambda node_config: hardware_of(node_config["InstanceType"]),
        "aws",
        {},
        {"SecurityGroupIds": ["sg-0123456789abcdef0"]},
    ),
    "gcp": CloudNames(
        "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
        {"machineType": "n2-standard-2"},
        {"machineType": "n1-standard-4", **_T4},
        {"machineType": "n1-standard-8", **_T4},
        {"region": "us-central1", "availability_zone": "us-central1-a", "project_id": "p"},
        lambda node_config: hardware_of_gcp(
            node_config["machineType"].rpartition("/")[2],
            [("nvidia-tesla-t4", 1)] if node_config.get("guestAccelerators") else [],
        ),
        "gcp",
        {"gcp_credentials": {"type": "credentials_token", "credentials": "x"}},
        {"scheduling": {"onHostMaintenance": "MIGRATE"}},
    ),
}


def config_of(cloud: CloudNames, failure: Failure) -> dict[str, Any]:
    """Return the cluster file."""
    return {
        "cluster_name": "failures",
        "provider": {"type": "external", "module": cloud.module, **cloud.provider, "foreground_node_launch": True},
        "auth": {"ssh_user": "ubuntu"},
        "max_workers": 8,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": cloud.head},
            "bad": {"max_workers": 4, "node_config": cloud.bad},
            "good": {"max_workers": 4, "node_config": cloud.good},
        },
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [SET_UP],
        "head_start_ray_commands": ["ray stop", "ray start --head --port=6379"],
        "worker_start_ray_commands": ["ray stop", f"ray start --address=$RAY_HEAD_IP:6379{failure.start}"],
    }


class Cluster:
    """A cluster of one failure on a local cloud of its own, whose autoscaler is this process."""

    def __init__(self, cloud: str, failure: Failure, folder: Path, *, stock: bool) -> None:
        self.cloud, self.failure, self.folder, self.stock = CLOUDS[cloud], failure, folder, stock
        self.config = config_of(self.cloud, failure)
        local = local_cloud_of(self.config)
        self.local = local(folder / "cloud", kind=HostKind.PROCESSES, latencies=NO_LATENCIES)
        self.machine_type = local.machine_name(self.cloud.bad)
        self.path = folder / "ray_bootstrap_config.yaml"

    def ten_minutes(self, autoscaler: str) -> Result:
        """Run an autoscaler for ten emulated minutes, with a demand that both types could serve."""
        with (
            self.local as local,
            mock.patch.dict(os.environ, local.environment()),
            emulated_time() as clock,
            rays_client_at(local.settings.endpoint_url) if self.stock and self.cloud.stock == "gcp" else nullcontext(),
        ):
            # First: a local cloud looks for its faults a few times in a second.
            local.set_faults(*(Fault.parse(f"{word}:{self.machine_type}") for word in self.failure.cloud))
            provider = self._provider()
            ssh = self._ssh()
            rounds = AUTOSCALERS[autoscaler](self.path, provider, ssh, clock)
            began_s, served_s = clock.now(), None
            with ssh.on_path(provider):
                while clock.now() < began_s + DURATION_S:
                    rounds.round([DEMAND])
                    joined = {rounds.type_of(node) for node in rounds.joined()}
                    if "good" in joined:  # the demand is served: nothing more is launched
                        served_s = clock.now() - began_s
                        break
            events = [event.kind for event in local.events() if event.instance_type == self.machine_type]
        return Result(events.count(EventKind.LAUNCHED), events.count(EventKind.ASKED), served_s, "bad" in joined)

    def _provider(self) -> Any:
        """Return the head's provider; the head runs."""
        from ray.autoscaler._private.commands import _bootstrap_config
        from ray.autoscaler._private.providers import _get_node_provider

        config = self.local.adapted(self.config, self.local.settings.endpoint_url)[0]
        config["worker_setup_commands"] = self.config["worker_setup_commands"]  # a rehearsal leaves them out
        if self.stock:
            config = self._by_hand(config)
        config = _bootstrap_config(config, no_config_cache=True)
        # As `ray up` takes them out on its way to the head.
        for key in ("head_node", "worker_nodes", "_config_cache_path"):
            config.pop(key, None)
        for key, value in self.cloud.refused.items() if self.failure.refused else ():
            config["available_node_types"]["bad"]["node_config"][key] = value
        self.path.write_text(yaml.safe_dump(config))
        sys.argv[:] = ["monitor.py", f"--autoscaling-config={self.path}"]
        provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
        provider.create_node(config["available_node_types"]["head"]["node_config"], tags("head"), 1)
        self.config = config
        return provider

    def _by_hand(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config for stock Ray, with the same promises."""
        filled = fill_cluster(read_config(copy.deepcopy(config)), offerings=False)[0]
        provider = {key: value for key, value in filled["provider"].items() if key != "module"}
        return {**filled, "provider": {**provider, "type": self.cloud.stock, **self.cloud.stock_provider}}

    def _ssh(self) -> EmulatedSsh:
        types = self.config["available_node_types"]
        hardware = {name: self.cloud.hardware(one["node_config"]) for name, one in types.items()}
        return EmulatedSsh(self.folder / "machines", hardware, {"bad": self.failure.machine})


def tags(kind: str) -> dict[str, str]:
    """Return the tags with which Ray launches a node."""
    return {
        "ray-node-type": kind,
        "ray-user-node-type": kind,
        "ray-launch-config": "x",
        "ray-node-name": "n",
        "ray-node-status": "uninitialized",
    }


def cell(cloud: str, autoscaler: str, side: str, failure: Failure) -> Result:
    """Run one cell of the table in a process of its own: each replaces the time, and Ray keeps clients permanently."""
    words = [sys.executable, "-m", "benchmarks.machine_failures", "--cell", cloud, autoscaler, side, failure.name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[3:])}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def run_cell(cloud: str, autoscaler: str, side: str, name: str) -> None:
    """Run one cell, and print its result as the last line."""
    # Both autoscalers read their config in each round, with a parser that takes four times as long.
    yaml.safe_load = functools.partial(yaml.load, Loader=yaml.CSafeLoader)
    (failure,) = (failure for failure in FAILURES if failure.name == name)
    with tempfile.TemporaryDirectory(prefix="failures-", ignore_cleanup_errors=True) as folder:
        result = Cluster(cloud, failure, Path(folder), stock=side == "stock").ten_minutes(autoscaler)
    print(json.dumps(asdict(result)))


def main() -> None:
    """Print the table: failures by clouds and autoscalers, stock Ray and ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="TEXT", help="only failures whose name has this text")
    parser.add_argument("--clouds", nargs="+", choices=CLOUDS, default=list(CLOUDS), help="default: all")
    parser.add_argument(
        "--autoscalers", nargs="+", choices=AUTOSCALERS, default=list(AUTOSCALERS), help="default: both"
    )
    parser.add_argument("--cell", nargs=4, metavar=("CLOUD", "AUTOSCALER", "SIDE", "FAILURE"), help="one run, as JSON")
    arguments = parser.parse_args()
    if arguments.cell:
        run_cell(*arguments.cell)
        return
    rows = []
    for failure in FAILURES:
        if arguments.only and not any(text in failure.name for text in arguments.only):
            continue
        for cloud in arguments.clouds:
            for autoscaler in arguments.autoscalers:
                results = [cell(cloud, autoscaler, side, failure) for side in ("stock", "ours")]
                rows.append((failure.name, cloud, autoscaler, *map(str, results)))
                sys.stderr.write(" | ".join(rows[-1]) + "\n")
    print(render(("failure", "cloud", "autoscaler", "stock Ray", "ours"), rows))


if __name__ == "__main__":
    main()
