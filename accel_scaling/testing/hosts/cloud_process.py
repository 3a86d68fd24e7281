"""The process of a local cloud: ``python -m MODULE SETTINGS.json``, started and ended by ``CloudProcess``.

It prints one JSON line when the cloud answers, then turns machines into hosts until its standard input closes (so that
a parent that was killed leaves nothing), or until SIGTERM or SIGINT.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.hardware import read_user_hardware
from accel_scaling.testing.hosts.events import EventLog
from accel_scaling.testing.hosts.host_records import parents_of_processes
from accel_scaling.testing.hosts.hosts import NAMESPACE
from accel_scaling.testing.hosts.laptop import remove_ray_ssh_folder
from accel_scaling.testing.hosts.leftovers import CLAIM, claim
from accel_scaling.testing.hosts.settings import HostKind, read_settings
from accel_scaling.timeouts import LOCAL_CLOUD_CLOSE_S, LOCAL_CLOUD_RECONCILE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings

LISTENING_FD_VARIABLE = "ACCEL_SCALING_CLOUD_FD"
"""Names the listening socket that LocalCloud opened outside, for clients in its own network namespace."""

CLOUD_PORT = 5000
"""The port at which the cloud answers isolated hosts and their laptop."""

# The first process of the cloud's process namespace: collects orphans, and takes the namespace with it when it ends.
# bash gives a background command /dev/null as its input, so the pipe of the parent comes by another descriptor; bash
# closes its own copies, and the cloud's input ends with the parent.
_FIRST_PROCESS_SCRIPT = 'exec {pipe}<&0; "$@" <&$pipe {pipe}<&- & exec {pipe}<&- 0</dev/null; wait $!'
_FIRST_PROCESS = ("bash", "-c", _FIRST_PROCESS_SCRIPT, "bash")


# As `python -m MODULE`, which would import from the current folder first.
_RUN_MODULE = """
import sys
sys.path[:] = [path for path in sys.path if path]
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


class CloudProcess:
    """The running cloud process, as its parent sees it.

    Args:
        settings: what it reads.
        listening: a listening socket of this process's network, for the cloud to answer here too.

    Raises:
        RehearsalError: it did not start; the text says why.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._log = settings.directory / "cloud.log"
        words = [sys.executable, "-c", _RUN_MODULE, settings.module, str(settings.write())]
        isolated = settings.kind is HostKind.ISOLATED
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
        # `unshare --fork` stays outside the new process namespace: its child is the first process that is in all three.
        self.inner_pid = _first_child(self._process.pid) if isolated else self._process.pid

    def close(self) -> None:
        """Close its standard input and wait for it to clean up; kill it when it does not."""
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
        answer: dict[str, Any] = json.loads(line) if line else {}
        if answer.get("ready"):
            return
        last = (self._log.read_text().strip().splitlines() or ["it printed nothing"])[-1]
        raise RehearsalError(
            f"the local {self._settings.cloud} did not start: {answer.get('error', last)} (log: {self._log})"
        )


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free port of the loopback interface.

    Raises:
        RehearsalError: it has no IPv4 address, as in a container with ::1 alone.
    """
    try:
        return socket.create_server(("127.0.0.1", 0))
    except OSError as error:
        raise RehearsalError(
            f"this machine has no 127.0.0.1 ({error.strerror}), and local clouds need IPv4 on the loopback interface;"
            " `ip addr add 127.0.0.1/8 dev lo`, as root, adds it"
        ) from None


def _environment(listening_fd: int) -> dict[str, str]:
    # The cloud runs this very copy of the package, also from a checkout that is not installed.
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


class CloudServer(Protocol):
    """One cloud's API, and the step that turns its machines into hosts."""

    ports: list[int]

    def step(self) -> None:
        """Look at every machine once."""

    def close(self) -> None:
        """Stop answering."""


if TYPE_CHECKING:
    StartCloud = Callable[[Settings, Hosts, EventLog, list[tuple[str, int]], list[int]], CloudServer]
    """Starts a cloud: its settings, hosts, events, the addresses to listen on, and sockets that listen already."""


def run(argv: list[str], start: StartCloud) -> int:
    """Run one local cloud to its end; return the exit code."""
    settings = read_settings(Path(argv[0]))
    read_user_hardware(settings.directory)
    # With the parent's: after its sudden end this process still needs them.
    claim(settings.scratch)
    if (settings.directory / CLAIM).exists():
        claim(settings.directory)
    over = _end_of_process()
    events = EventLog(settings.events_file)
    inherited = [int(os.environ[LISTENING_FD_VARIABLE])]
    try:
        # Before the cloud: isolated hosts make the bridge whose address it listens on.
        hosts, listen = _hosts(settings)
    except (RehearsalError, OSError) as error:
        # On standard output, where the parent waits for a line: it makes one sentence of it instead of a traceback.
        _print_line({"error": str(error)})
        return 2
    # moto makes two million objects that stay; looking for garbage among them took 1.2 s of the start's 2.5 s of CPU.
    gc.disable()
    try:
        cloud = start(settings, hosts, events, listen, inherited)
        gc.freeze()
        gc.enable()
        # Hosts and laptop use the first server; the inherited one is for the parent's namespace.
        _print_line({"ready": True, "ports": cloud.ports})
        while not over.wait(LOCAL_CLOUD_RECONCILE_S):
            _step(cloud)
        cloud.close()
    finally:
        hosts.close()
        remove_ray_ssh_folder(settings.cloud_id)
    return 0


def end_process(code: int) -> NoReturn:
    """End this process at once: to take moto's objects down one by one would take 0.6 s of CPU."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _hosts(settings: Settings) -> tuple[Hosts, list[tuple[str, int]]]:
    """Return the hosts of the requested kind, and where the cloud must listen for them."""
    if settings.kind is HostKind.PROCESSES:
        from accel_scaling.testing.hosts.processes import ProcessHosts

        return ProcessHosts(settings), []
    from accel_scaling.testing.hosts.isolated import IsolatedHosts, bridge_address

    return IsolatedHosts(settings), [(bridge_address(settings), CLOUD_PORT)]


def _step(cloud: CloudServer) -> None:
    """Do one step; an error in it is logged, as the other hosts must live on."""
    try:
        cloud.step()
    except Exception:  # noqa: BLE001 - printed whole; a cloud that dies of one host would hide the cause
        traceback.print_exc()
        time.sleep(LOCAL_CLOUD_RECONCILE_S)


def _end_of_process() -> threading.Event:
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


def _print_line(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
