"""`accel-scaling rehearse`: the whole loop on this machine; real Ray, the cloud emulated, nothing paid for."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.cli.arguments import seconds
from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.fill import promises
from accel_scaling.requirements import check_modules, check_ray, missing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

HELP = "run a cluster file on this machine: real Ray and autoscaler, emulated cloud and devices, no cost"
EXAMPLES = """examples:
  accel-scaling rehearse example_clusters/aws-gpu.yaml
  accel-scaling rehearse example_clusters/gcp-gpu.yaml
  accel-scaling rehearse cluster.yaml -- python3 -c 'import ray; ray.init(); print(ray.cluster_resources())'
  accel-scaling rehearse cluster.yaml --fault no-capacity:g4dn.xlarge --fault no-driver:g5.xlarge
  accel-scaling rehearse cluster.yaml --faults faults.txt       # and edit faults.txt while it runs

faults, each for an instance type, a machine type, or a TPU's accelerator type:
  no-capacity:TYPE      the cloud refuses to launch it; on GCP also no-capacity:TYPE@ZONE, for one zone
  capacity:TYPE=N       the cloud launches at most N at a time
  fewer:TYPE=N          its machines boot with N devices only
  other:TYPE=NAME       their driver names another product, e.g. other:g5.xlarge='NVIDIA L4'
  no-driver:TYPE        the devices are on the bus, the driver is not loaded
  no-devices:TYPE       there are no devices

COMMAND runs on the cluster's head instead of one small task per accelerator type of the file.

exit codes: 0 every task ran (or COMMAND's own), 1 a task stayed pending, 2 bad input, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the command after `--` comes in ``args.command``."""
    parser.usage = "accel-scaling rehearse CLUSTER.yaml [options] [-- COMMAND ...]"
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=Path, help="a Ray cluster file")
    parser.add_argument("--fault", metavar="FAULT", action="append", default=[], help="add a fault; see below")
    parser.add_argument(
        "--faults", metavar="FILE", type=Path, help="faults, one on each line; read again when it changes"
    )
    parser.add_argument("--hosts", choices=("isolated", "processes"), help="the kind of host; by default the best")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=timeouts.REHEARSAL_TASK_TIMEOUT_S,
        help="how long a sample task may stay pending (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Rehearse the file; everything that it starts is ended before it returns."""
    file = read_cluster(args.cluster)
    try:
        # Mistakes in the file come first: these checks need neither Ray nor the packages for rehearsals.
        cluster = read_config(file.config)
        cluster.check_offered()
        promises(cluster)
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    check_modules(cluster.cloud.rehearsal_modules, "rehearse")
    check_ray()
    try:
        from accel_scaling.testing.faults import FaultSource
        from accel_scaling.testing.hosts.settings import HostKind
        from accel_scaling.testing.rehearse.run import Rehearsal
    except ModuleNotFoundError as error:
        raise missing(error.name, "rehearse") from None
    host_kind = HostKind(args.hosts) if args.hosts else None
    faults = FaultSource(args.fault, args.faults)
    with _ended_like_ctrl_c():
        return Rehearsal(
            file.config, cluster.catalog, args.command, faults, host_kind, timeout_s=args.timeout, out=sys.stdout
        ).run()


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, which CI systems and `timeout` send, end the block as Ctrl-C does: after the clean-up."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
