"""The process of a local Compute Engine: ``python -m accel_scaling.testing.gce.cloud SETTINGS.json``."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import read_knobs
from accel_scaling.testing.gce.local_gce import PROJECT, knobs_file
from accel_scaling.testing.gce.metadata_server import MetadataServers
from accel_scaling.testing.gce.preemptions import Preemptions
from accel_scaling.testing.gce.reconcile import Reconciler
from accel_scaling.testing.gce.server import Server
from accel_scaling.testing.hosts.cloud_main import run

if TYPE_CHECKING:
    from accel_scaling.testing.gce.launch_event import Asked
    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings


class GceCloud:
    """Compute Engine, answering, with a host for each machine; see ``cloud_main.Cloud``."""

    def __init__(
        self, settings: Settings, hosts: Hosts, events: EventLog, listen: list[tuple[str, int]], inherited: list[int]
    ) -> None:
        self._settings = settings
        self._knobs_file = knobs_file(settings.directory)
        self._knobs_read = 0
        self._preemptions = Preemptions(settings.directory)

        def tell(asked: Asked) -> None:
            events.asked(asked.machine_type, asked.count, asked.granted, asked.zone, error=asked.error)

        zones = settings.place.split(",")
        self._engine = ComputeEngine(project=PROJECT, zones=zones, boots=False, network=settings.network, on_asked=tell)
        self._servers = [Server(self._engine, address) for address in listen]
        self._servers += [Server(self._engine, inherited=socket.socket(fileno=fd)) for fd in inherited]
        self._metadata = MetadataServers(settings)
        self._reconciler = Reconciler(self._engine, hosts, self._metadata, events, settings)
        self.ports = [server.port for server in self._servers]

    def step(self) -> None:
        """One look at the knobs, and at every machine and slice."""
        self._read_knobs()
        for name in self._preemptions.take():
            with contextlib.suppress(KeyError):  # gone already
                self._engine.preempt(name)
        self._reconciler.step()

    def close(self) -> None:
        """Stops answering."""
        for server in self._servers:
            server.close()
            for sentence in dict.fromkeys(server.drift):
                sys.stderr.write(sentence + "\n")
        self._metadata.close()

    def _read_knobs(self) -> None:
        """Take the knobs over where they are new; what of the faults is used up stays so."""
        if not self._knobs_file.exists():
            return
        written = self._knobs_file.stat().st_mtime_ns
        if written != self._knobs_read:
            self._knobs_read = written
            self._engine.knobs = read_knobs(self._knobs_file)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], GceCloud))
