"""A node_config checked against Google's own description of an Instance or a TPU Node. No network.

The discovery documents come with Google's Python client, which is not imported: that takes ten times as long.
"""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from accel_scaling.catalog.suggest import hint, nearest
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.request_bodies import INSERT_ONLY, MESSAGES
from accel_scaling.providers.gcp.scheduling import one_message
from accel_scaling.providers.gcp.tpu_node_config import is_tpu

# What Ray adds to Google's keys, or writes into every node type; and what the fill checks, with better words for it.
_OF_MACHINES = {"sourceInstanceTemplate", "networkConfig", "machineType", "labels"}
_OF_SLICES = {
    *("networkInterfaces", "serviceAccounts", "labels", "acceleratorType", "acceleratorConfig", "runtimeVersion"),
    *("machineType", "guestAccelerators", "sourceInstanceTemplate", "scheduling", "disks", "queuedResource"),
}

_TEMPLATE = re.compile(
    r"(?:(?:https://[^/]+/compute/[^/]+/)?projects/(?P<project>[a-z0-9.:-]+)/)?"
    r"(?:(?:global|regions/(?P<region>[a-z0-9-]+))/)?(?:instanceTemplates/)?(?P<name>[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
)

# Of difflib: a letter or two are wrong.
_MISSPELT = 0.8

# A discovery document has 64-bit integers as strings with a format.
_INTEGERS = {"int32", "uint32", "int64", "uint64"}
_TYPES = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "text"}


class SchemaError(Exception):
    """A value that Google's schema forbids.

    Attributes:
        path: its place in the cluster file.
        problem: what is wrong with it, to follow the path: ``is 5; expected text``.
        may_be_new: it is a key that Google may have since this release of its client, and no misspelt one.
    """

    def __init__(self, path: str, problem: str, *, may_be_new: bool = False) -> None:
        super().__init__(f"{path} {problem}")
        self.path, self.problem, self.may_be_new = path, problem, may_be_new


def check_node_config(path: str, node_config: dict[str, Any], *, misspelt_only: bool = False) -> None:
    """Check a node_config against Google's schema of an Instance or a TPU Node; without Google's client, do nothing.

    Args:
        path: its place in the cluster file.
        node_config: as the user wrote it.
        misspelt_only: let a key pass that is like none that Google's client knows.

    Raises:
        ClusterConfigError: names the key, what it holds, and what it may hold.
    """
    if importlib.util.find_spec("googleapiclient") is None:
        return
    slices = is_tpu(node_config)
    checked_elsewhere = _OF_SLICES if slices else _OF_MACHINES
    if "sourceInstanceTemplate" in node_config:
        # Of a template's properties the only one that an Instance has not; here they may be merged.
        checked_elsewhere = checked_elsewhere | {"resourceManagerTags"}
    rest = {key: copy.deepcopy(value) for key, value in node_config.items() if key not in checked_elsewhere}
    # Ray's files write some messages as a list of parts: the parts are checked as the one message that is sent.
    for key in MESSAGES:
        if isinstance(rest.get(key), list) and all(isinstance(part, dict) for part in rest[key]):
            rest[key] = one_message(rest[key])
    if not slices:
        _check_settable(path, node_config)
        template_of(f"{path}.sourceInstanceTemplate", node_config.get("sourceInstanceTemplate"))
    schemas, name = (_schemas("tpu", "v2"), "Node") if slices else (_schemas("compute", "v1"), "Instance")
    try:
        _check_value(schemas, {"$ref": name}, rest, path)
    except SchemaError as error:
        if error.may_be_new and misspelt_only:
            return
        # What this release of the client does not know, Google may know by now.
        version = importlib.metadata.version("google-api-python-client")
        by = f" (by google-api-python-client {version})" if "Google" in error.problem else ""
        raise ClusterConfigError(f"{error}{by}") from None


def template_of(key: str, path: Any) -> dict[str, str | None]:
    """Return the project, region and name in the path of an instance template; empty where it names none.

    Args:
        key: its place in the cluster file.
        path: a URL, ``projects/..``, ``global/..``, or the name alone; None for no template.

    Raises:
        ClusterConfigError: it is no such path.
    """
    if path is None:
        return {}
    parts = _TEMPLATE.fullmatch(path) if isinstance(path, str) else None
    if parts is None:
        raise ClusterConfigError(
            f"{key} is {shown(path)}; expected the path of an instance template, such as "
            "projects/PROJECT/global/instanceTemplates/NAME, its name of lower-case letters, digits and -"
        )
    return parts.groupdict()


def _check_settable(path: str, node_config: dict[str, Any]) -> None:
    """Refuse what Google or Ray sets for each machine, such as its name: bulk creation takes none of it."""
    schemas = _schemas("compute", "v1")
    theirs = set(schemas["Instance"]["properties"]) - set(schemas["InstanceProperties"]["properties"]) - INSERT_ONLY
    for key in node_config:
        if key in theirs:
            raise ClusterConfigError(f"{path}.{key} is set for each machine by Ray or by Google; leave it out")


@functools.cache
def _schemas(name: str, version: str) -> dict[str, Any]:
    """Return the schemas of an API's discovery document.

    Raises:
        ModuleNotFoundError: Google's client is not installed.
    """
    # Found without importing the client, which takes ten times as long as reading the document.
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("google-api-python-client is not installed")
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"{name}.{version}.json"
    schemas: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["schemas"]
    return schemas


def _check_value(schemas: dict[str, Any], schema: dict[str, Any], value: Any, path: str) -> None:
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    schema_type = schema.get("type")
    # null is a key that is not set: over a template it removes what the template holds.
    if value is None or schema_type == "any":
        return
    if schema_type == "object" or "properties" in schema:
        _check_object(schemas, schema, value, path)
    elif schema_type == "array":
        if not isinstance(value, list):
            raise SchemaError(path, f"is {shown(value)}; expected a list, [...]")
        for index, item in enumerate(value):
            _check_value(schemas, schema["items"], item, f"{path}[{index}]")
    else:
        _check_scalar(schema, value, path)


def _check_object(schemas: dict[str, Any], schema: dict[str, Any], value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise SchemaError(path, f"is {shown(value)}; expected an object, {{key: value}}")
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        if name in properties:
            _check_value(schemas, properties[name], inner, f"{path}.{name}")
        elif others is not None:
            _check_value(schemas, others, inner, f"{path}[{name}]")
        else:
            problem = f"is not a key that Google knows{hint(str(name), properties)}"
            new = not nearest(str(name), properties, cutoff=_MISSPELT)
            raise SchemaError(f"{path}.{name}", problem, may_be_new=new)


def _check_scalar(schema: dict[str, Any], value: Any, path: str) -> None:
    schema_type = str(schema.get("type"))
    whole = schema_type == "integer" or schema.get("format") in _INTEGERS
    if whole:
        # Google's JSON has 64-bit integers as text, and takes both; to Python, True is an integer.
        valid = not isinstance(value, bool) and re.fullmatch(r"-?\d+", str(value)) is not None
    elif schema_type == "boolean":
        valid = isinstance(value, bool)
    elif schema_type == "number":
        valid = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        valid = isinstance(value, str)
    if not valid:
        expected = "a whole number" if whole else _TYPES.get(schema_type, schema_type)
        raise SchemaError(path, f"is {shown(value)}; expected {expected}")
    if "enum" in schema and value not in schema["enum"]:
        words = nearest(value, schema["enum"]) or schema["enum"]
        raise SchemaError(path, f"is {shown(value)}, which Google does not know; nearest: {', '.join(words)}")
    pattern = schema.get("pattern")
    if pattern and value and not re.fullmatch(pattern, value):
        raise SchemaError(path, f"is {shown(value)}; expected a match of {pattern}")
