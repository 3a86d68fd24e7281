"""From EC2's instances to hosts: each state change that a client asked for is carried out, then confirmed."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.ec2 import moto_patches as ec2
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.hosts import HostSpec, hardware_at_boot

if TYPE_CHECKING:
    from accel_scaling.testing.ec2.server import Ec2Server
    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings


class Reconciler:
    """Looks at all instances each time it is called; knows which of them have a host that is up.

    Args:
        server: whose instances.
        hosts: what carries them.
        events: what is told.
        settings: how long EC2 takes over each step, and where the faults are.
    """

    def __init__(self, server: Ec2Server, hosts: Hosts, events: EventLog, settings: Settings) -> None:
        self._server, self._hosts, self._events = server, hosts, events
        self._latencies, self._faults_file = settings.latencies, settings.faults_file
        self._launched: set[str] = set()
        self._up: set[str] = set()
        self._have_disk: set[str] = set()

    def step(self) -> None:
        """Look at every instance once."""
        for backend, instance in list(self._server.instances()):
            if instance.id not in self._launched:
                self._launched.add(instance.id)
                self._tell(EventKind.LAUNCHED, instance)
            waited = time.monotonic() - getattr(instance, "rehearsal_since", 0.0)
            if instance.state == ec2.PENDING[0] and waited >= self._latencies.boot_s:
                self._boot(backend, instance)
            elif instance.state == ec2.STOPPING[0]:
                self._stop(instance, waited)
            elif instance.state == ec2.SHUTTING_DOWN[0]:
                self._terminate(instance, waited)

    def _boot(self, backend: Any, instance: Any) -> None:
        self._have_disk.add(instance.id)
        try:
            hardware = hardware_at_boot(hardware_of(instance.instance_type), instance.instance_type, self._faults_file)
            keys = _public_keys(backend, instance)
            self._hosts.boot(HostSpec(instance.id, instance.instance_type, instance.private_ip, keys, hardware))
        except (OSError, subprocess.SubprocessError, RehearsalError) as error:
            self._tell(EventKind.BOOT_FAILED, instance, error=_in_words(error))
            instance.terminate()
            return
        self._up.add(instance.id)
        if instance.state == ec2.PENDING[0]:  # else a client has stopped it meanwhile
            ec2.set_state(instance, ec2.RUNNING)
        self._tell(EventKind.BOOTED, instance)

    def _stop(self, instance: Any, waited: float) -> None:
        if instance.id in self._up:
            self._up.discard(instance.id)
            self._hosts.halt(instance.id, destroy=False)
        if waited >= self._latencies.stop_s:
            ec2.set_state(instance, ec2.STOPPED)
            self._tell(EventKind.STOPPED, instance)

    def _terminate(self, instance: Any, waited: float) -> None:
        if instance.id in self._have_disk:
            self._have_disk.discard(instance.id)
            self._up.discard(instance.id)
            self._hosts.halt(instance.id, destroy=True)
        if waited >= self._latencies.terminate_s:
            ec2.set_state(instance, ec2.TERMINATED)
            self._tell(EventKind.TERMINATED, instance)

    def _tell(self, kind: EventKind, instance: Any, *, error: str | None = None) -> None:
        address = instance.private_ip
        self._events.instance(kind, instance.id, instance.instance_type, address, error=error)


def _public_keys(backend: Any, instance: Any) -> tuple[str, ...]:
    pair = backend.key_pairs.get(instance.key_name)
    material = pair.material_public if pair else None
    if not material:
        return ()
    return (material.decode() if isinstance(material, bytes) else str(material),)


def _in_words(error: Exception) -> str:
    stderr = getattr(error, "stderr", None) or ""
    return f"{error} {stderr}".strip()
