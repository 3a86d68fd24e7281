"""Each error of botocore's about credentials, settings and the network is one sentence with the remedy that fits.

The errors are real: botocore reads broken files of a private home, runs a credential_process, and meets servers and
ports of this machine.
"""

from __future__ import annotations

import inspect
import string
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config

from accel_scaling.providers.aws import errors
from accel_scaling.providers.aws.errors import AWSRefusedError, one_sentence, sentence_of
from accel_scaling.providers.base.error_rules import PROXY_VARIABLES, rule_of, whole_text
from tests.support.aws_clients import forget_clients

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
CORP = {"AWS_PROFILE": "corp"}
SSO = "sso_account_id=1\nsso_role_name=r\nsso_region=us-east-1\n"
ROLE = "role_arn=arn:aws:iam::123456789012:role/x\n"

# What botocore has for other services and for its own programmers: no command of ours can meet it.
ELSEWHERE = {"UndefinedModelAttributeError", "MissingServiceIdError", "ClientError", "EventStreamError"}


def asked(monkeypatch: pytest.MonkeyPatch, home: Path, files: dict[str, str], environment: dict[str, str]) -> str:
    """The sentence of a question to EC2 by this environment, with these files below ~/.aws."""
    import boto3

    (home / ".aws").mkdir()
    for name, text in files.items():
        (home / ".aws" / name).write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_clients(monkeypatch)
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=0.5)
    with pytest.raises(AWSRefusedError) as error, one_sentence():
        boto3.client("ec2", "us-west-2", config=quick).describe_regions()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without settings, in an environment without certificates and proxies of its own."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", *PROXY_VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Path.home()


@pytest.mark.parametrize(
    "case",
    [
        ({}, {}, "no AWS credentials (Unable to locate credentials)", "set AWS_PROFILE or AWS_ACCESS_KEY_ID"),
        (
            {"config": "[profile dev]\nregion=x\n"},
            CORP,
            "The config profile (corp) could not be found",
            "see AWS_PROFILE, which names it, and the profiles of ~/.aws/config: dev",
        ),
        (
            {"config": f"[profile corp]\nsso_start_url=https://x\n{SSO}"},
            CORP,
            "you are not signed in to AWS, or the sign-in has expired",
            "run `aws sso login --profile corp`",
        ),
        (
            {
                "config": f"[profile corp]\nsso_session=s\n{SSO}[sso-session s]\nsso_start_url=https://x\nsso_region=us-east-1\n"
            },
            CORP,
            "you are not signed in to AWS",
            "run `aws sso login --profile corp`",
        ),
        (
            {"config": f"[profile corp]\nsso_session=s\n{SSO}"},
            CORP,
            'The specified sso-session does not exist: "s"',
            "correct it in ~/.aws/config",
        ),
        (
            {"config": '[profile corp]\ncredential_process = sh -c "echo vault is locked >&2; exit 3"\n'},
            CORP,
            "custom-process: vault is locked",
            '(credential_process of profile corp: `sh -c "echo vault is locked >&2; exit 3"`); run that command',
        ),
        ({"config": "[profile corp]\ncredential_process = echo hello\n"}, CORP, "it printed no JSON", "`echo hello`"),
        ({"config": "[profile corp]\ncredential_process = /no/such\n"}, CORP, "No such file", "look at ~/.aws/config"),
        (
            {"config": f"[profile corp]\n{ROLE}source_profile=base\n"},
            CORP,
            'The source_profile "base" referenced in the profile "corp" does not exist',
            "correct it in ~/.aws/config",
        ),
        (
            {"config": f"[profile corp]\n{ROLE}source_profile=b\n[profile b]\n{ROLE}source_profile=corp\n"},
            CORP,
            "Infinite loop in credential configuration",
            "correct it in ~/.aws/config",
        ),
        ({"config": "[default]\na = b\n[profile corp\n"}, KEYS, "/.aws/config:3: '[profile corp", "correct that"),
        ({"config": "region = x\n"}, KEYS, "/.aws/config:1: 'region = x", "before the first [section]"),
        ({"credentials": "[default]\nfoo\n"}, {}, "/.aws/credentials:2: 'foo", "is no `key = value`"),
        ({"credentials": "[d]\na=b\n[d]\n"}, KEYS, "/.aws/credentials:3: section 'd' already exists", "correct that"),
        ({}, {"AWS_ACCESS_KEY_ID": "x"}, "missing: AWS_SECRET_ACCESS_KEY", "give that half too"),
        ({}, {**KEYS, "AWS_RETRY_MODE": "foo"}, '"mode": "foo"', "look at AWS_RETRY_MODE"),
        ({}, {**KEYS, "AWS_DEFAULTS_MODE": "foo"}, "defaults mode: foo", "look at AWS_DEFAULTS_MODE"),
        ({}, {**KEYS, "AWS_ENDPOINT_URL": "localhost:5"}, "Invalid endpoint: localhost:5", "look at AWS_ENDPOINT_URL"),
        ({}, {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS cannot be reached: Could", "is the network up?"),
        (
            {},
            {**KEYS, "AWS_ENDPOINT_URL": "http://ec2.invalid", "HTTP_PROXY": "http://me:secret@127.0.0.1:9"},
            "the proxy 127.0.0.1:9, which HTTP_PROXY names, does not answer",
            "unset that variable",
        ),
        (
            {},
            {**KEYS, "HTTPS_PROXY": "socks5://127.0.0.1:9"},
            "AWS cannot be reached: HTTPS_PROXY names a SOCKS proxy",
            "boto3 takes HTTP proxies only; name one, such as http://",
        ),
        (
            {},
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x"},
            "No such file or directory",
            "the variables AWS_... that name files",
        ),
        (
            {},
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x"},
            "container-role",
            "is this container or machine allowed a role",
        ),
    ],
)
def test_an_error_of_credentials_settings_or_network_is_one_sentence_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    case: tuple[dict[str, str], dict[str, str], str, str],
) -> None:
    files, environment, said, remedy = case
    sentence = asked(monkeypatch, home, files, environment)
    assert said in sentence
    assert remedy in sentence
    assert "secret" not in sentence
    network = "cannot be reached" in sentence
    assert not (network and ("renew" in sentence or "credentials" in sentence)), (
        "no network is no matter of credentials"
    )


def test_a_bundle_of_certificates_that_is_not_there_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, home: Path, tls_url: str
) -> None:
    environment = {**KEYS, "AWS_ENDPOINT_URL": tls_url}
    missing = asked(monkeypatch, home, {}, {**environment, "AWS_CA_BUNDLE": "/no/such.pem"})
    assert "AWS_CA_BUNDLE names /no/such.pem, which does not exist" in missing


def test_a_certificate_that_nobody_vouches_for_is_said_with_the_variable_that_helps(
    monkeypatch: pytest.MonkeyPatch, home: Path, tls_url: str
) -> None:
    assert "name their file in AWS_CA_BUNDLE" in asked(monkeypatch, home, {}, {**KEYS, "AWS_ENDPOINT_URL": tls_url})


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "get new ones"),
        ("RequestExpired", "is the clock of this machine right"),
        ("SignatureDoesNotMatch", "does AWS_SECRET_ACCESS_KEY belong to this key, and the clock"),
        ("AuthFailure", "if they work in other regions, enable this region"),
        ("UnauthorizedOperation", "your AWS credentials lack the permission for DescribeRegions"),
        ("OptInRequired", "AWS accepts no requests of this account"),
        ("RequestLimitExceeded", "try again in a minute"),
        ("SomethingNew", "AWS refused DescribeRegions (SomethingNew: because)"),
    ],
)
def test_a_refusal_by_aws_is_one_sentence_with_its_remedy(code: str, remedy: str) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "because.\n"}}
    sentence = sentence_of(botocore.exceptions.ClientError(answer, "DescribeRegions"))
    assert sentence is not None
    assert remedy in sentence
    assert f"{code}: because" in sentence
    assert "\n" not in sentence


def test_every_exception_of_botocore_has_a_row() -> None:
    made = dict(inspect.getmembers(botocore.exceptions, inspect.isclass))
    own = {
        name: one
        for name, one in made.items()
        if one.__module__ == "botocore.exceptions" and issubclass(one, Exception) and not issubclass(one, Warning)
    }
    without = [name for name, one in own.items() if not issubclass(one, botocore.exceptions.BotoCoreError)]
    assert set(without) <= ELSEWHERE
    assert {rule.error for rule in errors.ERRORS} <= {*own, "LoginError", "LoginInsufficientPermissions"}, "misspelt"
    for name in own.keys() - ELSEWHERE:
        error = own[name](**_arguments(own[name]))
        rule = rule_of(errors.ERRORS, error)
        assert rule is not None
        if "Credential" in name or "SSO" in name or "Token" in name or "Login" in name or name.endswith("RegionError"):
            assert rule.error != "BotoCoreError", f"{name} has no row of its own"
        sentence = sentence_of(error)
        assert sentence
        assert "{" not in sentence.replace(whole_text(error), "")


def _arguments(of: Any) -> dict[str, Any]:
    named = {field for _, field, _, _ in string.Formatter().parse(of.fmt) if field}
    named |= {"name", "reason", "last_response"} if of.__name__ == "WaiterError" else set()
    return dict.fromkeys(named, "x") | ({"error": ValueError("x")} if "error" in named else {})
