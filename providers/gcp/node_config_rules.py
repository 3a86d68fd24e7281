"""What a node_config may hold: the keys and kinds of Google's own schema, and no two that contradict each other."""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import re
from typing import Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.node_config import is_tpu
from accel_scaling.providers.gcp.request_bodies import INSERT_ONLY, MESSAGES
from accel_scaling.providers.gcp.scheduling import one_message
from accel_scaling.providers.gcp.schemas import SchemaError, Schemas, document

# What Ray adds to Google's keys, or writes into every node type; and what the fill checks, with better words for it.
_OF_MACHINES = {"sourceInstanceTemplate", "networkConfig", "machineType", "labels"}
_OF_SLICES = {
    *("networkInterfaces", "serviceAccounts", "labels", "acceleratorType", "acceleratorConfig", "runtimeVersion"),
    *("machineType", "guestAccelerators", "sourceInstanceTemplate", "scheduling", "disks"),
}

_TEMPLATE = re.compile(
    r"(?:(?:https://[^/]+/compute/[^/]+/)?projects/(?P<project>[a-z0-9.:-]+)/)?"
    r"(?:(?:global|regions/(?P<region>[a-z0-9-]+))/)?(?:instanceTemplates/)?(?P<name>[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
)


def check(where: str, node_config: dict[str, Any]) -> None:
    """Hold a node_config to Google's schema of an Instance, or of a TPU Node.

    Args:
        where: its place in the cluster file.
        node_config: as the user wrote it.

    Raises:
        ClusterConfigError: names the key, what it holds, and what it may hold.
    """
    slices = is_tpu(node_config)
    ours = _OF_SLICES if slices else _OF_MACHINES
    held = {key: copy.deepcopy(value) for key, value in node_config.items() if key not in ours}
    for key in MESSAGES:
        if isinstance(held.get(key), list) and all(isinstance(one, dict) for one in held[key]):
            held[key] = one_message(held[key])
    if not slices:
        _check_settable(where, node_config)
        template_of(f"{where}.sourceInstanceTemplate", node_config.get("sourceInstanceTemplate"))
    schemas, name = _schemas("tpu", "v2") if slices else _schemas("compute", "v1"), "Node" if slices else "Instance"
    try:
        schemas.check({"$ref": name}, held, where, request=True)
    except SchemaError as error:
        version = importlib.metadata.version("google-api-python-client")
        by = f" (by google-api-python-client {version})" if "Google" in error.plain else ""
        raise ClusterConfigError(f"{error.path} {error.plain}{by}") from None


def _check_settable(where: str, node_config: dict[str, Any]) -> None:
    """Refuse what Google or Ray sets for each machine, such as its name: bulk creation takes none of it."""
    found = document("compute", "v1")["schemas"]
    theirs = set(found["Instance"]["properties"]) - set(found["InstanceProperties"]["properties"]) - INSERT_ONLY
    for key in node_config:
        if key in theirs:
            raise ClusterConfigError(f"{where}.{key} is set for each machine by Ray or by Google; leave it out")


def template_of(where: str, path: Any) -> dict[str, str | None]:
    """Return the project, region and name in the path of an instance template; None where it names none.

    Args:
        where: its place in the cluster file.
        path: a URL, ``projects/..``, ``global/..``, or the name alone; None for no template.

    Raises:
        ClusterConfigError: it is no such path.
    """
    if path is None:
        return {}
    found = _TEMPLATE.fullmatch(path) if isinstance(path, str) else None
    if found is None:
        raise ClusterConfigError(
            f"{where} is {path!r}; expected the path of an instance template, such as "
            "projects/PROJECT/global/instanceTemplates/NAME, its name of lower-case letters, digits and -"
        )
    return found.groupdict()


@functools.cache
def _schemas(api: str, version: str) -> Schemas:
    return Schemas(document(api, version)["schemas"], list_for_message=False)
