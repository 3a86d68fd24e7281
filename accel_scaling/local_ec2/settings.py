"""What a local EC2 is told when it starts: one JSON file that the cloud process and the shims read."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass
from pathlib import Path

MARKER_VARIABLE = "ACCEL_SCALING_HOST"
"""In the environment of each process of a local EC2 that runs without namespaces: ``<cloud id>/<instance id>``."""


class Kind(str, enum.Enum):
    """What an instance is on this machine."""

    ISOLATED = "isolated"
    """Its own network, processes, mounts and root file system, reached through a real sshd; needs root."""

    PROCESSES = "processes"
    """A directory, a loopback address and an environment; needs nothing but Python on Linux."""


@dataclass(frozen=True)
class Latencies:
    """How long EC2 takes, in seconds: RunInstances to running, StopInstances to stopped, and so on."""

    boot_s: float = 0.5
    stop_s: float = 1.0
    terminate_s: float = 1.0


@dataclass(frozen=True)
class Settings:
    """One local EC2.

    Attributes:
        cloud_id: a random word; marks the processes of this cloud.
        kind: what an instance is.
        region: the region whose default VPC is made beforehand.
        directory: what stays for the reader: events, logs, post-mortems, the laptop's home.
        scratch: a short path under /tmp for hosts; gone when the cloud is.
        python: the interpreter of the environment that hosts have; Ray is in it.
        ssh_user: the account that Ray logs in to.
        network: the default VPC's first two bytes, ``172.31`` or ``127.<random>``.
        endpoint_url: where EC2 answers, as the laptop and the hosts see it.
        latencies: how long EC2 takes.
    """

    cloud_id: str
    kind: Kind
    region: str
    directory: Path
    scratch: Path
    python: Path
    ssh_user: str
    network: str
    endpoint_url: str
    latencies: Latencies

    @property
    def vpc_cidr(self) -> str:
        """The default VPC's block; moto cuts it into one /20 per zone."""
        return f"{self.network}.0.0/16"

    @property
    def faults_file(self) -> Path:
        """Where the faults are, see faults.py."""
        return self.directory / "faults.json"

    @property
    def events_file(self) -> Path:
        """Where the events are, see events.py."""
        return self.directory / "events.jsonl"

    @property
    def postmortem(self) -> Path:
        """Where a terminated host's Ray logs go, one folder per instance id."""
        return self.directory / "postmortem"

    @property
    def laptop(self) -> Path:
        """The home of the one who runs ``ray up``."""
        return self.directory / "laptop"

    @property
    def aws_environment(self) -> dict[str, str]:
        """What makes boto3 speak to this cloud and to no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def marker(self, who: str) -> str:
        """The value of ``MARKER_VARIABLE`` for processes of ``who`` (an instance id, or ``laptop``)."""
        return f"{self.cloud_id}/{who}"

    def write(self) -> Path:
        """Writes the settings into the directory and returns the file."""
        file = self.directory / "settings.json"
        file.write_text(json.dumps(asdict(self), default=str, indent=1))
        return file


def read_settings(file: Path) -> Settings:
    """The settings in ``file``."""
    row = json.loads(file.read_text())
    paths = {name: Path(row[name]) for name in ("directory", "scratch", "python")}
    kind, latencies = Kind(row["kind"]), Latencies(**row["latencies"])
    return Settings(**{**row, **paths, "kind": kind, "latencies": latencies})
