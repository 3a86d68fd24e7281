"""The clouds that a refresh asks in tests: moto's EC2, and the local Compute Engine with Google's own figures."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import logging
from contextlib import contextmanager
from pathlib import Path

import pytest

from accel_scaling.catalog.places import WHOLE, parse_places
from accel_scaling.catalog.files import SHIPPED_FOLDER, read
from accel_scaling.local_gce.api import ComputeEngine
from accel_scaling.local_gce.for_sale import ForSale
from accel_scaling.local_gce.server import serve
from accel_scaling.refresh import gcp
from accel_scaling.refresh.run import default_file, refresh

DATA = Path(__file__).parent / "data"
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
def google(monkeypatch, for_sale):
    """A local Compute Engine that lists this, where the environment says that Google's endpoint is."""
    engine = ComputeEngine(for_sale=for_sale)
    with serve(engine) as url:
        monkeypatch.setenv(gcp.ENDPOINT, f"{url}/compute/v1/")
        monkeypatch.setenv(gcp.NO_CREDENTIALS, "true")
        yield engine
