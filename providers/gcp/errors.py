"""google-auth's errors about who is calling, and the network's: one sentence each, with its remedy.

Every command that asks Google uses this table: `ray up`, `ray down`, launches of the autoscaler, `catalog refresh`.
tests/providers/gcp/test_errors.py holds it against every exception that google-auth has.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.base.error_rules import (
    Rule,
    certificate_words,
    filled,
    now_words,
    proxy_words,
    rule_of,
    whole_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOGIN = "`gcloud auth application-default login`"
NO_CREDENTIALS = (
    f"no Google credentials; run {_LOGIN}, set GOOGLE_APPLICATION_CREDENTIALS to a key file, or give "
    "provider.gcp_credentials"
)

_FILE = "the Google credentials in {file} cannot be used: {problem}; "
_REFUSED = "Google refused the credentials ({name}: {error}); "
_RENEW = _REFUSED + f"renew them, for example with {_LOGIN}"
_KEY_FILE = _FILE + f"download the key again, or run {_LOGIN}"
_NETWORK = (
    "Google cannot be reached ({name}: {error}); is the network up{proxy}, and are provider.api_endpoints, if given, "
    "right?"
)
_CERTIFICATES = "Google cannot be reached ({name}: {error}); {certificates}"
_MACHINE = (
    "Google gave no credentials ({name}: {error}); does this machine have a service account, and is its network up?"
)
_SETTINGS = "your Google settings cannot be used ({name}: {error}); look at the variables GOOGLE_... and at {file}"

# google-auth's classes by name. Rows with a part come before the row of the class itself.
ERRORS = (
    # The file of the credentials.
    Rule("DefaultCredentialsError", NO_CREDENTIALS, "default credentials were not found"),
    Rule("DefaultCredentialsError", _FILE + "give GOOGLE_APPLICATION_CREDENTIALS the path of a key file", "not found"),
    Rule("DefaultCredentialsError", _KEY_FILE, "not a valid json"),
    Rule("DefaultCredentialsError", _KEY_FILE, "failed to load"),
    Rule("DefaultCredentialsError", _KEY_FILE, "valid type"),
    Rule("DefaultCredentialsError", _FILE + f"run {_LOGIN}"),
    Rule("MalformedError", _KEY_FILE),
    # The token that is asked for with them.
    Rule("RefreshError", _MACHINE, "metadata"),
    Rule("RefreshError", _REFUSED + "is the clock of this machine right? It is {now} here (UTC)", "iat and exp"),
    Rule("RefreshError", _REFUSED + "that key was deleted or is another account's: make a new one", "jwt signature"),
    Rule(
        "RefreshError", _REFUSED + "that service account was deleted or disabled: choose another", "account not found"
    ),
    Rule("RefreshError", _FILE + "correct it, or run " + _LOGIN, "was not found"),
    Rule(
        "RefreshError",
        _REFUSED + "provider.gcp_credentials has an expired token: give a new one",
        "refresh the",
    ),
    Rule("RefreshError", _RENEW),
    Rule("ReauthFailError", _REFUSED + f"your sign-in has expired: run {_LOGIN}"),
    Rule("UserAccessTokenError", _REFUSED + "run `gcloud auth login`"),
    Rule("OAuthError", _RENEW),
    # Certificates of this machine.
    Rule("MutualTLSChannelError", _SETTINGS),
    Rule("ClientCertError", _SETTINGS),
    # The network.
    Rule("TransportError", _CERTIFICATES, "certificate"),
    Rule("TransportError", _MACHINE, "metadata"),
    Rule("TransportError", _NETWORK),
    Rule("TimeoutError", _NETWORK),
    Rule("ResponseError", _NETWORK),
    # Everything else of google-auth's.
    Rule("GoogleAuthError", _RENEW),
)

# What a call raises itself, below google-auth: Python's classes and httplib2's.
NETWORK_ERRORS = (
    Rule("SSLError", _CERTIFICATES, "certificate"),
    Rule("OSError", _NETWORK),
    Rule("HttpLib2Error", _NETWORK),
    Rule("HTTPException", _NETWORK),
)

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)

CERTIFICATE_FILES = ("HTTPLIB2_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PATH = re.compile(r"(/[^\s,'\"]+)")


class GoogleRefusedError(AccelScalingError):
    """Google could not be asked, or did not let us."""


def default_credentials(request: Any = None) -> tuple[Any, str | None]:
    """Return the credentials of this environment, and their project; None where none does.

    Args:
        request: by which Google is asked, where that takes a question; by default google-auth's own.

    Raises:
        GoogleRefusedError: there are none, or their file cannot be used.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, project = google.auth.default(scopes=_SCOPES, request=request)
    except GoogleAuthError as error:
        raise GoogleRefusedError(str(sentence_of(error))) from None
    # google-auth takes for granted what a file holds: one that is JSON of another shape, or a folder, makes it fall.
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # An OSError that names no file is the network's: some credentials ask Google when they are read.
        of_network = isinstance(error, OSError) and error.filename is None
        sentence = sentence_of(error) if of_network else None
        raise GoogleRefusedError(sentence or _unreadable(error)) from None
    return credentials, project


def sentence_of(error: BaseException) -> str | None:
    """Return the sentence about an error of google-auth's or of the network; None for any other error."""
    from google.auth.exceptions import GoogleAuthError  # here: commands that ask no cloud do not need it

    rule = rule_of(ERRORS if isinstance(error, GoogleAuthError) else NETWORK_ERRORS, error)
    return filled(rule, _facts(error)) if rule else None


def _unreadable(error: BaseException) -> str:
    """Return the sentence for a credentials file that google-auth falls over: JSON of another shape, or a folder."""
    return filled(Rule("Exception", _KEY_FILE), _facts(error))


def _facts(error: BaseException) -> dict[str, Callable[[], str]]:
    return {
        "name": lambda: type(error).__name__,
        "error": lambda: whole_text(error),
        "problem": lambda: _problem(error),
        "file": lambda: _file(error),
        "proxy": proxy_words,
        "certificates": lambda: certificate_words(_certificate_files(error)),
        "now": now_words,
    }


def _certificate_files(error: BaseException) -> Sequence[str]:
    """Return the variables that name the certificates of whoever called: `catalog refresh` calls by requests."""
    return CERTIFICATE_FILES[1:] if "HTTPSConnectionPool" in whole_text(error) else CERTIFICATE_FILES


def _file(error: BaseException) -> str:
    """Return the file that an error is about: the one that it names, or the one that the environment does."""
    path = _PATH.search(whole_text(error))
    return (
        (path[1].rstrip(".:") if path else "")
        or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        or "gcloud's own file"
    )


def _problem(error: BaseException) -> str:
    """Return what is wrong with a file, in the words of the error that google-auth has wrapped."""
    inner: Any = error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None)
    if isinstance(inner, ValueError) and hasattr(inner, "lineno"):  # of json
        return f"it is not valid JSON (line {inner.lineno}: {inner.msg})"  # type: ignore[attr-defined]
    text = whole_text(inner or error)
    return "there is no such file" if "was not found" in text else text
