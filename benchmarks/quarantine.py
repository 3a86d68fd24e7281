"""Time until a task runs on a third node type: the first fails the boot check, the second is sold out.

Real `ray up` and the real autoscalers, each cluster on a local EC2 of its own. Three node types have a T4: the smallest
boots without a driver, the next is sold out, the third is as promised. Stock Ray never runs the task: there the first
type joins with a GPU that is not there.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.tables import render
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind

LIAR, DRY, GOOD = MACHINES = ("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge")
AUTOSCALERS: dict[str, dict[str, str]] = {"v2": {}, "v1": {"RAY_UP_enable_autoscaler_v2": "0"}}
AIM_S = 60.0

# Runs on the head; the time at which the task ran, on the machine's one clock.
DRIVER = """
import json, ray, time
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
task = ray.remote(num_gpus=1, accelerator_type="T4")(lambda: time.time())
print("SAMPLE " + json.dumps([ray.get(task.remote(), timeout=300)]), flush=True)
"""


def config() -> dict[str, Any]:
    """Return a cluster config with the three types, at most two machines of each."""
    types = {name: {"max_workers": 2, "node_config": {"InstanceType": name}} for name in MACHINES}
    return {
        "cluster_name": "quarantine",
        "provider": {
            "type": "external",
            "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
            "region": "us-west-2",
        },
        "max_workers": 6,
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"InstanceType": "m5.large"}}, **types},
    }


def one_cluster(autoscaler: str, hosts: str | None) -> tuple[float, Counter[str]]:
    """Return the seconds from the first request for the liar to the running task, and how often each was asked for."""
    with (
        tempfile.TemporaryDirectory(prefix="quarantine-", ignore_cleanup_errors=True) as folder,
        LocalEC2(Path(folder), kind=HostKind(hosts) if hosts else None) as local,
    ):
        local.set_faults(Fault.no_driver(LIAR), Fault.capacity(DRY, 0))
        path = Path(folder) / "cluster.yaml"
        path.write_text(yaml.safe_dump(local.adapted(config(), local.settings.endpoint_url)[0]), encoding="utf-8")
        _ray(local, autoscaler, "up", "-y", "--no-config-cache", str(path))
        output = _ray(local, autoscaler, "exec", str(path), shlex.join(["python3", "-c", DRIVER]))
        asked = [event for event in local.events() if event.kind is EventKind.ASKED and event.instance_type in MACHINES]
        _ray(local, autoscaler, "down", "-y", str(path))
    said = output.rpartition("SAMPLE [")[2]  # `ray exec` shows the command first
    ran_s = float(said[: said.index("]")])
    return ran_s - min(event.time for event in asked), Counter(event.instance_type for event in asked)


def _ray(local: LocalEC2, autoscaler: str, *arguments: str) -> str:
    env = {**local.environment(), **AUTOSCALERS[autoscaler]}
    done = local.run(["ray", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"ray {arguments[0]} failed:\n{done.stdout[-3000:]}")
    return str(done.stdout)


def main() -> None:
    """Alternate clusters of both autoscalers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="clusters of each (default: 2), 90 s each")
    parser.add_argument(
        "--hosts", choices=[host.value for host in HostKind], help="the kind of host; by default the best"
    )
    arguments = parser.parse_args()
    rows = []
    for _ in range(arguments.rounds):
        for autoscaler in AUTOSCALERS:
            took_s, asked = one_cluster(autoscaler, arguments.hosts)
            times = [f"{asked[name]} x" for name in MACHINES]
            rows.append((autoscaler, f"{took_s:.1f} s", f"{AIM_S:.0f} s", *times))
            sys.stderr.write(f"{autoscaler}: {took_s:.1f} s\n")
    head = ("autoscaler", "liar asked to task running", "aim", "liar asked", "sold out asked", "third asked")
    print(render(head, sorted(rows), right={1, 2, 3, 4, 5}))


if __name__ == "__main__":
    main()
