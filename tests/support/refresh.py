"""The clouds that a refresh asks in tests: moto's EC2, and the local Compute Engine with Google's own figures."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import logging
from contextlib import contextmanager
from pathlib import Path

import pytest

from accel_scaling.providers.gcp import refresh as gcp_refresh
from accel_scaling.refresh.run import default_file, refresh
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.server import serve

DATA = Path(__file__).parents[1] / "data"
TODAY = dt.date(2026, 11, 26)


@pytest.fixture(name="moto_url", scope="module")
def moto_url_fixture():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@functools.cache
def googles_types():
    """Google's machine types as its API has them: tests/data, in one zone each region that the shipped places name."""
    with (DATA / "gcp_machine_types.csv").open(newline="", encoding="utf-8") as file:
        return {row["machine_type"]: machine_type(row) for row in csv.DictReader(file)}


def machine_type(row):
    record = {
        "name": row["machine_type"],
        "guestCpus": int(row["vcpus"]),
        "memoryMb": int(row["memory_mib"]),
        "architecture": row["arch"].upper(),
    }
    if row["accelerator"]:
        kind = {"guestAcceleratorType": row["accelerator"], "guestAcceleratorCount": int(row["count"])}
        record["accelerators"] = [kind]
    return record


@contextmanager
def google(monkeypatch, lists):
    """A local Compute Engine that lists this, where the environment says that Google's endpoint is."""
    engine = ComputeEngine(lists=lists)
    with serve(engine) as url:
        monkeypatch.setenv(gcp_refresh.ENDPOINT, f"{url}/compute/v1/")
        monkeypatch.setenv(gcp_refresh.NO_CREDENTIALS, "true")
        yield engine


@pytest.fixture(name="ec2")
def ec2_fixture(moto_url, monkeypatch):
    """moto's EC2 where the environment says that EC2 is, to be given types and regions of a test's own."""
    for name, value in {"AWS_ENDPOINT_URL": moto_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, value)
    return Ec2(monkeypatch)


class Ec2:
    """moto with types, regions and refusals of a test's own."""

    def __init__(self, monkeypatch):
        self._patch = monkeypatch

    def sells(self, records, **regions):
        """From now on these records are all types there are; each region offers some, in zones az1 and az2."""
        from moto.ec2.models import instance_types as models

        types = []
        for record in records:
            one = models.InstanceType.__new__(models.InstanceType)
            dict.update(one, {"name": record["InstanceType"], **record})
            types.append(one)
        self._patch.setattr(models.InstanceTypeBackend, "instance_types", types)
        self.offers(**regions)

    def offers(self, **regions):
        """From now on each region offers these types, in zones az1 and az2."""
        from moto.ec2.models import instance_types as models

        offered = {
            region.replace("_", "-"): [
                {"InstanceType": name, "LocationType": "availability-zone-id", "Location": f"xxx1-az{zone}"}
                for name in names
                for zone in (1, 2)
            ]
            for region, names in regions.items()
        }
        self._patch.setitem(models.INSTANCE_TYPE_OFFERINGS, "availability-zone-id", offered)

    def refuses(self, code, *, region=None, times=10**6):
        """The next calls for types or offerings, of one region or any, are refused."""
        from moto.ec2.exceptions import EC2ClientError
        from moto.ec2.models import EC2Backend
        from moto.ec2.models.instance_types import InstanceTypeBackend, InstanceTypeOfferingBackend

        left = [times]

        def refusing(carry_out):
            def call(backend, *args, **named):
                if region in (None, backend.region_name) and left[0] > 0:
                    left[0] -= 1
                    raise EC2ClientError(code, "a sentence of Amazon's.")
                return carry_out(backend, *args, **named)

            return call

        for holder, name in (
            (InstanceTypeBackend, "describe_instance_types"),
            (InstanceTypeOfferingBackend, "describe_instance_type_offerings"),
        ):
            self._patch.setattr(EC2Backend, name, refusing(getattr(holder, name)), raising=False)

    def pages(self, size):
        """Lists come in pages of so many."""
        from moto.core.responses import ActionResult
        from moto.ec2.responses.instances import InstanceResponse

        def paged(respond, key):
            def call(response):
                begin = int(response._get_param("NextToken") or 0)
                items = respond(response)._result[key]
                page = {key: items[begin : begin + size]}
                return ActionResult({**page, "NextToken": str(begin + size)} if begin + size < len(items) else page)

            return call

        for name, key in (
            ("describe_instance_types", "InstanceTypes"),
            ("describe_instance_type_offerings", "InstanceTypeOfferings"),
        ):
            self._patch.setattr(InstanceResponse, name, paged(getattr(InstanceResponse, name), key))


def record(name, vcpus=4, memory_mib=16384, arch="x86_64", **blocks):
    """A record of DescribeInstanceTypes."""
    return {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": vcpus},
        "MemoryInfo": {"SizeInMiB": memory_mib},
        "ProcessorInfo": {"SupportedArchitectures": [arch]},
        **blocks,
    }


def gpu(name, count=1, memory_mib=24576, maker="NVIDIA", **more):
    """An entry of GpuInfo.Gpus."""
    return {"Name": name, "Manufacturer": maker, "Count": count, "MemoryInfo": {"SizeInMiB": memory_mib}, **more}


def gpus(*entries):
    """A GpuInfo block."""
    return {"GpuInfo": {"Gpus": list(entries)}}


def refreshed(ask, cloud):
    """Refresh the default file and return what came of it."""
    return refresh(ask, default_file(cloud), today=TODAY)
