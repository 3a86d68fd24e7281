"""`accel-scaling rehearse`: the whole loop on this machine; real Ray, the cloud emulated, nothing paid for."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.cli.arguments import CLUSTER_HELP, seconds
from accel_scaling.cli.common import write_note
from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.file_notes import file_notes, missing_keys_note, with_old_fill
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.requirements import check_modules, check_ray, missing, refuse_old_ray

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
  no-capacity:TYPE      the cloud refuses to launch it; no-capacity:TYPE@ZONE is for one zone, no-capacity:TYPE/spot and
                        no-capacity:TYPE@ZONE/on-demand for one way of buying it
  capacity:TYPE=N       the cloud launches at most N at a time; capacity:TYPE/spot=N at most N spot machines
  fewer:TYPE=N          its machines boot with N devices only
  other:TYPE=NAME       their driver names another product, e.g. other:g5.xlarge='NVIDIA L4'
  mixed:TYPE=NAME       their driver names another product for one device
  no-driver:TYPE        the devices are on the bus, the driver is not loaded
  no-devices:TYPE       there are no devices
  ends-at-launch:TYPE   the cloud ends its machines by itself before they boot; on EC2 also ends-at-launch:TYPE=REASON,
                        a reason of EC2, e.g. Client.VolumeLimitExceeded
  no-ssh:TYPE           its machines run and never answer over ssh
  setup-fails:TYPE      a set-up command fails
  start-fails:TYPE      `ray start` fails after the boot check has passed
  notice:TYPE@20s       20 s after its boot, the cloud announces to its first machine that it takes it back;
                        notice:TYPE@20s=N does so to its first N machines
  waits:TYPE=15m        its flex-start machines and queued slices wait 15 minutes for capacity; on Google Cloud
  queue-fails:TYPE      its queued slices fail when their turn comes
  queue-suspended:TYPE  the cloud suspends its queued slices when their turn comes
  sick:TYPE@20s         20 s after its boot, a device of its first machine fails; sick:TYPE@20s=N as above;
                        sick:TYPE@20s=CAUSE: lost (off the bus), ecc (errors in its memory), hangs (its driver)
  slow:TYPE             for `confirmation.deep`: dcgmi takes an hour, and one device copies slowly
  diag-fails:TYPE       for `confirmation.deep`: dcgmi finds an error of one device, whose memory has a wrong bit
  xid:TYPE@20s=79       20 s after its boot, NVIDIA's driver reports XID 79 of a device of its first machine
  block-ends:TYPE@20s   the cloud ends all machines of a capacity block, 20 s after the boot of the first of them
  takes-back:TYPE@20s   20 s after the boot of the first machine of an interruptible reservation, its owner takes it
                        back; EC2 ends its machines two minutes later

reservations, for EC2 by its id, for Google Cloud by its name; each part behind the name may be left out:
  --reservation cr-0123:count=2,zone=us-west-2a,begins=60s,ends=10m
  count=N               so many machines fit into it (default: 1)
  zone=ZONE             where it is (default: the first zone)
  begins=60s            it can be used 60 s after the rehearsal's cloud has started (default: at once)
  ends=10m              then the cloud ends its machines, 10 minutes after its start (default: never)
  kind=KIND             targeted, open, block or interruptible (default: as the file uses it)
  type=TYPE             for which machine type (default: that of the node types that name it)
  owner=OWNER           another account (EC2) or project (Google Cloud) has bought it
  group=GROUP           it is in this resource group of EC2
  placement=GROUP       it was created in this placement group of EC2
A reservation that the file names and no --reservation describes has places for all machines of its node types.

COMMAND runs on the cluster's head instead of one small task per accelerator type and node type of the file.

exit codes: 0 every task ran (or COMMAND's own), 1 a task stayed pending, 2 bad input, 129 the terminal was closed,
130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the command after `--` comes in ``args.command``."""
    parser.usage = "accel-scaling rehearse CLUSTER.yaml [options] [-- COMMAND ...]"
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=Path, help=CLUSTER_HELP)
    parser.add_argument("--fault", metavar="FAULT", action="append", default=[], help="add a fault; see below")
    parser.add_argument(
        "--faults",
        metavar="FILE",
        type=Path,
        help="faults, one on each line; read again when it changes; - for standard input",
    )
    parser.add_argument(
        "--reservation",
        metavar="RESERVATION",
        action="append",
        default=[],
        help="what the emulated account has bought, e.g. cr-0123:count=2,begins=60s; see below",
    )
    parser.add_argument(
        "--with-setup",
        action="store_true",
        help="run the file's set-up commands on the hosts, and copy its file_mounts; isolated hosts only",
    )
    parser.add_argument(
        "--ray-in",
        metavar="FOLDER",
        default="",
        help="the environment on the hosts that has `ray`, e.g. '~/venv', which is then not on their PATH (default: "
        "the environments that the start commands name)",
    )
    parser.add_argument(
        "--shared",
        metavar="FOLDER",
        default="",
        help="a folder below the home, e.g. '~/runs', that all hosts share, as from a file server",
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
    refuse_old_ray()  # first: its schema would refuse what a newer one knows
    file = read_cluster(args.cluster)
    try:
        # Mistakes in the file come first: these checks need neither Ray nor the packages for rehearsals.
        cluster = read_config(file.config)
        fill_cluster(cluster)
        file_says = [*file_notes(file, cluster.catalog), *missing_keys_note(file)]
    except AccelScalingError as error:
        raise file.at_its_line(with_old_fill(file, error)) from None
    cluster.check_launchable()
    for note in file_says:
        write_note(note)
    check_modules(cluster.cloud.rehearsal_modules, "rehearse")
    check_ray(write_note)
    try:
        from accel_scaling.testing.fault_source import FaultSource
        from accel_scaling.testing.hosts.settings import HostKind
        from accel_scaling.testing.rehearse.run import Rehearsal, machines_of
        from accel_scaling.testing.reservations import reservations_of
    except ModuleNotFoundError as error:
        raise missing(error.name, "rehearse") from None
    host_kind = HostKind(args.hosts) if args.hosts else None
    faults = FaultSource(args.fault, args.faults, machines_of(cluster))
    try:
        with _ended_like_ctrl_c():
            return Rehearsal(
                cluster.config,
                cluster.catalog,
                args.command,
                faults,
                kind=host_kind,
                reservations=reservations_of(args.reservation),
                with_setup=args.with_setup,
                ray_in=args.ray_in,
                shared=args.shared,
                timeout_s=args.timeout,
                out=sys.stdout,
            ).run()
    except _HangUp:
        return 128 + signal.SIGHUP


class _HangUp(KeyboardInterrupt):
    """The terminal was closed."""


def _hang_up(_number: int, _frame: object) -> None:
    # Nobody reads any more, and a write to a terminal that is gone would stop the clean-up.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    raise _HangUp


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let two signals end the block as Ctrl-C does, after the clean-up.

    SIGTERM comes from CI systems and `timeout`, SIGHUP from a terminal that is closed; `nohup` ignores the latter.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _hang_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
