"""The process of a local EC2: ``python -m accel_scaling.testing.ec2.cloud SETTINGS.json``, run by LocalEC2.

moto's EC2 and IAM answer in this process. Each state change that a client asks for is carried out on a host, then
confirmed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.ec2.interruptible import TAKEN_BACK_S
from accel_scaling.testing.ec2.launches import Capacity, ends_with_its_reservation
from accel_scaling.testing.ec2.moto_patches import patch_moto
from accel_scaling.testing.ec2.states import (
    LIVE,
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    TERMINATED,
    end_by_ec2,
    set_state,
)
from accel_scaling.testing.faults import FaultKind, block_end, of_start, read_faults, taken_back
from accel_scaling.testing.hosts.call_log import CallLog, LoggedApplication
from accel_scaling.testing.hosts.cloud_process import end_process, run
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.hosts import HostSpec, hardware_at_boot, with_xid
from accel_scaling.testing.hosts.later_faults import Booted, LaterFaults, sickener
from accel_scaling.testing.hosts.metadata_servers import Metadata, MetadataServers
from accel_scaling.testing.reservations import ReservationKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings

ACCOUNT = "123456789012"
"""moto's account; the process is fresh, so the account is."""

INSTANCE_PROFILE = "ray-autoscaler-v1"
"""The profile that Ray makes for itself (ray/autoscaler/_private/aws/config.py), waiting 15 s twice."""


class Ec2Cloud:
    """moto's EC2, answering, with a host for each instance; see ``cloud_process.CloudServer``."""

    def __init__(
        self, settings: Settings, hosts: Hosts, events: EventLog, listen: list[tuple[str, int]], inherited: list[int]
    ) -> None:
        # moto cuts the default VPC's block into one /20 per zone.
        cidr = f"{settings.network}.0.0/16"
        capacity = patch_moto(settings.faults_file, settings.reservations_file, events, cidr)
        self._server = Ec2Server(listen, inherited, settings.directory)
        self._metadata = MetadataServers(settings)
        self._reconciler = Ec2Reconciler(self._server, hosts, events, settings, self._metadata, capacity=capacity)
        self.ports = self._server.ports

    def step(self) -> None:
        """Look at every instance once."""
        self._reconciler.step()

    def close(self) -> None:
        """Stop answering."""
        self._metadata.close()
        self._server.close()


class Ec2Server:
    """moto behind one or two listening sockets.

    Args:
        listen: (address, port) pairs to bind here; port 0 takes a free one.
        inherited: file descriptors that listen already, e.g. in another network namespace.
        folder: where the calls are noted.
    """

    def __init__(self, listen: list[tuple[str, int]], inherited: list[int], folder: Path) -> None:
        # Ray attaches two of AWS's own policies to a role that it makes; moto has them only with this.
        os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request hides the errors
        app = LoggedApplication(DomainDispatcherApplication(create_backend_app), CallLog(folder))
        options: dict[str, Any] = {"threaded": True, "request_handler": MotoRequestHandler}
        self._servers: list[Any] = [make_server(host, port, app, **options) for host, port in listen]
        self._servers += [make_server("127.0.0.1", 0, app, fd=fd, **options) for fd in inherited]
        for server in self._servers:
            # Connections that clients keep alive must not keep the process alive.
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self._make_instance_profile()

    @property
    def ports(self) -> list[int]:
        """Return the port of each server, in the order of ``listen`` and then ``inherited``."""
        return [server.socket.getsockname()[1] for server in self._servers]

    def instances(self) -> Iterator[tuple[Any, Any]]:
        """Yield each (EC2 backend, instance) of each region, terminated ones too."""
        from moto.ec2 import ec2_backends

        # A copy: a request for another region adds a backend while this runs.
        for backend in list(ec2_backends[ACCOUNT].values()):
            for instance in backend.all_instances():
                yield backend, instance

    def close(self) -> None:
        """Stop answering."""
        for server in self._servers:
            server.shutdown()

    def _make_instance_profile(self) -> None:
        """Put the profile straight into moto's model, before the first request comes in."""
        # Without it Ray would make the profile itself, and sleep twice for 15 s until AWS has spread it.
        from moto.iam.models import iam_backends

        backend = iam_backends[ACCOUNT]["aws"]
        named: dict[str, Any] = {"path": "/", "tags": []}
        backend.create_role(
            role_name=INSTANCE_PROFILE,
            assume_role_policy_document="{}",
            permissions_boundary=None,
            description="",
            max_session_duration="3600",
            **named,
        )
        backend.create_instance_profile(name=INSTANCE_PROFILE, role_names=[INSTANCE_PROFILE], **named)


class Ec2Reconciler:
    """Turns the instances of moto into hosts, a step at a time; knows which of them have a host that is up.

    Args:
        server: whose instances.
        hosts: what carries them.
        events: the log of the machines' steps.
        settings: how long EC2 takes over each step, and where the faults are.
        metadata: tells each host of notices.
        capacity: knows which reservations end.
    """

    def __init__(
        self,
        server: Ec2Server,
        hosts: Hosts,
        events: EventLog,
        settings: Settings,
        metadata: MetadataServers,
        *,
        capacity: Capacity,
    ) -> None:
        self._server, self._hosts, self._events, self._metadata = server, hosts, events, metadata
        self._capacity = capacity
        self._later = LaterFaults(settings.faults_file)
        self._latencies, self._faults_file = settings.latencies, settings.faults_file
        # No lock: only the thread that calls step() uses these three. moto answers requests in threads of its own.
        self._launched: set[str] = set()
        self._up: set[str] = set()
        self._have_disk: set[str] = set()  # a stopped instance has no host that is up, but its files

    def step(self) -> None:
        """Look at every instance once."""
        for backend, instance in list(self._server.instances()):
            if instance.id not in self._launched:
                self._launched.add(instance.id)
                self._record(EventKind.LAUNCHED, instance)
            waited = time.monotonic() - getattr(instance, "rehearsal_since", 0.0)
            if instance.state == PENDING[0] and waited >= self._latencies.boot_s:
                self._boot(backend, instance)
            elif instance.state == STOPPING[0]:
                self._stop(instance, waited)
            elif instance.state == SHUTTING_DOWN[0]:
                self._terminate(instance, waited)
        self._end_blocks()
        by_id = {instance.id: instance for _, instance in self._server.instances()}
        for instance_id, what in self._later.step():
            self._record(EventKind.HAPPENED, by_id[instance_id], error=what)

    def _end_blocks(self) -> None:
        """End the machines of blocks, and of interruptible reservations, that are over."""
        now_s = self._capacity.clock()
        for backend, instance in list(self._server.instances()):
            name = getattr(instance, "capacity_reservation_id", "")
            if not name or instance.state not in LIVE:
                continue
            for one in self._capacity.reservations(backend):
                if one.name == name and ends_with_its_reservation(one) and one.has_ended(now_s):
                    # EC2 documents no StateReason for this end: it is left as that of any termination.
                    instance.terminate()
                    self._record(EventKind.HAPPENED, instance, error=f"EC2 ends the machines of {name}")

    def _begin_end_of_reservation(self, backend: Any, instance: Any) -> None:
        faults, name = read_faults(self._faults_file), getattr(instance, "capacity_reservation_id", "")
        of_block, back = block_end(faults, instance.instance_type), taken_back(faults, instance.instance_type)
        after_s = {
            ReservationKind.BLOCK: of_block,
            ReservationKind.INTERRUPTIBLE: None if back is None else back + TAKEN_BACK_S,
        }
        for one in self._capacity.reservations(backend):
            if one.name == name and one.kind and (seconds := after_s.get(one.kind)) is not None:
                self._capacity.end(one, self._capacity.clock() + seconds)

    def _boot(self, backend: Any, instance: Any) -> None:
        fault = of_start(read_faults(self._faults_file), instance.instance_type)
        if fault and fault.kind is FaultKind.ENDS_AT_LAUNCH:
            end_by_ec2(instance, fault.reason)
            self._record(EventKind.TERMINATED, instance, error=instance.state_reason.message)
            return
        # Before the boot: one that fails half-way has left files, which the termination then removes.
        self._have_disk.add(instance.id)
        try:
            hardware = hardware_at_boot(hardware_of(instance.instance_type), instance.instance_type, self._faults_file)
            hardware = replace(hardware, network_devices=instance.rehearsal_efa)
            keys = _public_keys(backend, instance)
            kind = fault.kind if fault else None
            self._metadata.add(instance.private_ip, _metadata_of(backend, instance))
            self._hosts.boot(
                HostSpec(instance.id, instance.instance_type, instance.private_ip, keys, hardware, fault=kind)
            )
        except (OSError, subprocess.SubprocessError, RehearsalError) as error:
            self._record(EventKind.BOOT_FAILED, instance, error=_text_of(error))
            instance.terminate()
            return
        self._up.add(instance.id)
        if instance.state == PENDING[0]:  # else a client has stopped it meanwhile
            set_state(instance, RUNNING)
        self._record(EventKind.BOOTED, instance)
        self._begin_end_of_reservation(backend, instance)
        tell = functools.partial(self._metadata.tell, instance.private_ip)
        change = functools.partial(self._hosts.change_devices, instance.id)
        self._later.booted(
            instance.id,
            Booted(
                instance.instance_type,
                lambda: tell({"spot/instance-action": _interruption()}),
                sickener(change, hardware),
                lambda xid: change(with_xid(hardware, xid)),
            ),
        )

    def _stop(self, instance: Any, waited: float) -> None:
        # The host goes at once, as a machine that is stopping runs nothing more; the state follows when its time has
        # come.
        if instance.id in self._up:
            self._up.discard(instance.id)
            self._gone(instance)
            self._hosts.halt(instance.id, destroy=False)
        if waited >= self._latencies.stop_s:
            set_state(instance, STOPPED)
            self._record(EventKind.STOPPED, instance)

    def _terminate(self, instance: Any, waited: float) -> None:
        if instance.id in self._have_disk:
            self._have_disk.discard(instance.id)
            self._up.discard(instance.id)
            self._gone(instance)
            self._hosts.halt(instance.id, destroy=True)
        if waited >= self._latencies.terminate_s:
            set_state(instance, TERMINATED)
            self._record(EventKind.TERMINATED, instance)

    def _gone(self, instance: Any) -> None:
        self._later.ended(instance.id)
        self._metadata.remove(instance.private_ip)

    def _record(self, kind: EventKind, instance: Any, *, error: str | None = None) -> None:
        address = instance.private_ip
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        word = getattr(instance, "rehearsal_capacity", "")
        self._events.instance(kind, instance.id, instance.instance_type, address, error=error, tags=tags, capacity=word)


def _interruption() -> str:
    """Return what EC2 says two minutes before it takes a spot instance back."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    return json.dumps({"action": "terminate", "time": at})


def _metadata_of(backend: Any, instance: Any) -> Metadata:
    """Return what an instance is told about itself."""
    zone = instance.placement.zone
    (of_zone,) = backend.describe_availability_zones(zone_names=[zone])
    return {
        "instance-id": instance.id,
        "placement/availability-zone": zone,
        "placement/availability-zone-id": of_zone.zone_id,
        **({"placement/group-name": instance.rehearsal_group} if instance.rehearsal_group else {}),
    }


def _public_keys(backend: Any, instance: Any) -> tuple[str, ...]:
    pair = backend.key_pairs.get(instance.key_name)
    material = pair.material_public if pair else None
    if not material:
        return ()
    return (material.decode() if isinstance(material, bytes) else str(material),)


def _text_of(error: Exception) -> str:
    stderr = getattr(error, "stderr", None) or ""
    return f"{error} {stderr}".strip()


if __name__ == "__main__":
    end_process(run(sys.argv[1:], Ec2Cloud))
