"""Our own clients of Google's APIs: no discovery over the network, endpoints of choice, time-outs, bounded retries.

`provider.api_endpoints` names other endpoints than Google's public ones: one URL for all of them, or one for each of
`compute`, `tpu`, `iam`, `cloudresourcemanager` (a Private Service Connect endpoint, say). `provider.gcp_credentials` is
as in Ray (`service_account`, `credentials_token`), or `{type: anonymous}` for an endpoint that asks for none.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import google_auth_httplib2
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.http import HttpRequest

from accel_scaling import timeouts
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.base import config_cache
from accel_scaling.providers.gcp.answers import UnexpectedAnswerError
from accel_scaling.providers.gcp.calls import BROKEN, may_pass
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.connections import Connections
from accel_scaling.providers.gcp.errors import default_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSIONS = {"compute": "v1", "tpu": "v2", "iam": "v1", "cloudresourcemanager": "v1"}
_BASE_PATHS = {"compute": "/compute/v1/"}  # the other APIs have their version in each method's path
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_CREDENTIAL_TYPES = ("service_account", "credentials_token", "anonymous")

# How anonymous credentials pass Ray's schema, which takes its own two types only (checks.for_rays_schema).
ANONYMOUS = {"type": "credentials_token", "credentials": "anonymous"}

_connections = threading.local()


def client(provider: Mapping[str, Any], api: str) -> Any:
    """Return the client of one API, as the cluster file's ``provider`` section says; the same one each time.

    Raises:
        ClusterConfigError: `api_endpoints` or `gcp_credentials` are not what they should be.
        GoogleRefusedError: there are no credentials.
    """
    # The text is the key of the cache: a dict cannot be one, and the order of its keys must not make a second client.
    credentials = json.dumps(provider.get("gcp_credentials"), sort_keys=True)
    return _built(api, endpoint(provider, api), credentials, quick=config_cache.READ_BY in provider)


@functools.cache
def collection(client: Any, *names: str) -> Any:
    """Return a collection of an API, as ``client.projects().locations()`` does, made once.

    Google's library makes it again each time, with the docstring of every method: 15 ms for Compute Engine's instances.
    """
    for name in names:
        client = getattr(client, name)()
    return client


def endpoint(provider: Mapping[str, Any], api: str) -> str | None:
    """Return the root URL of an API with its base path, None for Google's public one.

    Raises:
        ClusterConfigError: `api_endpoints` is neither a URL nor a URL per API, or names an API that is not used.
    """
    named = provider.get("api_endpoints") or {}
    if isinstance(named, dict):
        for key in named:
            if key not in VERSIONS:
                raise ClusterConfigError(f"provider.api_endpoints.{key}: the APIs are {', '.join(VERSIONS)}")
        named = named.get(api)
    if not named:
        return None
    if not isinstance(named, str) or not named.startswith(("http://", "https://")):
        raise ClusterConfigError(
            f"provider.api_endpoints: {shown(named)} is not a URL, such as https://compute.example.net"
        )
    root = named.rstrip("/")
    path = _BASE_PATHS.get(api, "/")
    return root + ("/" if root.endswith(path.rstrip("/")) else path)


def check_credentials(given: Any) -> str:
    """Return the type of the credentials of a cluster file.

    Raises:
        ClusterConfigError: they are none that we know.
    """
    credentials_type = given.get("type") if isinstance(given, dict) else None
    if credentials_type not in _CREDENTIAL_TYPES or (
        credentials_type != "anonymous" and not isinstance(given.get("credentials"), str)
    ):
        raise ClusterConfigError(
            f"provider.gcp_credentials must have `type` ({', '.join(_CREDENTIAL_TYPES)}) and `credentials`"
        )
    return str(credentials_type)


def new_request_id() -> str:
    """Return an id for a change, by which Google knows a repeated request from a new one."""
    return str(uuid.uuid4())


@functools.cache
def _built(api: str, url: str | None, credentials: str, *, quick: bool = False) -> Any:
    if "static_discovery" not in inspect.signature(discovery.build).parameters:
        version = importlib.metadata.version("google-api-python-client")
        raise ClusterConfigError(
            f"this Python has google-api-python-client {version}, and the provider needs {CLOUD.sdk_requirement}: "
            f"remove an older version from the set-up commands, or `pip install '{CLOUD.sdk_requirement}'`"
        )
    return discovery.build(
        api,
        VERSIONS[api],
        credentials=_credentials(credentials),
        requestBuilder=_QuickRequest if quick else _RetriedRequest,
        # The description of the API comes with the library: asked for over the network, it costs a call for each API.
        cache_discovery=False,
        static_discovery=True,
        client_options={"api_endpoint": url} if url else None,
    )


@functools.cache
def _credentials(text: str) -> Any:
    given = json.loads(text)
    if given is None:
        # Credentials of another identity provider ask Google at once; google-auth's own connections would read another
        # variable for the certificates.
        return default_credentials(google_auth_httplib2.Request(Connections(timeout=timeouts.GCP_READ_CALL_S)))[0]
    credentials_type = check_credentials(given)
    if credentials_type == "anonymous" or given == ANONYMOUS:
        return AnonymousCredentials()
    if credentials_type == "credentials_token":
        return Credentials(given["credentials"])
    try:
        return service_account.Credentials.from_service_account_info(json.loads(given["credentials"]), scopes=_SCOPES)
    except ValueError as error:
        raise ClusterConfigError(
            f"provider.gcp_credentials.credentials is not the JSON of a service account's key: {error}"
        ) from None


class _RetriedRequest(HttpRequest):  # type: ignore[misc]
    """One call: on this thread's own connection, with a time-out, and tried again where that may help."""

    @staticmethod
    def _call_s() -> float:
        return timeouts.GCP_CALL_S

    @staticmethod
    def _until_s() -> float:
        return timeouts.GCP_RETRY_UNTIL_S

    def execute(self, http: Any = None, num_retries: int = 0) -> Any:  # noqa: ARG002 - the library's own signature
        long = (self.methodId or "").endswith("Operations.wait")
        timeout_s = timeouts.GCP_LONG_POLL_S if long else self._call_s()
        began, waits = time.monotonic(), list(timeouts.GCP_RETRY_WAITS_S)
        # Each try sends the same requestId: Google does not carry out a second time what it has already done.
        while True:
            try:
                # Not with the library's num_retries: it would try again on the connection that has just broken.
                return _checked(super().execute, http=_connection(self.http.credentials, timeout_s))
            except Exception as error:
                if isinstance(error, BROKEN):
                    _drop_connections()
                late = time.monotonic() - began > self._until_s()
                if late or not waits or not may_pass(error):
                    raise
            # Many threads meet the same failure at once: each waits its own time.
            time.sleep(waits.pop(0) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _checked(execute: Callable[..., Any], **named: Any) -> dict[str, Any]:
    """Return the answer of a call: every one of our APIs answers with an object of JSON."""
    try:
        answer = execute(**named)
    # No JSON: the page of a proxy, or half an answer. The others are Google's library's own, which reads the message of
    # an error without a look (googleapiclient/errors.py).
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        if isinstance(error, OSError):  # a certificate that nobody vouches for is both
            raise
        raise UnexpectedAnswerError(str(error)) from error
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError(f"it is {shown(answer)}")
    return answer


class _QuickRequest(_RetriedRequest):
    """A call of a command that launches nothing, as `ray down`: a person waits for it."""

    @staticmethod
    def _call_s() -> float:
        return timeouts.GCP_READ_CALL_S

    @staticmethod
    def _until_s() -> float:
        return timeouts.GCP_READ_UNTIL_S


def _connection(credentials: Any, timeout_s: float) -> Any:
    """Return this thread's connection; httplib2 keeps it open, and is not for several threads."""
    kept = _connections.__dict__.setdefault("kept", {})
    # The time-out belongs to a connection, so the long poll has its own. _built() keeps each client, and with it the
    # credentials, for the life of the process: no others get the same id.
    key = (id(credentials), timeout_s)
    if key not in kept:
        kept[key] = google_auth_httplib2.AuthorizedHttp(credentials, http=Connections(timeout=timeout_s))
    return kept[key]


def _drop_connections() -> None:
    _connections.__dict__.pop("kept", None)
