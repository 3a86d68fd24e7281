"""Google's own contract: the calls that exist and what they carry, from the discovery documents of its Python client.

A request is matched to its method and checked; an answer is checked as well, so this Compute Engine cannot say
what Google never says. What Google checks beyond the documents is in ``rules.md``. The library `jsonschema` does the
checks, independent of those in providers/gcp on purpose: a mistake there must not be treated as Google's contract here.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from accel_scaling.message_text import shown
from accel_scaling.requirements import missing
from accel_scaling.testing.gce.api_errors import ApiError, invalid, no_such_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


APIS = (("compute", "v1"), ("cloudresourcemanager", "v1"), ("iam", "v1"), ("tpu", "v2"), ("tpu", "v2alpha1"))

# Query parameters that every Google API takes.
_COMMON = frozenset(
    [
        "alt",
        "fields",
        "key",
        "prettyPrint",
        "quotaUser",
        "userIp",
        "access_token",
        "callback",
        "oauth_token",
        "uploadType",
        "upload_protocol",
    ]
) | {"$.xgafv", "$prettyPrint", "$alt"}

# jsonschema searches for a pattern anywhere, and `$` would let a newline at the end pass.
_PATTERN = ("^(?:", r")?\Z")  # the whole of a text, or nothing
_WHOLE_NUMBERS = {"int32", "uint32", "int64", "uint64"}


class DriftError(Exception):
    """An answer that Google's document does not allow."""


@dataclass(frozen=True)
class Method:
    """One method of one API.

    Attributes:
        id: e.g. ``compute.instances.insert``; the same for each version of an API.
        http: the verb.
        pattern: the regular expression of its paths; its groups are ``names``.
        names: parameters in the path.
        parts: how many parts, between slashes, its paths have at least.
        whole: whether a parameter is a whole resource name, so they may have more.
        spec: the method's part of the document.
        schemas: the API's.
    """

    id: str
    http: str
    pattern: str
    names: tuple[str, ...]
    parts: int
    whole: bool
    spec: dict[str, Any]
    schemas: DocumentSchemas

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the parameters in a path, None where it is not this method's."""
        match = self._matches(path)
        if match is None:
            return None
        return {name: unquote(value) for name, value in zip(self.names, match.groups(), strict=True)}

    @functools.cached_property
    def _matches(self) -> Callable[[str], re.Match[str] | None]:
        return re.compile(self.pattern).fullmatch  # when it is needed: Google has 1,200 methods, a rehearsal uses 20

    def check_answer(self, answer: Any) -> None:
        """Hold an answer to the document.

        Raises:
            DriftError: Google would not answer so; a mistake of this Compute Engine.
        """
        try:
            self.schemas.check_answer(self.spec["response"]["$ref"], answer)
        except DocumentError as error:
            raise DriftError(f"this answer to {self.id} is not what Google's document allows: {error}") from None


@dataclass(frozen=True)
class ApiCall:
    """A request that the documents allow: its method, its parameters of path and query, and its body."""

    method: Method
    parameters: dict[str, str]
    body: Any


def resolve(http: str, path: str, query: dict[str, list[str]], body: Any) -> ApiCall:
    """Return the call that a request makes.

    Raises:
        ApiError: 404 where no document has it, 400 where the document forbids a part of it.
    """
    for method in _candidates(http, path.count("/")):
        parameters = method.parameters(path)
        if parameters is None or not _fits(method, parameters):
            continue
        parameters |= _query(method, query)
        try:
            if "request" in method.spec:
                method.schemas.check_request(method.spec["request"]["$ref"], body or {})
            elif body:
                raise invalid(f"{method.id} takes no body")
        except DocumentError as error:
            raise invalid(str(error)) from None
        return ApiCall(method, parameters, body or {})
    raise no_such_method(http, path)


def _fits(method: Method, parameters: dict[str, str]) -> bool:
    """Return whether the parameters have the form that the document demands; another method may fit better."""
    declared = method.spec.get("parameters", {})
    return all(
        re.fullmatch(declared[name]["pattern"].removeprefix("^").removesuffix("$"), value)
        for name, value in parameters.items()
        if declared.get(name, {}).get("pattern") and name != "project"
    )


def _query(method: Method, query: dict[str, list[str]]) -> dict[str, str]:
    declared, parameters = method.spec.get("parameters", {}), {}
    for name, values in query.items():
        if name in _COMMON:
            continue
        spec = declared.get(name)
        if spec is None or spec["location"] != "query":
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.')
        value = values[-1]
        if "enum" in spec and value not in spec["enum"]:
            raise invalid(f"Invalid value for query parameter '{name}': '{value}'.")
        if spec["type"] == "integer" and not re.fullmatch(r"-?\d+", value):
            raise invalid(f"Invalid value for query parameter '{name}': '{value}'.")
        parameters[name] = value
    for name, spec in declared.items():
        if spec.get("required") and spec["location"] == "query" and name not in parameters:
            raise ApiError(400, f"Required parameter: {name}", "required")
    return parameters


@functools.cache
def _candidates(http: str, parts: int) -> list[Method]:
    """Return the methods whose paths may have so many parts: to try each of Google's is most of what a call costs."""
    methods = _methods().get(http, ())
    return [method for method in methods if method.parts == parts or (method.whole and method.parts < parts)]


@functools.cache
def _methods() -> dict[str, list[Method]]:
    """Return every method by HTTP verb, the most exact paths first."""
    by_verb: dict[str, list[Method]] = {}
    for name, version in APIS:
        document = _document(name, version)
        schemas = DocumentSchemas(document["schemas"], list_for_message=name == "compute")
        for spec in _specs(document):
            by_verb.setdefault(spec["httpMethod"], []).append(_method(spec, document["servicePath"], schemas))
    # `{+name}` matches any path: the more text of its own a path has, the earlier it is tried.
    for methods in by_verb.values():
        methods.sort(key=lambda method: -len(re.sub(r"\{.*?\}", "", method.spec["path"])))
    return by_verb


def _specs(node: dict[str, Any]) -> list[dict[str, Any]]:
    specs = list(node.get("methods", {}).values())
    for resource in node.get("resources", {}).values():
        specs += _specs(resource)
    return specs


def _method(spec: dict[str, Any], service_path: str, schemas: DocumentSchemas) -> Method:
    """``{+name}`` is a whole resource name with slashes, ``{name}`` one part of a path."""
    names, pattern, rest = [], "", "/" + service_path + spec["path"]
    while rest:
        before, opening, after = rest.partition("{")
        pattern += re.escape(before)
        if not opening:
            break
        name, _, rest = after.partition("}")
        names.append(name.lstrip("+"))
        pattern += "(.+)" if name.startswith("+") else "([^/:]+)" if rest.startswith(":") else "([^/]+)"
    parts, whole = f"/{service_path}{spec['path']}".count("/"), "{+" in spec["path"]
    return Method(spec["id"], spec["httpMethod"], pattern, tuple(names), parts, whole, spec, schemas)


class DocumentError(Exception):
    """A value that the schema forbids; the text is Google's sentence for it."""


def _document(name: str, version: str) -> dict[str, Any]:
    """Return the discovery document of an API, from Google's Python client."""
    # Found without importing the client, which takes ten times as long as reading the document.
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        raise missing("googleapiclient", "rehearse")
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"{name}.{version}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


class DocumentSchemas:
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
            DocumentError: it is forbidden.
        """
        if self._list_for_message:
            _unwrap(self._schemas, {"$ref": ref}, value)
        self._check(ref, value, "resource", request=True)

    def check_answer(self, ref: str, answer: dict[str, Any]) -> None:
        """Check an answer.

        What a list holds is checked once for each text: `jsonschema` takes 1 ms for an instance, and a list has 500.

        Raises:
            DocumentError: it is forbidden.
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
            raise DocumentError(_sentence(error, path))

    def _validator(self, ref: str, *, request: bool) -> Any:
        from jsonschema import Draft4Validator  # of this draft, as in Google's documents 1.0 is no integer

        converted = {name: _converted(schema, request=request) for name, schema in self._schemas.items()}
        root = {"schemas": converted, "$ref": f"#/schemas/{ref}"}
        return self._validators.setdefault((ref, request), Draft4Validator(root))


def _converted(schema: dict[str, Any], *, request: bool) -> dict[str, Any]:
    """Return a JSON Schema; null is allowed anywhere, unknown keys nowhere."""
    value_type = schema.get("type")
    if "$ref" in schema:
        return {"$ref": f"#/schemas/{schema['$ref']}"}
    if value_type == "any":
        return {}
    if value_type == "object" or "properties" in schema:
        others = schema.get("additionalProperties")
        return {
            "type": ["object", "null"],
            "properties": {
                name: _converted(inner, request=request) for name, inner in schema.get("properties", {}).items()
            },
            "additionalProperties": False if others is None else _converted(others, request=request),
        }
    if value_type == "array":
        return {"type": ["array", "null"], "items": _converted(schema["items"], request=request)}
    if value_type == "integer" or schema.get("format") in _WHOLE_NUMBERS:  # JSON has no int64: Google writes it as text
        return {"type": ["integer", "string", "null"], "pattern": r"^-?\d+\Z"}
    converted: dict[str, Any] = {"type": [value_type, "null"]}
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
    location = path + "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in error.absolute_path)
    if error.validator == "additionalProperties":
        name = next(name for name in error.instance if name not in error.schema["properties"])
        return f"Invalid JSON payload received. Unknown name \"{name}\" at '{location}': Cannot find field."
    if error.validator == "enum":
        known = [word for word in error.validator_value if word is not None]
        return f"Invalid value for field '{location}': '{error.instance}'. Must be one of {known}"
    if error.validator == "pattern" and "integer" not in error.schema["type"]:
        regex = error.validator_value.removeprefix(_PATTERN[0]).removesuffix(_PATTERN[1])
        return f"Invalid value for field '{location}': '{error.instance}'. Must be a match of regex '{regex}'"
    return f"Invalid value at '{location}' (TYPE_{str(error.schema['type'][0]).upper()}): {shown(error.instance)}"
