"""Google's own Python client on a local Compute Engine, and bodies that it takes."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery

from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT, ZONE = "rehearsal", "us-central1-a"
PARENT = f"projects/{PROJECT}/locations/{ZONE}"
DISKS = [{"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/i"}}]
NETWORK = [{"network": "global/networks/default"}]
GPU = {"onHostMaintenance": "TERMINATE"}


class Client:
    """Both APIs, in one zone."""

    def __init__(self, url: str) -> None:
        made = {"credentials": AnonymousCredentials(), "cache_discovery": False, "static_discovery": True}
        at = {"compute": url + "/compute/v1/", "tpu": url + "/"}
        self.compute = discovery.build("compute", "v1", client_options={"api_endpoint": at["compute"]}, **made)
        self.tpu = discovery.build("tpu", "v2", client_options={"api_endpoint": at["tpu"]}, **made)
        self.instances, self.nodes = self.compute.instances(), self.tpu.projects().locations().nodes()

    def insert(self, name: str, machine_type: str = "n2-standard-2", *, key: str = "", **more: Any) -> Any:
        call = self.instances.insert(
            project=PROJECT, zone=ZONE, body=body(name, machine_type, **more), **({"requestId": key} if key else {})
        )
        return call.execute(num_retries=0)

    def wait(self, operation: dict[str, Any]) -> Any:
        zone_operations = self.compute.zoneOperations()
        return zone_operations.wait(project=PROJECT, zone=ZONE, operation=operation["name"]).execute()

    def get(self, name: str) -> Any:
        return self.instances.get(project=PROJECT, zone=ZONE, instance=name).execute()

    def list(self, **how: Any) -> Any:
        return self.instances.list(project=PROJECT, zone=ZONE, **how).execute()

    def delete(self, name: str) -> Any:
        return self.instances.delete(project=PROJECT, zone=ZONE, instance=name).execute()

    def slice(self, name: str, kind: str = "v4-16", **more: Any) -> Any:
        made = {"acceleratorType": kind, "runtimeVersion": "tpu-ubuntu2204-base", **more}
        made = {key: value for key, value in made.items() if value is not None}
        return self.nodes.create(parent=PARENT, nodeId=name, body=made).execute()

    def slice_operation(self, operation: dict[str, Any]) -> Any:
        return self.tpu.projects().locations().operations().get(name=operation["name"]).execute()


def body(name: str, machine_type: str = "n2-standard-2", **more: Any) -> dict[str, Any]:
    url = f"zones/{ZONE}/machineTypes/{machine_type}"
    made = {"name": name, "machineType": url, "disks": DISKS, "networkInterfaces": NETWORK, **more}
    return copy.deepcopy({key: value for key, value in made.items() if value is not None})


def properties(machine_type: str = "n2-standard-2", **more: Any) -> dict[str, Any]:
    made = {"machineType": machine_type, "disks": DISKS, "networkInterfaces": NETWORK, **more}
    return copy.deepcopy(made)


@contextlib.contextmanager
def kept_server() -> Iterator[tuple[Server, Client]]:
    """Serve one engine after another, each set as ``server.engine``: a client takes longer to make than a test."""
    server = Server(ComputeEngine())
    try:
        yield server, Client(f"http://127.0.0.1:{server.port}")
    finally:
        server.close()
    assert server.drift == []
