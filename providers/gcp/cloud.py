"""Google Cloud as a value of the registry of clouds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.clouds import Cloud, ImageForm

_COUNT = re.compile(r"-([0-9]+)[gt](?:-|$)")
_FAMILY = re.compile(r"(?!nvidia-)([a-z0-9]+-[a-z]+)-[0-9].*")


@dataclass(frozen=True)
class GCP(Cloud):
    """Google Cloud: machines of Compute Engine, slices of Cloud TPU."""

    def machine_family(self, machine_type: str) -> str | None:
        """Return the first two words: ``a2-highgpu`` of ``a2-highgpu-1g``."""
        match = _FAMILY.fullmatch(machine_type)
        return match[1] if match else None

    def count_in_name(self, machine_type: str) -> int | None:
        """Return the number before the g or t: 8 of ``a2-highgpu-8g``, 4 of ``ct5lp-hightpu-4t``."""
        match = _COUNT.search(machine_type)
        return int(match[1]) if match else None

    def names_like(self, machine_type: str) -> bool:
        """Return whether there is no dot in the name."""
        return "." not in machine_type


CLOUD = GCP(
    name="gcp",
    title="Google Cloud",
    compute="Google Cloud",
    provider_class="GCPAcceleratorNodeProvider",
    region_form=re.compile(r"[a-z]+-[a-z]+[0-9]+"),  # us-west2, northamerica-northeast1
    region_example="us-west2",
    zone_example="a b",
    has_tpus=True,
    images=(
        ImageForm(
            "family",
            re.compile(r"projects/[a-z0-9-]+/global/images/family/[a-z0-9-]+"),
            "projects/PROJECT/global/images/family/FAMILY",
        ),
        ImageForm("runtime", re.compile(r"[a-z0-9-]+"), "a runtime version, as tpu-ubuntu2204-base"),
    ),
    attaches_accelerators=True,
    has_custom_machine_types=True,
    sdk_module="googleapiclient",
    sdk_package="google-api-python-client",
    sdk_floors=(
        ("google-api-python-client", "2.150"),
        ("google-auth-httplib2", "0.2"),
        # What these two ask for themselves.
        ("google-api-core", "1.31.5"),
        ("google-auth", "1.32"),
        ("httplib2", "0.19"),
    ),
    # The Python of Google's images for deep learning.
    image_path_command=(
        """(stat /opt/conda/bin >/dev/null 2>&1 && echo 'export PATH="/opt/conda/bin:$PATH"' >> ~/.bashrc) || true"""
    ),
    image_keys=("disks", "sourceInstanceTemplate", "sourceMachineImage", "runtimeVersion"),
    machine_key="machineType",
    lists_places=False,  # a public price list's: Google's API names machine types to those who have a project
    rehearsal_modules=("ray", "googleapiclient", "google_auth_httplib2"),
    provider_keys=(
        "region",
        "availability_zone",
        "cache_stopped_nodes",
        "project_id",
        "gcp_credentials",
        "api_endpoints",
    ),
    network_words=("gpudirect", "rdma"),
    network_takes="subnetworks",
    placement_words=("compact",),
)
