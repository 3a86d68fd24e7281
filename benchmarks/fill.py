"""The fill of a cluster file with 20 node types: ours beside stock Ray's, which asks EC2 (here moto's server).

Each run is a new process; runs alternate. Cold is the first fill of a process, catalog files read and parsed; imports
are counted on neither side (Ray's and boto3's would be 30 times ours; startup.py has them). moto answers from this
very machine, in stock's favour. The third column is our whole provider function: the fill, Ray's defaults, the
bundle, the boot check.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES = (
    *("g4dn.xlarge", "g4dn.12xlarge", "g5.xlarge", "g5.12xlarge", "g5.48xlarge", "g6.xlarge", "g6.12xlarge"),
    *("g6e.xlarge", "g6e.12xlarge", "g6e.48xlarge", "p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge", "p5en.48xlarge"),
    *("p6-b200.48xlarge", "inf2.xlarge", "trn1.2xlarge", "trn1.32xlarge", "m5.large", "r5.4xlarge"),
)
KINDS = ("ours", "stock", "provider")
WARM_CALLS = {"ours": 200, "stock": 3, "provider": 20}


def config() -> dict[str, Any]:
    """Return a cluster config with a node type for each machine."""
    node_types = {f"type-{name}": {"node_config": {"InstanceType": name}} for name in MACHINES}
    return {
        "cluster_name": "fill",
        "provider": {"type": "aws", "region": "us-east-1"},
        "head_node_type": "type-m5.large",
        "available_node_types": node_types,
    }


def worker(kind: str) -> dict[str, float]:
    """Measure one kind in this process: cold and warm milliseconds of one fill, API calls and connections of it."""
    connections = []
    sys.addaudithook(lambda event, _: connections.append(event) if event == "socket.connect" else None)
    calls: list[str] = []
    prepare = _stock if kind == "stock" else _provider if kind == "provider" else _ours
    # What is imported in `prepare` is not counted.
    fill = prepare(calls)
    begun_s = time.perf_counter()
    fill()
    cold_s = time.perf_counter() - begun_s
    counted = {"calls": len(calls), "connections": len(connections)}
    begun_s = time.perf_counter()
    for _ in range(WARM_CALLS[kind]):
        fill()
    warm_s = (time.perf_counter() - begun_s) / WARM_CALLS[kind]
    return {"cold_ms": cold_s * 1000, "warm_ms": warm_s * 1000, **counted}


def _ours(_: list[str]) -> Callable[[], Any]:
    from accel_scaling.cluster.cluster import user_catalogs
    from accel_scaling.families.catalog import load_catalog
    from accel_scaling.fill.fill import fill

    cluster = config()
    return lambda: fill(cluster, load_catalog(user_catalogs(cluster["provider"])))


def _provider(calls: list[str]) -> Callable[[], Any]:
    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider

    _count_calls(calls)
    cluster = config()
    return lambda: AWSAcceleratorNodeProvider.fillout_available_node_types_resources(cluster)


def _stock(calls: list[str]) -> Callable[[], Any]:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    _count_calls(calls)
    cluster = config()
    return lambda: AWSNodeProvider.fillout_available_node_types_resources(cluster)


def _count_calls(calls: list[str]) -> None:
    import botocore.httpsession

    send = botocore.httpsession.URLLib3Session.send

    def counted(session: Any, request: Any) -> Any:
        calls.append(request.url)
        return send(session, request)

    botocore.httpsession.URLLib3Session.send = counted


def measured(kind: str, environment: dict[str, str]) -> dict[str, float]:
    """Run one worker process and return what it measured."""
    done = subprocess.run(
        [sys.executable, __file__, "--worker", kind], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def side_by_side(runs: int) -> dict[str, list[dict[str, float]]]:
    """Alternate the kinds against one moto server and return what each run measured."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    try:
        with tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, **keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "HOME": home}
            for _ in range(runs):
                for kind in KINDS:
                    found[kind].append(measured(kind, environment))
    finally:
        server.stop()
    return found


def show(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the medians and ratios as a table."""
    from accel_scaling.tables import render

    median = {
        kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for kind, runs in found.items()
    }
    ours, stock, provider = (median[kind] for kind in KINDS)
    rows = [
        (
            title,
            f"{ours[name]:.2f}",
            f"{stock[name]:.1f}",
            f"{provider[name]:.1f}",
            f"{stock[name] / ours[name]:.0f} x",
            f"{stock[name] / provider[name]:.0f} x",
        )
        for title, name in (("cold, ms", "cold_ms"), ("warm, ms", "warm_ms"))
    ]
    rows += [
        (title, *(f"{median[kind][name]:.0f}" for kind in KINDS), "", "")
        for title, name in (("API calls", "calls"), ("connections", "connections"))
    ]
    runs = len(found["ours"])
    head = (f"median of {runs}", "our fill", "stock", "our provider", "stock / our fill", "stock / our provider")
    return render(head, rows, right={1, 2, 3, 4, 5})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="processes of each kind (default: 5)")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(worker(arguments.worker)))
        return
    print(f"one fill of {len(MACHINES)} node types\n{show(side_by_side(arguments.runs))}")


if __name__ == "__main__":
    main()
