"""Starting and ending the cloud process, and finding it in its namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.cloud_main import LISTENING_FD_VARIABLE
from accel_scaling.testing.hosts.host_kinds import NAMESPACE
from accel_scaling.testing.hosts.process_marker import parents_of_processes
from accel_scaling.testing.hosts.settings import Kind
from accel_scaling.timeouts import LOCAL_CLOUD_CLOSE_S

if TYPE_CHECKING:
    import socket

    from accel_scaling.testing.hosts.settings import Settings

# The first process of the cloud's process namespace: collects orphans, and takes the namespace with it when it ends.
_FIRST_PROCESS = ("bash", "-c", 'exec {told}<&0; "$@" <&$told {told}<&- & exec {told}<&- 0</dev/null; wait $!', "bash")


class CloudProcess:
    """The running cloud process.

    Args:
        settings: what it is told.
        listening: a listening socket of this process's network, for the cloud to answer here too.

    Raises:
        RehearsalError: it did not start; the text says why.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._log = settings.directory / "cloud.log"
        words = [sys.executable, "-m", settings.module, str(settings.write())]
        isolated = settings.kind is Kind.ISOLATED
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*NAMESPACE, *_FIRST_PROCESS, *words] if isolated else words,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=_environment(listening.fileno()), pass_fds=[listening.fileno()],
                start_new_session=True,  # Ctrl-C reaches the parent, which ends the cloud in order
            )  # fmt: skip
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        self.inner_pid = _first_child(self._process.pid) if isolated else self._process.pid

    def close(self) -> None:
        """Closes its standard input and waits for it to clean up; kills it when it does not."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(LOCAL_CLOUD_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _wait_until_ready(self) -> None:
        line = self._process.stdout.readline() if self._process.stdout else ""
        told: dict[str, Any] = json.loads(line) if line else {}
        if told.get("ready"):
            return
        last = (self._log.read_text().strip().splitlines() or ["it said nothing"])[-1]
        raise RehearsalError(
            f"the local {self._settings.cloud} did not start: {told.get('error', last)} (log: {self._log})"
        )


def _environment(listening_fd: int) -> dict[str, str]:
    package_parent = str(Path(__file__).parents[3])
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{package_parent}{os.pathsep}{path}" if path else package_parent,
        LISTENING_FD_VARIABLE: str(listening_fd),
    }


def _first_child(pid: int) -> int:
    children = [child for child, parent in parents_of_processes().items() if parent == pid]
    if not children:
        raise RehearsalError(f"the local cloud (process {pid}) has ended at once")
    return children[0]
