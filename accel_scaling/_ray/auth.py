"""Token authentication: where Ray looks for its token, and how a process is switched."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling._ray import versions
from accel_scaling._ray.facts import AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_FILE, AUTH_TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

# Any call of the GCS would do: one that takes an empty message and changes nothing.
_QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"


class TokenRefusedError(ConnectionError):
    """A Ray has refused its caller's token, or that there was none."""


class CannotReadTokenError(Exception):
    """RAY_AUTH_TOKEN_PATH names a file without a token; Ray then looks at no other place."""


@dataclass(frozen=True)
class FoundToken:
    """A token.

    Attributes:
        text: the token; in no message.
        place: the variable or the file that has it.
    """

    text: str
    place: str

    def __repr__(self) -> str:
        return f"FoundToken({self.place})"


def find_token(environment: Mapping[str, str], home: Path) -> FoundToken | None:
    """Return the token that a Ray with this environment uses; None where it has none.

    Not by Ray's own loader: it remembers its answer, and before 2.54 it looks only where authentication is on.

    Raises:
        CannotReadTokenError: a file that the environment names has none.
    """
    if given := environment.get(AUTH_TOKEN):
        # One of blanks alone is no token, and Ray looks nowhere else.
        return FoundToken(given.strip(), AUTH_TOKEN) if given.strip() else None
    if path := environment.get(AUTH_TOKEN_PATH):
        # As Ray: `~` stays.
        if text := _first_line(Path(path)):
            return FoundToken(text, path)
        raise CannotReadTokenError(path)
    text = _first_line(home / AUTH_TOKEN_FILE)
    return FoundToken(text, f"~/{AUTH_TOKEN_FILE}") if text else None


def _first_line(path: Path) -> str:
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="surrogateescape") as file:
        return file.readline(4096).strip()
    return ""


def set_auth_mode(mode: str) -> None:
    """Switch this process, and those that it starts, to an authentication mode.

    Args:
        mode: ``token`` or ``disabled``. With ``token`` and no token, Ray's core ends the process at the first call.
    """
    os.environ[AUTH_MODE] = mode
    if not versions.has("tokens"):
        return
    from ray._raylet import Config  # type: ignore[attr-defined]  # Cython

    # Ray's core has read the variable when it was loaded.
    Config.initialize("")


def asks_for_token(address: str, timeout_s: float) -> bool:
    """Return whether the GCS at an address refuses a caller without a token.

    By gRPC itself: Ray's client would log the refusal on the terminal.

    Args:
        address: ``HOST:PORT`` of the head's GCS.
        timeout_s: for the one call.
    """
    import grpc  # type: ignore[import-untyped]

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_QUESTION)(b"", timeout=timeout_s)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    return False


def is_refusal(error: BaseException) -> bool:
    """Return whether an error of Ray's client says that a token is missing or wrong."""
    # By its name: before 2.52, ray.exceptions has no such class.
    return type(error).__name__ == "AuthenticationError"
