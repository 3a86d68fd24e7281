"""Patches of moto where it differs from AWS for a node provider: states, addresses, images; see launches.py, too.

Of the public parameters of AWS Systems Manager that name machine images, those exist that AWS documents, in every
region. The rows are this cloud's own, not those that the fill takes its images from: a name that AWS does not document
is not found here, as it is not found at AWS.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.ec2.images import IMAGES
from accel_scaling.testing.ec2.launches import Capacity, patch_launches
from accel_scaling.testing.ec2.states import SHUTTING_DOWN, STOPPED, STOPPING, TERMINATED, set_state

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.events import EventLog


PUBLISHED = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)  # of every image


def patch_moto(faults_file: Path, reservations_file: Path, events: EventLog, vpc_cidr: str) -> Capacity:
    """Change moto in this process, permanently: it serves one local EC2 and then ends. Return what EC2 has to give."""
    capacity = patch_launches(faults_file, events, reservations_file)
    _patch_states()
    _patch_addresses(vpc_cidr)
    _patch_offerings()
    _patch_parameters()
    _patch_images()
    _patch_refusals()
    return capacity


def _patch_states() -> None:
    """Let stopping and terminating take time, as on EC2; the reconciler completes them."""
    from moto.ec2.models.instances import Instance

    stop, terminate = Instance.stop, Instance.terminate

    def slow_stop(self: Any) -> Any:
        previous = stop(self)
        # A machine that is off stays off: nothing is left to do that would take time.
        if previous.name != STOPPED[0]:
            set_state(self, STOPPING)
        return previous

    def slow_terminate(self: Any) -> Any:
        # A second request is answered as EC2 does, with the same state twice. moto's own method would delete the
        # network interfaces again, and a terminated machine would begin to shut down again.
        if self.state in (SHUTTING_DOWN[0], TERMINATED[0]):
            return type(self._state)(self.state, self.state_code)
        previous = terminate(self)
        set_state(self, SHUTTING_DOWN)
        return previous

    Instance.stop, Instance.terminate = slow_stop, slow_terminate


def _patch_addresses(vpc_cidr: str) -> None:
    """Put the default VPC where the hosts are; the public address is one that the laptop reaches: the private one."""
    from moto.ec2.models.instances import Instance
    from moto.ec2.models.vpcs import VPCBackend

    create = VPCBackend.create_vpc

    def create_vpc(self: Any, cidr_block: str, *args: Any, **named: Any) -> Any:
        # Only the default VPC: no host has an address of any other.
        return create(self, vpc_cidr if named.get("is_default") else cidr_block, *args, **named)

    def public_address(self: Any) -> str | None:
        address: str | None = self.private_ip if self.nics[0].public_ip else None
        return address

    VPCBackend.create_vpc = create_vpc
    Instance.public_ip = Instance.public_ip_address = property(public_address)


def _patch_offerings() -> None:
    """Offer every type that is asked for: moto records what each region sells today, a rehearsal may use others."""
    from moto.ec2.models.instance_types import InstanceTypeOfferingBackend

    describe = InstanceTypeOfferingBackend.describe_instance_type_offerings

    def describe_all(self: Any, location_type: str | None = None, filters: dict[str, Any] | None = None) -> Any:
        offerings = list(describe(self, location_type, filters))
        requested = set((filters or {}).get("instance-type", []))
        known = {row["InstanceType"] for row in offerings}
        zones = [zone.name for zone in self.describe_availability_zones()]
        places = zones if location_type == "availability-zone" else [self.region_name]
        locations = (filters or {}).get("location", places)
        offerings += [
            {"InstanceType": name, "LocationType": location_type or "region", "Location": place}
            for name in sorted(requested - known)
            if not any(sign in name for sign in "*?")  # a pattern of the client's is no type
            for place in places
            if place in locations
        ]
        return offerings

    InstanceTypeOfferingBackend.describe_instance_type_offerings = describe_all


@functools.cache
def documented_parameters() -> frozenset[str]:
    """Return the names of the public parameters that AWS documents."""
    with Path(__file__).with_name("public_parameters.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["parameter"] for row in csv.DictReader(file))


def image_id(parameter: str) -> str:
    """Return the image that a parameter names: made up, and always the same."""
    # 17 hex digits, as in EC2's own ids.
    return f"ami-{hashlib.sha256(parameter.encode()).hexdigest()[:17]}"


def _patch_parameters() -> None:
    """Make moto know the parameters, as it knows those of Amazon Linux: loaded when they are first asked for."""
    from moto.ssm.models import Parameter, ParameterDict

    load = ParameterDict._check_loading_status  # noqa: SLF001 - moto has no public setter

    def with_images(self: Any, key: str) -> None:
        load(self, key)
        # dict's own methods: those of ParameterDict call this function, which would never end.
        if key in documented_parameters() and not dict.__contains__(self, key):
            parameter = Parameter(
                account_id=self.account_id,
                name=key,
                value=image_id(key),
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=PUBLISHED,
                version=1,
                data_type="aws:ec2:image",
            )
            dict.__setitem__(self, key, [parameter])

    ParameterDict._check_loading_status = with_images  # noqa: SLF001


def _patch_images() -> None:
    """Make moto know the images that stand for the user's own, when they are asked for."""
    from moto.ec2.models.amis import Ami, AmiBackend

    describe = AmiBackend.describe_images

    def describe_with_ours(self: Any, ami_ids: list[str] | None = None, *args: Any, **named: Any) -> Any:
        for architecture, ami_id in IMAGES.items():
            if ami_id in (ami_ids or ()) and ami_id not in self.amis:
                self.amis[ami_id] = Ami(self, ami_id, name="rehearsal", architecture=architecture, public=True)
        return describe(self, ami_ids, *args, **named)

    AmiBackend.describe_images = describe_with_ours


def _patch_refusals() -> None:
    """Refuse a caller without permission in JSON, which Systems Manager speaks; moto does it in the XML of EC2."""
    from moto.core.exceptions import JsonRESTError
    from moto.iam.access_control import IAMRequest

    refuse = IAMRequest._raise_access_denied  # noqa: SLF001

    def in_json(self: Any) -> None:
        if self._service != "ssm":
            refuse(self)
        text = f"User: {self._access_key.arn} is not authorized to perform: {self._action}"
        raise JsonRESTError("AccessDeniedException", text)

    IAMRequest._raise_access_denied = in_json  # noqa: SLF001
