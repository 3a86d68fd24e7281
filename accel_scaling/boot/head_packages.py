"""The cloud's client on the head, where what is installed there is too old for the provider.

A head may keep a set-up command of its user that pins an old client. The provider runs in Ray's monitor, in the Python
that runs `ray start`: before Ray starts, what it needs is installed into a folder that is no part of any environment,
and that the provider alone puts into its path. Tasks and drivers keep the versions that their user chose.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.boot.verdict_file import FOLDER
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.installs import release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.clouds import Cloud

# Packages of Ray's that a client calls, too. They may be loaded in the monitor before the client is: of these the
# folder gets the very version that is installed.
_SHARED = ("protobuf",)


def folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for the packages of this Python: another one has other binaries."""
    home = environment.get(FOLDER) or str(Path.home() / ".accel_scaling")
    return Path(home, "head_packages", f"python{sys.version_info[0]}.{sys.version_info[1]}")


def too_old(cloud: Cloud, path: list[str] | None = None) -> list[str]:
    """Return what is missing or too old for a cloud's provider: ``boto3 1.20.0``, ``boto3 (missing)``.

    Args:
        cloud: whose provider.
        path: where it is looked for; by default where Python imports from.
    """
    found = []
    for name, floor in cloud.sdk_floors:
        version = _version(name, path)
        if version is None or release(version) < release(floor):
            found.append(f"{name} {version or '(missing)'}")
    return found


def prepare(ray_params: Any, environment: Mapping[str, str]) -> list[str]:
    """Install the client of a head's cloud apart, where it is too old or missing; return sentences about that.

    Args:
        ray_params: Ray's start parameters; those of a head with an autoscaler name its cluster config.
        environment: this process's.
    """
    cloud = _cloud_of(getattr(ray_params, "autoscaling_config", None))
    if cloud is None:
        return []
    lacking = too_old(cloud)
    place = folder(environment)
    if not lacking or (place.is_dir() and not too_old(cloud, [str(place)])):
        return []
    shared = [f"{name}=={version}" for name in _SHARED if (version := _version(name, None))]
    problem = _install(place, [cloud.sdk_requirement, *shared])
    about = f"the provider needs {cloud.sdk_requirement}, and this Python has {', '.join(lacking)}"
    if problem:
        remedy = "install it in the image or in head_setup_commands"
        return [
            f"{about}; it could not be installed for the autoscaler, which will launch no node ({problem}): {remedy}"
        ]
    return [f"{about}; it is installed for the autoscaler alone, in {place}"]


def use(cloud: Cloud) -> None:
    """Let this process import the client from that folder, where it is there and what is installed is too old."""
    place = folder(os.environ)
    if place.is_dir() and str(place) not in sys.path and too_old(cloud) and not too_old(cloud, [str(place)]):
        sys.path.insert(0, str(place))
        importlib.invalidate_caches()


def _install(place: Path, requirements: list[str]) -> str:
    """Install packages into a folder; return the last line of what went wrong, empty where nothing did."""
    command, environment = _pip()
    options = ["install", "--quiet", "--upgrade", "--target", str(place)]
    try:
        done = subprocess.run(
            [*command, *options, *requirements],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeouts.HEAD_PACKAGES_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"pip ended with {done.returncode}"


def _pip() -> tuple[list[str], dict[str, str]]:
    """Return the command of a pip for this Python, and the variables that it needs."""
    command = [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is not None:
        return command, {}
    # An environment of uv has none; most Pythons have one in a wheel, for `python -m ensurepip`.
    spec = importlib.util.find_spec("ensurepip")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    wheels = sorted(folder.glob("_bundled/pip-*.whl"))
    return command, {"PYTHONPATH": str(wheels[-1])} if wheels else {}


def _version(name: str, path: list[str] | None) -> str | None:
    found = next(iter(importlib.metadata.distributions(name=name, path=sys.path if path is None else path)), None)
    return found.version if found else None


def _cloud_of(config: Any) -> Cloud | None:
    """Return the cloud whose provider a head's cluster config names; None for another's, and for no config."""
    if not isinstance(config, str) or not config:
        return None
    try:
        text = Path(config).expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # Not read as YAML, which takes a tenth of a second for a large file: the name of a class stands for itself.
    return next((cloud for cloud in known_clouds().values() if cloud.module in text), None)
