"""Checks for Python, Ray, modules and programs; an error is one sentence with the command that installs them."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from accel_scaling.errors import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHONS = ((3, 10), (3, 13))  # the oldest and the newest; pip reads the same from pyproject.toml

ANY_RAY = "ACCEL_SCALING_ANY_RAY"  # if set, any version of Ray is accepted

# Programs that `ray up` runs on the machine that it is called on.
LAUNCHER_TOOLS = ("ssh", "rsync")


def missing(module: str | None, extra: str) -> NotInstalledError:
    """Return the error for a missing module of an extra."""
    # pip takes the package that is installed, from a wheel or a clone, and adds what the extra needs: it asks no index
    # for the package itself.
    return NotInstalledError(
        f"the Python module {module} is not installed; `pip install 'accel-scaling[{extra}]'` brings it (in a "
        f"clone that is not installed: `pip install -e '.[{extra}]'`)"
    )


def check_modules(names: Iterable[str], extra: str) -> None:
    """Refuse to begin without some modules; none is imported.

    Raises:
        NotInstalledError: names the first missing module.
    """
    for name in names:
        # Found, not imported: ray and the SDKs take seconds, and this is only a question.
        if importlib.util.find_spec(name) is None:
            raise missing(name, extra)


def check_python(version: tuple[int, int]) -> None:
    """Refuse a Python that pip refuses too: a clone can run without pip.

    Raises:
        NotInstalledError: it is too old, or too new for Ray.
    """
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        first, last = (".".join(map(str, python)) for python in PYTHONS)
        raise NotInstalledError(
            f"this is Python {version[0]}.{version[1]}, and accel_scaling needs {first} to {last}: make an environment "
            f"with `python{last} -m venv .venv`, and install it there"
        )


def check_ray() -> None:
    """Refuse a Ray with other private names than this version uses; ``ACCEL_SCALING_ANY_RAY=1`` accepts it.

    Raises:
        NotInstalledError: there is no Ray, or one of another minor version.
    """
    import importlib.metadata  # here, because the import takes 20 ms, and most commands need no Ray

    from accel_scaling._ray import RAY_MINOR

    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalledError(
            f"Ray is not installed in this Python; `pip install 'ray[default]=={RAY_MINOR}.*'`"
        ) from None
    if version.split(".")[:2] != RAY_MINOR.split(".") and not os.environ.get(ANY_RAY):
        raise NotInstalledError(
            f"Ray {version} is installed, and this version of accel_scaling goes with Ray {RAY_MINOR}: `pip install "
            f"'ray[default]=={RAY_MINOR}.*'`, or try it all the same with {ANY_RAY}=1"
        )


def check_launcher_tools() -> None:
    """Refuse to launch a head without ssh and rsync: Ray reaches the head with them.

    Raises:
        NotInstalledError: names the missing programs.
    """
    import shutil

    lacking = [tool for tool in LAUNCHER_TOOLS if shutil.which(tool) is None]
    if lacking:
        raise NotInstalledError(
            f"{' and '.join(lacking)} not found on this machine, with which Ray sets the head up; install it first "
            "(Debian, Ubuntu: apt install openssh-client rsync; macOS: brew install rsync)"
        )
