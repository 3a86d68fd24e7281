"""From a task's demand to the task running on a new node: ours (boot check included) beside stock Ray's provider.

Real `ray up` and the real autoscaler, each cluster on a local cloud of its own; rounds alternate. In each, three tasks
ask for three kinds of GPU, one after another, so each waits for a new node. Set-up commands are empty for both.
The way is shown in two parts: until the cloud is asked for a machine, and from there until the task runs on it. The
calls of the cloud's API are counted from the first demand to the last running task.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from accel_scaling.terminal import render
from accel_scaling.testing.hosts.call_log import read_calls
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from benchmarks.demand_clouds import CLOUDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.testing.base_cloud import LocalCloud
    from benchmarks.demand_clouds import DemandCloud

SIDES = ("ours", "stock")

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
