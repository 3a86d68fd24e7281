"""AWS's and botocore's errors about who is calling, and about the network: one sentence each, with its remedy.

Every command that asks AWS uses this table: `ray up`, `ray down`, launches of the autoscaler, `catalog refresh`.
tests/providers/aws/test_errors.py holds it against every exception that botocore has.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from accel_scaling import documentation
from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.base.error_rules import (
    Rule,
    certificate_words,
    filled,
    now_words,
    one_line,
    proxy_variable,
    proxy_words,
    rule_of,
    whole_text,
    without_password,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_ALLOWED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})

_SETTINGS = "your AWS settings cannot be used: {error}"
_FILES = "; correct it in {config_file}"
_VARIABLES = "; look at the variables AWS_... of your environment, and at {config_file}"
_SSO = "you are not signed in to AWS, or the sign-in has expired ({error}); run `aws sso login{profile_option}`"
_LOGIN = "you are not signed in to AWS, or the sign-in has expired ({error}); run `aws login{profile_option}`"
_NETWORK = "AWS cannot be reached: {error}; is provider.region correct, and is the network up{proxy}?"
_SLOW = "AWS cannot be reached: {error}; is the network up, and does a firewall let you out{proxy}?"
_TLS = "AWS cannot be reached: {error}; "
_PROGRAM = (
    _SETTINGS + " (credential_process of {profile}: `{process}`); run that command yourself, or correct {config_file}"
)

# botocore's classes by name: an older botocore lacks some. Rows with a part come before the row of the class itself.
ERRORS = (
    # Nobody is calling.
    Rule(
        "NoCredentialsError",
        "no AWS credentials ({error}); set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run "
        "`aws configure`",
    ),
    Rule("PartialCredentialsError", _SETTINGS + "; give that half too, or neither"),
    Rule(
        "ProfileNotFound", _SETTINGS + "; see AWS_PROFILE, which names it, and the profiles of {config_file}{profiles}"
    ),
    Rule("NoAuthTokenError", _SSO),
    # A sign-in in the browser.
    Rule("SSOError", _SSO),
    Rule("TokenRetrievalError", _SSO),
    Rule("LoginInsufficientPermissions", "{error}; ask the administrator of your AWS account for it"),
    Rule("LoginError", _LOGIN),
    # Where credentials come from.
    Rule("CredentialRetrievalError", _SSO, "from sso"),
    Rule("CredentialRetrievalError", _PROGRAM, "from custom-process"),
    Rule(
        "CredentialRetrievalError",
        "AWS gave no credentials: {error}; is this container or machine allowed a role, and its agent up?",
        "from container-role",
    ),
    Rule(
        "CredentialRetrievalError", "AWS gave no credentials: {error}; look at {config_file} for where they come from"
    ),
    Rule("MetadataRetrievalError", "AWS gave no credentials: {error}; is this machine allowed a role?"),
    Rule("RefreshWithMFAUnsupportedError", "AWS needs a new MFA code ({error}); sign in again, and retry"),
    Rule("UnknownCredentialError", _SETTINGS + _FILES),
    Rule("UnknownTokenProviderError", _SETTINGS + _FILES),
    Rule("MissingDependencyException", _SETTINGS + ", in the Python that runs this command"),
    # The files.
    Rule(
        "ConfigParseError",
        "your AWS settings cannot be used: Unable to parse config file: {config_place}: {config_problem}; correct that",
    ),
    Rule("ConfigNotFound", _SETTINGS + "; look at AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"),
    Rule("InvalidConfigError", _SETTINGS + _FILES),
    # Regions and endpoints.
    Rule("NoRegionError", _SETTINGS + "; set AWS_DEFAULT_REGION, or region in {config_file}"),
    Rule("InvalidRegionError", _SETTINGS + "; provider.region, or AWS_DEFAULT_REGION, is no region"),
    Rule("UnknownRegionError", _SETTINGS + "; provider.region, or AWS_DEFAULT_REGION, is no region"),
    Rule("BaseEndpointResolverError", _SETTINGS + "; is provider.region, or AWS_DEFAULT_REGION, correct?"),
    Rule("EndpointProviderError", _SETTINGS + "; look at provider.region and at AWS_ENDPOINT_URL"),
    Rule("InvalidHostLabelError", _SETTINGS + "; is provider.region correct?"),
    Rule("InvalidEndpointConfigurationError", _SETTINGS + _VARIABLES),
    Rule("ServiceNotInRegionError", _SETTINGS + "; choose another provider.region"),
    Rule("InvalidIMDSEndpointError", _SETTINGS + "; look at AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    Rule("InvalidIMDSEndpointModeError", _SETTINGS + "; look at AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
    Rule("InvalidSTSRegionalEndpointsConfigError", _SETTINGS + "; look at AWS_STS_REGIONAL_ENDPOINTS"),
    Rule("InvalidRetryModeError", _SETTINGS + "; look at AWS_RETRY_MODE, and at retry_mode in {config_file}"),
    Rule("InvalidRetryConfigurationError", _SETTINGS + "; look at AWS_MAX_ATTEMPTS, and at {config_file}"),
    Rule("InvalidDefaultsMode", _SETTINGS + "; look at AWS_DEFAULTS_MODE, and at defaults_mode in {config_file}"),
    Rule("InvalidProxiesConfigError", _SETTINGS + _VARIABLES),
    # The network.
    Rule(
        "ProxyConnectionError",
        "AWS cannot be reached: {proxy_variable} names a SOCKS proxy, and boto3 takes HTTP proxies only; name one, "
        "such as http://proxy.example.com:3128",
        "http://socks",
    ),
    Rule(
        "ProxyConnectionError",
        "AWS cannot be reached: the proxy {proxy_url}, which {proxy_variable} names, does not answer; correct or "
        "unset that variable, or name AWS's hosts in NO_PROXY",
    ),
    Rule("SSLError", _TLS + "{certificates}"),
    Rule("ConnectTimeoutError", _SLOW),
    Rule("ReadTimeoutError", _SLOW),
    Rule("ConnectionError", _NETWORK),
    Rule("HTTPClientError", _SLOW),
    Rule("IncompleteReadError", _SLOW),
    Rule("ChecksumError", _SLOW),
    Rule("CapacityNotAvailableError", _SLOW),
    # Everything else of botocore's: a file of ours that it does not take, or a mistake in botocore.
    Rule("BotoCoreError", "the request to AWS failed: {error}"),
)

# What is no exception of botocore's and comes out of it anyway; only where botocore raised it.
PYTHON_ERRORS = (
    Rule("JSONDecodeError", _PROGRAM.replace("{error}", "it printed no JSON")),
    Rule("EOFError", "AWS needs an MFA code, and there is no terminal to type it; sign in first, and retry"),
    Rule("FileNotFoundError", _SETTINGS + "; look at {config_file}, and at the variables AWS_... that name files"),
    Rule("PermissionError", _SETTINGS + "; look at {config_file}, and at the variables AWS_... that name files"),
    Rule("UnicodeError", _SETTINGS + _FILES),
    Rule("ValueError", _SETTINGS + "; look at AWS_ENDPOINT_URL", "invalid endpoint"),
    Rule("ValueError", _SETTINGS + _VARIABLES),
    Rule("OSError", _SETTINGS + _VARIABLES),
)

_RENEW = (
    "AWS refused the credentials ({code}: {message}); renew them; if they work in other regions, enable this region "
    "in your account"
)
_CLOCK = "AWS refused the credentials ({code}: {message}); is the clock of this machine right? It is {now} here (UTC)"
_EXPIRED = "AWS refused the credentials ({code}: {message}); they have expired: get new ones{sso_hint}"
_BUSY = "AWS limits the requests of this account ({code}: {message}); try again in a minute"

# AWS's error codes about who is calling (docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html, and
# IAM's CommonErrors).
CODES = {
    **dict.fromkeys(
        ("AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"), _RENEW
    ),
    **dict.fromkeys(("MissingAuthenticationToken", "MissingAuthenticationTokenException", "InvalidToken"), _RENEW),
    **dict.fromkeys(("IncompleteSignature", "NotAuthorized", "InvalidSecurity", "AccountDisabled"), _RENEW),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"), _CLOCK),
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "AWS refused the credentials ({code}: {message}); does AWS_SECRET_ACCESS_KEY belong to this key, and the clock "
        "of this machine right? It is {now} here (UTC)",
    ),
    **dict.fromkeys(
        (*sorted(NOT_ALLOWED), "AuthorizationError", "NotAuthorizedException"),
        "your AWS credentials lack the permission for {operation} ({code}: {message}); "
        f"{documentation.page('security', 'aws')} has the policies that a cluster needs",
    ),
    **dict.fromkeys(
        ("OptInRequired", "PendingVerification", "Blocked", "SubscriptionRequiredException"),
        "AWS accepts no requests of this account ({code}: {message}); look at your account's pages, or contact AWS "
        "Support",
    ),
    **dict.fromkeys(("RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"), _BUSY),
}
_ANY_CODE = "AWS refused {operation} ({code}: {message})"

_CERTIFICATE_FILES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_LINE = re.compile(r"line:?\s*(\d+)\]?:?\s*('.*')?", re.DOTALL)


class AWSRefusedError(AccelScalingError):
    """AWS could not be asked, or did not let us."""


def code_of(error: BaseException) -> str:
    """Return AWS's code of an error that it answered; empty for any other error."""
    return _details(error).get("Code", "")


def sentence_of(error: BaseException) -> str | None:
    """Return the sentence about an error of AWS's or of botocore's; None for an error of another program."""
    import botocore.exceptions  # here: commands that ask no cloud do not need it

    if isinstance(error, botocore.exceptions.ClientError):
        return filled(Rule("ClientError", CODES.get(code_of(error), _ANY_CODE)), _facts(error))
    if isinstance(error, botocore.exceptions.BotoCoreError):
        rule = rule_of(ERRORS, error)
    else:
        rule = rule_of(PYTHON_ERRORS, error) if _is_from_botocore(error) else None
    return filled(rule, _facts(error)) if rule else None


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors about credentials, settings and the network into one sentence each.

    Raises:
        AWSRefusedError: in their place.
    """
    try:
        yield
    except AccelScalingError:
        raise
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        raise AWSRefusedError(sentence) from None


def _facts(error: BaseException) -> dict[str, Any]:
    """Return the words of the tables' sentences, each as a function."""
    named: dict[str, Any] = getattr(error, "kwargs", None) or {}
    return {
        "error": lambda: whole_text(error),
        "code": lambda: code_of(error) or "no code",
        "message": lambda: one_line(_details(error).get("Message", "")) or "no message",
        "operation": lambda: str(getattr(error, "operation_name", "the request")),
        "profile": lambda: f"profile {_profile()}",
        "profile_option": _profile_option,
        "profiles": _profiles,
        "process": lambda: _setting("credential_process") or "?",
        "config_file": _config_file,
        "config_place": lambda: _config_place(named),
        "config_problem": lambda: _config_problem(named),
        "proxy": proxy_words,
        "proxy_url": lambda: without_password(str(named.get("proxy_url", ""))),
        "proxy_variable": lambda: proxy_variable(str(named.get("proxy_url", ""))),
        "certificates": lambda: certificate_words(_CERTIFICATE_FILES),
        "now": now_words,
        "sso_hint": lambda: (
            f", for example with `aws sso login{_profile_option()}`" if _setting("sso_session", "sso_start_url") else ""
        ),
    }


def _profile_option() -> str:
    return "" if _profile() == "default" else f" --profile {_profile()}"


def _details(error: BaseException) -> dict[str, str]:
    response = getattr(error, "response", None)
    details = response.get("Error") if isinstance(response, dict) else None
    return {key: str(value or "") for key, value in details.items()} if isinstance(details, dict) else {}


def _is_from_botocore(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith("botocore."):
            return True
        trace = trace.tb_next
    return False


def _profile() -> str:
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def _profiles() -> str:
    with contextlib.suppress(Exception):  # a file that cannot be read has an error of its own
        if names := sorted(_botocore_session().available_profiles):
            return f": {', '.join(names[:10])}"
    return ""


def _setting(*names: str) -> str:
    """Return the first of some settings that the profile has; empty where it has none."""
    with contextlib.suppress(Exception):
        profile = _botocore_session().full_config.get("profiles", {}).get(_profile(), {})
        return next((one_line(str(profile[name])) for name in names if profile.get(name)), "")
    return ""


def _botocore_session() -> Any:
    import botocore.session

    return botocore.session.Session()


def _config_file() -> str:
    return os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"


def _config_place(named: dict[str, Any]) -> str:
    line = _LINE.search(str(named.get("error") or ""))
    return f"{named.get('path')}:{line[1]}" if line else str(named.get("path"))


def _config_problem(named: dict[str, Any]) -> str:
    """Return what configparser found, without the path and the line, which the place has."""
    cause = named.get("error")
    if isinstance(cause, configparser.MissingSectionHeaderError):
        line = one_line(repr(str(cause.line).strip()))
        return f"{line} comes before the first [section], or is a broken section line"
    if isinstance(cause, (configparser.DuplicateSectionError, configparser.DuplicateOptionError)):
        return one_line(str(cause)).rpartition("]: ")[2]
    if isinstance(cause, configparser.ParsingError) and cause.errors:
        line = str(cause.errors[0][1]).replace("\\n", "")  # as configparser quotes it
        return f"{one_line(line)} is no `key = value`"
    return one_line(str(cause)) if cause else "it is not UTF-8 text"
