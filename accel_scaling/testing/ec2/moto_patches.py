"""Patches of moto where it differs from AWS for a node provider: counts, tokens, capacity, states, addresses, images.

Of the public parameters of AWS Systems Manager that name machine images, those exist that AWS documents, in every
region. The rows are this cloud's own, not those that the fill takes its images from: a name that AWS does not document
is not found here, as it is not found at AWS.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import hashlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.ec2.client_tokens import launched_before, note_launched
from accel_scaling.testing.ec2.images import IMAGES
from accel_scaling.testing.ec2.interfaces import check_interfaces, efa_devices, primary
from accel_scaling.testing.ec2.placement_groups import check_group, patch_placement_groups
from accel_scaling.testing.faults import granted, read_faults

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.events import EventLog


PENDING, RUNNING = ("pending", 0), ("running", 16)
STOPPING, STOPPED = ("stopping", 64), ("stopped", 80)
SHUTTING_DOWN, TERMINATED = ("shutting-down", 32), ("terminated", 48)
LIVE = (PENDING[0], RUNNING[0])

PUBLISHED = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)  # of every image

# The words of EC2's console; the codes are those of StateReason in EC2's API reference.
_REASONS = {
    "Client.InternalError": "Client error on launch",
    "Client.InvalidSnapshot.NotFound": "The specified snapshot was not found",
    "Client.VolumeLimitExceeded": "Volume limit exceeded",
    "Server.InsufficientInstanceCapacity": "Insufficient capacity to satisfy instance request",
    "Server.InternalError": "Internal error on launch",
    "Server.SpotInstanceTermination": "Spot instance termination",
}

_launching = threading.Lock()  # two requests at once must not share the last free machine


def set_state(instance: Any, state: tuple[str, int]) -> None:
    """Put a moto instance into an EC2 state and note since when."""
    instance._state.name, instance._state.code = state  # noqa: SLF001 - moto has no public setter
    instance.rehearsal_since = time.monotonic()


def end_by_ec2(instance: Any, reason: str | None) -> None:
    """End an instance as EC2 does when a launch fails after RunInstances has answered; nobody asked for it."""
    from moto.ec2.models.instances import StateReason

    reason = reason or "Client.InternalError"
    instance.terminate()
    # By reports of such launches the code is the server's, and the client's mistake is in the message
    # (github.com/aws/karpenter-provider-aws/issues/1407).
    code = reason if reason.startswith("Server.") else "Server.InternalError"
    instance.state_reason = StateReason(f"{reason}: {_REASONS.get(reason, 'the instance was terminated')}", code)
    instance._reason = code  # noqa: SLF001 - moto has no public setter
    set_state(instance, TERMINATED)


def patch_moto(faults_file: Path, events: EventLog, vpc_cidr: str) -> None:
    """Change moto in this process, permanently: it serves one local EC2 and then ends."""
    patch_launches(faults_file, events)
    _patch_states()
    _patch_addresses(vpc_cidr)
    _patch_offerings()
    _patch_parameters()
    _patch_images()
    _patch_refusals()


def patch_launches(faults_file: Path, events: EventLog) -> None:
    """Make launches and starts of stopped machines need capacity, and launches follow their counts and tokens."""
    _patch_run_instances(faults_file, events)
    _patch_start_instances(faults_file)
    patch_placement_groups()


def _refusal(instance_type: str) -> Exception:
    from moto.ec2.exceptions import EC2ClientError

    text = f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested."
    error: Exception = EC2ClientError("InsufficientInstanceCapacity", text)
    return error


def _granted(faults_file: Path, backend: Any, instance_type: str, zone: str, requested: int) -> int:
    """Return how many machines there are in a zone: a fault's machine type is ``TYPE``, or ``TYPE@ZONE``."""
    of_type = [one for one in backend.all_instances() if one.instance_type == instance_type and one.state in LIVE]
    in_zone = [one for one in of_type if one.placement.zone == zone]
    faults = read_faults(faults_file)
    return min(
        granted(faults, instance_type, requested, len(of_type)),
        granted(faults, f"{instance_type}@{zone}", requested, len(in_zone)),
    )


def _patch_run_instances(faults_file: Path, events: EventLog) -> None:
    """Launch up to MaxCount machines, once for each client token, and refuse below MinCount; moto launches MinCount."""
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.responses.instances import InstanceResponse

    respond, launch = InstanceResponse.run_instances, InstanceBackend.run_instances

    def run_instances(self: Any) -> Any:
        param = self._get_param
        # EC2's default for a request that names no type.
        instance_type = param("InstanceType") or "m1.small"
        least = int(param("MinCount") or 1)
        most = int(param("MaxCount") or least)
        # Held over the count and the launch: what is free now must still be free when it is taken.
        with _launching:
            # Before the count: what was launched needs no capacity a second time.
            if (known := launched_before(self)) is not None:
                return ActionResult(known)
            interfaces = param("NetworkInterfaces") or []
            zone = _zone_of(self.ec2_backend, param("SubnetId"), interfaces)
            check_interfaces(self.ec2_backend, instance_type, interfaces)
            group = (param("Placement") or {}).get("GroupName", "")
            check_group(self.ec2_backend, group, zone, (param("InstanceMarketOptions") or {}).get("MarketType", ""))
            self.ec2_backend.rehearsal_group = group  # for the machines that are made below, under the same lock
            count = _granted(faults_file, self.ec2_backend, instance_type, zone, most)
            refused = count < least
            error = "InsufficientInstanceCapacity" if refused else None
            # As moto reads them: the name depends on how the client's version writes a request.
            tags = _instance_tags(param("TagSpecification", []) or param("TagSpecifications", []))
            granted_count = 0 if refused else count
            events.launch_request(instance_type, most, granted_count, param("SubnetId"), error=error, tags=tags)
            if refused:
                raise _refusal(instance_type)
            # moto makes a response object for each request: what is replaced here ends with this one.
            self._get_param = lambda key, *rest, **named: (
                str(count) if key == "MinCount" else param(key, *rest, **named)
            )
            return respond(self)

    def backend_run_instances(self: Any, *args: Any, **named: Any) -> Any:
        if not named.get("subnet_id") and not named.get("nics"):
            named["subnet_id"] = _default_subnet(self)  # as EC2 does; moto would give an address of no subnet
        interfaces = named.get("nics") or []
        reservation = launch(self, *args, **{**named, "nics": primary(interfaces)})
        for instance in reservation.instances:
            set_state(instance, PENDING)
            instance.rehearsal_efa = efa_devices(interfaces)
            instance.rehearsal_group = getattr(self, "rehearsal_group", "")
            instance.placement.group_name = instance.rehearsal_group or None
        note_launched(self, named.get("client_token"), reservation)
        return reservation

    InstanceResponse.run_instances = run_instances
    InstanceBackend.run_instances = backend_run_instances


def _zone_of(backend: Any, subnet: str | None, interfaces: list[dict[str, Any]]) -> str:
    named = subnet or next((one["SubnetId"] for one in interfaces if one.get("SubnetId")), None)
    found = named or _default_subnet(backend)
    return str(backend.get_subnet(found).availability_zone) if found else ""


def _instance_tags(specifications: list[dict[str, Any]]) -> dict[str, str]:
    """Return the tags that a request has for its instances."""
    of_instances = [row for row in specifications if row.get("ResourceType") == "instance"]
    return {tag["Key"]: tag.get("Value", "") for row in of_instances for tag in row.get("Tag") or row.get("Tags") or []}


def _default_subnet(backend: Any) -> str | None:
    subnets = backend.describe_subnets(filters={"default-for-az": "true"})
    return next((str(subnet.id) for subnet in subnets), None)


def _patch_start_instances(faults_file: Path) -> None:
    """Let a stopped machine need capacity too, and boot again."""
    from moto.ec2.models.instances import InstanceBackend

    start = InstanceBackend.start_instances

    def start_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if not _granted(faults_file, self, instance.instance_type, instance.placement.zone, 1):
                raise _refusal(instance.instance_type)
        started = start(self, instance_ids)
        for instance, previous in started:
            # EC2 takes the start of a running machine for done; it must not boot a second time.
            if previous.name != RUNNING[0]:
                set_state(instance, PENDING)
        return started

    InstanceBackend.start_instances = start_instances


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
