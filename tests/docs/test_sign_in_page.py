"""docs/sign-in.md: each way to sign in is taken with the page's own files, through a company's proxy."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.providers.aws import bootstrap as aws_bootstrap
from accel_scaling.providers.aws import errors as aws_errors
from accel_scaling.providers.base.error_rules import PROXY_VARIABLES
from accel_scaling.providers.gcp import client as gcp_client
from accel_scaling.providers.gcp import errors as gcp_errors
from tests.support.aws_clients import forget_clients
from tests.support.company_network import Company, as_json, company
from tests.support.documents import ROOT, Block, blocks_of

PAGE = ROOT / "docs" / "sign-in.md"
EC2, STS, SSO = "ec2.us-west-2.amazonaws.com", "sts.us-west-2.amazonaws.com", "portal.sso.us-west-2.amazonaws.com"
TOKEN, IAM, COMPUTE = "oauth2.googleapis.com", "iamcredentials.googleapis.com", "compute.googleapis.com"
FEDERATION = "sts.googleapis.com"
AWS_CERTIFICATES = "AWS_CA_BUNDLE"
LATER = "2099-01-01T00:00:00Z"

OFFERS = (
    "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item><instanceType>m5.large</instanceType></item>"
    "</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>"
)
ROLE = (
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>KEY-OF-ROLE</AccessKeyId><SecretAccessKey>s"
    f"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{LATER}</Expiration></Credentials></AssumeRoleResult>"
    "</AssumeRoleResponse>"
)
HOSTS: dict[str, Any] = {
    EC2: lambda path, body: ("text/xml", OFFERS),
    STS: lambda path, body: ("text/xml", ROLE),
    SSO: lambda path, body: as_json(
        {
            "roleCredentials": {
                "accessKeyId": "KEY-OF-SSO",
                "secretAccessKey": "s",
                "sessionToken": "t",
                "expiration": 4070908800000,
            }
        }
    ),
    TOKEN: lambda path, body: as_json({"access_token": "of-me", "expires_in": 3600}),
    FEDERATION: lambda path, body: as_json(
        {"access_token": "of-ci", "issued_token_type": "x", "token_type": "Bearer", "expires_in": 3600}
    ),
    IAM: lambda path, body: as_json({"accessToken": "of-the-account", "expireTime": LATER}),
    "cloudresourcemanager.googleapis.com": lambda path, body: as_json({"projectId": "p"}),
    COMPUTE: lambda path, body: as_json({"items": []}),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with company(tmp_path_factory.mktemp("company"), HOSTS) as made:
        yield made


@pytest.fixture(autouse=True)
def _behind_the_proxy(network: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever calls a cloud here can only do so as the page has it: by these variables."""
    for name in (*PROXY_VARIABLES, "NO_PROXY", "no_proxy", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", network.proxy_url.replace("//", "//me:secret@"))
    monkeypatch.setenv(AWS_CERTIFICATES, str(network.certificates))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setattr("httplib2.CA_CERTS", str(network.certificates))  # HTTPLIB2_CA_CERTS, read at its import
    network.tunnels.clear()
    network.requests.clear()
    network.logins.clear()
    forget_clients(monkeypatch)
    yield
    for cached in (gcp_client._built, gcp_client._credentials):
        cached.cache_clear()


def shown(language: str, part: str) -> Block:
    """The page's block of a language that has these words."""
    (block,) = [one for one in blocks_of(PAGE) if one.language == language and part in one.body]
    return block


def ec2_is_asked(network: Company) -> str:
    """Ask EC2 as `ray up` first does; return the key with which it was asked."""
    assert aws_bootstrap._offered("us-west-2", None, ["m5.large"]) == {"m5.large"}
    (header,) = [header for host, _, header in network.requests if host == EC2]
    return header.partition("Credential=")[2].partition("/")[0]


def aws_settings(name: str, text: str) -> None:
    path = Path.home() / ".aws" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_a_role_is_assumed_with_the_keys_of_another_profile(network: Company, monkeypatch: Any) -> None:
    aws_settings("config", shown("ini", "role_arn").body)
    aws_settings("credentials", "[work]\naws_access_key_id=MINE\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_PROFILE", "ray")
    assert ec2_is_asked(network) == "KEY-OF-ROLE"
    assert {host.partition(":")[0] for host in network.tunnels} == {STS, EC2}


def test_a_program_gives_the_keys(network: Company, monkeypatch: Any, tmp_path: Path) -> None:
    block = shown("ini", "credential_process")
    program = tmp_path / "get-keys"
    keys = {"Version": 1, "AccessKeyId": "KEY-OF-PROGRAM", "SecretAccessKey": "s"}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    aws_settings("config", block.body.replace("/opt/corp/get-keys", str(program)))
    monkeypatch.setenv("AWS_PROFILE", "ray")
    assert ec2_is_asked(network) == "KEY-OF-PROGRAM"


def test_a_sign_in_of_the_browser_gives_the_keys(network: Company, monkeypatch: Any) -> None:
    import hashlib

    aws_settings("config", shown("ini", "sso_session").body)
    folder = Path.home() / ".aws" / "sso" / "cache"  # what `aws sso login` leaves
    folder.mkdir(parents=True)
    # Both are worked out when botocore is imported, from the home of that moment.
    for owner in ("tokens.SSOTokenProvider", "credentials.SSOProvider"):
        monkeypatch.setattr(f"botocore.{owner}._SSO_TOKEN_CACHE_DIR", str(folder))
    token = {"accessToken": "mine", "expiresAt": LATER}
    (folder / f"{hashlib.sha1(b'corp').hexdigest()}.json").write_text(json.dumps(token))
    monkeypatch.setenv("AWS_PROFILE", "ray")
    assert ec2_is_asked(network) == "KEY-OF-SSO"


def google_is_asked(network: Company) -> str:
    """Ask Compute Engine as `ray up` does; return the token with which it was asked."""
    for cached in (gcp_client._built, gcp_client._credentials):
        cached.cache_clear()
    instances = gcp_client.client({}, "compute").instances()
    assert instances.list(project="my-project-123", zone="us-central1-a").execute() == {"items": []}
    (header,) = [header for host, _, header in network.requests if host == COMPUTE]
    return header.removeprefix("Bearer ")


def test_a_service_account_is_impersonated_through_the_proxy(network: Company, monkeypatch: Any) -> None:
    account = "ray-launcher@your-project-id.iam.gserviceaccount.com"
    assert f"--impersonate-service-account={account}" in PAGE.read_text(encoding="utf-8")
    # What that command leaves.
    url = f"https://{IAM}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    user = {"type": "authorized_user", "client_id": "x", "client_secret": "y", "refresh_token": "z"}
    made = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": url,
        "source_credentials": user,
        "delegates": [],
    }
    path = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(made))
    assert google_is_asked(network) == "of-the-account"
    assert [host for host, _, _ in network.requests] == [TOKEN, IAM, COMPUTE]
    assert all(login.startswith("Basic ") for login in network.logins), "the proxy is told who is calling"


def test_a_workload_of_another_identity_provider_is_let_in(network: Company, monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-ci")
    made = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"https://{FEDERATION}/v1/token",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    (tmp_path / "ci.json").write_text(json.dumps(made))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "ci.json"))
    assert google_is_asked(network) == "of-ci"


def test_the_variables_of_the_page_are_those_that_the_clients_read() -> None:
    import inspect

    import httplib2.certs

    block = shown("sh", "HTTPS_PROXY").body
    assert gcp_errors.CERTIFICATE_FILES[0] in inspect.getsource(httplib2.certs)
    for name in ("HTTPS_PROXY", "NO_PROXY", AWS_CERTIFICATES, gcp_errors.CERTIFICATE_FILES[0]):
        assert f"export {name}=" in block


def test_each_message_of_the_page_is_one_of_the_tables() -> None:
    sentences = " ".join(rule.sentence for table in (aws_errors.ERRORS, gcp_errors.ERRORS) for rule in table)
    messages = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(messages) == 5
    for message in messages:
        beginning = re.split(r"\.\.\.|\(", message)[0].strip()
        assert beginning in sentences, message
