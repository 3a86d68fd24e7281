"""The token of a local cloud's Ray: who asks for one, by the kind of its hosts.

Plain processes listen where others are, so their Ray always asks for a token, which is made for each local cloud again.
Isolated hosts have a network of their own: there a cluster asks for a token where the user's would, in the same way.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from accel_scaling._ray.facts import AUTH_MODE, AUTH_TOKEN
from accel_scaling._ray.versions import has
from accel_scaling.cluster.policies import AUTHENTICATION
from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.base.authentication import decide
from accel_scaling.testing.hosts.settings import HostKind


def of_all(kind: HostKind) -> dict[str, str]:
    """Return the variables of laptop and hosts."""
    if kind is HostKind.ISOLATED or not has("tokens"):
        return {}
    return {AUTH_MODE: "token", AUTH_TOKEN: secrets.token_hex(32)}


def of_laptop(kind: HostKind) -> dict[str, str]:
    """Return the variables of the laptop alone: on isolated hosts, its `ray up` is to do as the user's would."""
    if kind is not HostKind.ISOLATED:
        return {}
    try:
        # The cluster file is on the laptop too, and says the rest.
        mode = decide({}, os.environ, Path.home())
    except AccelScalingError:
        mode = os.environ.get(AUTH_MODE, "")  # what is wrong with it, `ray up` says
    return {AUTH_MODE: mode} if mode else {}


def keep_asking(config: dict[str, Any], kind: HostKind) -> None:
    """Take out of a cluster config what would switch the token off where others could reach Ray."""
    if kind is not HostKind.ISOLATED:
        config["provider"].pop(AUTHENTICATION, None)
