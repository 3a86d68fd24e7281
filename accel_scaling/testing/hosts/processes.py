"""Hosts as plain processes: a directory, a loopback address and an environment each; no privilege needed."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import PYTHON_SERVERS
from accel_scaling.families.plugins import entry_points
from accel_scaling.testing.devices.device_files import change, install
from accel_scaling.testing.faults import FaultKind
from accel_scaling.testing.hosts import image_site
from accel_scaling.testing.hosts.host_records import (
    ADDRESS_VARIABLE,
    SCRATCH_VARIABLE,
    HostRecord,
    delete_record,
    kill_marked,
    write_record,
)
from accel_scaling.testing.hosts.hosts import keep_ray_logs
from accel_scaling.testing.hosts.leftovers import PREFIX
from accel_scaling.testing.hosts.python_environments import ROOT, ULIMIT, EnvironmentFiles, read_environments
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE, host_folder
from accel_scaling.testing.hosts.start_faults import put_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.testing.devices.hardware import Hardware
    from accel_scaling.testing.hosts.hosts import HostSpec
    from accel_scaling.testing.hosts.settings import Settings

# Program -> the module with a function of its name. A laptop's `ray` is the real one.
_SHIMS = {"ssh": "shim_remote", "rsync": "shim_remote", "ray": "shim_ray"}

# As a shell says it; its exit code too.
_NO_RAY = "#!/bin/sh\necho 'ray: command not found' >&2\nexit 127\n"

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ProcessHosts:
    """All plain-process hosts of one local cloud; see ``hosts.Hosts``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scratch = settings.scratch
        self._records: dict[str, HostRecord] = {}
        for name in ("net", "site", settings.shared_folder.name):
            (self._scratch / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(image_site.__file__, self._scratch / "site" / "sitecustomize.py")
        write_shims(self._scratch / "shims", settings.python, _SHIMS)
        # In front of a machine's own PATH: a `ray` of this machine would end all of them by `ray stop`.
        write_shims(self._scratch / "no-ray", settings.python, ("ssh", "rsync"))
        if shutil.which("ray", path=SYSTEM_PATH):
            _write_program(self._scratch / "no-ray" / "ray", _NO_RAY)
        write_shims(self._scratch / "laptop-shims", settings.python, ("ssh", "rsync"))

    def boot(self, launch: HostSpec) -> None:
        """Make the directory, its devices and its environment, and write its record."""
        folder = host_folder(self._settings, launch.instance_id, launch.address)
        for name in ("home", "tmp", "devices"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        devices = install(folder / "devices", launch.hardware)
        environment = self._environment(launch, folder)
        if "PYTHONPATH" in devices:  # the makers' packages come before the rest
            devices["PYTHONPATH"] += f":{environment['PYTHONPATH']}"
        if "PATH" in devices:
            # The devices' tools come before the host's own PATH, not before this process's: with the `ray` of this
            # machine in place of the shim, `ray stop` on one host ends the Ray of all.
            devices["PATH"] = f"{devices['PATH'].partition(os.pathsep)[0]}{os.pathsep}{environment['PATH']}"
        record = HostRecord(launch.instance_id, launch.address, folder, {**environment, **devices})
        _write_profile(record, self._put_environments(record))
        put_fault(record.home, launch.fault)
        self._share(record.home)
        self._records[launch.instance_id] = record
        if launch.fault is not FaultKind.NO_SSH:  # without a record ssh is refused
            write_record(self._scratch, record)

    def change_devices(self, instance_id: str, hardware: Hardware) -> None:
        """Write again what the driver answers."""
        if record := self._records.get(instance_id):
            change(record.folder / "devices", hardware)

    def halt(self, instance_id: str, *, destroy: bool) -> None:
        """Strike the host, kill its processes, and with ``destroy`` remove its directory."""
        record = self._records.get(instance_id)
        if record is None:
            return
        # First, so no new command can start on it while its processes are being killed.
        delete_record(self._scratch, record.address)
        kill_marked(self._settings.marker(instance_id), record.folder)
        if destroy:
            keep_ray_logs(record.folder / "tmp" / "ray", self._settings.postmortem / instance_id)
            shutil.rmtree(record.folder, ignore_errors=True)
            del self._records[instance_id]

    def close(self) -> None:
        """Halt all hosts, the laptop's processes too, and remove the scratch folder."""
        kill_marked(self._settings.marker(""))
        for instance_id in list(self._records):
            self.halt(instance_id, destroy=True)
        # By folder, too: workers of Ray write their title over the environment that has the marker.
        kill_marked(self._settings.marker(""), self._scratch)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _share(self, home: Path) -> None:
        """Make the shared folder a link in the home; on a boot after a stop it is there."""
        link = home / self._settings.shared
        if self._settings.shared and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self._settings.shared_folder)

    def _environment(self, launch: HostSpec, folder: Path) -> dict[str, str]:
        settings = self._settings
        return {
            **settings.environment,
            "PATH": self._path(),
            "HOME": str(folder / "home"),
            # Programs that ask for a temporary folder get the host's; /tmp itself is shared by all plain-process hosts.
            "TMPDIR": str(folder / "tmp"),
            "RAY_TMPDIR": str(folder / "tmp"),
            "LOGNAME": settings.cloud_id,  # Ray names its ssh control folder in /tmp after it
            "USER": settings.cloud_id,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self._scratch / "site"),
            image_site.HOST_FOLDER_VARIABLE: str(folder),
            image_site.HIDDEN_VARIABLE: ",".join(sorted({entry.root for entry in entry_points()})),
            image_site.SERVERS_VARIABLE: ",".join(PYTHON_SERVERS),
            MARKER_VARIABLE: settings.marker(launch.instance_id),
            SCRATCH_VARIABLE: str(self._scratch),
            ADDRESS_VARIABLE: launch.address,
            **self._metadata_server(launch),
        }

    def _path(self) -> str:
        if not read_environments(self._settings.environments_file).ray_on_path:
            return f"{self._scratch / 'no-ray'}:{SYSTEM_PATH}"
        return f"{self._scratch / 'shims'}:{self._settings.python.parent}:{SYSTEM_PATH}"

    def _put_environments(self, record: HostRecord) -> str:
        """Write the environments from which start commands take `ray`; return the lines for the profile."""

        def inside(path: str) -> Path:
            relative = path.removeprefix("~").removeprefix("/")
            return record.home / (relative if path.startswith("~") else f"{ROOT}/{relative}")

        ray = (self._scratch / "shims" / "ray").read_text(encoding="utf-8")
        files = EnvironmentFiles(inside, lambda path: str(inside(path)), ray, self._settings.python)
        return files.put(read_environments(self._settings.environments_file))

    def _metadata_server(self, launch: HostSpec) -> dict[str, str]:
        """Return the variables that name it: for Google's libraries, and for programs that know its name."""
        port = self._settings.metadata_port
        if not port:
            return {}
        if self._settings.metadata_address:
            return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{launch.address}:{port}"}
        return {
            "GCE_METADATA_HOST": f"{launch.address}:{port}",
            image_site.METADATA_VARIABLE: f"{launch.address}:{port}",
        }


def write_shims(folder: Path, python: Path, names: Iterable[str]) -> None:
    """Put an executable per name into ``folder``, each of which runs the function of this package for it."""
    folder.mkdir(parents=True, exist_ok=True)
    package_parent = str(Path(__file__).parents[3])
    for name in names:
        code = (
            f"import sys; sys.path.insert(0, {package_parent!r}); "
            f"from accel_scaling.testing.hosts.{_SHIMS[name]} import {name}; sys.exit({name}(sys.argv[1:]))"
        )
        # -I: the host's PYTHONPATH hides this package, and is meant for what the shim starts.
        _write_program(folder / name, f'#!/bin/sh\nexec {shlex.quote(str(python))} -I -c {shlex.quote(code)} "$@"\n')


def _write_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _write_profile(record: HostRecord, environments: str) -> None:
    """Write the home's profile, which sets PATH back: a login shell reads /etc/profile, which sets it again."""
    path = record.environment["PATH"]
    bashrc = record.home / ".bashrc"
    if not bashrc.exists():  # not on a boot after a stop
        bashrc.write_text(environments)
    (record.home / ".bash_profile").write_text(f"export PATH={shlex.quote(path)}\n{ULIMIT}. ~/.bashrc\n")


def make_scratch() -> Path:
    """Make a short private folder; under /tmp whatever TMPDIR says, as paths of sockets below it must stay short."""
    parent = "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108 - made by mkdtemp
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
