"""A whole cloud on this machine: its API answers, and each machine is a host. See ``LocalCloud``."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.cloud_main import CLOUD_PORT
from accel_scaling.testing.hosts.cloud_process import CloudProcess
from accel_scaling.testing.hosts.events import Event, read_events
from accel_scaling.testing.hosts.faults import Faults, write_faults
from accel_scaling.testing.hosts.host_kinds import choose_kind
from accel_scaling.testing.hosts.host_paths import host_path
from accel_scaling.testing.hosts.laptop import Laptop, remove_ray_ssh_folder
from accel_scaling.testing.hosts.processes import make_scratch
from accel_scaling.testing.hosts.settings import Kind, Latencies, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

ISOLATED_NETWORK = "172.31"


class LocalCloud:
    """A cloud on this machine, from ``with`` to the end of the block; leaves nothing behind but its directory.

    A subclass says which: ``CLOUD`` and ``MODULE``, and ``_cloud_environment``.

    Args:
        directory: where events, logs, post-mortems and the laptop's home stay.
        place: the region or zones that exist from the start.
        kind: what a machine is; None takes isolated hosts where they work, plain processes elsewhere.
        python: the interpreter of the environment that laptop and hosts use; Ray is in it.
        latencies: how long the cloud takes.
        ssh_user: the account on the hosts.

    Attributes:
        kind: what a machine is.
        reason: why, in one line.
        endpoint_url: where the cloud answers, as seen by this process (the laptop's is in ``settings``).

    Raises:
        RehearsalError: on entering, where this machine can't carry it.
    """

    CLOUD = ""
    MODULE = ""
    METADATA_PORTS: dict[Kind, int] = {}  # noqa: RUF012 - a constant of the subclass

    def __init__(
        self,
        directory: Path,
        *,
        place: str,
        kind: Kind | None = None,
        python: Path = Path(sys.executable),
        latencies: Latencies | None = None,
        ssh_user: str = "ubuntu",
    ) -> None:
        self.directory = directory.absolute()
        self.kind, self.reason = choose_kind(kind, python)
        self._place, self._python, self._ssh_user = place, python, ssh_user
        self._latencies = latencies or Latencies()
        self._settings: Settings | None = None
        self._process: CloudProcess | None = None
        self.endpoint_url = ""

    def __enter__(self) -> Self:
        for name in ("laptop/tmp", "laptop/.ssh", "postmortem"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            self.endpoint_url = f"http://127.0.0.1:{port}"
            self._settings = self._make_settings()
            try:
                self._process = CloudProcess(self._settings, listening)
            except BaseException:
                self._clean_up()
                raise
        self._laptop = Laptop(self._settings, self._process.inner_pid)
        return self

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """What makes clients on laptop and hosts speak to this cloud and to no other."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()
        self._clean_up()

    def environment(self) -> dict[str, str]:
        """The laptop's whole environment: this cloud and no other, a home of its own, fake credentials."""
        return self._laptop.environment()

    def run(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command on the laptop; as ``subprocess.run``, with text, and ``cwd`` and ``env`` on the laptop."""
        kwargs.setdefault("text", True)
        kwargs.setdefault("check", False)
        return subprocess.run(**self._laptop.call(argv, kwargs))  # noqa: PLW1510 - check is in there

    def popen(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.Popen[str]:
        """Starts a command on the laptop; as ``subprocess.Popen``, with text."""
        kwargs.setdefault("text", True)
        process: subprocess.Popen[str] = subprocess.Popen(**self._laptop.call(argv, kwargs))
        return process

    @property
    def settings(self) -> Settings:
        """What the cloud was told, while it runs."""
        if self._settings is None:
            raise RuntimeError("a local cloud is used as a context manager: `with LocalEC2(...) as ec2:`")
        return self._settings

    def set_faults(self, faults: Faults) -> None:
        """From now on, these go wrong (and no others); machines that are up keep their devices."""
        write_faults(self.settings.faults_file, faults)

    def events(self) -> list[Event]:
        """What happened so far, oldest first."""
        return read_events(self.settings.events_file)

    def host_file(self, instance_id: str, path: str | Path) -> Path:
        """Where this process can read a file of a host that is up.

        A ``path`` without a leading slash is relative to the account's home. ``/tmp`` is the host's own in both kinds;
        other absolute paths are the host's own on isolated hosts only.
        """
        return host_path(self.settings, self._inner_pid(), instance_id, self._address(instance_id), path)

    def _inner_pid(self) -> int:
        return self._process.inner_pid if self._process else 0

    def _address(self, instance_id: str) -> str:
        found = [event.address for event in self.events() if event.instance_id == instance_id]
        if not found or found[0] is None:
            raise RehearsalError(f"the local {self.CLOUD} has no machine {instance_id}")
        return found[0]

    def _make_settings(self) -> Settings:
        isolated = self.kind is Kind.ISOLATED
        # A random second byte, so that two rehearsals on one machine do not share addresses.
        network = ISOLATED_NETWORK if isolated else f"127.{64 + secrets.randbelow(190)}"
        endpoint = f"http://{ISOLATED_NETWORK}.255.254:{CLOUD_PORT}" if isolated else self.endpoint_url
        return Settings(
            cloud=self.CLOUD,
            module=self.MODULE,
            cloud_id="cloud" + secrets.token_hex(4),
            kind=self.kind,
            place=self._place,
            directory=self.directory,
            scratch=make_scratch(),
            python=self._python.absolute(),
            ssh_user=self._ssh_user,
            network=network,
            endpoint_url=endpoint,
            environment={**self._cloud_environment(endpoint), "RAY_USAGE_STATS_ENABLED": "0"},
            latencies=self._latencies,
            metadata_port=self.METADATA_PORTS.get(self.kind, 0),
        )

    def _clean_up(self) -> None:
        if self._settings is not None:
            shutil.rmtree(self._settings.scratch, ignore_errors=True)
            remove_ray_ssh_folder(self._settings.cloud_id)
