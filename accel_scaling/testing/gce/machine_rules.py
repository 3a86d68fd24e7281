"""The rules of Compute Engine for machines, images, names and labels beyond its document.

``rules.md`` has their sources. Of images, Google's public ones exist by family, as Google documents them; of every
other project, any name.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices import gcp_machines
from accel_scaling.testing.gce.api_errors import ApiError, invalid, not_found, wrong_field

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")  # of a machine, and of a slice

_LABEL_KEY, _LABEL_VALUE, _MOST_LABELS = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}"), 64

_MACHINE_URL = re.compile(r"(?:https://[^/]+/compute/v1/)?(?:projects/[^/]+/)?zones/([^/]+)/machineTypes/([^/]+)")
_IMAGE_URL = re.compile(
    r"(?:https://[^/]+/compute/v1/)?(?:projects/(?P<project>[^/]+)/)?global/images/"
    r"(?:family/(?P<family>[a-z0-9-]+)|(?P<name>[a-z0-9-]+))"
)
_IMAGE_FIELD = "resource.disks[0].initializeParams.sourceImage"

# The most interfaces of the machine types with RDMA: of all, and of the type MRDMA.
_RDMA = {"a3-ultragpu-8g": (10, 8), "a4-highgpu-8g": (10, 8), "a4x-highgpu-4g": (6, 4)}

Accelerators = tuple[tuple[str, int], ...]

# Provisioning models of machines that Google ends by itself.
_ENDED_BY_GOOGLE = ("SPOT", "FLEX_START", "RESERVATION_BOUND")


@dataclass(frozen=True)
class MachineRequest:
    """A machine that Google would create: the request, its type's name, and its accelerators."""

    body: dict[str, Any]
    machine_type: str
    accelerators: Accelerators


def checked(body: dict[str, Any], zone: str, *, bulk: bool) -> MachineRequest:
    """Return the machine that a request describes.

    Args:
        body: an instance, or the properties of many.
        zone: where it is to be.
        bulk: whether these are the properties of many: those name types without a place.

    Raises:
        ApiError: Google would refuse it.
    """
    machine_type = _machine_type(str(body.get("machineType", "")), zone, bulk=bulk)
    try:
        built = gcp_machines.built_in(machine_type)
    except RehearsalError:
        raise wrong_field(
            "resource.machineType", body["machineType"], f"Machine type with name '{machine_type}' does not exist in "
            f"zone '{zone}'.",
        ) from None  # fmt: skip
    attached = _attached(body.get("guestAccelerators") or [], machine_type, built)
    accelerators = attached or (((built.accelerator, built.count),) if built.count else ())
    scheduling = body.get("scheduling") or {}
    # MIGRATE is Google's default, so a request with GPUs must say it.
    if accelerators and scheduling.get("onHostMaintenance") != "TERMINATE":
        raise invalid("Instances with guest accelerators do not support live migration.")
    _check_scheduling(scheduling)
    _check_provisioning(machine_type, scheduling, body.get("reservationAffinity") or {})
    if not body.get("disks") and not body.get("sourceMachineImage"):
        raise ApiError(400, "Invalid value for field 'resource.disks': ''. No disks are specified.", "required")
    _check_images(body.get("disks") or [])
    if not body.get("networkInterfaces"):
        text = "Invalid value for field 'resource.networkInterfaces': ''. At least one network interface is required."
        raise ApiError(400, text, "required")
    _check_interfaces(machine_type, body["networkInterfaces"])
    check_labels(body.get("labels") or {})
    return MachineRequest(body, machine_type, accelerators)


def rdma_devices(machine: dict[str, Any]) -> int:
    """Return how many RDMA devices a machine has, by its interfaces."""
    return sum(interface.get("nicType") in {"MRDMA", "IRDMA"} for interface in machine["networkInterfaces"])


def _check_interfaces(machine_type: str, interfaces: list[dict[str, Any]]) -> None:
    """Refuse interfaces for RDMA that a machine does not have, and two in one subnetwork."""
    most, most_rdma = _RDMA.get(machine_type, (len(interfaces), 0))
    rdma = rdma_devices({"networkInterfaces": interfaces})
    if rdma > most_rdma or len(interfaces) > most:
        text = f"Machine type {machine_type} supports {most_rdma} network interfaces of type MRDMA."
        raise wrong_field("resource.networkInterfaces", f"{rdma} of {len(interfaces)}", text)
    subnetworks = [interface["subnetwork"] for interface in interfaces if interface.get("subnetwork")]
    if len(set(subnetworks)) < len(subnetworks):
        text = "Each network interface must be in a subnetwork of its own."
        raise wrong_field("resource.networkInterfaces", subnetworks[0], text)


def known_type(what: str, name: str) -> bool:
    """Return whether there is a machine type, an accelerator that is attached, or a type of slice of this name."""
    try:
        if what == "machineType":
            gcp_machines.built_in(name)
        elif what == "slice":
            gcp_machines.slice_of(name)
        else:
            return gcp_machines.is_accelerator(name)
    except RehearsalError:
        return False
    return True


def _machine_type(given: str, zone: str, *, bulk: bool) -> str:
    if bulk:
        if "/" in given or not given:
            raise wrong_field("instanceProperties.machineType", given, "Must be the name of a machine type.")
        return given
    url = _MACHINE_URL.fullmatch(given)
    if url is None:
        raise wrong_field("resource.machineType", given, "The URL is malformed.")
    if url[1] != zone:
        raise wrong_field("resource.machineType", given, f"The machine type is not in zone '{zone}'.")
    return url[2]


def _attached(given: list[dict[str, Any]], machine_type: str, built: gcp_machines.BuiltIn) -> Accelerators:
    attached = []
    for request in given:
        name = str(request.get("acceleratorType", "")).rpartition("/")[2]
        count = int(request.get("acceleratorCount", 0))
        if not gcp_machines.is_accelerator(name):
            raise not_found(f"acceleratorTypes/{name}")
        if built.count and (name, count) != (built.accelerator, built.count):
            text = (
                f"Machine type {machine_type} has {built.count} x {built.accelerator}; other accelerators do not fit."
            )
            raise wrong_field("resource.guestAccelerators", f"{count} x {name}", text)
        if not built.count:
            _check_attachable(name, count, machine_type)
        attached.append((name, count))
    return tuple(attached)


def _check_attachable(name: str, count: int, machine_type: str) -> None:
    counts, size = gcp_machines.attachable(name), gcp_machines.size_of_n1(machine_type)
    if not counts or size is None:
        raise invalid(f"[{name}] features are not compatible for creating instance with machine type {machine_type}.")
    if count not in counts:
        raise invalid(
            f"Number of accelerator cards attached to an instance must be one of {sorted(counts)}, not {count}."
        )
    limits, (vcpus, mib) = counts[count], size
    if not limits.least_vcpus <= vcpus <= limits.most_vcpus:
        large = "large" if vcpus > limits.most_vcpus else "small"
        raise invalid(
            f"The number of guest CPUs of {machine_type} is too {large} for {count} x {name}: {limits.least_vcpus} to "
            f"{limits.most_vcpus}."
        )
    if mib > limits.most_mib:
        raise invalid(f"The memory of {machine_type} is too large for {count} x {name}: at most {limits.most_mib} MiB.")


def _check_scheduling(scheduling: dict[str, Any]) -> None:
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible")
    if spot and scheduling.get("automaticRestart"):
        raise invalid("Scheduling must have automaticRestart be false when preemptible is true.")
    if spot and scheduling.get("onHostMaintenance") == "MIGRATE":
        raise invalid("Scheduling must have onHostMaintenance be TERMINATE when preemptible is true.")
    ends = scheduling.get("provisioningModel") in _ENDED_BY_GOOGLE or scheduling.get("maxRunDuration")
    if scheduling.get("instanceTerminationAction") and not (ends or scheduling.get("terminationTime")):
        raise invalid("instanceTerminationAction can be specified only for instances that Compute Engine ends.")


def _check_provisioning(machine_type: str, scheduling: dict[str, Any], affinity: dict[str, Any]) -> None:
    """Refuse a machine that Google does not sell so, and a flex-start machine that would never end."""
    preemptible = "SPOT" if scheduling.get("preemptible") else "STANDARD"
    model = str(scheduling.get("provisioningModel") or preemptible)
    if model == "FLEX_START" and not any(scheduling.get(key) for key in ("maxRunDuration", "terminationTime")):
        raise wrong_field("resource.scheduling.provisioningModel", model, "FLEX_START requires a max run duration.")
    reserved = affinity.get("consumeReservationType") in ("SPECIFIC_RESERVATION", "ANY_RESERVATION")
    for pattern, models in provisioning_models().items():
        if pattern.fullmatch(machine_type) and model not in models and not reserved:
            raise wrong_field(
                "resource.scheduling.provisioningModel",
                model,
                f"Machine type {machine_type} supports the provisioning models {', '.join(models)} only.",
            )


@functools.cache
def provisioning_models() -> dict[re.Pattern[str], tuple[str, ...]]:
    """Return the provisioning models of the machine types that do not have all of them."""
    with Path(__file__).with_name("provisioning.csv").open(encoding="utf-8", newline="") as file:
        return {re.compile(row["pattern"]): tuple(row["models"].split()) for row in csv.DictReader(file)}


def check_labels(labels: dict[str, str]) -> None:
    """Refuse labels that Google refuses: docs.cloud.google.com/compute/docs/labeling-resources.

    Raises:
        ApiError: 400.
    """
    if len(labels) > _MOST_LABELS:
        raise wrong_field("resource.labels", "", f"Labels in this resource exceed the limit of {_MOST_LABELS}.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise wrong_field(
                "resource.labels",
                "",
                f"Label key '{key}' violates format constraints. The key must start with a lowercase character, can "
                "only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most "
                "63 characters long.",
            )
        if not _LABEL_VALUE.fullmatch(value):
            raise wrong_field(
                "resource.labels",
                "",
                f"Label value '{value}' violates format constraints. The value can only contain lowercase letters, "
                "numeric characters, underscores and dashes. The value can be at most 63 characters long.",
            )


@functools.cache
def public_images() -> dict[tuple[str, str], str]:
    """Return (project, family) -> architecture of the public images."""
    with Path(__file__).with_name("public_images.csv").open(encoding="utf-8", newline="") as file:
        return {(row["project"], row["family"]): row["arch"] for row in csv.DictReader(file)}


def image_handlers() -> dict[str, Callable[[dict[str, str], Any], dict[str, Any]]]:
    """Return the handlers of the calls about images, by method."""
    return {"compute.images.getFromFamily": _image_from_family}


def _check_images(disks: list[dict[str, Any]]) -> None:
    """Refuse a disk whose image does not exist.

    Raises:
        ApiError: as Google refuses it.
    """
    for disk in disks:
        image = (disk.get("initializeParams") or {}).get("sourceImage")
        if image is None:
            continue
        url = _IMAGE_URL.fullmatch(image)
        if url is None:
            raise wrong_field(_IMAGE_FIELD, image, "The URL is malformed.")
        if url["family"] and url["project"]:
            _newest_image(url["project"], url["family"])


def _image_from_family(parameters: dict[str, str], _body: Any) -> dict[str, Any]:
    return _newest_image(parameters["project"], parameters["family"])


def _newest_image(project: str, family: str) -> dict[str, Any]:
    """Return the newest image of a family; a project that is not one of Google's public ones has every family."""
    arch = public_images().get((project, family))
    if arch is None and any(project == known for known, _ in public_images()):
        raise not_found(f"projects/{project}/global/images/family/{family}")
    name = f"{family}-v20260401"
    return {
        "kind": "compute#image",
        "name": name,
        "family": family,
        "architecture": arch or "X86_64",
        "status": "READY",
        "selfLink": f"https://www.googleapis.com/compute/v1/projects/{project}/global/images/{name}",
    }
