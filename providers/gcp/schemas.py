"""Values held to the schemas of Google's discovery documents, as Google's Python client brings them."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from accel_scaling.catalog.suggest import hint, nearest

_INTEGERS = {"int32", "uint32", "int64", "uint64"}


_KINDS = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "text"}


class SchemaError(Exception):
    """A value that the schema forbids; the text is Google's sentence for it.

    Attributes:
        path: where.
        plain: what is wrong with it, to follow the path: ``is 5; expected text``.
    """

    def __init__(self, googles: str, path: str, plain: str) -> None:
        super().__init__(googles)
        self.path, self.plain = path, plain


@functools.cache
def document(name: str, version: str) -> dict[str, Any]:
    """Return the discovery document of an API.

    Raises:
        ModuleNotFoundError: Google's client is not installed.
    """
    # Found without importing the client, which takes ten times as long as reading the document.
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("google-api-python-client is not installed")
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"{name}.{version}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
                raise _wrong_kind(path, value, "a list")
            for index, item in enumerate(value):
                self.check(schema["items"], item, f"{path}[{index}]", request=request)
        else:
            _scalar(schema, value, path, request=request)

    def _object(self, schema: dict[str, Any], value: Any, path: str, *, request: bool) -> None:
        if not isinstance(value, dict):
            raise _wrong_kind(path, value, "an object")
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
                    f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field.",
                    f"{path}.{name}",
                    f"is no key that Google knows{hint(str(name), properties)}",
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
        wanted = "a whole number" if number else _KINDS.get(str(kind), str(kind))
        googles = f"Invalid value at '{path}' (TYPE_{str(kind).upper()}): {value!r}"
        raise SchemaError(googles, path, f"is {value!r}; expected {wanted}")
    if "enum" in schema and value not in schema["enum"]:
        googles = f"Invalid value for field '{path}': '{value}'. Must be one of {schema['enum']}"
        words = nearest(value, schema["enum"]) or schema["enum"]
        raise SchemaError(googles, path, f"is {value!r}, which Google does not know; nearest: {', '.join(words)}")
    pattern = schema.get("pattern")
    if request and pattern and value and not re.fullmatch(pattern, value):
        googles = f"Invalid value for field '{path}': '{value}'. Must be a match of regex '{pattern}'"
        raise SchemaError(googles, path, f"is {value!r}; expected a match of {pattern}")


def _wrong_kind(path: str, value: Any, wanted: str) -> SchemaError:
    googles = f"Invalid value at '{path}' (expected {wanted}): {value!r}"
    example = "{key: value}" if wanted == "an object" else "[...]"
    return SchemaError(googles, path, f"is {value!r}; expected {wanted}, {example}")
