"""Settings of a local cloud, in one JSON file that its process reads; and the paths of its hosts' files."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER_VARIABLE = "ACCEL_SCALING_HOST"
"""In the environment of each process of a local cloud that runs without namespaces: ``<cloud id>/<instance id>``."""


class HostKind(str, enum.Enum):
    """The two kinds of hosts: what a machine of the cloud is here."""

    ISOLATED = "isolated"
    """Its own network, processes, mounts and root file system, reached through a real sshd; needs root."""

    PROCESSES = "processes"
    """A directory, a loopback address and an environment; needs nothing but Python on Linux."""


@dataclass(frozen=True)
class Latencies:
    """The times that the cloud takes, in seconds: from launch to running, from a call to stopped, and so on."""

    boot_s: float = 0.5
    stop_s: float = 1.0
    terminate_s: float = 1.0


@dataclass(frozen=True)
class Settings:
    """One local cloud.

    Attributes:
        cloud: its name in messages, e.g. ``EC2``.
        module: the Python module that runs it.
        cloud_id: a random word; marks the processes of this cloud.
        kind: what an instance is.
        place: the region, or the zones with commas between them, that exist from the start.
        directory: what stays for the reader: events, logs, post-mortems, the laptop's home.
        scratch: a short path under /tmp for hosts; gone when the cloud is.
        python: the interpreter of the environment that hosts have; Ray is in it.
        ssh_user: the account that Ray logs in to.
        network: the first two bytes of the hosts' addresses, ``172.31``, or ``127.<number>`` (networks.py).
        endpoint_url: where the cloud answers, as the laptop and the hosts see it.
        environment: what makes clients on laptop and hosts speak to this cloud and to no other.
        latencies: how long the cloud takes.
        shared: the folder below the account's home that is one folder on all hosts; empty for none.
        laptop_environment: more variables of the laptop, which no host has.
        metadata_port: where each host finds its metadata server; 0 where the cloud has none.
        metadata_address: where isolated hosts find it, if it has no name.
    """

    cloud: str
    module: str
    cloud_id: str
    kind: HostKind
    place: str
    directory: Path
    scratch: Path
    python: Path
    ssh_user: str
    network: str
    endpoint_url: str
    environment: Mapping[str, str]
    latencies: Latencies
    metadata_port: int = 0
    metadata_address: str = ""
    shared: str = ""
    laptop_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def faults_file(self) -> Path:
        """The file of the faults, see faults.py."""
        return self.directory / "faults.json"

    @property
    def reservations_file(self) -> Path:
        """The file of the reservations, see reservations.py."""
        return self.directory / "reservations.json"

    @property
    def environments_file(self) -> Path:
        """The file of the Python environments on hosts, see python_environments.py."""
        return self.directory / "environments.json"

    @property
    def events_file(self) -> Path:
        """The file of the events, see events.py."""
        return self.directory / "events.jsonl"

    @property
    def postmortem(self) -> Path:
        """The folder for Ray's logs of terminated hosts, one folder per instance id."""
        return self.directory / "postmortem"

    @property
    def shared_folder(self) -> Path:
        """The folder that stands for a file server of the cloud: hosts have it as ``shared`` in their homes."""
        return self.scratch / "shared"

    @property
    def laptop(self) -> Path:
        """The home of the user of ``ray up``."""
        return self.directory / "laptop"

    def marker(self, who: str) -> str:
        """Return the value of ``MARKER_VARIABLE`` for processes of ``who`` (an instance id, or ``laptop``)."""
        return f"{self.cloud_id}/{who}"

    def write(self) -> Path:
        """Write the settings into the directory and return the file."""
        file = self.directory / "settings.json"
        file.write_text(json.dumps(asdict(self), default=str, indent=1))
        return file


def read_settings(file: Path) -> Settings:
    """Return the settings in a file."""
    row = json.loads(file.read_text())
    paths = {name: Path(row[name]) for name in ("directory", "scratch", "python")}
    kind, latencies = HostKind(row["kind"]), Latencies(**row["latencies"])
    return Settings(**{**row, **paths, "kind": kind, "latencies": latencies})


def host_folder(settings: Settings, instance_id: str, address: str) -> Path:
    """Return the folder of one host, below the cloud's scratch folder."""
    if settings.kind is HostKind.ISOLATED:
        return settings.scratch / instance_id
    # Short, as Ray's sockets lie below it: 107 bytes is all that a socket's path may have.
    return settings.scratch / "-".join(address.split(".")[2:])


def host_path(settings: Settings, inner_pid: int, instance_id: str, address: str, path: str | Path) -> Path:
    """Return a file of a host as a path of ours; relative to the account's home, or absolute on the host."""
    folder, path = host_folder(settings, instance_id, address), Path(path)
    if settings.kind is HostKind.ISOLATED:
        # The cloud's mounts are its own; /proc shows them to whoever may look into the process.
        root = Path(f"/proc/{inner_pid}/root{folder}/root")
        return root / Path("/home", settings.ssh_user, path).relative_to("/")
    if path.is_relative_to("/tmp"):  # noqa: S108 - the host's, not ours
        return folder / "tmp" / path.relative_to("/tmp")  # noqa: S108
    return folder / "home" / path
