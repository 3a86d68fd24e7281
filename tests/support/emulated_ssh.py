"""Machines as folders: Ray's updaters reach them over `ssh` and `rsync`, which are run here, in the machine's folder.

Real: the commands, as Ray and the boot check write them, run by bash; the bundle; the boot check, on emulated devices.
`ray` itself is a program of ours, which calls the start hook as `ray start` does, and starts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.hardware import Hardware

SSH_FAILED = 255
DEVICE_FAULTS = {"no-driver", "no-devices", "unhealthy", "not-yet"}

# As Ray's `ray start` does: the hook first, with its parameters; then (here) nothing.
_RAY = """#!{python}
import os, sys
from pathlib import Path
home = Path.home()
with (home / "starts").open("a") as starts:
    starts.write(" ".join(sys.argv[1:]) + "\\n")
if "start" not in sys.argv or (home / "joined").exists():
    raise SystemExit(0)
if (home / "crashes").exists():
    raise SystemExit("ray: Illegal instruction")
class Params:
    labels = None
    def __getattr__(self, name):
        return None
if hook := os.environ.get("RAY_START_HOOK"):
    from ray._common.utils import load_class
    load_class(hook)(Params(), False)
if (home / "start-fails").exists():
    raise SystemExit("ray: the GCS at 10.0.0.1:6379 is not reachable")
(home / "joined").touch()
"""


@dataclass
class Machine:
    """A machine of the cluster, as a folder.

    Attributes:
        home: the home of the account that starts Ray.
        environment: what its shells have.
    """

    home: Path
    environment: dict[str, str]

    @property
    def joined(self) -> bool:
        """Whether Ray was started here."""
        return (self.home / "joined").exists()


class EmulatedSsh:
    """Stands for Python's `subprocess` in Ray's command runners.

    Args:
        folder: of all machines.
        name_of: the name of the machine with an address.
        type_of: the node type of a machine by its name.
        hardware: node type -> the devices of its machines.
        faults: node type -> what is wrong with its machines: ``no-ssh``, a device fault (``no-driver``), or the name of
            a file in its home that a command or the `ray` above looks for.
    """

    DEVNULL = subprocess.DEVNULL
    PIPE = subprocess.PIPE
    CalledProcessError = subprocess.CalledProcessError

    def __init__(
        self,
        folder: Path,
        name_of: Callable[[str], str],
        type_of: Callable[[str], str],
        hardware: Mapping[str, Hardware],
        faults: Mapping[str, Sequence[str]],
    ) -> None:
        self._folder = folder
        self._name_of = name_of
        self._type_of = type_of
        self._hardware = hardware
        self._faults = faults
        self.machines: dict[str, Machine] = {}

    def check_call(self, command: list[str], **_: Any) -> int:
        """Run ``ssh`` or ``rsync``."""
        self._run(command)
        return 0

    def check_output(self, command: list[str], **_: Any) -> bytes:
        """Run ``ssh``, and return what the command printed."""
        return self._run(command)

    def joined(self, name: str) -> bool:
        """Return whether Ray was started on a machine."""
        return name in self.machines and self.machines[name].joined

    def any_joined(self) -> bool:
        """Return whether Ray was started on any machine."""
        return any(machine.joined for machine in self.machines.values())

    def _run(self, command: list[str]) -> bytes:
        remote = next(word for word in reversed(command) if "@" in word)
        address = remote.rpartition("@")[2].partition(":")[0]
        name = self._name_of(address)
        if "no-ssh" in self._faults.get(self._type_of(name), ()):
            raise self._error(command, SSH_FAILED)
        machine = self.machines.get(name) or self._machine(name)
        if command[0] == "rsync":
            self._copy(machine, command[-2], command[-1].partition(":")[2])
            return b""
        # ssh hands its last words to the account's shell, as one line.
        done = subprocess.run(
            ["bash", "-c", " ".join(command[command.index(remote) + 1 :])],
            env=machine.environment,
            cwd=machine.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise self._error(command, done.returncode)
        return done.stdout

    def _machine(self, name: str) -> Machine:
        node_type = self._type_of(name)
        home = self._folder / name / "home"
        (home / "bin").mkdir(parents=True)
        ray = home / "bin" / "ray"
        ray.write_text(_RAY.format(python=sys.executable))
        ray.chmod(0o755)
        # A login shell begins with the system's PATH, whatever the environment says.
        (home / ".bashrc").write_text(f'export PATH="{home}/bin:{Path(sys.executable).parent}:$PATH"\n')
        hardware = self._hardware[node_type]
        for fault in self._faults.get(node_type, ()):
            if fault in DEVICE_FAULTS:
                hardware = with_fault(hardware, fault)
            else:
                (home / fault).touch()
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            **install(self._folder / name / "devices", hardware),
        }
        self.machines[name] = Machine(home, environment)
        return self.machines[name]

    def _copy(self, machine: Machine, source: str, target: str) -> None:
        there = Path(target.replace("~", str(machine.home), 1))
        if Path(source).is_dir():
            shutil.copytree(source, there, dirs_exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, there)

    @staticmethod
    def _error(command: list[str], code: int) -> Exception:
        # What Ray's own runner raises: given another module than `subprocess`, it would read no exit code.
        from ray.autoscaler._private.command_runner import ProcessRunnerError

        case = "ssh_timeout" if code == SSH_FAILED else None
        return ProcessRunnerError("Command failed", "ssh_command_failed", code=code, command=command, special_case=case)
