"""Google's own contract: the calls that exist and what they carry, from the discovery documents of its Python client.

A request is matched to its method and checked; an answer is checked as well, so that this Compute Engine cannot say
what Google never says. What Google checks beyond the documents is in ``rules.md``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from accel_scaling.requirements import missing
from accel_scaling.testing.gce.api_errors import ApiError, invalid, no_such_method
from accel_scaling.testing.gce.json_schemas import SchemaError, Schemas, document

if TYPE_CHECKING:
    from collections.abc import Callable

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
        whole: whether a parameter is a whole resource name, so that they may have more.
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
    schemas: Schemas

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the parameters in a path, None where it is not this method's."""
        found = self._matches(path)
        if found is None:
            return None
        return {name: unquote(value) for name, value in zip(self.names, found.groups(), strict=True)}

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
        except SchemaError as error:
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
        except SchemaError as error:
            raise invalid(str(error)) from None
        return ApiCall(method, parameters, body or {})
    raise no_such_method(http, path)


def _fits(method: Method, parameters: dict[str, str]) -> bool:
    """Say whether the parameters have the form that the document demands; another method may fit better."""
    declared = method.spec.get("parameters", {})
    return all(
        re.fullmatch(declared[name]["pattern"].removeprefix("^").removesuffix("$"), value)
        for name, value in parameters.items()
        if declared.get(name, {}).get("pattern") and name != "project"
    )


def _query(method: Method, query: dict[str, list[str]]) -> dict[str, str]:
    declared, found = method.spec.get("parameters", {}), {}
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
        found[name] = value
    missing = [name for name, spec in declared.items() if spec.get("required") and spec["location"] == "query"]
    for name in missing:
        if name not in found:
            raise ApiError(400, f"Required parameter: {name}", "required")
    return found


@functools.cache
def _candidates(http: str, parts: int) -> list[Method]:
    """Return the methods whose paths may have so many parts: to try each of Google's is most of what a call costs."""
    methods = _methods().get(http, ())
    return [one for one in methods if one.parts == parts or (one.whole and one.parts < parts)]


@functools.cache
def _methods() -> dict[str, list[Method]]:
    """Return every method by HTTP verb, the most exact paths first."""
    found: dict[str, list[Method]] = {}
    for name, version in APIS:
        held = _document(name, version)
        schemas = Schemas(held["schemas"], list_for_message=name == "compute")
        for spec in _specs(held):
            found.setdefault(spec["httpMethod"], []).append(_method(spec, held["servicePath"], schemas))
    for methods in found.values():
        methods.sort(key=lambda method: -len(re.sub(r"\{.*?\}", "", method.spec["path"])))
    return found


def _document(name: str, version: str) -> dict[str, Any]:
    try:
        return document(name, version)
    except ModuleNotFoundError as error:
        raise missing(error.name, "rehearse") from None


def _specs(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = list(node.get("methods", {}).values())
    for resource in node.get("resources", {}).values():
        found += _specs(resource)
    return found


def _method(spec: dict[str, Any], service_path: str, schemas: Schemas) -> Method:
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
