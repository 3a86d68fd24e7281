"""The bodies of requests that create a machine or a slice: the node_config with what its hardware needs."""

from __future__ import annotations

import copy
from typing import Any

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.gcp.scheduling import missing_scheduling, one_message

# Messages that Ray's own defaults.yaml, and the files made from it, write as lists: `scheduling: [{...}]`.
MESSAGES = (
    "scheduling",
    "metadata",
    "tags",
    "shieldedInstanceConfig",
    "reservationAffinity",
    "advancedMachineFeatures",
)

# InstanceProperties lacks these fields of Instance (discovery document, compute v1): bulkInsert cannot set them.
INSERT_ONLY = frozenset(
    {
        "deletionProtection",
        "displayDevice",
        "hostname",
        "instanceEncryptionKey",
        "params",
        "shieldedInstanceIntegrityPolicy",
        "sourceMachineImage",
        "sourceMachineImageEncryptionKey",
    }
)


def instance(node_config: dict[str, Any], labels: dict[str, str], *, delete_preempted: bool) -> dict[str, Any]:
    """Return the Instance to create, machine type and other types as bare names, the template's path still in it."""
    body = copy.deepcopy(node_config)
    body.pop("networkConfig", None)  # Ray writes a TPU's network into every node type
    for key in MESSAGES:
        if isinstance(body.get(key), list):
            body[key] = one_message(body[key])
    _to_bare_names(body)
    added = missing_scheduling(body, accelerated=_has_accelerators(body), delete_preempted=delete_preempted)
    if added:
        body["scheduling"] = {**(body.get("scheduling") or {}), **added}
    # Ray's own labels win: without them no listing would find the machine, and nobody would end it.
    body["labels"] = {**(body.get("labels") or {}), **labels}
    return body


def fits_bulk(body: dict[str, Any]) -> bool:
    """Return whether Google's bulk creation takes all that this Instance asks for.

    It takes no own encryption keys, no boot disk from a snapshot or an existing disk, no machine images and no sole
    tenancy (docs.cloud.google.com/compute/docs/instances/multiple/about-bulk-creation).
    """
    if INSERT_ONLY & set(body) or (body.get("scheduling") or {}).get("nodeAffinities"):
        return False
    for disk in body.get("disks") or []:
        first = disk.get("initializeParams") or {}
        if disk.get("source") or "diskEncryptionKey" in disk or "sourceSnapshot" in first:
            return False
    return True


def of_many(body: dict[str, Any]) -> dict[str, Any]:
    """Return the InstanceProperties of a bulk creation, which name resource policies; one machine has their URLs."""
    policies = body.get("resourcePolicies")
    return {**body, "resourcePolicies": [_bare(str(policy)) for policy in policies]} if policies else body


def in_zone(body: dict[str, Any], project: str, zone: str) -> dict[str, Any]:
    """Return the Instance as `instances.insert` wants it: with the types' paths in the zone."""
    placed = copy.deepcopy(body)
    place, region = f"projects/{project}/zones/{zone}", f"projects/{project}/regions/{zone.rpartition('-')[0]}"
    if "machineType" in placed:
        placed["machineType"] = f"zones/{zone}/machineTypes/{placed['machineType']}"
    for accelerator in placed.get("guestAccelerators") or []:
        accelerator["acceleratorType"] = f"{place}/acceleratorTypes/{accelerator['acceleratorType']}"
    if placed.get("resourcePolicies"):
        policies = placed["resourcePolicies"]
        placed["resourcePolicies"] = [one if "/" in one else f"{region}/resourcePolicies/{one}" for one in policies]
    for disk in placed.get("disks") or []:
        if "diskType" in (disk.get("initializeParams") or {}):
            disk["initializeParams"]["diskType"] = f"{place}/diskTypes/{disk['initializeParams']['diskType']}"
    return placed


def slice_node(node_config: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Return the TPU Node to create; Ray's names for a machine's service account and network become the TPU API's."""
    body = copy.deepcopy(node_config)
    # Ray's subnet step writes a machine's network into every node_config; a TPU node has no such field.
    body.pop("networkInterfaces", None)
    if "networkConfigs" not in body:
        # Without an external address nobody reaches it by ssh (docs.cloud.google.com/tpu/docs/managing-tpus-tpu-vm).
        body["networkConfig"] = {"enableExternalIps": True, **(body.get("networkConfig") or {})}
    else:
        body.pop("networkConfig", None)
    # The TPU API takes one account, and its scopes under a name in the singular.
    accounts = body.pop("serviceAccounts", None)
    if accounts:
        account = dict(accounts[0])
        account["scope"] = account.pop("scopes", account.get("scope", []))
        body["serviceAccount"] = account
    body["labels"] = {**(body.get("labels") or {}), **labels}
    return body


def _has_accelerators(body: dict[str, Any]) -> bool:
    if body.get("guestAccelerators"):
        return True
    try:
        return shipped_catalog().machine_type("gcp", body.get("machineType", "")).chip is not None
    except AccelScalingError:
        return False  # a type of the user's own catalog; `ray up` has set what it needs


def _to_bare_names(body: dict[str, Any]) -> None:
    """Shorten the paths of zonal types: bulk creation takes bare names, and a path names one zone of several."""
    if isinstance(body.get("machineType"), str):
        body["machineType"] = _bare(body["machineType"])
    for accelerator in body.get("guestAccelerators") or []:
        accelerator["acceleratorType"] = _bare(str(accelerator.get("acceleratorType", "")))
    for disk in body.get("disks") or []:
        first = disk.get("initializeParams") or {}
        if isinstance(first.get("diskType"), str):
            first["diskType"] = _bare(first["diskType"])


def _bare(path: str) -> str:
    return path.rsplit("/", 1)[-1]
