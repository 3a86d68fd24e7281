"""A Ray cluster on a local cloud: the user's cluster file made ready for it, and `ray up` to `ray down`.

The cluster has the same node types as the file, without what only the real account has.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.files import TRAVELLED, USER_FOLDER, travelling_files
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import user_catalogs
from accel_scaling.errors import ClusterConfigError, RehearsalError
from accel_scaling.message_text import printable, shown
from accel_scaling.testing.hosts.start_faults import SETUP_COMMAND
from accel_scaling.testing.ray_up_log import UpFailure, failure_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from accel_scaling.testing.hosts.laptop import Laptop


# Off a terminal Ray would print every step.
_EXEC = ("ray", "exec", "--log-style", "pretty")

# They install software, which the local hosts share with this machine and must not change.
_SKIPPED = (
    "docker",
    "file_mounts",
    "initialization_commands",
    "cluster_synced_files",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
)
# What isolated hosts can do without harm to this machine: each has a root file system of its own.
SETUP = (
    "file_mounts",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
)
# Without these, and without `max_workers`, Ray fails before it imports the provider.
_NEEDED_EMPTY = ("setup_commands", "head_setup_commands", "worker_setup_commands")


class RayUpError(RehearsalError):
    """`ray up` failed: the cause, the last lines of the command that failed, and the file with all of them."""

    def __init__(self, failure: UpFailure, head: str, log: Path, advice: str = "") -> None:
        where = f"on the head (node type {head}), " if failure.command else ""
        lines = "".join(f"\n  | {printable(line)}" for line in failure.lines)
        super().__init__(f"`ray up` failed: {where}{failure.cause}{advice}{lines}\nits whole output: {log}")
        self.failure, self.head, self.log = failure, head, log


class RayCluster:
    """A Ray cluster on a local cloud; as a context manager, it is ended by `ray down` at the end of the block.

    Args:
        laptop: where the `ray` commands run.
        path: the cluster file.
        config: what it says.
    """

    def __init__(self, laptop: Laptop, path: Path, config: dict[str, Any]) -> None:
        self._laptop = laptop
        self.path, self.config = path, config
        self.log = path.with_name("ray-up.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Run `ray up`; its output is written to the file ``log``.

        Raises:
            RayUpError: it failed; with the cause.
        """
        # Ray keys its cache of configs before the fill, so with another catalog it would take the old promise.
        if self._logged("up", "-y", "--no-config-cache", str(self.path)) != 0:
            failure = failure_of(self.log.read_text(encoding="utf-8", errors="replace"))
            raise RayUpError(failure, str(self.config.get("head_node_type", "")), self.log)

    def down(self) -> None:
        """Run `ray down`, which terminates the machines; its output is written to the file ``log``."""
        self._logged("down", "-y", str(self.path))

    def exec(self, command: str, *, timeout_s: float | None = None) -> str:
        """Run a shell command on the head and return what it prints.

        Args:
            command: one line for bash.
            timeout_s: seconds until ``subprocess.TimeoutExpired`` is raised; None waits as long as it takes.

        Raises:
            RehearsalError: it failed; with the end of its output.
        """
        words = self.exec_words(command)
        done = self._laptop.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s)
        if done.returncode:
            raise RehearsalError(f"`{command}` failed on the head; its output ends with:\n{tail(done.stdout)}")
        return done.stdout

    def exec_words(self, command: str) -> list[str]:
        """Return the words of `ray exec` for a shell command on the head."""
        return [*_EXEC, str(self.path), command]

    def _logged(self, *arguments: str) -> int:
        with self.log.open("a", encoding="utf-8") as log:
            return self._laptop.run(["ray", *arguments], stdout=log, stderr=subprocess.STDOUT).returncode


def tail(text: str, lines: int = 25) -> str:
    """Return the last lines of an output, each with a mark in front."""
    return "\n".join("  | " + line for line in text.splitlines()[-lines:])


def without_account(
    config: dict[str, Any],
    keys: Collection[str],
    provider_keys: Collection[str],
    types: Collection[str],
    user: str,
    *,
    with_setup: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of the config without the keys that a local cloud cannot follow, and the names of these keys.

    Args:
        config: the user's cluster config.
        keys: the keys of a node_config that name things in the user's account or on their disk.
        provider_keys: the same of ``provider``.
        types: the values of ``provider.type`` that the local cloud knows.
        user: the account that the local hosts let in over ssh.
        with_setup: keep the set-up commands and file_mounts.

    Raises:
        ClusterConfigError: another ``provider.type``.
    """
    local = copy.deepcopy(config)
    kept = SETUP if with_setup else ()
    left_out = [key for key in _SKIPPED if key not in kept]
    skipped = [key for key in left_out if local.pop(key, None)]
    local |= {key: list(local.get(key) or []) for key in _NEEDED_EMPTY}
    local["setup_commands"] = [SETUP_COMMAND, *local["setup_commands"]]
    local.setdefault("max_workers", 2)
    provider = local["provider"]
    if provider.get("type") not in types:
        known = " and ".join(f"`{name}`" for name in sorted(types, reverse=True))
        raise ClusterConfigError(f"provider.type is {shown(provider.get('type'))}; a rehearsal supports {known}")
    skipped += [f"provider.{key}" for key in provider_keys if provider.pop(key, None)]
    provider["use_internal_ips"] = True  # the hosts have no other: a public address is the private one here
    # Replaced as a whole, without the user's own key: Ray makes a key pair in the laptop's home, and the hosts take it.
    local["auth"] = {"ssh_user": user}
    for name, node_type in local["available_node_types"].items():
        node_config = node_type["node_config"]
        skipped += [f"{name}.node_config.{key}" for key in keys if node_config.pop(key, None) is not None]
        skipped += [f"{name}.{key}" for key in left_out if node_type.pop(key, None)]
    return local, skipped


def bring_catalog(config: dict[str, Any], home: Path) -> None:
    """Copy the user's own catalog files into the laptop's home, where `ray up` reads them.

    Args:
        config: the cluster config for the local cloud, changed in place.
        home: the laptop's home.
    """
    files = travelling_files(user_catalogs(config["provider"]), known_clouds())
    # Found in the laptop's home from now on: a path from the user's disk, relative to another folder, would not be.
    config["provider"].pop("catalog", None)
    for name, path in files.items():
        target = home / USER_FOLDER / TRAVELLED / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
