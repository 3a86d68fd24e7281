"""The local Compute Engine with hosts: each machine, and each host of a slice, is a real one here. See ``LocalGCE``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.gce.fault_injection import ANY, Knobs
from accel_scaling.testing.gce.preemptions import Preemptions
from accel_scaling.testing.hosts.local_cloud import LocalCloud
from accel_scaling.testing.hosts.settings import Kind, Latencies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.testing.hosts.faults import Faults

__all__ = ["PROJECT", "Kind", "Latencies", "LocalGCE"]

PROJECT = "rehearsal"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")

# Where hosts find their metadata server: on isolated ones where Google's is, on plain ones where anybody may listen.
_METADATA_PORTS = {Kind.ISOLATED: 80, Kind.PROCESSES: 8988}


class LocalGCE(LocalCloud):
    """A whole Compute Engine and Cloud TPU on this machine; arguments as ``LocalCloud``.

    Args:
        zones: those that exist, all of one region.
    """

    CLOUD = "Compute Engine"
    MODULE = "accel_scaling.testing.gce.cloud"
    METADATA_PORTS = _METADATA_PORTS

    def __init__(
        self,
        directory: Path,
        *,
        kind: Kind | None = None,
        zones: Sequence[str] = ZONES,
        python: Path = Path(sys.executable),
        latencies: Latencies | None = None,
        ssh_user: str = "ubuntu",
    ) -> None:
        place = ",".join(zones)
        super().__init__(directory, place=place, kind=kind, python=python, latencies=latencies, ssh_user=ssh_user)
        self._knobs = Knobs()

    def set_knobs(self, knobs: Knobs) -> None:
        """From now on, the cloud behaves so."""
        self._knobs = knobs
        knobs.write(knobs_file(self.settings.directory))

    def set_faults(self, faults: Faults) -> None:
        """As in any cloud; a type that is sold out may be followed by ``@`` and the one zone where it is."""
        dry: dict[str, list[str]] = {}
        for name in sorted(faults.no_capacity):
            machine_type, _, zone = name.partition("@")
            dry.setdefault(zone or ANY, []).append(machine_type)
        self._knobs.dry_zones, self._knobs.capacity = dry, dict(faults.capacity)
        self.set_knobs(self._knobs)
        super().set_faults(faults)

    def preempt(self, name: str) -> None:
        """Google takes a spot machine or slice back, within a second."""
        Preemptions(self.settings.directory).ask(name)

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """Nothing: a cluster file names the endpoints, and Google's clients know no variable for them."""
        del endpoint_url
        return {}


def knobs_file(directory: Path) -> Path:
    """Where the knobs are, for the cloud process."""
    return directory / "knobs.json"
