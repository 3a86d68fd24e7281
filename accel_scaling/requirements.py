"""What must be installed beside this package, said in one sentence with the line that installs it."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from accel_scaling.errors import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHONS = ((3, 10), (3, 13))  # from, to; pyproject.toml has it for pip

ANY_RAY = "ACCEL_SCALING_ANY_RAY"  # set, it lets another Ray than ours be tried

# Programs that `ray up` runs on the machine that it is called on.
LAUNCHER_TOOLS = ("ssh", "rsync")


def missing(module: str | None, extra: str) -> NotInstalledError:
    """Return the error for a module that an extra brings."""
    return NotInstalledError(
        f"the Python module {module} is not installed; `pip install -e '.[{extra}]'`, in your clone, brings it"
    )


def check_modules(names: Iterable[str], extra: str) -> None:
    """Refuse to begin without modules, of which none is imported.

    Raises:
        NotInstalledError: names the first that is not there.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise missing(name, extra)


def check_python(version: tuple[int, int]) -> None:
    """Refuse a Python that pip would refuse too, where a clone is run without an install.

    Raises:
        NotInstalledError: it is too old, or too new for Ray.
    """
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        first, last = (".".join(map(str, each)) for each in PYTHONS)
        raise NotInstalledError(
            f"this is Python {version[0]}.{version[1]}, and accel_scaling needs {first} to {last}: make an environment "
            f"with `python{last} -m venv .venv`, and install it there"
        )


def check_ray() -> None:
    """Refuse a Ray whose private names are not those that this version uses; ``ACCEL_SCALING_ANY_RAY=1`` lets it be.

    Raises:
        NotInstalledError: there is no Ray, or one of another minor version.
    """
    import importlib.metadata  # 20 ms that only those pay who launch

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
    """Refuse to launch a head that could then not be reached: Ray needs ssh and rsync here.

    Raises:
        NotInstalledError: names what is missing.
    """
    import shutil

    lacking = [tool for tool in LAUNCHER_TOOLS if shutil.which(tool) is None]
    if lacking:
        raise NotInstalledError(
            f"{' and '.join(lacking)} not found on this machine, with which Ray sets the head up; install it first "
            "(Debian, Ubuntu: apt install openssh-client rsync; macOS: brew install rsync)"
        )
