"""The local EC2: moto answers, and each instance is a real host on this machine. See ``LocalEC2``."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.local_ec2.cloud_process import CloudProcess
from accel_scaling.local_ec2.events import Event, read_events
from accel_scaling.local_ec2.faults import Faults, write_faults
from accel_scaling.local_ec2.host_paths import host_path
from accel_scaling.local_ec2.kinds import choose_kind
from accel_scaling.local_ec2.laptop import Laptop, remove_ray_ssh_folder
from accel_scaling.local_ec2.processes import make_scratch
from accel_scaling.local_ec2.settings import Kind, Latencies, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Kind", "Latencies", "LocalEC2"]

ISOLATED_NETWORK, ISOLATED_PORT = "172.31", 5000


class LocalEC2:
    """A whole EC2 on this machine, from ``with`` to the end of the block; leaves nothing behind but its directory.

    Args:
        directory: where events, logs, post-mortems and the laptop's home stay.
        kind: what an instance is; None takes isolated hosts where they work, plain processes elsewhere.
        region: whose default VPC is made beforehand; other regions answer too.
        python: the interpreter of the environment that laptop and hosts use; Ray is in it.
        latencies: how long EC2 takes.
        ssh_user: the account on the hosts.

    Attributes:
        kind: what an instance is.
        reason: why, in one line.
        endpoint_url: where EC2 answers, as seen by this process (the laptop's is in ``environment()``).

    Raises:
        RehearsalError: on entering, where this machine can't carry it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kind: Kind | None = None,
        region: str = "us-west-2",
        python: Path = Path(sys.executable),
        latencies: Latencies | None = None,
        ssh_user: str = "ubuntu",
    ) -> None:
        self.directory = directory.absolute()
        self.kind, self.reason = choose_kind(kind, python)
        self._region, self._python, self._ssh_user = region, python, ssh_user
        self._latencies = latencies or Latencies()
        self._settings: Settings | None = None
        self._process: CloudProcess | None = None
        self.endpoint_url = ""

    def __enter__(self) -> LocalEC2:  # noqa: PYI034 - Self needs Python 3.11
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()
        self._clean_up()

    def environment(self) -> dict[str, str]:
        """The laptop's whole environment: EC2 and nothing else of a cloud, a home of its own, fake credentials."""
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

    def set_faults(self, faults: Faults) -> None:
        """From now on, these go wrong (and no others); machines that are up keep their devices."""
        write_faults(self._running.faults_file, faults)

    def events(self) -> list[Event]:
        """What happened so far, oldest first."""
        return read_events(self._running.events_file)

    def host_file(self, instance_id: str, path: str | Path) -> Path:
        """Where this process can read a file of a host that is up.

        A ``path`` without a leading slash is relative to the account's home. ``/tmp`` is the host's own in both kinds;
        other absolute paths are the host's own on isolated hosts only.
        """
        return host_path(self._running, self._inner_pid(), instance_id, self._address(instance_id), path)

    def _inner_pid(self) -> int:
        return self._process.inner_pid if self._process else 0

    def _address(self, instance_id: str) -> str:
        found = [event.address for event in self.events() if event.instance_id == instance_id]
        if not found or found[0] is None:
            raise RehearsalError(f"the local EC2 has no instance {instance_id}")
        return found[0]

    @property
    def _running(self) -> Settings:
        if self._settings is None:
            raise RuntimeError("LocalEC2 is used as a context manager: `with LocalEC2(...) as ec2:`")
        return self._settings

    def _make_settings(self) -> Settings:
        isolated = self.kind is Kind.ISOLATED
        # A random second byte, so that two rehearsals on one machine do not share addresses.
        network = ISOLATED_NETWORK if isolated else f"127.{64 + secrets.randbelow(190)}"
        endpoint = f"http://{ISOLATED_NETWORK}.255.254:{ISOLATED_PORT}" if isolated else self.endpoint_url
        return Settings(
            cloud_id="ec2" + secrets.token_hex(4),
            kind=self.kind,
            region=self._region,
            directory=self.directory,
            scratch=make_scratch(),
            python=self._python.absolute(),
            ssh_user=self._ssh_user,
            network=network,
            endpoint_url=endpoint,
            latencies=self._latencies,
        )

    def _clean_up(self) -> None:
        if self._settings is not None:
            shutil.rmtree(self._settings.scratch, ignore_errors=True)
            remove_ray_ssh_folder(self._settings.cloud_id)
