"""The machines of a GCP cluster file: machineType and guestAccelerators, or a TPU; zones and images."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.guest_accelerators import attach, check_zones
from accel_scaling.catalog.suggest import nearest
from accel_scaling.cluster.cluster import NodeMachine, Placement
from accel_scaling.cluster.offering_checks import check_offered_in_zones, check_region, is_answer
from accel_scaling.errors import AccelScalingError, AttachError, ClusterConfigError, MachineInTemplateError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp import network, request_schema, tpu_node_config
from accel_scaling.providers.gcp import placement as machine_placement
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.images import with_image
from accel_scaling.providers.gcp.names import check_names
from accel_scaling.providers.gcp.scheduling import (
    capacity_type_of,
    check_provisioning_model,
    check_scheduling,
    one_message,
    purchase_notes,
    scheduling_of,
)
from accel_scaling.providers.gcp.tpu_node_config import is_tpu
from accel_scaling.providers.gcp.zones import region_in, region_of, zones_of

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.cluster.cluster import Cluster, NodeType

__all__ = [
    "attached_accelerator",
    "check_node_config",
    "check_offered",
    "is_tpu",
    "machine",
    "network_devices",
    "placement",
    "region_of",
    "with_image",
    "with_template",
    "zones_of",
]

_DEFAULT_SCHEDULING = {
    "automaticRestart": True,
    "onHostMaintenance": "MIGRATE",
    "preemptible": False,
    "provisioningModel": "STANDARD",
}
_ZONE_OF_URL = re.compile(r"zones/([^/]+)/(?:machine|accelerator)Types/")

# The machine family that GPUs are attached to, in both spellings of its custom types; every other family has them
# built in, or takes none.
_TAKES_GPUS = ("n1-", "custom-")


def machine(location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
    """Return the machine, or the TPU slice, of a node type.

    Args:
        location: the node type's place in the cluster file, for the error.
        node_config: the node type's ``node_config``; ``with_template()`` first where the template is known.
        catalog: what is known about machine types.

    Raises:
        MachineInTemplateError: there is no ``machineType`` beside a ``sourceInstanceTemplate``.
        ClusterConfigError: a key is missing, of the wrong kind, or contradicts another.
        UnknownInstanceTypeError, UnknownAcceleratorError, UnknownTpuError: the catalog does not have it.
    """
    if is_tpu(node_config):
        return tpu_node_config.machine(location, node_config, catalog)
    at = f"{location}.node_config"
    name = _machine_type_name(at, node_config)
    scheduling = scheduling_of(at, node_config)
    check_provisioning_model(at, scheduling)
    capacity_type = capacity_type_of(scheduling, one_message(node_config.get("reservationAffinity") or {}))
    guests = _guest_accelerators(at, node_config)
    try:
        machine_type = catalog.machine_type(CLOUD.name, name)
    except AccelScalingError as error:
        raise type(error)(f"{at}.machineType: {error}") from None
    try:
        machine_type = machine_type if guests is None else attach(catalog, machine_type, *guests)
    except AccelScalingError as error:
        raise type(error)(f"{at}.guestAccelerators: {error}") from None
    return NodeMachine(
        machine_type,
        capacity_type=capacity_type,
        notes=_notes(at, machine_type, node_config),
        market_in_template=node_config.get("sourceInstanceTemplate") is not None and not scheduling,
    )


def check_node_config(location: str, node_config: dict[str, Any]) -> None:
    """Refuse what Google would refuse at a launch of a machine: unknown keys, and values of the wrong kind.

    Raises:
        ClusterConfigError: names the key.
    """
    # What is new to a slice waits for `ray up`: Cloud TPU takes keys in some releases of its API that the client's
    # document lacks.
    request_schema.check_node_config(f"{location}.node_config", node_config, misspelt_only=is_tpu(node_config))
    network.check_interfaces(f"{location}.node_config", node_config)


def placement(provider: dict[str, Any]) -> Placement:
    """Return the cluster's zones, and their region.

    Raises:
        ClusterConfigError: the zones or the region are missing or wrong.
    """
    zones = zones_of(provider)
    return Placement(region_in(provider, zones), zones)


def check_offered(node_type: NodeType, cluster: Cluster) -> None:
    """Refuse what the cluster's zones do not have: a URL of another zone, GPUs that one of them does not attach.

    Raises:
        ClusterConfigError: as `check_zones_named`; or neither the zones nor their region have the machine type or the
            GPUs, as the user's own files or a refresh say.
        AttachError: the GPUs do not fit this machine in one of the zones.
    """
    check_zones_named(node_type, cluster)
    if node_type.machine.slice is None:  # Cloud TPU has zones of its own, which no file lists
        _check_zones_offer(node_type, cluster)


def check_zones_named(node_type: NodeType, cluster: Cluster) -> None:
    """Refuse a machine that is asked for in another zone than the cluster's, and GPUs that a zone does not attach.

    Raises:
        ClusterConfigError: it names another zone, or the provider's zones are missing or wrong.
        AttachError: the GPUs do not fit this machine in one of the zones.
    """
    zones, node_config, at = cluster.placement.zones, node_type.node_config, f"{node_type.location}.node_config"
    guests = node_config.get("guestAccelerators")
    urls = {"machineType": node_config.get("machineType")}
    if isinstance(guests, list) and guests and isinstance(guests[0], dict):
        urls["guestAccelerators"] = guests[0].get("acceleratorType")
    for key, value in urls.items():
        url = _ZONE_OF_URL.search(value) if isinstance(value, str) else None
        if url and url[1] not in zones:
            raise ClusterConfigError(
                f"{at}.{key}: {shown(value)} is in zone {url[1]}, but provider.availability_zone is "
                f"{','.join(zones)}; write the name alone, without a zone"
            )
    if node_type.machine.slice is None and (attached := attached_accelerator(node_type)):
        try:
            check_zones(node_type.machine.machine, *attached, zones)
        except AttachError as error:
            raise AttachError(f"{at}.guestAccelerators: {error}") from None


def attached_accelerator(node_type: NodeType) -> tuple[str, int] | None:
    """Return the name and count of the GPUs that a node type's config attaches; None where it attaches none.

    Raises:
        ClusterConfigError: they are not written as Google wants them.
    """
    return _guest_accelerators(f"{node_type.location}.node_config", node_type.node_config)


def _check_zones_offer(node_type: NodeType, cluster: Cluster) -> None:
    at, machine, zones = f"{node_type.location}.node_config", node_type.machine, cluster.placement.zones
    region = zones[0].rpartition("-")[0]
    offered = {"machineType": (machine.name, cluster.catalog.where(machine.machine))}
    if attached := attached_accelerator(node_type):
        offered["guestAccelerators"] = (attached[0], cluster.catalog.places(CLOUD.name).where(attached[0]))
    for key, (name, offerings) in offered.items():
        if is_answer(offerings, CLOUD, region):  # of all others a note says it, and `ray up` asks Google
            check_region(f"{at}.{key}", name, offerings, CLOUD.name, region)
            check_offered_in_zones(f"{at}.{key}", name, offerings, region, zones)


def cluster_notes(cluster: Cluster) -> list[str]:
    """Return notes about the network; all others are about one node type.

    Raises:
        ClusterConfigError: a name or a label that Google does not take, which Ray's own provider lets Google say; a
            way of buying a slice that our provider's API does not have; or a network or a placement that a node type
            cannot have.
    """
    if cluster.is_ours:
        check_names(cluster.config)
        for node_type in cluster.node_types.values():
            if node_type.machine.slice is not None:
                tpu_node_config.check_purchase(node_type.location, node_type.node_config)
        machine_placement.check(cluster)
        return network.checked(cluster)
    return []


def network_devices(node_type: NodeType, provider: dict[str, Any]) -> int:
    """Return how many RDMA devices a machine of a node type has.

    Raises:
        ClusterConfigError: it has no network for RDMA, and the file asks for it.
    """
    return network.devices_of(node_type, provider) if provider.get("type") == "external" else 0


def with_template(node_config: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """Return what an instance made from a template with these overrides has.

    Google merges them as JSON merge patch (RFC 7396): an object key by key, a list as a whole, null removes. Source:
    "Create a VM from an instance template", override behavior, cloud.google.com/compute/docs/instances.

    Args:
        node_config: the node type's own keys; they win.
        properties: the ``properties`` of its ``sourceInstanceTemplate``, as Google returns them.
    """
    properties = _without_defaults(properties)
    overrides = {key: value for key, value in node_config.items() if key != "sourceInstanceTemplate"}
    # Google returns a template's scheduling as an object: a list would replace it whole, rather than be merged into it.
    if isinstance(overrides.get("scheduling"), list):
        overrides["scheduling"] = one_message(overrides["scheduling"])
    merged: dict[str, Any] = _patched(properties, overrides)
    return merged


def _without_defaults(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a template without what Google writes into each one: how machines are bought, if nobody
    says it. Left in, it would contradict `provider.capacity`, whose entries override it in a launch."""
    given = properties.get("scheduling")
    if not isinstance(given, dict):
        given = {}
    scheduling = {key: value for key, value in given.items() if _DEFAULT_SCHEDULING.get(key, ...) != value}
    rest = {key: value for key, value in properties.items() if key != "scheduling" or not isinstance(value, dict)}
    if rest.get("reservationAffinity") == {"consumeReservationType": "ANY_RESERVATION"}:
        del rest["reservationAffinity"]
    return {**rest, "scheduling": scheduling} if scheduling else rest


def _patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _patched(result.get(key), value)
    return result


def _written_instead(node_config: dict[str, Any]) -> str:
    """Return the key that was written in place of the machine type's, in brackets; empty where there is none."""
    keys = ("machineType", "acceleratorType", "acceleratorConfig")
    near = next((str(key) for key in node_config if nearest(str(key), keys, at_most=1, cutoff=0.7)), "")
    return f" (there is {near[:60]}, which nothing reads)" if near else ""


def _machine_type_name(at: str, node_config: dict[str, Any]) -> str:
    """Return the machine type's short name; Google takes URLs of several lengths too."""
    given = node_config.get("machineType")
    if given is None and node_config.get("sourceInstanceTemplate") is not None:
        raise MachineInTemplateError(
            f"{at} has a sourceInstanceTemplate and no machineType, and only Google knows the template: `ray up` "
            f"reads it, and takes the machine type and the promise from it; to see the promise earlier, write "
            f"machineType, "
            "which is then used in place of the template's"
        )
    if given is None:
        raise ClusterConfigError(
            f"{at} has no machineType{_written_instead(node_config)}; name a Compute Engine machine type there, such "
            "as g2-standard-8, or a TPU type in acceleratorType, such as v5litepod-8"
        )
    name = given.strip().rpartition("machineTypes/")[2] if isinstance(given, str) else ""
    if not name or "/" in name:
        raise ClusterConfigError(
            f"{at}.machineType is {shown(given)}; expected a machine type, such as g2-standard-8 or "
            "zones/us-central1-a/machineTypes/g2-standard-8"
        )
    return name


def _guest_accelerators(at: str, node_config: dict[str, Any]) -> tuple[str, int] | None:
    """Return the name and count of the GPUs that the config attaches, None where it attaches none."""
    given, at = node_config.get("guestAccelerators"), f"{at}.guestAccelerators"
    if given is None or given == []:
        return None
    example = "[{acceleratorType: nvidia-tesla-t4, acceleratorCount: 1}]"
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise ClusterConfigError(f"{at} is {shown(given)}; expected a list such as {example}")
    if len(given) > 1:
        raise ClusterConfigError(f"{at} names {len(given)} accelerators; a machine takes one type, such as {example}")
    accelerator_type, count = given[0].get("acceleratorType"), given[0].get("acceleratorCount")
    name = accelerator_type.strip().rpartition("acceleratorTypes/")[2] if isinstance(accelerator_type, str) else ""
    if not name or "/" in name:
        raise ClusterConfigError(
            f"{at}: acceleratorType is {shown(accelerator_type)}; expected a name such as nvidia-tesla-t4"
        )
    # bool is a kind of int in Python: without this, `acceleratorCount: true` would be one GPU.
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ClusterConfigError(f"{at}: acceleratorCount is {shown(count)}; expected how many of {name}, 1 or more")
    return name, count


def _notes(at: str, machine_type: MachineType, node_config: dict[str, Any]) -> tuple[str, ...]:
    """Return what the node_config alone cannot say, or Google would refuse.

    Raises:
        ClusterConfigError: scheduling that contradicts itself, or the machine.
    """
    # What a template holds is known to `ray up` alone, which checks both together.
    if node_config.get("sourceInstanceTemplate") is not None:
        return _template_notes(machine_type.name, node_config)
    check_scheduling(at, node_config, accelerated=machine_type.chip is not None)
    return purchase_notes(machine_type.name, node_config)


def _template_notes(name: str, node_config: dict[str, Any]) -> tuple[str, ...]:
    """Return the note on what a template may add to a machine that GPUs can be attached to."""
    inherits = node_config.get("sourceInstanceTemplate") is not None and "guestAccelerators" not in node_config
    if not inherits or not name.startswith(_TAKES_GPUS):
        return ()
    note = (
        "GPUs that the sourceInstanceTemplate attaches are not in this promise; add them as guestAccelerators, or "
        "write guestAccelerators: [] if it attaches none"
    )
    return (note,)
