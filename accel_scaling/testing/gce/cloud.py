"""The process of a local Compute Engine: ``python -m accel_scaling.testing.gce.cloud SETTINGS.json``.

Machines and slices become hosts: each is booted when Google has staged it, and halted when it ends.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp, hardware_of_tpu
from accel_scaling.testing.faults import FaultKind, block_end, read_faults
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.fault_injection import Preemptions, injection_file, read_injection
from accel_scaling.testing.gce.instances import PENDING, reservation_of
from accel_scaling.testing.gce.machine_rules import rdma_devices
from accel_scaling.testing.gce.metadata_server import of_instance, of_slice_host
from accel_scaling.testing.gce.reservations import GceReservation
from accel_scaling.testing.gce.server import Server
from accel_scaling.testing.hosts.call_log import CallLog
from accel_scaling.testing.hosts.cloud_process import end_process, run
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.hosts import HostSpec, fault_at_start, hardware_at_boot, with_xid
from accel_scaling.testing.hosts.later_faults import Booted, LaterFaults, sickener
from accel_scaling.testing.hosts.metadata_servers import MetadataServers
from accel_scaling.testing.reservations import ReservationKind, read_reservations

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware
    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings
    from accel_scaling.testing.reservations import Reservation

_LONGEST_NAME = 63  # of a host, RFC 1123; a slice's name may be as long, and each host's has a number behind it
_BOOTS = {"STAGING", "CREATING", "STARTING"}
_ENDS = {"STOPPING", "DELETING", "PREEMPTED", "TERMINATED", "STOPPED"}


class GceCloud:
    """Compute Engine, answering, with a host for each machine; see ``cloud_process.CloudServer``."""

    def __init__(
        self, settings: Settings, hosts: Hosts, events: EventLog, listen: list[tuple[str, int]], inherited: list[int]
    ) -> None:
        self._settings = settings
        self._injection_file = injection_file(settings.directory)
        self._read: dict[Path, int] = {}  # when the files were written that are read again where they are new
        # Both come by files: whoever holds the local cloud runs in another process.
        self._preemptions = Preemptions(settings.directory)

        self._engine = ComputeEngine(
            zones=settings.place.split(","),
            # Machines wait in STAGING until the reconciler has their hosts up: a real Ray is to start on them.
            boots=False,
            network=settings.network,
            on_launch_request=events.launch_request,
            on_call=CallLog(settings.directory).add,
        )
        self._servers = [Server(self._engine, address) for address in listen]
        self._servers += [Server(self._engine, inherited=socket.socket(fileno=fd)) for fd in inherited]
        self._metadata = MetadataServers(settings)
        self._reconciler = GceReconciler(self._engine, hosts, self._metadata, events, settings)
        self.ports = [server.port for server in self._servers]

    def step(self) -> None:
        """Look at the files once, and at every machine and slice."""
        self._read_files()
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

    def _read_files(self) -> None:
        """Read the fault injection and the reservations where they are new; calls that failed already stay counted."""
        if self._is_new(self._injection_file):
            self._engine.injection = read_injection(self._injection_file)
        if self._is_new(self._settings.reservations_file):
            self._engine.set_reservations(map(_held, read_reservations(self._settings.reservations_file)))

    def _is_new(self, file: Path) -> bool:
        written = file.stat().st_mtime_ns if file.exists() else 0
        before, self._read[file] = self._read.get(file, 0), written
        return written != before


def _held(one: Reservation) -> GceReservation:
    """Return a reservation of a rehearsal as Compute Engine has it."""
    return GceReservation(
        one.name,
        one.machine_type,
        one.count,
        one.zone,
        one.owner,
        specific=one.kind is not ReservationKind.OPEN,
        calendar=one.kind is ReservationKind.BLOCK,
        begins_s=one.begins_at_s,
        ends_s=one.ends_at_s,
    )


@dataclass(frozen=True)
class GceHost:
    """One host of a machine or slice.

    Attributes:
        id: the machine's name, or the slice's with the host's number: ``ray-x-tpu-w-1``.
        type: the machine type, or the slice's accelerator type.
        address: its address.
        hardware: what is in it.
        metadata: what its metadata server says, path by path.
        keys: ``user:key``.
        labels: the machine's, or the slice's.
    """

    id: str
    type: str
    address: str
    hardware: Hardware
    metadata: dict[str, str]
    keys: tuple[str, ...]
    labels: dict[str, str]


class GceReconciler:
    """Turns the machines and slices of the engine into hosts, a step at a time.

    Args:
        engine: whose machines.
        hosts: what carries them.
        metadata: tells each host who it is.
        events: the log of the machines' steps.
        settings: how long a boot takes, and where the faults are.
    """

    def __init__(
        self, engine: ComputeEngine, hosts: Hosts, metadata: MetadataServers, events: EventLog, settings: Settings
    ) -> None:
        self._engine, self._hosts, self._metadata = engine, hosts, metadata
        self._events, self._settings = events, settings
        self._later = LaterFaults(settings.faults_file)
        self._since: dict[str, float] = {}  # when a machine that is to boot was first seen
        self._up: dict[str, list[GceHost]] = {}
        self._waiting: set[str] = set()
        self._ending: set[str] = set()  # reservations that end because of a fault

    def step(self) -> None:
        """Look at every machine and slice once."""
        seen = set()
        for machine in [*self._engine.instances(), *self._engine.tpu_nodes()]:
            name = machine["name"]
            status = machine.get("status") or machine.get("state")  # Compute Engine's word, or Cloud TPU's
            seen.add(name)
            if status == PENDING and name not in self._waiting:
                self._waiting.add(name)
                machine_type, labels = machine["machineType"].rpartition("/")[2], machine.get("labels") or {}
                says = "it waits for capacity (PENDING)"
                self._events.instance(EventKind.HAPPENED, name, machine_type, None, error=says, tags=labels)
            elif status in _BOOTS and name not in self._up:
                self._boot_when_due(name, machine)
            elif status in _ENDS:
                self._end(name, machine)
        for name in set(self._up) - seen:
            self._halt(name)
        hosts = {host.id: host for machine in self._up.values() for host in machine}
        for host_id, what in self._later.step():
            self._record(EventKind.HAPPENED, hosts[host_id], error=what)

    def _boot_when_due(self, name: str, machine: dict[str, Any]) -> None:
        first = name not in self._since
        since = self._since.setdefault(name, time.monotonic())
        hosts = self._hosts_of(machine)
        if first:
            for host in hosts:
                self._record(EventKind.LAUNCHED, host)
        # Looked at again in the next step: to sleep here would hold up all other machines.
        if time.monotonic() - since < self._settings.latencies.boot_s:
            return
        del self._since[name]
        self._up[name] = []
        if fault_at_start(hosts[0].type, self._settings.faults_file) is FaultKind.ENDS_AT_LAUNCH:
            self._engine.booted(name)
            self._engine.end_at_launch(name)
            self._record(EventKind.TERMINATED, hosts[0], error="ended by Google")
            return
        try:
            for host in hosts:
                self._boot(name, host)
        except (OSError, subprocess.SubprocessError, RehearsalError) as error:
            why = f"{error} {getattr(error, 'stderr', None) or ''}".strip()
            self._record(EventKind.BOOT_FAILED, hosts[0], error=why)
            self._halt(name)
            self._engine.boot_failed(name, why)
            return
        self._engine.booted(name)
        after_s = block_end(read_faults(self._settings.faults_file), hosts[0].type)
        if after_s is not None and (path := reservation_of(machine)) and path not in self._ending:
            self._ending.add(path)
            self._engine.end_reservation_in(path, after_s)

    def _boot(self, name: str, host: GceHost) -> None:
        hardware = hardware_at_boot(host.hardware, host.type, self._settings.faults_file)
        keys = tuple(key.partition(":")[2] for key in host.keys)
        # Before the boot, so a host that comes up half-way is halted with the others of its machine.
        self._up[name].append(host)
        # Before the host boots, which may ask for it at once.
        self._metadata.add(host.address, host.metadata)
        fault = fault_at_start(host.type, self._settings.faults_file)
        self._hosts.boot(HostSpec(host.id, host.type, host.address, keys, hardware, _host_name(host.id), fault))
        self._record(EventKind.BOOTED, host)
        change = functools.partial(self._hosts.change_devices, host.id)
        self._later.booted(
            host.id,
            Booted(
                host.type,
                lambda: self._metadata.tell(host.address, {"instance/preempted": "TRUE"}),
                sickener(change, hardware),
                lambda xid: change(with_xid(hardware, xid)),
            ),
        )

    def _end(self, name: str, machine: dict[str, Any]) -> None:
        self._since.pop(name, None)
        status = machine.get("status") or machine.get("state")
        was_up = name in self._up
        self._halt(name)
        # What was stopped or preempted stays listed: the engine learns of the end of its hosts once.
        if status in {"STOPPING", "DELETING"} or was_up:
            self._engine.ended(name)

    def _halt(self, name: str) -> None:
        for host in self._up.pop(name, []):
            self._metadata.remove(host.address)
            self._later.ended(host.id)
            self._hosts.halt(host.id, destroy=True)
            self._record(EventKind.TERMINATED, host)

    def _record(self, kind: EventKind, host: GceHost, *, error: str | None = None) -> None:
        self._events.instance(kind, host.id, host.type, host.address, error=error, tags=host.labels)

    def _hosts_of(self, machine: dict[str, Any]) -> list[GceHost]:
        return self._hosts_of_slice(machine) if "networkEndpoints" in machine else [self._host_of_instance(machine)]

    def _host_of_instance(self, machine: dict[str, Any]) -> GceHost:
        machine_type = machine["machineType"].rpartition("/")[2]
        accelerators = [
            (attached["acceleratorType"].rpartition("/")[2], attached["acceleratorCount"])
            for attached in machine["guestAccelerators"]
        ]
        return GceHost(
            machine["name"],
            machine_type,
            machine["networkInterfaces"][0]["networkIP"],
            replace(hardware_of_gcp(machine_type, accelerators), network_devices=rdma_devices(machine)),
            of_instance(machine, self._engine.state.project),
            tuple(self._engine.public_keys(machine.get("metadata") or {})),
            machine.get("labels") or {},
        )

    def _hosts_of_slice(self, node: dict[str, Any]) -> list[GceHost]:
        hardware, _ = hardware_of_tpu(node["acceleratorType"])
        items = [{"key": key, "value": value} for key, value in (node.get("metadata") or {}).items()]
        keys = tuple(self._engine.public_keys({"items": items}))
        short = node["name"].rpartition("/")[2]
        return [
            GceHost(
                f"{short}-w-{number}",
                node["acceleratorType"],
                endpoint["ipAddress"],
                hardware,
                of_slice_host(node, number, self._engine.state.project),
                keys,
                node.get("labels") or {},
            )
            for number, endpoint in enumerate(node["networkEndpoints"])
        ]


def _host_name(host_id: str) -> str:
    """Return a name that a kernel takes: of a long one its end, in which machines and hosts differ."""
    return host_id[-_LONGEST_NAME:].lstrip("-")


if __name__ == "__main__":
    end_process(run(sys.argv[1:], GceCloud))
