"""A Ray cluster on a local cloud, from `ray up` to `ray down`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import RehearsalError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from accel_scaling.testing.hosts.laptop import Laptop

# Off a terminal Ray would print every step.
_EXEC = ("ray", "exec", "--log-style", "pretty")


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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Run `ray up`; its output goes to the file ``log``.

        Raises:
            RehearsalError: it failed; with the end of its output.
        """
        if self._logged("up", "-y", "--no-config-cache", str(self.path)) != 0:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            raise RehearsalError(f"`ray up` failed; its output ends with:\n{tail(text)}")

    def down(self) -> None:
        """Run `ray down`, which terminates the machines; its output goes to the file ``log``."""
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
