"""Google's discovery documents as JSON Schemas, checked by the library `jsonschema`.

Independent of the checks in providers/gcp on purpose: a mistake there must not be taken for Google's contract here.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN = ("^(?:", r")?\Z")  # the whole of a text, or nothing
_WHOLE_NUMBERS = {"int32", "uint32", "int64", "uint64"}


class SchemaError(Exception):
    """A value that the schema forbids; the text is Google's sentence for it."""


def document(name: str, version: str) -> dict[str, Any]:
    """Return the discovery document of an API, from Google's Python client.

    Raises:
        ModuleNotFoundError: Google's client is not installed.
    """
    # Found without importing the client, which takes ten times as long as reading the document.
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("google-api-python-client is not installed", name="googleapiclient")
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
        self._validators: dict[tuple[str, bool], Any] = {}
        self._good: set[int] = set()

    def check_request(self, ref: str, value: Any) -> None:
        """Check a request's body; a list that stands for one message becomes that message.

        Raises:
            SchemaError: it is forbidden.
        """
        if self._list_for_message:
            _unwrap(self._schemas, {"$ref": ref}, value)
        self._check(ref, value, "resource", request=True)

    def check_answer(self, ref: str, answer: dict[str, Any]) -> None:
        """Check an answer.

        What a list holds is checked once for each text: `jsonschema` takes 1 ms for an instance, and a list has 500.

        Raises:
            SchemaError: it is forbidden.
        """
        rest = dict(answer)
        for name, value in answer.items():
            items, item_ref = _items(self._schemas[ref].get("properties", {}).get(name, {}), value)
            if item_ref is None:
                continue
            rest[name] = type(value)()
            for item in items:
                text = hash((item_ref, json.dumps(item, sort_keys=True)))
                if text not in self._good:
                    self._check(item_ref, item, f"answer.{name}", request=False)
                    self._good.add(text)
        self._check(ref, rest, "answer", request=False)

    def _check(self, ref: str, value: Any, path: str, *, request: bool) -> None:
        validator = self._validators.get((ref, request)) or self._validator(ref, request=request)
        error = next(validator.iter_errors(value), None)
        if error is not None:
            raise SchemaError(_sentence(error, path))

    def _validator(self, ref: str, *, request: bool) -> Any:
        from jsonschema import Draft4Validator  # of this draft, as in Google's documents 1.0 is no integer

        converted = {name: _converted(schema, request=request) for name, schema in self._schemas.items()}
        root = {"schemas": converted, "$ref": f"#/schemas/{ref}"}
        return self._validators.setdefault((ref, request), Draft4Validator(root))


def _converted(schema: dict[str, Any], *, request: bool) -> dict[str, Any]:
    """Return a JSON Schema; null is allowed anywhere, unknown keys nowhere."""
    kind = schema.get("type")
    if "$ref" in schema:
        return {"$ref": f"#/schemas/{schema['$ref']}"}
    if kind == "any":
        return {}
    if kind == "object" or "properties" in schema:
        others = schema.get("additionalProperties")
        return {
            "type": ["object", "null"],
            "properties": {
                name: _converted(inner, request=request) for name, inner in schema.get("properties", {}).items()
            },
            "additionalProperties": False if others is None else _converted(others, request=request),
        }
    if kind == "array":
        return {"type": ["array", "null"], "items": _converted(schema["items"], request=request)}
    if kind == "integer" or schema.get("format") in _WHOLE_NUMBERS:  # JSON has no int64: Google writes it as text
        return {"type": ["integer", "string", "null"], "pattern": r"^-?\d+\Z"}
    converted: dict[str, Any] = {"type": [kind, "null"]}
    if "enum" in schema:
        converted["enum"] = [*schema["enum"], None]
    if request and "pattern" in schema:
        converted["pattern"] = schema["pattern"].join(_PATTERN)
    return converted


def _items(schema: dict[str, Any], value: Any) -> tuple[Iterable[Any], str | None]:
    """Return the messages that a property of an answer holds, with the name of their schema; None for no messages."""
    if isinstance(value, list) and "$ref" in schema.get("items", {}):
        return value, schema["items"]["$ref"]
    if isinstance(value, dict) and "$ref" in schema.get("additionalProperties", {}):
        return value.values(), schema["additionalProperties"]["$ref"]
    return (), None


def _unwrap(schemas: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Put the message in the place of each list of one message where the schema has a message; in place."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if isinstance(value, list):
        for item in value:
            _unwrap(schemas, schema.get("items", {}), item)
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        inner_schema = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or {}
        is_message = "$ref" in inner_schema or inner_schema.get("type") == "object"
        if is_message and isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
            value[name] = inner[0]
        _unwrap(schemas, inner_schema, value[name])


def _sentence(error: Any, path: str) -> str:
    where = path + "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in error.absolute_path)
    if error.validator == "additionalProperties":
        name = next(name for name in error.instance if name not in error.schema["properties"])
        return f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
    if error.validator == "enum":
        known = [word for word in error.validator_value if word is not None]
        return f"Invalid value for field '{where}': '{error.instance}'. Must be one of {known}"
    if error.validator == "pattern" and "integer" not in error.schema["type"]:
        regex = error.validator_value.removeprefix(_PATTERN[0]).removesuffix(_PATTERN[1])
        return f"Invalid value for field '{where}': '{error.instance}'. Must be a match of regex '{regex}'"
    return f"Invalid value at '{where}' (TYPE_{str(error.schema['type'][0]).upper()}): {error.instance!r}"
