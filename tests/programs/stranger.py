"""What a user without a credential gets of a rehearsal's Ray, from another address of the machine.

Its arguments are that address, and the ports, by default those of the servers in its own network. Prints a JSON list:
each port that answers there, and how.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import grpc

LISTENS = "0A"  # in /proc/net/tcp
# One of each server's own services, and a program that runs on a node: the rest of a service is behind the same door.
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVPut",
    "/ray.rpc.JobInfoGcsService/AddJob",
    "/ray.rpc.autoscaler.AutoscalerStateService/GetClusterStatus",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/RequestWorkerLease",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.LogService/ListLogs",
    "/ray.rpc.RayletDriver/ClusterInfo",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
)


def ports() -> set[int]:
    """Return the ports of all servers in this network."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == LISTENS}


def answer(address: str, port: int) -> dict[str, Any] | None:
    """Return what the server at a port says; None where nobody is connected."""
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return None
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=5) as page:
            return {"port": port, "http": page.status}
    except urllib.error.HTTPError as error:
        return {"port": port, "http": error.code}
    except (OSError, http.client.HTTPException):  # no HTTP/1: Ray's own servers speak gRPC
        return {"port": port, "grpc": {call: status(f"{address}:{port}", call) for call in CALLS}}


def status(target: str, call: str, **how: Any) -> str:
    """Return the status of an empty call."""
    with grpc.insecure_channel(target) as channel:
        try:
            channel.unary_unary(call)(b"", timeout=5, **how)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


if __name__ == "__main__":
    chosen = [int(word) for word in sys.argv[2:]] or sorted(ports())
    print(json.dumps([found for port in chosen if (found := answer(sys.argv[1], port))]))
