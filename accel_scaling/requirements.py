"""Checks for Python, Ray, modules and programs; an error is one sentence with the command that installs them."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from accel_scaling.errors import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PYTHONS = ((3, 10), (3, 14))  # the oldest and the newest; pip reads the same from pyproject.toml

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


def check_ray(warn: Callable[[str], None]) -> None:
    """Refuse a Ray that is too old; warn of one that is newer than those that this version was checked with.

    Args:
        warn: what is called with the sentence of the warning.

    Raises:
        NotInstalledError: there is no Ray, or one below the oldest that is supported.
    """
    from accel_scaling._ray import versions  # here: most commands need no Ray

    version = versions.installed_version()
    if version is None:
        raise NotInstalledError(f"Ray is not installed in this Python; {versions.install_command(versions.FLOOR)}")
    refuse_old_ray()
    if versions.is_unchecked():
        warn(
            f"Ray {version} is newer than Ray {versions.minor_text(versions.CHECKED)}, the newest that this version of "
            "accel_scaling was checked with; look for a newer accel_scaling if something does not work"
        )


def refuse_old_ray() -> None:
    """Refuse a Ray that is too old; none at all is accepted.

    Raises:
        NotInstalledError: with the version to install.
    """
    if sentence := old_ray():
        raise NotInstalledError(sentence)


def old_ray() -> str | None:
    """Return the sentence about an installed Ray that is too old; None for any other, and where there is none."""
    from accel_scaling._ray import versions  # as above

    if not versions.is_too_old():
        return None
    floor = versions.minor_text(versions.FLOOR)
    return (
        f"Ray {versions.installed_version()} is installed, and accel_scaling needs Ray {floor} or newer: "
        f"{versions.install_command(versions.FLOOR)}"
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
            f"{' and '.join(lacking)} not found on this machine, and Ray needs it to set up the head; install it first "
            "(Debian, Ubuntu: apt install openssh-client rsync; macOS: brew install rsync)"
        )
