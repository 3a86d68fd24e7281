"""Google's metadata server for the local hosts: each asks at its own address, and learns of itself only.

Sources: docs.cloud.google.com/compute/docs/metadata/predefined-metadata-keys; for TPU hosts the attributes that Ray
(ray/_private/accelerators/tpu.py) and JAX (jax/_src/clusters/cloud_tpu_cluster.py) read on them.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices.gcp_machines import slice_of
from accel_scaling.testing.hosts.settings import HostKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.hosts.settings import Settings

PREFIX = "/computeMetadata/v1/"
FLAVOR = "Metadata-Flavor"

Metadata = dict[str, str]  # path -> text


class MetadataServers:
    """The metadata servers of one local cloud: one for all isolated hosts, one each for plain processes.

    Args:
        settings: the cloud's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_address: dict[str, Mapping[str, str]] = {}
        self._servers: dict[str, _MetadataServer] = {}
        if settings.kind is HostKind.ISOLATED:
            from accel_scaling.testing.hosts.isolated import bridge_address

            self._serve(bridge_address(settings), lambda client: self._of_address.get(client, {}))

    def add(self, address: str, metadata: Mapping[str, str]) -> None:
        """Answer the host at this address with this from now on.

        Raises:
            RehearsalError: another program has the port there.
        """
        self._of_address[address] = metadata
        if self._settings.kind is HostKind.PROCESSES:
            # One server for each: on loopback the kernel gives every client the address 127.0.0.1, so it cannot
            # tell who asks.
            self._serve(address, lambda _client: metadata)

    def remove(self, address: str) -> None:
        """Stop answering a host."""
        self._of_address.pop(address, None)
        server = self._servers.pop(address, None)
        if server is not None:
            server.shutdown()
            server.server_close()

    def close(self) -> None:
        """Stop answering."""
        for address in list(self._servers):
            self.remove(address)

    def _serve(self, address: str, metadata_of: Callable[[str], Mapping[str, str]]) -> None:
        port = self._settings.metadata_port
        try:
            server = _MetadataServer((address, port), metadata_of)
        except OSError as error:
            raise RehearsalError(f"no metadata server at {address}:{port}: {error.strerror}") from None
        self._servers[address] = server
        # The poll interval, as shutdown() waits for the next poll: with the default, half a second for each host.
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()


class _MetadataServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], metadata_of: Callable[[str], Mapping[str, str]]) -> None:
        super().__init__(address, _MetadataHandler)
        self.metadata_of = metadata_of


class _MetadataHandler(BaseHTTPRequestHandler):
    server: _MetadataServer

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def do_GET(self) -> None:
        """Answer one path; Google demands a header, so no browser can be made to ask."""
        path = self.path.partition("?")[0]
        metadata = self.server.metadata_of(str(self.client_address[0]))
        if self.headers.get(FLAVOR) != "Google":
            self._answer(403, f"Missing required header: {FLAVOR}")
        elif path.startswith(PREFIX) and (key := path.removeprefix(PREFIX).rstrip("/")) in metadata:
            self._answer(200, metadata[key])
        else:
            self._answer(404, f"The requested URL {path} was not found on this server.")

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header(FLAVOR, "Google")
        self.send_header("Server", "Metadata Server for VM")
        self.send_header("Content-Type", "application/text")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def of_instance(machine: dict[str, Any], project: str) -> Metadata:
    """Return the metadata that an instance of Compute Engine is told."""
    items = (machine.get("metadata") or {}).get("items", [])
    accounts = machine.get("serviceAccounts") or []
    return {
        **_common(machine["name"], machine["id"], machine["zone"].rpartition("/")[2], project),
        "instance/machine-type": f"projects/{project}/machineTypes/{machine['machineType'].rpartition('/')[2]}",
        **{f"instance/attributes/{item['key']}": item.get("value", "") for item in items},
        **({"instance/service-accounts/default/email": accounts[0]["email"]} if accounts else {}),
    }


def of_slice_host(node: dict[str, Any], number: int, project: str) -> Metadata:
    """Return the metadata that a host of a TPU slice is told; ``number`` is its place in the slice."""
    short, zone = node["name"].rpartition("/")[2], node["name"].split("/")[3]
    accelerator_type = node["acceleratorType"]
    # JAX takes the third field of each (jax/_src/clusters/cloud_tpu_cluster.py).
    endpoints = [f"unknown:unknown:{endpoint['ipAddress']}" for endpoint in node["networkEndpoints"]]
    environment = {
        "ACCELERATOR_TYPE": accelerator_type,
        "NODE_ID": short,
        "WORKER_ID": str(number),
        "ZONE": zone,
        **({"TOPOLOGY": topology} if (topology := _topology(node)) else {}),
    }
    attributes = {
        "accelerator-type": accelerator_type,
        "agent-worker-number": str(number),
        "instance-id": short,
        "worker-network-endpoints": ",".join(endpoints),
        "tpu-env": "".join(f"{key}: '{value}'\n" for key, value in environment.items()),
        **(node.get("metadata") or {}),
    }
    return {
        **_common(f"{short}-w-{number}", node["id"], zone, project),
        **{f"instance/attributes/{key}": value for key, value in attributes.items()},
    }


def _common(name: str, number: str, zone: str, project: str) -> Metadata:
    return {
        "instance/name": name,
        "instance/id": number,
        "instance/hostname": f"{name}.{zone}.c.{project}.internal",
        "instance/zone": f"projects/123456789012/zones/{zone}",
        "project/project-id": project,
        "project/numeric-project-id": "123456789012",
    }


def _topology(node: dict[str, Any]) -> str:
    """Return the requested topology, or the default one of the type, as near to a cube or square as possible."""
    requested = (node.get("acceleratorConfig") or {}).get("topology")
    if requested:
        return str(requested)
    shape = slice_of(node["acceleratorType"])
    sides = [1, 1] if shape.rule.suffix_per_chip == 1 or shape.rule.generation in {"v2", "v3"} else [1, 1, 1]
    least = 0
    left = shape.chips
    while left % 2 == 0 and left > 1:
        least = min(range(len(sides)), key=lambda index: (sides[index], index))
        sides[least] *= 2
        left //= 2
    sides[least] *= left
    # Squares grow in the second side first (2x4), cubes in the last (2x2x4, 4x4x8).
    return "x".join(str(side) for side in (sorted(sides) if max(sides) > 2 or len(sides) == 2 else sides))
