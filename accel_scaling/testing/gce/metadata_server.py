"""What Google's metadata server says to the local hosts.

Sources: docs.cloud.google.com/compute/docs/metadata/predefined-metadata-keys; for TPU hosts the attributes that Ray
(ray/_private/accelerators/tpu.py) and JAX (jax/_src/clusters/cloud_tpu_cluster.py) read on them.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.devices.gcp_machines import slice_of

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.metadata_servers import Metadata


# "View the topology of compute instances": only these are told where they are.
_TOLD = re.compile(r"a3-highgpu-8g|a3-(?:mega|ultra)gpu-\S+|a4-\S+|a4x-\S+|h4d-\S+")


def of_instance(machine: dict[str, Any], project: str) -> Metadata:
    """Return the metadata that an instance of Compute Engine is told."""
    items = (machine.get("metadata") or {}).get("items", [])
    machine_type, zone = machine["machineType"].rpartition("/")[2], machine["zone"].rpartition("/")[2]
    accounts = machine.get("serviceAccounts") or []
    return {
        "instance/preempted": "FALSE",
        "instance/maintenance-event": "NONE",
        **_common(machine["name"], machine["id"], zone, project),
        "instance/machine-type": f"projects/{project}/machineTypes/{machine_type}",
        **(_place(machine["id"], zone) if _TOLD.fullmatch(machine_type) else {}),
        **{f"instance/attributes/{item['key']}": item.get("value", "") for item in items},
        **({"instance/service-accounts/default/email": accounts[0]["email"]} if accounts else {}),
    }


def _place(number: str, zone: str) -> Metadata:
    """Return where an instance is: each zone has one sub-block, and each instance a host of its own."""
    names = {"block": zone, "subblock": f"{zone}-1", "host": number}
    hashed = {place: hashlib.sha256(name.encode()).hexdigest()[:32] for place, name in names.items()}
    return {"instance/attributes/physical_host_topology": json.dumps({"cluster": f"{zone}-cluster", **hashed})}


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
