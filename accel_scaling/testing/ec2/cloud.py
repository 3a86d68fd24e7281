"""The process of a local EC2: ``python -m accel_scaling.testing.ec2.cloud SETTINGS.json``, run by LocalEC2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from accel_scaling.testing.ec2.moto_patches import patch_moto
from accel_scaling.testing.ec2.public_parameters import patch_parameters
from accel_scaling.testing.ec2.reconcile import Reconciler
from accel_scaling.testing.ec2.server import Ec2Server
from accel_scaling.testing.hosts.cloud_process import run

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.hosts.hosts import Hosts
    from accel_scaling.testing.hosts.settings import Settings


class Ec2Cloud:
    """moto's EC2, answering, with a host for each instance; see ``cloud_process.CloudServer``."""

    def __init__(
        self, settings: Settings, hosts: Hosts, events: EventLog, listen: list[tuple[str, int]], inherited: list[int]
    ) -> None:
        # moto cuts the default VPC's block into one /20 per zone.
        patch_moto(settings.faults_file, events, f"{settings.network}.0.0/16")
        patch_parameters()
        self._server = Ec2Server(listen, inherited)
        self._reconciler = Reconciler(self._server, hosts, events, settings)
        self.ports = self._server.ports

    def step(self) -> None:
        """Look at every instance once."""
        self._reconciler.step()

    def close(self) -> None:
        """Stop answering."""
        self._server.close()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], Ec2Cloud))
