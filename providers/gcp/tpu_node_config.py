"""The TPU slices of a GCP cluster file: acceleratorType or acceleratorConfig, and the runtime version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling._ray import versions
from accel_scaling.catalog.model import UnlistedKind
from accel_scaling.catalog.tpu_slices import slice_of_topology, slice_of_type
from accel_scaling.catalog.unlisted import unlisted
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.cluster import NodeMachine
from accel_scaling.cluster.machine_lists import check_one_slice
from accel_scaling.cluster.node_needs import default_image
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.cloud import CLOUD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice

# The node_config keys that make a node type a TPU, as Ray tells it (autoscaler/_private/gcp/config.py, get_node_type).
KEYS = ("acceleratorType", "acceleratorConfig")

_LONGEST_NAME = 64  # characters; no accelerator type is nearly as long

# Keys of a Compute Engine instance that a TPU node does not have (TPU API v2alpha1, Node): what to write instead.
_NOT_OF_A_TPU = {
    "machineType": "a TPU slice brings its own hosts; remove one of the two",
    "guestAccelerators": "they belong to a machineType; remove them",
    "sourceInstanceTemplate": "a TPU is not made from an instance template; remove it",
    "scheduling": "a TPU takes schedulingConfig, such as schedulingConfig: {spot: true}",
}

# What SchedulingConfig of the API's version 2, which the provider calls, has in place of the provisioning models of
# v2alpha1 and of a queued resource (docs.cloud.google.com/tpu/docs/reference/rest/v2/SchedulingConfig).
_INSTEAD_OF_MODEL = {
    "SPOT": "schedulingConfig: {spot: true}",
    "RESERVATION_BOUND": "schedulingConfig: {reserved: true}",
}
_WAYS = "schedulingConfig: {spot: true}, or {reserved: true} for a reservation of yours"

# cloud.google.com/tpu/docs/runtimes: "The Cloud TPU API is not supported on TPU7x and later TPU versions".
_NOT_IN_THE_API = (
    "Ray creates slices through the Cloud TPU API, which according to Google does not have {}{}; the promise is what "
    "its "
    "hosts would announce"
)
# AI-Hypercomputer/tpu-recipes, inference/ironwood (2026-08-07): `queued-resources create --accelerator-type v7x-8`.
_BY_RESERVATION = "; Google's own recipes ask it for {}-N, with a reservation"


def is_tpu(node_config: dict[str, Any]) -> bool:
    """Return whether a node_config names a TPU slice."""
    return any(node_config.get(key) is not None for key in KEYS)


def machine(location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
    """Return the slice of a TPU node type.

    Raises:
        ClusterConfigError: keys that are missing, of the wrong kind, or do not fit together.
        UnknownTpuError: Google has no such slice.
    """
    at = f"{location}.node_config"
    named = [key for key in KEYS if node_config.get(key) is not None]
    if len(named) > 1:
        raise ClusterConfigError(f"{at} has acceleratorType and acceleratorConfig; keep one of them")
    for key, advice in _NOT_OF_A_TPU.items():
        if node_config.get(key) is not None:
            raise ClusterConfigError(f"{at} has {named[0]}, which makes it a TPU, and {key}: {advice}")
    try:
        tpu_slice = _slice(at, node_config, catalog)
    except ClusterConfigError:
        # Its sentence has the key already.
        raise
    except AccelScalingError as error:
        raise type(error)(f"{at}.{named[0]}: {error}") from None
    if needed := versions.minor_for_tpu(tpu_slice.pod_type):
        since, here = versions.minor_text(needed), versions.installed_version()
        raise ClusterConfigError(
            f"{at}.{named[0]}: Ray {here} does not detect the chips of a {tpu_slice.accelerator_type}; "
            f"that needs Ray {since} or newer: {versions.install_command(needed)}"
        )
    _check_runtime(at, node_config, tpu_slice)
    _check_scheduling(at, node_config)
    return NodeMachine(tpu_slice.machine, tpu_slice, _capacity_type(node_config), tuple(_notes(tpu_slice)))


def check_purchase(location: str, node_config: dict[str, Any]) -> None:
    """Refuse the keys of a node_config that do not buy a slice through this API: Google's own for queues, and models.

    Args:
        location: the node type's place in the cluster file, for the error.
        node_config: the node type's ``node_config``.

    Raises:
        ClusterConfigError: names the key, and the ways that there are.
    """
    at = f"{location}.node_config"
    if node_config.get("queuedResource") is not None:
        raise ClusterConfigError(
            f"{at}.queuedResource is written by Google into slices that it has queued; remove it, and write "
            f"provider.capacity: {{{location.rpartition('.')[2]}: [{{spot: {{wait_for: 6h}}}}]}} to have slices queued"
        )
    scheduling = node_config.get("schedulingConfig")
    model = scheduling.get("provisioningModel") if isinstance(scheduling, dict) else None
    if model is not None:
        raise ClusterConfigError(
            f"{at}.schedulingConfig.provisioningModel is {shown(model)}, a key that version 2 of the Cloud TPU API "
            f"does not have; write {_INSTEAD_OF_MODEL.get(str(model), _WAYS)}"
        )


def with_runtime(node_config: dict[str, Any], tpu_slice: TpuSlice) -> dict[str, Any]:
    """Return the node_config with the usual software version of its hosts, where it names none."""
    image = default_image(tpu_slice.machine, of_slice=True)
    if node_config.get("runtimeVersion") is not None or image is None:
        return node_config
    return {**node_config, "runtimeVersion": image.name}


def _notes(tpu_slice: TpuSlice) -> Iterator[str]:
    name = tpu_slice.accelerator_type
    if not tpu_slice.config_type:
        api_name = tpu_slice.pod_type.rpartition("-")[0]
        named = api_name in tpu_slice.chip.api_names.get(CLOUD.name, ())
        yield _NOT_IN_THE_API.format(tpu_slice.generation, _BY_RESERVATION.format(api_name) if named else "")
    if row := unlisted(CLOUD.name, UnlistedKind.SLICE).get(name):
        yield f"no list of Google Cloud has {name} ({row.source}); `ray up` asks Google Cloud"


def _capacity_type(node_config: dict[str, Any]) -> CapacityType:
    """Return spot where Google may take the slice back at any time, and reserved where it is of a reservation."""
    config = node_config.get("schedulingConfig") or {}
    if config.get("spot") or config.get("preemptible") or config.get("provisioningModel") == "SPOT":
        return CapacityType.SPOT
    return CapacityType.RESERVED if config.get("reserved") else CapacityType.ON_DEMAND


def _slice(at: str, node_config: dict[str, Any], catalog: Catalog) -> TpuSlice:
    config = node_config.get("acceleratorConfig")
    if config is None:
        name = node_config["acceleratorType"]
        check_one_slice(f"{at}.acceleratorType", name, lambda one: _whole(slice_of_type(catalog, one)))
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
            raise ClusterConfigError(
                f"{at}.acceleratorType is {shown(name)}; name a TPU type there, such as v5litepod-8"
            )
        # GPU users know acceleratorType from guestAccelerators, one level deeper.
        if name.strip().startswith("nvidia"):
            raise ClusterConfigError(
                f"{at}.acceleratorType is {shown(name)}, which is a GPU; this key makes the node type a TPU; to "
                f"attach a GPU to a machineType, use guestAccelerators"
            )
        return slice_of_type(catalog, name.strip())
    if not isinstance(config, dict):
        raise ClusterConfigError(
            f"{at}.acceleratorConfig is {shown(config)}; expected two keys, such as {{type: V4, topology: 2x2x2}}"
        )
    for key, example in (("type", "V4"), ("topology", "2x2x2")):
        if not isinstance(config.get(key), str) or not config[key].strip():
            raise ClusterConfigError(
                f"{at}.acceleratorConfig.{key} is {shown(config.get(key))}; expected such as {example}"
            )
    return slice_of_topology(catalog, config["type"].strip(), config["topology"].strip())


def _whole(tpu_slice: TpuSlice) -> MachineType:
    """Return a slice as one machine, with the chips of all its hosts."""
    return replace(tpu_slice.machine, count=tpu_slice.chips)


def _check_runtime(at: str, node_config: dict[str, Any], tpu_slice: TpuSlice) -> None:
    version = node_config.get("runtimeVersion")
    usual = default_image(tpu_slice.machine, of_slice=True)
    if (version is None and usual) or (isinstance(version, str) and version.strip()):
        return
    raise ClusterConfigError(
        f"{at}.runtimeVersion is {'missing' if version is None else repr(version)}; Google Cloud needs the software "
        f"version of the hosts to create a "
        f"TPU" + (f", for {tpu_slice.accelerator_type} usually {usual.name}" if usual else "")
    )


def _check_scheduling(at: str, node_config: dict[str, Any]) -> None:
    config = node_config.get("schedulingConfig")
    if config is not None and not isinstance(config, dict):
        raise ClusterConfigError(f"{at}.schedulingConfig is {shown(config)}; expected keys, such as {{spot: true}}")
