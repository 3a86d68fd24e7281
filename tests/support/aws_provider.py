"""The AWS provider on an EC2 within this process: moto with EC2's rules for launches, faults at each call, records."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from accel_scaling import timeouts
from accel_scaling.testing import Fault
from accel_scaling.testing.ec2.launches import patch_launches
from accel_scaling.testing.faults import write_faults
from accel_scaling.testing.reservations import Reservation, reservations_of, write_reservations
from tests.support.aws_clients import forget_clients

MODULE = "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"
REGION = "us-west-2"
A, B = "us-west-2a", "us-west-2b"
IMAGE = "ami-0a2b85e15b7c0ac34"
ALIVE = ("pending", "running")

# What EC2 answers: code and HTTP status.
ANSWERS = {
    "throttled": ("RequestLimitExceeded", 503),
    "unavailable": ("Unavailable", 503),
    "internal": ("InternalError", 500),
    "unknown 5xx": ("Mystery", 502),
    "no capacity": ("InsufficientInstanceCapacity", 500),
    "no permission": ("UnauthorizedOperation", 403),
}
# What a connection does.
BREAKS: dict[str, Exception] = {
    "closed": ConnectionClosedError(endpoint_url="x"),
    "silent": ReadTimeoutError(endpoint_url="x"),
    "garbled": ResponseParserError("no XML"),
}


@dataclass
class CallFault:
    """What goes wrong with the next calls of an operation, before or after EC2 has carried them out."""

    operation: str
    when: Literal["before", "after"]
    what: str
    times: int = 1


@dataclass
class EC2:
    """The emulated region."""

    faults_file: Path
    subnets: dict[str, str] = field(default_factory=dict)  # zone -> subnet
    faults: list[CallFault] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list, repr=False)
    launches: list[SimpleNamespace] = field(default_factory=list)  # the region's own record: what was asked and given
    seen: set[str] | None = None  # where lists are late: the machines that they show
    now_s: float = 1_000_000.0  # of the reservations

    # What the tests do to it.

    def fault(self, operation: str, when: Literal["before", "after"], what: str, times: int = 1) -> None:
        self.faults.append(CallFault(operation, when, what, times))

    def sold_out(self, *machines: str) -> None:
        """Make these machine types sold out, and no others: ``TYPE``, or ``TYPE@ZONE``."""
        write_faults(self.faults_file, [Fault.no_capacity(one) for one in machines])

    def reserve(self, *reservations: Reservation | str) -> None:
        """Let the account have these reservations, and no others; their times count from now."""
        write_reservations(self.reservations_file, reservations_of(reservations), self.now_s)

    def hide(self, *, new: bool) -> None:
        """Let lists not show what is launched from now on, as they may for some seconds; or show everything."""
        self.seen = set(self.machines()) if new else None

    def reset(self) -> None:
        """Begin again: no machines, no faults, no records."""
        self.__dict__.pop("call", None)
        self.faults.clear()
        self.calls.clear()
        self.launches.clear()
        self.seen = None
        self.sold_out()
        self.reserve()
        # Records of machines that are gone: moto looks through all tags there ever were.
        backend = self._backend()
        for records in (backend.reservations, backend.tags, backend.volumes, backend.enis):
            records.clear()
        # Addresses of machines that are gone: a subnet has some 4,000, and the sequences launch more.
        for subnet in backend.describe_subnets():
            for address in list(subnet._subnet_ips):
                subnet.del_subnet_ip(address)

    @property
    def reservations_file(self) -> Path:
        return self.faults_file.with_name("reservations.json")

    # What it has, from its own records.

    def machines(self) -> dict[str, Any]:
        return {one.id: one for one in self._backend().all_instances()}

    def alive(self, machine_type: str | None = None) -> list[str]:
        return self.in_state(ALIVE, machine_type)

    def in_state(self, states: tuple[str, ...], machine_type: str | None = None) -> list[str]:
        return [
            name
            for name, one in self.machines().items()
            if one.state in states and machine_type in (None, one.instance_type)
        ]

    def zones(self, names: Any) -> list[str]:
        return sorted(self.machines()[name].placement.zone for name in names)

    def requested(self) -> list[tuple[str, str, str]]:
        """Each RunInstances: its market, its machine type and its zone."""
        zones = {subnet: zone for zone, subnet in self.subnets.items()}
        bodies = [request["body"] for name, request in self.calls if name == "RunInstances"]
        return [
            (
                body.get("InstanceMarketOptions.MarketType", "on-demand"),
                body["InstanceType"],
                zones[body.get("SubnetId") or body["NetworkInterface.1.SubnetId"]],
            )
            for body in bodies
        ]

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.calls if name == operation)

    def launch_request(
        self,
        machine_type: str,
        count: int,
        granted: int,
        location: Any,
        *,
        error: str | None,
        tags: Any = None,
        capacity: str = "",
    ) -> None:
        """Record a request, as an event log does."""
        self.launches.append(
            SimpleNamespace(machine_type=machine_type, count=count, granted=granted, error=error, capacity=capacity)
        )

    # Inside.

    def call(self, made: Any, client: Any, model: Any, request: Any, context: Any) -> Any:
        """Carry out a call, or not, and answer it, or not."""
        self.calls.append((model.name, request))
        fault = next((one for one in self.faults if one.operation in (model.name, "*")), None)
        if fault is None:
            http, answer = made(client, model, request, context)
            if model.name == "DescribeInstances" and self.seen is not None:
                for group in answer.get("Reservations", []):
                    group["Instances"] = [one for one in group["Instances"] if one["InstanceId"] in self.seen]
            return http, answer
        fault.times -= 1
        if fault.times <= 0:
            self.faults.remove(fault)
        if fault.when == "after":
            made(client, model, request, context)
        if fault.what in BREAKS:
            raise BREAKS[fault.what]
        code, status = ANSWERS[fault.what]
        error = {"Error": {"Code": code, "Message": fault.what}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return SimpleNamespace(status_code=status), error

    @staticmethod
    def _backend() -> Any:
        from moto.ec2 import ec2_backends

        return ec2_backends["123456789012"][REGION]


def image_of_moto() -> str:
    """An image that moto's EC2 knows, without a call: the list of all 1,300 takes a second of CPU."""
    images = EC2._backend().amis
    return next(name for name, one in images.items() if one.architecture == "x86_64")


@contextlib.contextmanager
def ec2_in_process() -> Iterator[EC2]:
    """An EC2 of this process for boto3's clients, and retries that wait briefly; all is as it was afterwards."""
    from moto import mock_aws
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.responses import EC2Response
    from moto.ec2.responses.instances import InstanceResponse

    make_request = BaseClient._make_request
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder, mock_aws():
        forget_clients(patch)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        # The patches of moto are permanently: each is set here first, so it is undone.
        for owner, name in (
            (InstanceResponse, "run_instances"),
            (InstanceBackend, "run_instances"),
            (InstanceBackend, "start_instances"),
        ):
            patch.setattr(owner, name, getattr(owner, name))
        patch.setattr(EC2Response, "describe_capacity_reservations", None, raising=False)
        ec2 = EC2(Path(folder) / "faults.json")
        patch_launches(ec2.faults_file, ec2, ec2.reservations_file, lambda: ec2.now_s)  # type: ignore[arg-type]
        for name, value in {
            "AWS_LAUNCH_RETRY_WAITS_S": (0.0, 0.0, 0.0, 0.0),
            "AWS_STOPPING_POLL_S": 0.0,
            "AWS_STOPPING_S": 0.01,
        }.items():
            patch.setattr(timeouts, name, value)
        import boto3

        listed = boto3.client("ec2", region_name=REGION).describe_subnets()["Subnets"]
        ec2.subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in listed}
        patch.setattr(BaseClient, "_make_request", lambda *call: ec2.call(make_request, *call))
        try:
            yield ec2
        finally:
            forget_clients(patch)


@pytest.fixture(name="shared_region", scope="module")
def shared_region_fixture() -> Iterator[EC2]:
    """One EC2 for all tests of a file."""
    with ec2_in_process() as region:
        yield region


@pytest.fixture(name="region")
def region_fixture(shared_region: EC2) -> EC2:
    """The same, as if it had just begun."""
    shared_region.reset()
    return shared_region


def provider_of(cluster: str = "mine", *, cache_stopped_nodes: bool = False, **provider: Any) -> Any:
    """Our provider, as a process that has just begun makes it."""
    from ray.autoscaler._private.providers import _get_node_provider

    section = {"type": "external", "module": MODULE, "region": REGION, "cache_stopped_nodes": cache_stopped_nodes}
    return _get_node_provider({**section, **provider}, cluster, use_cache=False)


def node_config(ec2: EC2, machine_type: str = "g5.xlarge", zones: tuple[str, ...] = (A, B)) -> dict[str, Any]:
    return {"InstanceType": machine_type, "ImageId": IMAGE, "SubnetIds": [ec2.subnets[zone] for zone in zones]}


def tags(node_type: str = "a10g", kind: str = "worker") -> dict[str, str]:
    return {
        "ray-node-name": f"ray-mine-{kind}",
        "ray-node-type": kind,
        "ray-node-status": "uninitialized",
        "ray-launch-config": "a" * 40,
        "ray-user-node-type": node_type,
    }


def error_of(code: str, status: int, operation: str = "RunInstances") -> ClientError:
    metadata: Any = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": metadata}, operation)
