"""Kubernetes' API server, emulated as far as a refused pod uses it: https, tokens, RBAC, events, labels, a RayCluster.

Written after its published OpenAPI document (api/openapi-spec/v3/api__v1_openapi.json of kubernetes/kubernetes): the
fields of an Event, what it requires, and the Status of an error. The rights are those of a file in docs/iam, evaluated
as RBAC does; admission policies are not. No Kubernetes runs in these tests.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import re
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "eyJhbGciOiJSUzI1NiJ9.a-secret-that-no-log-may-have.c2lnbmF0dXJl"
USER = "system:serviceaccount:default:ray-worker"
REFERENCE = {"apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"}
EVENT: dict[str, Any] = {
    **dict.fromkeys(("action", "apiVersion", "kind", "message", "reason", "type"), str),
    **dict.fromkeys(("reportingComponent", "reportingInstance"), str),
    **dict.fromkeys(("eventTime", "firstTimestamp", "lastTimestamp"), "time"),
    "count": int,
    "involvedObject": REFERENCE,
    "related": REFERENCE,
    "source": {"component", "host"},
    "metadata": {"name", "generateName", "namespace", "labels", "annotations"},
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass
class Api:
    """An API server: what it holds, and what was asked.

    Attributes:
        environment: of a pod whose service account it knows.
        events: the events that were created.
        nodes: the labels of each node.
        clusters: the uid of each RayCluster.
        rights: (verb, resource) pairs that the pod's service account has.
        asked: method and path of each request, with the answer's status.
        answer: an answer for every request in place of the real one: status and headers.
    """

    environment: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)
    nodes: dict[str, dict[str, str]] = field(default_factory=lambda: {"gpu-node-1": {"pool": "gpu"}})
    clusters: dict[str, str] = field(default_factory=lambda: {"demo": "5c1d"})
    rights: set[tuple[str, str]] = field(default_factory=set)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    answer: tuple[int, dict[str, str]] | None = None


def rights_of(path: Path, user: str = USER) -> set[tuple[str, str]]:
    """What RBAC objects in a file let a service account do: verb and resource."""
    objects = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    rules = {
        (each["kind"], each["metadata"]["name"]): each["rules"] for each in objects if each["kind"].endswith("Role")
    }
    rights = set()
    for binding in (each for each in objects if each["kind"].endswith("RoleBinding")):
        subjects = {f"system:serviceaccount:{each['namespace']}:{each['name']}" for each in binding["subjects"]}
        for rule in rules[binding["roleRef"]["kind"], binding["roleRef"]["name"]] if user in subjects else ():
            rights |= {(verb, resource) for verb in rule["verbs"] for resource in rule["resources"]}
    return rights


@contextlib.contextmanager
def kubernetes_api(folder: Path, rights: set[tuple[str, str]]) -> Iterator[Api]:
    """An API server on this machine, and the folder of a service account that it knows."""
    key, certificate = _certificate()
    (folder / "server.pem").write_bytes(key + certificate)
    account = folder / "serviceaccount"
    account.mkdir()
    (account / "ca.crt").write_bytes(certificate)
    (account / "token").write_text(TOKEN, encoding="utf-8")
    (account / "namespace").write_text("default", encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api = server.api = Api(  # type: ignore[attr-defined]
        {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT_HTTPS": f"{server.server_port}",
            "ACCEL_SCALING_SERVICE_ACCOUNT": str(account),
            "ACCEL_SCALING_NODE_NAME": "gpu-node-1",
            "ACCEL_SCALING_POD_UID": "0b7c",
            "RAY_CLOUD_INSTANCE_ID": "demo-worker-a100-x7k2p",
            "RAY_NODE_TYPE_NAME": "a100",
            "RAY_CLUSTER_NAME": "demo",
        },
        rights=set(rights),
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_words: Any) -> None: ...

    def do_POST(self) -> None:
        self._answer("create", "events", r"/api/v1/namespaces/default/events", "application/json", self._create)

    def do_PATCH(self) -> None:
        path, kind = r"/api/v1/nodes/(?P<name>[^/?]+)", "application/merge-patch+json"
        self._answer("patch", "nodes", path, kind, self._patch)

    def do_GET(self) -> None:
        path = r"/apis/ray\.io/v1/namespaces/default/rayclusters/(?P<name>[^/?]+)"
        self._answer("get", "rayclusters", path, None, self._metadata)

    def _answer(self, verb: str, resource: str, path: str, kind: str | None, then: Any) -> None:
        api: Api = self.server.api  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null"
        match = re.fullmatch(path, self.path)
        if api.answer:
            self._reply(*api.answer)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._reply(401, "Unauthorized")
        elif not match:
            self._reply(404, "the server could not find the requested resource")
        elif (verb, resource) not in api.rights:
            self._reply(403, f'{resource} is forbidden: User "{USER}" cannot {verb} resource "{resource}"')
        elif self.headers.get("Content-Type") != kind:
            self._reply(415, "the body of the request was in an unknown format")
        else:
            self._reply(*then(api, json.loads(body), **match.groupdict()))

    def _create(self, api: Api, event: dict[str, Any]) -> tuple[int, str]:
        problem = _problem_of_event(event)
        if problem:
            return 422, f"Event is invalid: {problem}"
        api.events.append(event)
        return 201, ""

    def _metadata(self, api: Api, _: None, name: str) -> tuple[int, Any]:
        if self.headers["Accept"] != "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1":
            return 406, "a pod needs no more than the metadata"
        if name not in api.clusters:
            return 404, f'rayclusters.ray.io "{name}" not found'
        return 200, {"kind": "PartialObjectMetadata", "metadata": {"name": name, "uid": api.clusters[name]}}

    def _patch(self, api: Api, patch: dict[str, Any], name: str) -> tuple[int, str]:
        labels = patch["metadata"]["labels"]
        if name not in api.nodes:
            return 404, f'nodes "{name}" not found'
        if patch != {"metadata": {"labels": labels}} or not all(map(_LABEL.fullmatch, labels.values())):
            return 422, "Node is invalid"
        api.nodes[name] |= labels
        return 200, ""

    def _reply(self, status: int, message: Any = "") -> None:
        api: Api = self.server.api  # type: ignore[attr-defined]
        api.asked.append((self.command, self.path, status))
        found = isinstance(message, dict) and "metadata" in message
        headers = message if isinstance(message, dict) and not found else {}
        told = {"kind": "Status", "apiVersion": "v1", "code": status, "message": str(message)}
        body = json.dumps(message if found else told).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": f"{len(body)}"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _problem_of_event(event: dict[str, Any]) -> str:
    """What the schema, and the validation of events of core/v1, would refuse."""
    for name, value in event.items():
        kind = EVENT.get(name)
        if kind is None:
            return f"unknown field {name}"
        if kind == "time":
            fits = bool(_TIME.fullmatch(value))
        elif isinstance(kind, set):
            fits = isinstance(value, dict) and value.keys() <= kind
        else:
            fits = isinstance(value, kind)
        if not fits:
            return f"{name}: {value}"
    if event["involvedObject"].get("namespace") != event["metadata"].get("namespace"):
        return "involvedObject.namespace: does not match event.namespace"
    return "" if event["metadata"].get("name") or event["metadata"].get("generateName") else "name or generateName"


def _certificate() -> tuple[bytes, bytes]:
    """A key, and a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form), certificate.public_bytes(serialization.Encoding.PEM)
