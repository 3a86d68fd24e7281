"""The cloud process: ``python -m <module of one cloud> SETTINGS.json``, run by LocalCloud.

Prints one JSON line when the cloud answers, then turns machines into hosts until its standard input closes (so that a
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
from typing import TYPE_CHECKING, Protocol

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.user_types import know_from
from accel_scaling.testing.hosts.events import EventLog
from accel_scaling.testing.hosts.laptop import remove_ray_ssh_folder
from accel_scaling.testing.hosts.settings import Kind, read_settings
from accel_scaling.timeouts import LOCAL_CLOUD_RECONCILE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings

LISTENING_FD_VARIABLE = "ACCEL_SCALING_CLOUD_FD"
"""Names the listening socket that LocalCloud opened outside, for clients in its own network namespace."""

CLOUD_PORT = 5000
"""Where the cloud answers isolated hosts and their laptop."""


class Cloud(Protocol):
    """One cloud's API that answers, and the step that turns its machines into hosts."""

    ports: list[int]

    def step(self) -> None:
        """One look at every machine."""

    def close(self) -> None:
        """Stops answering."""


if TYPE_CHECKING:
    Start = Callable[[Settings, Hosts, EventLog, list[tuple[str, int]], list[int]], Cloud]
    """Starts a cloud: its settings, hosts, events, the addresses to listen on, and sockets that listen already."""


def run(argv: list[str], start: Start) -> int:
    """Runs one local cloud to its end."""
    settings = read_settings(Path(argv[0]))
    know_from(settings.directory)
    over = _over_when_told()
    events = EventLog(settings.events_file)
    inherited = [int(os.environ[LISTENING_FD_VARIABLE])]
    try:
        hosts, listen = _hosts(settings)
    except (RehearsalError, OSError) as error:
        _say({"error": str(error)})
        return 2
    try:
        cloud = start(settings, hosts, events, listen, inherited)
        # Hosts and laptop use the first server; the inherited one is for the parent's namespace.
        _say({"ready": True, "ports": cloud.ports})
        while not over.wait(LOCAL_CLOUD_RECONCILE_S):
            _step(cloud)
        cloud.close()
    finally:
        hosts.close()
        remove_ray_ssh_folder(settings.cloud_id)
    return 0


def _hosts(settings: Settings) -> tuple[Hosts, list[tuple[str, int]]]:
    """The hosts of the kind that was asked for, and where the cloud must listen for them."""
    if settings.kind is Kind.PROCESSES:
        from accel_scaling.testing.hosts.processes import ProcessHosts

        return ProcessHosts(settings), []
    from accel_scaling.testing.hosts.isolated import IsolatedHosts, bridge_address

    return IsolatedHosts(settings), [(bridge_address(settings), CLOUD_PORT)]


def _step(cloud: Cloud) -> None:
    """One step; an error in it is logged, as the other hosts must live on."""
    try:
        cloud.step()
    except Exception:  # noqa: BLE001 - printed whole; a cloud that dies of one host would hide the cause
        traceback.print_exc()
        time.sleep(LOCAL_CLOUD_RECONCILE_S)


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
