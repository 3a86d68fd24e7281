"""Launching, labelling, listing and deleting nodes on Google Cloud: ours beside stock `type: gcp`, in one run.

Both talk to a local Compute Engine of their own with the same delays (0.3 s a call; an insert takes 12 s, labels 1 s, a
delete 5 s). Nodes are launched through Ray's own v2 adapter, as its autoscaler does it: in stock Ray by five, with
ours by a hundred, the limits that our provider sets on the head. Labels are written as Ray's updaters do it, four times
for each node, all nodes at once. Where stock Ray takes nodes one after another it is measured on fewer of them, and the
time for all is in proportion; `--whole` measures everything (40 minutes).
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from accel_scaling.tables import render
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import FaultInjection
from accel_scaling.testing.gce.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DELAYS_S = {"insert": 12.0, "bulkInsert": 12.0, "setLabels": 1.0, "delete": 5.0}
CALL_S = 0.3
PROJECT, ZONE, CLUSTER = "rehearsal", "us-central1-a", "speed"
STATUSES = ("waiting-for-ssh", "syncing-files", "setting-up", "up-to-date")
TYPE = "l4"
NODE_CONFIG: dict[str, Any] = {
    "machineType": "g2-standard-4",
    "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "projects/p/global/images/i"}}],
    "scheduling": {"onHostMaintenance": "TERMINATE"},
}
MODULE = "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider"
RAYS_LIMITS = (
    5,
    10,
)  # AUTOSCALER_MAX_LAUNCH_BATCH and _MAX_CONCURRENT_LAUNCHES, in ray/autoscaler/_private/constants.py


@dataclass
class Side:
    """One provider on a Compute Engine of its own."""

    engine: ComputeEngine
    provider: Any
    config: dict[str, Any]
    limits: tuple[int, int]

    def machines(self) -> list[dict[str, Any]]:
        """Return what exists."""
        return self.engine.instances()


@dataclass(frozen=True)
class Row:
    """One question with both answers, and what is to be known of them."""

    question: str
    ours: str
    stock: str
    ratio: str
    aim: str


def config_of(url: str) -> dict[str, Any]:
    """Return a cluster file of ours."""
    node = {"node_config": copy.deepcopy(NODE_CONFIG), "max_workers": 6000}
    head = {"node_config": {**copy.deepcopy(NODE_CONFIG), "machineType": "n2-standard-2"}}
    return {
        "cluster_name": CLUSTER,
        "max_workers": 6000,
        "provider": {
            "type": "external",
            "module": MODULE,
            "project_id": PROJECT,
            "region": "us-central1",
            "availability_zone": ZONE,
            "api_endpoints": url,
            "gcp_credentials": {"type": "anonymous"},
        },
        "auth": {"ssh_user": "ubuntu", "ssh_private_key": __file__},
        "head_node_type": "head",
        "available_node_types": {"head": head, TYPE: node},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    }


@contextlib.contextmanager
def ours() -> Iterator[Side]:
    """Our provider, its config resolved as `ray up` does it."""
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.providers import _get_node_provider

    from accel_scaling.providers.gcp import launch

    engine = ComputeEngine(project=PROJECT)
    with serve(engine) as url:
        config = _bootstrap_config(config_of(url), no_config_cache=True)
        provider = _get_node_provider(config["provider"], CLUSTER, use_cache=False)
        yield Side(engine, provider, config, (launch.BATCH, launch.AT_ONCE))


@contextlib.contextmanager
def stock() -> Iterator[Side]:
    """Ray's own provider, aimed at the local Compute Engine; nothing else of it is changed."""
    from googleapiclient import discovery
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    engine, build = ComputeEngine(project=PROJECT), discovery.build
    with serve(engine) as url:

        def aimed(api: str, version: str, **arguments: Any) -> Any:
            path = "/compute/v1/" if api == "compute" else "/"
            own = {"static_discovery": True, "client_options": {"api_endpoint": url + path}}
            return build(api, version, **{**arguments, **own})

        with mock.patch.object(discovery, "build", aimed):
            config = config_of(url)
            token = {"type": "credentials_token", "credentials": "x"}
            config["provider"] |= {"type": "gcp", "gcp_credentials": token}
            for node_type in config["available_node_types"].values():
                node_type["resources"] = {"CPU": 4}
            config = GCPNodeProvider.bootstrap_config(config)
            yield Side(engine, GCPNodeProvider(config["provider"], CLUSTER), config, RAYS_LIMITS)


def slow(side: Side, faster: float) -> None:
    """From now on, Google takes its time, divided by ``faster``."""
    operations_s = {verb: delay_s / faster for verb, delay_s in DELAYS_S.items()}
    side.engine.injection = FaultInjection(call_latency_s=CALL_S / faster, operation_latency_s=operations_s)


def fast(side: Side) -> None:
    """Preparations take no time."""
    side.engine.injection = FaultInjection()


def seconds(what: Callable[[], Any]) -> float:
    """Return how long something takes."""
    began = time.monotonic()
    what()
    return time.monotonic() - began


def launch(side: Side, count: int, watch_s: float = 1.0) -> tuple[float, float]:
    """Launch through v2's adapter; return the seconds until all run, and the longest listing meanwhile."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

    class Reader:
        def get_cached_autoscaling_config(self) -> AutoscalingConfig:
            return AutoscalingConfig(complete(side.config), skip_content_hash=True)

    batch, at_once = side.limits
    adapter = NodeProviderAdapter(
        side.provider, Reader(), max_launch_batch_per_type=batch, max_concurrent_launches=at_once
    )
    worst_s, began = 0.0, time.monotonic()
    adapter.launch({TYPE: count}, "request")
    while sum(one["status"] == "RUNNING" for one in side.machines()) < count:
        time.sleep(watch_s)
        worst_s = max(worst_s, seconds(adapter.get_non_terminated))
        errors = adapter.poll_errors()
        if errors:
            raise RuntimeError(f"the launch failed: {errors[0]}")
    return time.monotonic() - began, worst_s


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with what Ray reads besides, empty."""
    empty: dict[str, Any] = {
        **{f"{kind}_{what}": [] for kind in ("head", "worker") for what in ("setup_commands", "start_ray_commands")},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "docker": {},
        "rsync_exclude": [],
        "rsync_filter": [],
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1,
        "file_mounts_sync_continuously": False,
    }
    made = {**empty, **copy.deepcopy(config)}
    made.pop("head_node", None)
    return made


def tags() -> dict[str, str]:
    """Return the tags of a new worker."""
    return {
        "ray-node-name": f"ray-{CLUSTER}-worker",
        "ray-node-type": "worker",
        "ray-node-status": "uninitialized",
        "ray-launch-config": "a" * 40,
        "ray-user-node-type": TYPE,
    }


def make(side: Side, count: int) -> list[str]:
    """Make nodes without delay, as Ray's tags name them."""
    fast(side)
    node_config = side.config["available_node_types"][TYPE]["node_config"]
    for _ in range(0, count, 500):
        side.provider.create_node(copy.deepcopy(node_config), tags(), min(500, count))
    return list(side.provider.non_terminated_nodes({}))[:count] or []


def label(side: Side, nodes: list[str]) -> float:
    """Write four statuses for each node, all nodes at once; return the seconds until Google has the last of each."""

    def update(node: str) -> None:
        for status in STATUSES:
            side.provider.set_node_tags(node, {"ray-node-status": status})

    def all_of_them() -> None:
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(update, nodes))
        wanted = set(nodes)
        while any(
            one["labels"].get("ray-node-status") != STATUSES[-1] for one in side.machines() if one["name"] in wanted
        ):
            time.sleep(0.05)

    return seconds(all_of_them)


def delete(side: Side, nodes: list[str]) -> float:
    """Delete nodes; return the seconds until the call has returned."""
    return seconds(lambda: side.provider.terminate_nodes(nodes))


def watched(side: Side, what: Callable[[], float]) -> tuple[float, float]:
    """Do something while another thread lists all nodes again and again; return its seconds, and the longest listing.

    A listing that has begun by the end is waited for: it is the one that was blocked.
    """
    over, longest = threading.Event(), [0.0]

    def look() -> None:
        while not over.is_set():
            longest.append(seconds(lambda: side.provider.non_terminated_nodes({})))
            over.wait(0.1)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        spent = what()
    finally:
        over.set()
        looking.join()
    return spent, max(longest)


def listed(side: Side) -> tuple[int, float]:
    """List all nodes; return how many and in how many seconds."""
    began = time.monotonic()
    return len(side.provider.non_terminated_nodes({})), time.monotonic() - began


def measure(nodes: int, few: int, many: int, faster: float) -> list[Row]:
    """Run every question on both sides."""
    rows = []
    with ours() as we, stock() as they:
        slow(we, faster)
        slow(they, faster)
        up, blocked = launch(we, nodes)
        rays_up, rays_blocked = launch(they, nodes)
        rows.append(row(f"{nodes} nodes up", up, rays_up, "20 x"))
        rows.append(longest("the longest listing meanwhile", blocked, rays_blocked))
        ids, rays_ids = [sorted(side.provider.non_terminated_nodes({})) for side in (we, they)]
        rays_few = rays_ids[:few]
        for question, meanwhile, aim, do in (
            (f"4 labels on each of {nodes} nodes", "labels are written", "over 100 x", label),
            (f"{nodes} nodes deleted", "nodes are deleted", "", delete),
        ):
            spent, blocked = watched(we, lambda do=do: do(we, ids))  # type: ignore[misc]
            rays_spent, rays_blocked = watched(they, lambda do=do: do(they, rays_few))  # type: ignore[misc]
            rows.append(row(question, spent, rays_spent * nodes / few, aim, measured=few, of=nodes))
            rows.append(longest(f"the longest listing while {meanwhile}", blocked, rays_blocked))
    with ours() as we, stock() as they:
        for side in (we, they):
            prepare(side, many)
            side.engine.injection = FaultInjection(call_latency_s=CALL_S / faster)
        found, spent = listed(we)
        rays_found, rays_spent = listed(they)
        shown = (f"{found} in {spent:.1f} s", f"{rays_found} in {rays_spent:.1f} s")
        rows.append(Row(f"a listing of {many} nodes", *shown, "", f"all {many}"))
    return rows


def prepare(side: Side, count: int) -> None:
    """Put machines of this cluster into the engine by its own API, as nobody's launch is measured here."""

    fast(side)
    template = copy.deepcopy(side.config["available_node_types"][TYPE]["node_config"])
    client = side.provider.resources[next(iter(side.provider.resources))].resource
    labels = {**tags(), "ray-cluster-name": CLUSTER}
    properties = {key: template[key] for key in ("disks", "scheduling", "networkInterfaces")}
    properties |= {"labels": labels, "machineType": NODE_CONFIG["machineType"]}
    for first in range(0, count, 1000):
        names = {f"ray-{CLUSTER}-worker-{number:06d}-compute": {} for number in range(first, min(first + 1000, count))}
        body = {"count": str(len(names)), "instanceProperties": properties, "perInstanceProperties": names}
        client.instances().bulkInsert(project=PROJECT, zone=ZONE, body=body).execute()


def row(question: str, ours_s: float, stock_s: float, aim: str, *, measured: int = 0, of: int = 0) -> Row:
    """Return a row of two times and their ratio."""
    scaled = f" ({measured} nodes x {of // measured})" if measured and measured < of else ""
    return Row(question, f"{ours_s:.2f} s", f"{stock_s:.0f} s{scaled}", f"{stock_s / ours_s:.0f} x", aim)


def longest(question: str, ours_s: float, stock_s: float) -> Row:
    """Return a row of two longest listings."""
    return Row(question, f"{ours_s:.1f} s", f"{stock_s:.1f} s", "", "under 1 s")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--few", type=int, default=4, help="nodes that stock Ray is measured on, one after another")
    parser.add_argument("--many", type=int, default=5000, help="nodes of the listing")
    parser.add_argument("--faster", type=float, default=1.0, help="divides Google's delays: for a try of this program")
    parser.add_argument("--whole", action="store_true", help="measure stock Ray on all nodes")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, HOME=home):
        rows = measure(args.nodes, args.nodes if args.whole else args.few, args.many, args.faster)
    cells = [(each.question, each.ours, each.stock, each.ratio, each.aim) for each in rows]
    print(render(("", "ours", "stock", "stock / ours", "aim"), cells))
    sys.stdout.flush()
    os._exit(0)  # stock Ray's adapter has threads that never end


if __name__ == "__main__":
    main()
