"""The keys and values of a cluster file, checked against Ray's own schema: a misspelt key is a limit that is not there.

`ray up` and the plan let Ray refuse such a file, with a dump of all of it; here it is one sentence, in every command.
"""

from __future__ import annotations

import re
from typing import Any

from accel_scaling._ray import versions
from accel_scaling._ray.cluster_schema import PROVIDER_KEYS, cluster_schema
from accel_scaling.catalog.suggest import hint, nearest
from accel_scaling.cluster.node_type_defaults import DROPPED_IF_EMPTY
from accel_scaling.cluster.policies import OURS
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

# What a value of a JSON type may be in Python, and in words.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "string": ((str,), "text"),
    "array": ((list,), "a list"),
    "object": ((dict,), "keys and values"),
    "null": ((type(None),), "nothing"),
}
_NUMBERS = ("integer", "number", "boolean")

# Places whose values are read, and refused, elsewhere with more to say; a cloud takes more there than Ray's schema, and
# brings it into the schema's form.
_READ_ELSEWHERE = re.compile(
    r"cluster_name|head_node_type|provider\.(?:type|module|region|availability_zone|project_id|gcp_credentials)(?:\..*)?"
    r"|available_node_types\..*\.resources(?:\..*)?"
)
# The fill writes these, whether there is nothing or something.
_MAY_BE_EMPTY = re.compile(r"available_node_types\..*\.(?:node_config|labels)")


def check_keys(config: dict[str, Any]) -> None:
    """Refuse a key that Ray's schema does not have, and a value of another kind than the schema's.

    Raises:
        ClusterConfigError: names the key; and the nearest ones, or what it takes.
    """
    schema = cluster_schema()
    kept = {key: value for key, value in config.items() if value or key not in DROPPED_IF_EMPTY}
    _check(schema, kept, "", schema.get("definitions", {}))


def _check(schema: dict[str, Any], value: Any, path: str, definitions: dict[str, Any]) -> None:
    """Hold a value, and all within it, to a schema."""
    if _READ_ELSEWHERE.fullmatch(path) or (value is None and _MAY_BE_EMPTY.fullmatch(path)):
        return
    schema = definitions.get(str(schema.get("$ref")).rpartition("/")[2], schema)
    _check_kind(schema, value, path)
    if isinstance(value, dict):
        _check_mapping(schema, value, path, definitions)
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            _check(schema["items"], item, f"{path}[{number}]", definitions)


def _check_mapping(schema: dict[str, Any], value: dict[Any, Any], path: str, definitions: dict[str, Any]) -> None:
    known = schema.get("properties", {})
    # Names that the user gives, such as those of node types, are patterns.
    patterns = list(schema.get("patternProperties", {}).values())
    for key, inner in value.items():
        place = f"{path}.{key}" if path else str(key)
        if key in known:
            _check(known[key], inner, place, definitions)
        elif patterns:
            _check(patterns[0], inner, place, definitions)
        elif schema.get("additionalProperties") is False and key in versions.SINCE and not versions.has(key):
            raise ClusterConfigError(versions.needs_newer(key, place))
        elif schema.get("additionalProperties") is False:
            near = _place_of(str(key), path) or hint(str(key), known)
            raise ClusterConfigError(f"{place} is a key that Ray's cluster files do not have{near}")
    for rule in schema.get("allOf", ()):
        _check_needed(rule, value, path)


def _place_of(key: str, path: str) -> str:
    """Return where a key belongs that is in a wrong place, as the end of a sentence; empty where it is unknown."""
    schema = cluster_schema()
    top = schema.get("properties", {})
    of_type = top.get("available_node_types", {}).get("patternProperties", {}).get(".*", {}).get("properties", {})
    # `type`, `image` and similar keys have a meaning in several places.
    in_provider = {*PROVIDER_KEYS, *OURS, *top.get("provider", {}).get("properties", {})} - {"type", "tags"}
    within_type = re.fullmatch(r"available_node_types\.[^.]+", path) is not None
    if key in in_provider:
        return f"; it belongs to the provider section: provider.{key}"
    near_one_of_type = nearest(key, of_type, at_most=1, cutoff=0.7)  # idle_timeout_minutes: idle_timeout_s
    if within_type and key in top and not near_one_of_type:
        return f"; it belongs to the top level of the file, for all node types: {key}"
    if not path and key in of_type and key not in top:
        return f"; it belongs to a node type: available_node_types.NAME.{key}"
    if within_type and key != key.lower():  # both clouds write them so
        return f"; a key of the machine belongs to its node_config: {path}.node_config.{key[:60]}"
    return ""


def _check_needed(rule: dict[str, Any], value: dict[Any, Any], path: str) -> None:
    """Hold a mapping to a rule ``if: {properties: {KEY: {const: VALUE}}}, then: {required: [KEY]}``."""
    given = rule.get("if", {}).get("properties", {})
    if all(key in value and value[key] == words.get("const") for key, words in given.items()):
        for key in rule.get("then", {}).get("required", ()):
            if key not in value:
                because = " and ".join(f"{path}.{one}: {str(value[one]).lower()}" for one in given)
                raise ClusterConfigError(f"{path}.{key} is missing, which {because} needs")


def _check_kind(schema: dict[str, Any], value: Any, path: str) -> None:
    types = schema.get("type")
    expected = [_KINDS[word] for word in ([types] if isinstance(types, str) else types or []) if word in _KINDS]
    # bool is a kind of int in Python: `max_workers: true` must not be 1.
    if expected and not any(
        isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)) for kinds, _ in expected
    ):
        words = " or ".join(words for _, words in expected)
        if value is None:
            raise ClusterConfigError(f"{path} is empty; it takes {words}, or leave it out")
        takes = f"Ray's cluster files take {words} there" if types in _NUMBERS else f"it takes {words}"
        raise ClusterConfigError(f"{path} is {shown(value)}; {takes}")
    least = schema.get("minimum")
    if least is not None and isinstance(value, (int, float)) and value < least:
        raise ClusterConfigError(f"{path}: {value} is less than the minimum of {least}")
