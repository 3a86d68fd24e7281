"""The process of a local Compute Engine: ``python -m accel_scaling.testing.gce.cloud SETTINGS.json``."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import Preemptions, injection_file, read_injection
from accel_scaling.testing.gce.metadata_server import MetadataServers
from accel_scaling.testing.gce.reconcile import Reconciler
from accel_scaling.testing.gce.server import Server
from accel_scaling.testing.hosts.cloud_process import run

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings


class GceCloud:
    """Compute Engine, answering, with a host for each machine; see ``cloud_process.CloudServer``."""

    def __init__(
        self, settings: Settings, hosts: Hosts, events: EventLog, listen: list[tuple[str, int]], inherited: list[int]
    ) -> None:
        self._settings = settings
        self._injection_file = injection_file(settings.directory)
        self._injection_read = 0
        self._preemptions = Preemptions(settings.directory)

        self._engine = ComputeEngine(
            zones=settings.place.split(","),
            boots=False,
            network=settings.network,
            on_launch_request=events.launch_request,
        )
        self._servers = [Server(self._engine, address) for address in listen]
        self._servers += [Server(self._engine, inherited=socket.socket(fileno=fd)) for fd in inherited]
        self._metadata = MetadataServers(settings)
        self._reconciler = Reconciler(self._engine, hosts, self._metadata, events, settings)
        self.ports = [server.port for server in self._servers]

    def step(self) -> None:
        """Look at the fault injection once, and at every machine and slice."""
        self._read_injection()
        for name in self._preemptions.take():
            with contextlib.suppress(KeyError):  # gone already
                self._engine.preempt(name)
        self._reconciler.step()

    def close(self) -> None:
        """Stop answering."""
        for server in self._servers:
            server.close()
            for sentence in dict.fromkeys(server.drift):
                sys.stderr.write(sentence + "\n")
        self._metadata.close()

    def _read_injection(self) -> None:
        """Read the fault injection where its file is new; the calls that failed already stay counted."""
        if not self._injection_file.exists():
            return
        written = self._injection_file.stat().st_mtime_ns
        if written != self._injection_read:
            self._injection_read = written
            self._engine.injection = read_injection(self._injection_file)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], GceCloud))
