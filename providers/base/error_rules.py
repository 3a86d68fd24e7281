"""Tables that turn the errors of a cloud's SDK into sentences: one row an error, the sentence with its remedy.

A cloud's own table is in its folder (errors.py). Here is how a row is found, and what its words in braces are replaced
by where that is the same for every cloud.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from accel_scaling.message_text import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# In the order in which SDKs look: the lower-case name wins where both are set.
PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")

_LONGEST = 400  # characters of what an SDK, a server or a program said: a page of HTML says no more than its beginning


@dataclass(frozen=True)
class Rule:
    """A row: an error, and what is said about it.

    Attributes:
        error: the name of a class of the SDK; it holds for classes made from it, unless they have a row.
        sentence: with words in braces, which are replaced by facts of this error.
        part: only where the error's own text has this in it, in lower case; rows with a part stand first.
    """

    error: str
    sentence: str
    part: str = ""


def rule_of(rules: Sequence[Rule], error: BaseException) -> Rule | None:
    """Return the row of an error: of its own class, or of the nearest class that it is made from; None without one."""
    text = whole_text(error).lower()
    for name in (base.__name__ for base in type(error).__mro__):
        for rule in rules:
            if rule.error == name and rule.part in text:
                return rule
    return None


def filled(rule: Rule, facts: Mapping[str, Callable[[], str]]) -> str:
    """Return a row's sentence with its facts; only those are asked for that it names."""
    return rule.sentence.format_map(_Lazy(facts))


class _Lazy(dict[str, str]):
    """The facts by name; each is worked out when a sentence names it."""

    def __init__(self, facts: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self._facts = facts

    def __missing__(self, name: str) -> str:
        return self._facts[name]()


def one_line(text: str) -> str:
    """Return a text of another program as a part of a sentence: in one line, printable, not too long, no full stop."""
    line = flat(text)
    return f"{line[:_LONGEST]} ..." if len(line) > _LONGEST else line.rstrip(".")


def whole_text(error: BaseException) -> str:
    """Return what an error says, in one line; an error that another one explains says both."""
    parts = [str(part) for part in error.args if isinstance(part, (str, BaseException)) and str(part)]
    return one_line(": ".join(part.rstrip(".") for part in parts) if parts else str(error)) or type(error).__name__


def proxy_words() -> str:
    """Return the words that name the proxy of this environment and its variable; empty where there is none."""
    for name in PROXY_VARIABLES:
        if os.environ.get(name):
            return f", and is the proxy that {name} names ({without_password(os.environ[name])}) right"
    return ""


def proxy_variable(url: str) -> str:
    """Return the variable of this environment that names a proxy."""
    # Without the password: botocore puts asterisks in its place.
    host = without_password(urlsplit(url).netloc)
    named = (name for name in PROXY_VARIABLES if without_password(urlsplit(os.environ.get(name, "")).netloc) == host)
    return next(named, "HTTPS_PROXY")


def without_password(url: str) -> str:
    """Return a URL without the name and password that it may hold: an error is often shown to others."""
    return url.rpartition("@")[2] if "@" in url else url


def certificate_words(variables: Sequence[str]) -> str:
    """Return the words about the file of a network's own certificates.

    Args:
        variables: those of the environment that name it; the first is the one to set.
    """
    for name in variables:
        path = os.environ.get(name, "")
        if path and not os.path.exists(path):  # noqa: PTH110 - Path() would read a leading ~, which SDKs do not
            return (
                f"{name} names {path}, which does not exist; name the file with your network's certificates, or "
                f"unset it"
            )
    for name in variables:
        if os.environ.get(name):
            return f"does {os.environ[name]}, which {name} names, hold the certificates of your network?"
    return f"if your network has its own certificates, name their file in {variables[0]}"


def now_words() -> str:
    """Return the time on this machine's clock, in UTC."""
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d %H:%M")
