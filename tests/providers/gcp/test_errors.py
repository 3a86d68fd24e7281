"""Each error of google-auth's about credentials, and of the network, is one sentence with the remedy that fits.

The errors are real: google-auth reads broken files of a private home, and meets servers and ports of this machine.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import google.auth.exceptions
import httplib2
import pytest
from google.auth.exceptions import GoogleAuthError

from accel_scaling import timeouts
from accel_scaling.providers.base.error_rules import PROXY_VARIABLES, rule_of
from accel_scaling.providers.gcp import bootstrap, client, errors
from accel_scaling.providers.gcp.connections import Connections
from accel_scaling.providers.gcp.errors import GoogleRefusedError
from tests.support.company_network import as_json, company

USER = {"type": "authorized_user", "client_id": "x", "client_secret": "y", "refresh_token": "z"}
LOGIN = "gcloud auth application-default login"


class Refusing(BaseHTTPRequestHandler):
    """Google's token server, which refuses with the description that a test has set."""

    answer: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(self.answer).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def token_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No credentials but a test's own, and no client of another test."""
    own = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", *errors.CERTIFICATE_FILES, *PROXY_VARIABLES)
    for name in own:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", ())
    yield
    for cached in (client._built, client._credentials):
        cached.cache_clear()


def asked(provider: dict[str, Any] | None = None) -> str:
    """The sentence of a question to Compute Engine by this environment."""
    for cached in (client._built, client._credentials):
        cached.cache_clear()
    with pytest.raises(GoogleRefusedError) as error:
        ask(provider or {})
    assert "\n" not in str(error.value)
    return str(error.value)


def ask(provider: dict[str, Any]) -> None:
    with bootstrap.one_sentence():
        instances = client.client(provider, "compute").instances()
        instances.list(project="my-project-123", zone="us-central1-a").execute()


def key(**changes: Any) -> dict[str, Any]:
    """A service account's key as Google's console gives it; a changed value of None is left out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    made = {
        "type": "service_account",
        "project_id": "my-project-123",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": "a@my-project-123.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:9/token",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not valid JSON (line 1"),
        ("[]", "has no attribute 'get'"),
        ('{"type": "service_account"}', "missing fields "),
        ('{"type": "authorized_user"}', "missing fields "),
        ('{"type": "impersonated_service_account"}', "cannot be used"),
        ('{"type": "foo"}', "does not have a valid type"),
        (json.dumps(key(client_email=None)), "missing fields client_email"),
        (json.dumps(key(private_key="x")), "PEM"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_with_what_is_wrong_and_is_not_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    sentence = asked()
    assert sentence.startswith(f"the Google credentials in {path} cannot be used: ")
    assert problem in sentence
    assert "download the key again" in sentence


def test_gclouds_own_file_is_named_where_it_is_damaged() -> None:
    path = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"type": "authorized_user",')
    assert asked().startswith(f"the Google credentials in {path} cannot be used: it is not valid JSON (line 1")


@pytest.mark.parametrize("path", ["/no/such.json", "/tmp"])
def test_a_path_of_no_file_is_named(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
    assert asked().startswith(f"the Google credentials in {path} cannot be used: ")


def test_without_credentials_the_ways_to_them_are_named() -> None:
    assert asked().startswith(f"no Google credentials; run `{LOGIN}`, set GOOGLE_APPLICATION_CREDENTIALS")


@pytest.mark.parametrize(
    ("description", "remedy"),
    [
        ("Token has been expired or revoked.", f"renew them, for example with `{LOGIN}`"),
        (
            "Invalid JWT: Token must be a short-lived token. Check your iat and exp values",
            "is the clock of this machine",
        ),
        ("Invalid JWT Signature.", "that key was deleted"),
        ("Invalid grant: account not found", "that service account was deleted"),
    ],
)
def test_a_refusal_of_the_token_server_has_the_remedy_that_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token_url: str, description: str, remedy: str
) -> None:
    monkeypatch.setattr(Refusing, "answer", {"error": "invalid_grant", "error_description": description})
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key(token_uri=token_url)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    sentence = asked()
    assert sentence.startswith("Google refused the credentials (RefreshError: invalid_grant: ")
    assert remedy in sentence


def test_no_network_is_no_matter_of_credentials_and_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    sentence = asked()
    assert sentence.startswith("Google cannot be reached (")
    assert "renew" not in sentence
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    sentence = asked()
    assert "is the proxy that HTTPS_PROXY names (127.0.0.1:9) right" in sentence
    assert "secret" not in sentence


def test_a_certificate_that_nobody_vouches_for_is_said_with_the_variable_that_helps(tls_url: str) -> None:
    sentence = asked({"api_endpoints": tls_url, "gcp_credentials": {"type": "anonymous"}})
    assert "name their file in HTTPLIB2_CA_CERTS" in sentence


def test_a_certificate_of_a_call_by_requests_has_the_variable_of_requests() -> None:
    text = "HTTPSConnectionPool(host='compute.googleapis.com', port=443): certificate verify failed"
    sentence = str(errors.sentence_of(google.auth.exceptions.TransportError(text)))
    assert sentence.endswith("name their file in REQUESTS_CA_BUNDLE")


def test_a_file_of_certificates_that_is_not_there_is_one_sentence() -> None:
    code = (
        "import click\ntry: import accel_scaling.providers.gcp.provider\n"
        "except click.ClickException as error: print(error.message)"
    )
    env = {**os.environ, "HTTPLIB2_CA_CERTS": "/no/such.pem", "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.startswith(
        "Google cannot be asked: Environment variable HTTPLIB2_CA_CERTS not a valid file; name"
    )


def test_every_exception_of_google_auth_has_a_row() -> None:
    made = dict(inspect.getmembers(google.auth.exceptions, inspect.isclass))
    own = {name: one for name, one in made.items() if issubclass(one, GoogleAuthError)}
    assert {rule.error for rule in errors.ERRORS} <= own.keys(), "misspelt"
    for name, one in own.items():
        rule = rule_of(errors.ERRORS, one("it broke"))
        assert rule is not None
        assert rule.error != "GoogleAuthError" or name == "GoogleAuthError", f"{name} has no row of its own"
        sentence = errors.sentence_of(one("it broke"))
        assert sentence
        assert "{" not in sentence


def test_a_proxy_that_refuses_is_no_matter_of_the_credentials_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ci.json"
    (tmp_path / "token").write_text("x")
    made = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    path.write_text(json.dumps(made))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with company(tmp_path, {"nobody.example": lambda path, body: as_json({})}) as network:
        monkeypatch.setenv("HTTPS_PROXY", network.proxy_url)
        sentence = asked()
        assert network.tunnels == ["sts.googleapis.com:443"]
    assert sentence.startswith("Google cannot be reached (OSError: Tunnel connection failed: 403")
    assert f"is the proxy that HTTPS_PROXY names ({network.proxy_url}) right" in sentence


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("socks5://127.0.0.1:9", "a SOCKS proxy takes `pip install pysocks`"),
        ("http://127.0.0.1:port", "the proxy's URL is wrong"),
        ("http://", "the proxy's URL has no host; write one such as http://proxy.example.com:3128"),
        ("127.0.0.1:9", "Connection refused"),  # without a scheme, as curl takes it
    ],
)
def test_a_proxy_that_cannot_be_used_is_said_and_nobody_is_called_without_it(
    monkeypatch: pytest.MonkeyPatch, proxy: str, problem: str
) -> None:
    monkeypatch.setattr(httplib2, "socks", None)
    monkeypatch.setenv("https_proxy", proxy)
    sentence = asked({"gcp_credentials": {"type": "anonymous"}})
    assert sentence.startswith("Google cannot be reached (")
    assert problem in sentence
    assert f"is the proxy that https_proxy names ({proxy}) right" in sentence


def test_the_metadata_server_is_asked_directly_where_no_proxy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "metadata.google.internal, 127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    answer, _ = Connections(timeout=5).request(f"http://127.0.0.1:{server.server_port}/", "POST", body="")
    server.shutdown()
    server.server_close()
    thread.join()
    assert answer.status == 400
