"""Google Cloud as a value of the registry of clouds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.clouds import Cloud

_FAMILY = re.compile(r"(?!nvidia-)([a-z0-9]+-[a-z]+)-[0-9].*")


@dataclass(frozen=True)
class GCP(Cloud):
    """Google Cloud: machines of Compute Engine, slices of Cloud TPU."""

    def machine_family(self, machine_type: str) -> str | None:
        """Return the first two words: ``a2-highgpu`` of ``a2-highgpu-1g``."""
        found = _FAMILY.fullmatch(machine_type)
        return found[1] if found else None


CLOUD = GCP(
    name="gcp",
    title="Google Cloud",
    compute="Google Cloud",
    provider_class="GCPAcceleratorNodeProvider",
    region_form=re.compile(r"[a-z]+-[a-z]+[0-9]+"),  # us-west2, northamerica-northeast1
    region_example="us-west2",
    zone_example="a b",
    has_tpus=True,
    modules=("ray", "googleapiclient", "google_auth_httplib2"),
)
