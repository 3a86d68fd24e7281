"""The local EC2: moto answers, and each instance is a real host on this machine. See ``LocalEC2``."""

from __future__ import annotations

import sys
from pathlib import Path

from accel_scaling.testing.hosts.local_cloud import LocalCloud
from accel_scaling.testing.hosts.settings import Kind, Latencies

__all__ = ["Kind", "Latencies", "LocalEC2"]


class LocalEC2(LocalCloud):
    """A whole EC2 on this machine; arguments as ``LocalCloud``.

    Args:
        region: whose default VPC is made beforehand; other regions answer too.
    """

    CLOUD = "EC2"
    MODULE = "accel_scaling.testing.ec2.cloud"

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
        super().__init__(directory, place=region, kind=kind, python=python, latencies=latencies, ssh_user=ssh_user)

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """Make boto3 speak to this cloud, with fake credentials."""
        return {
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": self._place,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
