"""AWS as a value of the registry of clouds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.clouds import Cloud, ImageForm


@dataclass(frozen=True)
class AWS(Cloud):
    """Amazon Web Services: machines of EC2."""

    def machine_family(self, machine_type: str) -> str | None:
        """Return what stands before the dot: ``g5`` of ``g5.xlarge``."""
        family, dot, _ = machine_type.partition(".")
        return family if dot else None

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
    modules=("ray", "boto3", "moto"),
    is_default=True,
    images=(ImageForm("ssm", re.compile(r"/aws/service/[A-Za-z0-9_./-]+"), "a parameter's name, as /aws/service/..."),),
)
