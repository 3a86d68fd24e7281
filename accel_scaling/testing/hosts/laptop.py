"""The laptop of a local cloud's user: ``ray up`` runs there, with a home, PATH and network of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.hosts.host_records import SCRATCH_VARIABLE
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE, HostKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.testing.hosts.settings import Settings

# Credentials and projects of real clouds; and proxies, which would be sent the calls to the local one.
_OMITTED_PREFIXES = (
    *("AWS_", "GOOGLE_", "GCE_", "CLOUDSDK_", "RAY_AUTH_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
# RAY_ADDRESS leads to another Ray, whose token is in RAY_AUTH_TOKEN; the user's ssh agent offers keys of its own; the
# last two name files that a shell runs before anything else.
_OMITTED_NAMES = ("RAY_ADDRESS", "RAY_TMPDIR", "SSH_AUTH_SOCK", "BASH_ENV", "ENV")


class Laptop:
    """The laptop, which runs the user's commands.

    Args:
        settings: the local cloud's.
        inner_pid: a process in the cloud's namespaces, for isolated hosts.
    """

    def __init__(self, settings: Settings, inner_pid: int) -> None:
        self._settings, self._inner_pid = settings, inner_pid

    def environment(self) -> dict[str, str]:
        """Return the caller's environment, without what belongs to a real cloud or to another Ray."""
        settings = self._settings
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OMITTED_PREFIXES) and name not in _OMITTED_NAMES
        }
        path = f"{settings.python.parent}:{kept.get('PATH', os.defpath)}"
        variables = {
            "HOME": str(settings.laptop),
            "TMPDIR": str(settings.laptop / "tmp"),
            "LOGNAME": settings.cloud_id,  # Ray names its ssh control folder in /tmp after it
            "USER": settings.cloud_id,
            "PATH": path,
        }
        if settings.kind is HostKind.PROCESSES:
            variables["PATH"] = f"{settings.scratch / 'laptop-shims'}:{path}"
            variables[MARKER_VARIABLE] = settings.marker("laptop")
            variables[SCRATCH_VARIABLE] = str(settings.scratch)
        return {**kept, **settings.environment, **settings.laptop_environment, **variables}

    def run(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run a command; as ``subprocess.run``, with text, and without ``check`` unless it is given."""
        kwargs.setdefault("text", True)
        kwargs.setdefault("check", False)
        return subprocess.run(**self._call(argv, kwargs))  # noqa: PLW1510 - check is in there

    def popen(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command; as ``subprocess.Popen``, with text."""
        kwargs.setdefault("text", True)
        process: subprocess.Popen[str] = subprocess.Popen(**self._call(argv, kwargs))
        return process

    def _call(self, argv: Sequence[str | Path], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of ``subprocess.Popen`` for a command on the laptop."""
        words = [str(word) for word in argv]
        environment = kwargs.pop("env", None) or self.environment()
        if self._settings.kind is HostKind.PROCESSES:
            return {"args": words, "env": environment, **kwargs}
        # By name, within: to enter a mount namespace sets the working directory to its root.
        folder = str(kwargs.pop("cwd", None) or Path.cwd())
        enter = ["nsenter", "--target", str(self._inner_pid), "--net", "--mount", "--pid"]
        # nsenter leaves its child behind when it is killed: the child asks the kernel to be killed with it.
        with_parent = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", 'cd "$0" && exec "$@"', folder]
        return {"args": [*enter, *with_parent, *words], "env": environment, **kwargs}


def ray_ssh_folder(user: str) -> Path:
    """Return where Ray puts the ssh control sockets of ``user`` (ray/autoscaler/_private/command_runner.py)."""
    return Path("/tmp") / f"ray_ssh_{hashlib.sha256(user.encode()).hexdigest()[:10]}"  # noqa: S108 - Ray's name


def remove_ray_ssh_folder(user: str) -> None:
    """Remove that folder, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(ray_ssh_folder(user))
