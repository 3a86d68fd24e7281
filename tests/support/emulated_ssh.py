"""Machines as folders: `ssh` and `rsync` on the PATH run each command here, in the folder of the machine.

Real: the commands, as Ray and the boot check write them, run by bash; the bundle; the boot check, on emulated devices.
`ray` itself is a program of ours on each machine, which calls the start hook as `ray start` does, and starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.hardware import Hardware

DEVICE_FAULTS = {"no-driver", "no-devices", "unhealthy", "not-yet"}

# As Ray's `ray start` does: the hook first, with its parameters; then (here) nothing.
_RAY = """#!{python}
import os, sys
from pathlib import Path
home = Path.home()
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

# ssh hands its last words to the account's shell, as one line.
_SSH = """#!/bin/bash
while [[ $1 != *@* ]]; do shift; done
machine={folder}/${{1##*@}}; shift
. "$machine/environment"
cd "$HOME" && exec bash -c "$*" </dev/null
"""

_RSYNC = """#!/bin/bash
source=${{*: -2:1}} target=${{*: -1}}
machine=${{target#*@}}; machine={folder}/${{machine%%:*}}
there=${{target#*:}}; there=${{there/#\\~/$machine/home}}
mkdir -p "${{there%/*}}"
if [[ -d $source ]]; then mkdir -p "$there"; cp -r "$source/." "$there"; else cp "$source" "$there"; fi
"""


class EmulatedSsh:
    """The machines of one cluster.

    Args:
        folder: of all machines.
        hardware: node type -> the devices of its machines.
        faults: node type -> what is wrong with its machines: a device fault (``no-driver``), or the name of a file in
            their home, for which a command or a program above looks.
    """

    def __init__(self, folder: Path, hardware: Mapping[str, Hardware], faults: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._hardware = hardware
        self._faults = faults
        self._homes: dict[str, Path] = {}
        for name, text in (("ssh", _SSH), ("rsync", _RSYNC)):
            _write_program(folder / "bin" / name, text.format(folder=shlex.quote(str(folder))))

    @contextlib.contextmanager
    def on_path(self, provider: Any) -> Iterator[None]:
        """Let this process reach a provider's machines; each comes to be when it is first reached for."""
        original = provider.get_command_runner

        def get_command_runner(log_prefix: str, node_id: str, *args: Any, **kwargs: Any) -> Any:
            if node_id not in self._homes:
                node_type = str(provider.node_tags(node_id)["ray-user-node-type"])
                self._homes[node_id] = self._boot(provider.internal_ip(node_id), node_type)
            return original(log_prefix, node_id, *args, **kwargs)

        path = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        with (
            mock.patch.dict(os.environ, {"PATH": path}),
            mock.patch.object(provider, "get_command_runner", get_command_runner),
        ):
            yield

    def joined(self, node_id: str) -> bool:
        """Return whether Ray was started on a machine."""
        return node_id in self._homes and (self._homes[node_id] / "joined").exists()

    def any_joined(self) -> bool:
        """Return whether Ray was started on any machine."""
        return any(map(self.joined, self._homes))

    def _boot(self, address: str, node_type: str) -> Path:
        machine = self._folder / address
        home = machine / "home"
        _write_program(home / "bin" / "ray", _RAY.format(python=sys.executable))
        # A login shell begins with the system's PATH, whatever the environment says.
        (home / ".bashrc").write_text(f'export PATH="{home}/bin:{Path(sys.executable).parent}:$PATH"\n')
        hardware = self._hardware[node_type]
        for fault in self._faults.get(node_type, ()):
            if fault in DEVICE_FAULTS:
                hardware = with_fault(hardware, fault)
            else:
                (home / fault).touch()
        environment = {"HOME": str(home), "LANG": "C.UTF-8", **install(machine / "devices", hardware)}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        (machine / "environment").write_text("".join(lines))
        return home


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
