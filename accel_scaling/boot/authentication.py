"""Token authentication on a node: whether its Ray asks for a token, decided right before Ray reads it.

The one who starts a node says it with RAY_AUTH_MODE before the start command (providers/base/authentication.py), and
leaves the token in ``INCOMING``, from where before_ray_start.sh moves it to Ray's own place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling._ray import versions
from accel_scaling._ray.facts import AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_FILE, AUTH_TOKEN_PATH
from accel_scaling.boot.verdict_file import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

INCOMING = ".accel_scaling_auth_token"
"""The file in a node's home with the token that was just copied there; before_ray_start.sh has the same name."""

OF_HEAD = "ACCEL_SCALING_TOKEN_OF_HEAD"
"""A variable that says that the token in Ray's own place is the one that the head's Ray asks for."""

TOKEN, DISABLED = "token", "disabled"
"""The words of RAY_AUTH_MODE."""

SINCE = f"Ray {versions.minor_text(versions.SINCE['tokens'])}"
_NO_TOKENS = (
    f"{AUTH_MODE}=token, and the Ray of this node, {{}}, does not ask for a token; install {SINCE} or newer on the "
    f"nodes"
)


def mode_of(environment: Mapping[str, str]) -> str:
    """Return the authentication mode that an environment names, in small letters as Ray reads it; empty for none."""
    return environment.get(AUTH_MODE, "").strip().lower()


def settle(environment: MutableMapping[str, str], *, head: bool) -> str:
    """Switch authentication on where nobody has said anything and the head has a token.

    Ray 2.59 and newer do so by themselves; said here, older ones do the same, and the shells of this node get to know.

    Args:
        environment: this process's.
        head: whether this is the head node; a worker does what its head said.

    Returns:
        Why Ray must not start; empty where it may.
    """
    mode = mode_of(environment)
    if not versions.has("tokens"):
        return _NO_TOKENS.format(versions.installed_version()) if mode == TOKEN else ""
    if mode == DISABLED or not (mode or head):
        return ""
    if mode == TOKEN and environment.get(OF_HEAD):
        _use_the_heads(environment)
    try:
        found = _ray.find_token(environment, Path.home()) or _beside_verdict(environment)
    except _ray.CannotReadTokenError:
        return ""  # Ray names the file
    if found and not mode:
        _ray.set_auth_mode(TOKEN)
    return ""


def _use_the_heads(environment: MutableMapping[str, str]) -> None:
    """Have Ray read the token that the head has sent, whatever another one the image or a start command has.

    With another one, the head refuses the node: a machine is paid for and never joins, and the next one neither.
    """
    if not (environment.get(AUTH_TOKEN) or environment.get(AUTH_TOKEN_PATH)):
        return
    if _beside_verdict(environment):
        environment.pop(AUTH_TOKEN, None)


def _beside_verdict(environment: MutableMapping[str, str]) -> bool:
    """Return whether the home of whoever runs the start command has a token, and have Ray read it there.

    `sudo` may give `ray start` another home.
    """
    folder = environment.get(FOLDER)
    if not folder or _ray.find_token({}, Path(folder).parent) is None:
        return False
    environment[AUTH_TOKEN_PATH] = str(Path(folder).parent / AUTH_TOKEN_FILE)
    return True
