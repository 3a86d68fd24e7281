"""Calls of the Kubernetes API from inside a pod, by its service account: https, the cluster's CA, no client library."""

from __future__ import annotations

import http
import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.message_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the kubelet mounts the service account (kubernetes.io: Accessing the API from within a pod).
FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
FOLDER_VARIABLE = "ACCEL_SCALING_SERVICE_ACCOUNT"
"""Names another folder with `token`, `ca.crt` and `namespace`, as a projected volume has them."""

_HOST, _PORTS = "KUBERNETES_SERVICE_HOST", ("KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_SERVICE_PORT")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750; an error about anything else would print it
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # it becomes a part of a path
_MOST_BYTES = 65_536
_MOST_METADATA = 1_572_864  # bytes: etcd takes objects of 1.5 MiB, and annotations may hold a whole manifest
_MOST_REASON = 300  # characters of the API server's own words
_REFUSED = 300  # and all above: http.client follows no redirect, so the token goes nowhere else


class KubernetesError(Exception):
    """A call that was not made or was refused; the text is the end of a sentence, without any secret."""


class NotAllowedError(KubernetesError):
    """A call for which the service account has no right."""


@dataclass(frozen=True)
class ServiceAccount:
    """The service account of this pod, and its API server.

    Attributes:
        namespace: the pod's.
        host: the API server's address.
        port: its port.
        authority: the file with the cluster's CA.
        token: the secret; it is in no message.
    """

    namespace: str
    host: str
    port: int
    authority: Path
    token: str = field(repr=False)


def service_account(environment: Mapping[str, str]) -> ServiceAccount:
    """Return the service account of this pod.

    Args:
        environment: this process's.

    Raises:
        KubernetesError: none is mounted, or it cannot be used.
    """
    folder = Path(environment.get(FOLDER_VARIABLE) or FOLDER)
    host = environment.get(_HOST, "")
    port = next((environment[name] for name in _PORTS if environment.get(name)), "443")
    if not host or not port.isdecimal():
        raise KubernetesError(f"{_HOST} does not name the API server")
    try:
        token, namespace = ((folder / name).read_text(encoding="utf-8").strip() for name in ("token", "namespace"))
    except (OSError, UnicodeDecodeError):
        raise KubernetesError("no token of a service account is mounted in this pod") from None
    if not _TOKEN.fullmatch(token) or not _NAMESPACE.fullmatch(namespace):
        raise KubernetesError(f"the files in {folder} are not those of a service account")
    return ServiceAccount(namespace, host, int(port), folder / "ca.crt", token)


def create(account: ServiceAccount, path: str, content: Mapping[str, Any]) -> None:
    """Create an object.

    Args:
        account: who asks.
        path: of the collection, such as ``/api/v1/namespaces/ray/events``.
        content: the object.

    Raises:
        KubernetesError: the API server refuses it, or does not answer.
    """
    _call(account, "POST", path, content, "application/json")


def merge(account: ServiceAccount, path: str, content: Mapping[str, Any]) -> None:
    """Change an object by a JSON merge patch.

    Args:
        account: who asks.
        path: of the object, such as ``/api/v1/nodes/a``.
        content: the keys that change.

    Raises:
        KubernetesError: as ``create``.
    """
    _call(account, "PATCH", path, content, "application/merge-patch+json")


def metadata(account: ServiceAccount, path: str) -> dict[str, Any]:
    """Return the metadata of an object: the API server sends nothing else of it.

    Args:
        account: who asks.
        path: of the object.

    Raises:
        KubernetesError: as ``create``.
    """
    # Kubernetes' own form for "only the metadata" (API concepts, receiving resources as PartialObjectMetadata).
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    text = _call(account, "GET", path, None, accept=accept, most_bytes=_MOST_METADATA)
    try:
        found = json.loads(text)["metadata"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise KubernetesError("the API server's answer has no metadata")
    return found


def _call(
    account: ServiceAccount,
    method: str,
    path: str,
    content: Mapping[str, Any] | None,
    content_type: str = "application/json",
    *,
    accept: str = "application/json",
    most_bytes: int = _MOST_BYTES,
) -> bytes:
    headers = {
        "Authorization": f"Bearer {account.token}",
        **({} if content is None else {"Content-Type": content_type}),
        "Accept": accept,
        "User-Agent": "accel-scaling",
    }
    body = None if content is None else json.dumps(content)
    try:
        context = ssl.create_default_context(cafile=str(account.authority))
        # No proxy of the environment: the API server is inside the cluster.
        connection = http.client.HTTPSConnection(
            account.host, account.port, timeout=timeouts.KUBERNETES_API_S, context=context
        )
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(most_bytes)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KubernetesError(f"the API server does not answer ({_reason_of(error)})") from None
    if status >= _REFUSED:
        kind = NotAllowedError if status == http.HTTPStatus.FORBIDDEN else KubernetesError
        raise kind(f"the API server answers {status}: {_words(text) or answer.reason}")
    return text


def _reason_of(error: Exception) -> str:
    """Return why there was no answer: of an exception's text only what cannot hold a header."""
    if isinstance(error, socket.timeout):
        return f"nothing came for {timeouts.KUBERNETES_API_S:g} s"
    if isinstance(error, ssl.SSLError):
        return one_line(f"TLS: {error.reason or type(error).__name__}", _MOST_REASON)
    if isinstance(error, OSError):
        return one_line(error.strerror or type(error).__name__, _MOST_REASON)
    return type(error).__name__


def _words(text: bytes) -> str:
    """Return the message of a ``Status``, as the API server writes it; empty where it is none."""
    try:
        status = json.loads(text)
    except ValueError:
        return ""
    return one_line(str(status.get("message") or ""), _MOST_REASON) if isinstance(status, dict) else ""
