"""Values held to the schemas of a discovery document."""

from __future__ import annotations

import re
from typing import Any

_INTEGERS = {"int32", "uint32", "int64", "uint64"}


class SchemaError(Exception):
    """A value that the schema forbids; the text is Google's sentence for it."""


class DriftError(Exception):
    """An answer that Google's document does not allow."""


class Schemas:
    """The schemas of one API.

    Args:
        schemas: the document's.
        list_for_message: Compute Engine takes ``[{...}]`` where a message belongs; Ray's own defaults rely on it.
    """

    def __init__(self, schemas: dict[str, Any], *, list_for_message: bool) -> None:
        self._schemas, self._list_for_message = schemas, list_for_message

    def check(self, schema: dict[str, Any], value: Any, path: str, *, request: bool) -> None:
        """Check a value; in a request, a list that stands for one message becomes that message.

        Raises:
            SchemaError: it is forbidden.
        """
        schema = self._schemas[schema["$ref"]] if "$ref" in schema else schema
        kind = schema.get("type")
        if value is None or kind == "any":
            return
        if kind == "object" or "properties" in schema:
            self._object(schema, value, path, request=request)
        elif kind == "array":
            if not isinstance(value, list):
                raise SchemaError(f"Invalid value at '{path}' (expected a list): {value!r}")
            for index, item in enumerate(value):
                self.check(schema["items"], item, f"{path}[{index}]", request=request)
        else:
            _scalar(schema, value, path, request=request)

    def _object(self, schema: dict[str, Any], value: Any, path: str, *, request: bool) -> None:
        if not isinstance(value, dict):
            raise SchemaError(f"Invalid value at '{path}' (expected an object): {value!r}")
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name in list(value):
            if name in properties:
                if request and self._list_for_message and self._is_message(properties[name]):
                    value[name] = _first_of_one(value[name])
                self.check(properties[name], value[name], f"{path}.{name}", request=request)
            elif others is not None:
                self.check(others, value[name], f"{path}[{name}]", request=request)
            else:
                raise SchemaError(
                    f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
                )

    def _is_message(self, schema: dict[str, Any]) -> bool:
        return "$ref" in schema or schema.get("type") == "object"


def _first_of_one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _scalar(schema: dict[str, Any], value: Any, path: str, *, request: bool) -> None:
    kind = schema.get("type")
    number = kind == "integer" or schema.get("format") in _INTEGERS
    if number:
        good = not isinstance(value, bool) and re.fullmatch(r"-?\d+", str(value)) is not None
    elif kind == "boolean":
        good = isinstance(value, bool)
    elif kind == "number":
        good = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        good = isinstance(value, str)
    if not good:
        raise SchemaError(f"Invalid value at '{path}' (TYPE_{str(kind).upper()}): {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise SchemaError(f"Invalid value for field '{path}': '{value}'. Must be one of {schema['enum']}")
    pattern = schema.get("pattern")
    if request and pattern and value and not re.fullmatch(pattern, value):
        raise SchemaError(f"Invalid value for field '{path}': '{value}'. Must be a match of regex '{pattern}'")
