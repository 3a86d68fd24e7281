"""The cloud process: ``python -m accel_scaling.local_ec2.cloud SETTINGS.json``, run by LocalEC2.

Prints one JSON line when EC2 answers, then turns instances into hosts until its standard input closes (so that a
parent that was killed leaves nothing), or until SIGTERM or SIGINT.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.local_ec2.ec2_patches import patch_moto
from accel_scaling.local_ec2.ec2_server import Ec2Server
from accel_scaling.local_ec2.events import EventLog
from accel_scaling.local_ec2.laptop import remove_ray_ssh_folder
from accel_scaling.local_ec2.reconcile import Reconciler
from accel_scaling.local_ec2.settings import Kind, read_settings
from accel_scaling.timings import LOCAL_EC2_RECONCILE_S

if TYPE_CHECKING:
    from accel_scaling.local_ec2.hosts import Hosts
    from accel_scaling.local_ec2.settings import Settings

LISTENING_FD_VARIABLE = "ACCEL_SCALING_EC2_FD"
"""Names the listening socket that LocalEC2 opened outside, for clients in its own network namespace."""


def main(argv: list[str]) -> int:
    """Runs one local EC2 to its end."""
    settings = read_settings(Path(argv[0]))
    over = _over_when_told()
    events = EventLog(settings.events_file)
    inherited = [int(os.environ[LISTENING_FD_VARIABLE])]
    try:
        patch_moto(settings.faults_file, events, settings.vpc_cidr)
        hosts, listen = _hosts(settings)
    except (RehearsalError, OSError) as error:
        _say({"error": str(error)})
        return 2
    try:
        server = Ec2Server(listen, inherited)
        # Hosts and laptop use the first server; the inherited one is for the parent's namespace.
        _say({"ready": True, "ports": server.ports})
        reconciler = Reconciler(server, hosts, events, settings.latencies)
        while not over.wait(LOCAL_EC2_RECONCILE_S):
            _step(reconciler)
        server.close()
    finally:
        hosts.close()
        remove_ray_ssh_folder(settings.cloud_id)
    return 0


def _hosts(settings: Settings) -> tuple[Hosts, list[tuple[str, int]]]:
    """The hosts of the kind that was asked for, and where EC2 must listen for them."""
    if settings.kind is Kind.PROCESSES:
        from accel_scaling.local_ec2.processes import ProcessHosts

        return ProcessHosts(settings), []
    from accel_scaling.local_ec2.isolated import EC2_PORT, IsolatedHosts, bridge_address

    return IsolatedHosts(settings), [(bridge_address(settings), EC2_PORT)]


def _step(reconciler: Reconciler) -> None:
    """One step; an error in it is logged, as the other hosts must live on."""
    try:
        reconciler.step()
    except Exception:  # noqa: BLE001 - printed whole; a cloud that dies of one host would hide the cause
        traceback.print_exc()
        time.sleep(LOCAL_EC2_RECONCILE_S)


def _over_when_told() -> threading.Event:
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())

    def watch_stdin() -> None:
        while not over.is_set():
            select.select([0], [], [])
            if not os.read(0, 4096):
                over.set()

    threading.Thread(target=watch_stdin, daemon=True).start()
    return over


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
