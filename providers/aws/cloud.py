"""AWS as a value of the registry of clouds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.clouds import Cloud, ImageForm


@dataclass(frozen=True)
class AWS(Cloud):
    """Amazon Web Services: machines of EC2."""

    def machine_family(self, machine_type: str) -> str | None:
        """Return what precedes the dot: ``g5`` of ``g5.xlarge``."""
        family, dot, _ = machine_type.partition(".")
        return family if dot else None

    def names_like(self, machine_type: str) -> bool:
        """Return whether there is a dot in the name."""
        return "." in machine_type

    def short_zone(self, region: str, zone: str) -> str:
        """Return the end of a zone's id: ``az4`` of ``use1-az4``; a zone's name means another zone in each account."""
        del region
        return zone.partition("-")[2]


CLOUD = AWS(
    name="aws",
    title="AWS",
    compute="EC2",
    provider_class="AWSAcceleratorNodeProvider",
    region_form=re.compile(r"[a-z]+(?:-[a-z]+)+-[0-9]+"),  # us-west-2, us-gov-west-1
    region_example="us-west-2",
    zone_example="az1 az2",
    is_default=True,
    images=(ImageForm("ssm", re.compile(r"/aws/service/[A-Za-z0-9_./-]+"), "a parameter's name, as /aws/service/..."),),
    exact_accelerator_names=False,  # A100, of 40 and of 80 GiB
    series_separator=".",
    sdk_module="boto3",
    sdk_package="boto3",
    sdk_floors=(("boto3", "1.34"), ("botocore", "1.34"), ("urllib3", "1.25.4")),
    # The Python of Ray's own default image (`ImageId: latest_dlami`).
    image_path_command=(
        "(stat ~/anaconda3/envs/tensorflow2_p310 >/dev/null 2>&1 && "
        """echo 'export PATH="$HOME/anaconda3/envs/tensorflow2_p310/bin:$PATH"' >> ~/.bashrc) || true"""
    ),
    image_keys=("ImageId", "LaunchTemplate"),
    machine_key="InstanceType",
    rehearsal_modules=("ray", "boto3", "moto"),
    provider_keys=(
        "region",
        "availability_zone",
        "cache_stopped_nodes",
        "security_group",
        "key_pair",
        "aws_credentials",
        "cloudwatch",
    ),
    network_words=("efa",),
    placement_words=("cluster",),
)
