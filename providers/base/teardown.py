"""`ray down`: it ends what it can, names what it could not, and does not wait for what does not answer.

Ray's own loop ends nodes and lists them until none is listed; it stops at the first error. Here a place that cannot be
listed, and a node that cannot be ended, are noted and left out, so the loop goes through all others. Once nothing
else is left, the notes are raised as one error, and `ray down` exits with 1.
"""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from accel_scaling import _ray, timeouts
from accel_scaling.providers.base.teardown_progress import TeardownProgress, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_NAMED = 3  # nodes that a sentence names


class SilentError(Exception):
    """Nobody answered in time."""


@dataclass(frozen=True)
class Found:
    """The nodes that are to be ended.

    Attributes:
        nodes: their ids.
        unlisted: a sentence for each place whose nodes are not known.
    """

    nodes: list[str]
    unlisted: list[str] = field(default_factory=list)


class TeardownProvider:
    """The part of a provider that `ray down` uses; put it before `BootCheckedProvider` in a class's bases.

    A cloud's own part is two functions: `find_to_end` and `end`; and `cleared`, where it makes more than machines.
    """

    provider_config: dict[str, Any]
    node_tags: Callable[[str], dict[str, str]]

    def _set_teardown(self) -> None:
        self._tearing_down = False
        self._found: dict[str, Found] = {}  # by kind of node: of its last listing
        self._tries: Counter[str] = Counter()
        self._failed: dict[str, str] = {}  # node -> why it could not be ended
        self._progress = TeardownProgress(stops=bool(self.provider_config.get("cache_stopped_nodes", True)))

    def find_to_end(self, tag_filters: dict[str, str]) -> Found:
        """Return the nodes that `ray down` is to end: stopped ones too, unless the config keeps stopped ones."""
        raise NotImplementedError

    def end(self, node_ids: Sequence[str], note: Callable[[Sequence[str]], None]) -> dict[str, str]:
        """End nodes, or stop them where the config keeps stopped ones; return the others, each with the reason.

        Args:
            node_ids: the nodes.
            note: is called with those that have ended, as soon as they have.
        """
        raise NotImplementedError

    def cleared(self) -> list[str]:
        """Delete what `ray up` has made for this cluster beside machines, now that they are ended.

        Returns:
            A sentence for what is left, each with the reason; it costs nothing.
        """
        return []

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the cluster's nodes; to an older Ray's `ray down`, which has no other question, those to end."""
        if _ray.lists_to_end():
            return self.nodes_for_teardown(tag_filters)
        nodes: list[str] = super().non_terminated_nodes(tag_filters)  # type: ignore[misc]
        return nodes

    def nodes_for_teardown(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the nodes that are still to be ended, without those that cannot be.

        Raises:
            click.ClickException: there are only such any more, or places that could not be listed.
        """
        with listing():
            found = self.find_to_end(tag_filters)
        todo = [node for node in found.nodes if self._tries[node] < timeouts.END_TRIES]
        kind = "head" if _ray.is_head(tag_filters) else "worker"
        self._found[kind] = Found(todo, found.unlisted)
        if not _ray.ends_cluster():
            self._raise_if_left(found)
            return todo
        self._tearing_down = True
        # Ray lists the workers, then the head; only the last listing of a round shows that nothing more can be ended.
        if (kind == "head" or _ray.ends_workers_only()) and not any(part.nodes for part in self._found.values()):
            self._raise_if_left(*self._found.values())
            if not _ray.ends_workers_only():
                for sentence in self.cleared():
                    _ray.cli_logger().warning("{}", sentence)
        return todo

    def terminate_nodes(self, node_ids: list[str]) -> None:
        """End nodes; in `ray down` a node that cannot be ended is noted, and the others are ended."""
        if not self._tearing_down:
            super().terminate_nodes(node_ids)  # type: ignore[misc]
            return
        with self._progress.ending({node_id: self._node_type_of(node_id) for node_id in node_ids}) as note:
            failed = self.end(node_ids, note)
        for node_id in node_ids:
            self._failed.pop(node_id, None)
        self._failed |= failed
        self._tries.update(failed.keys())

    def get_command_runner(  # noqa: PLR0917 - as Ray calls it
        self,
        log_prefix: str,
        node_id: str,
        auth_config: dict[str, Any],
        cluster_name: str,
        process_runner: Any,
        use_internal_ip: bool,  # noqa: FBT001
        docker_config: dict[str, Any] | None = None,
    ) -> Any:
        """Return the command runner of a node; in `ray down` one that gives up on a node that does not answer."""
        make = super().get_command_runner  # type: ignore[misc]
        # `docker stop` comes from other threads, in which Ray's command is no caller.
        if not self._tearing_down and not _ray.ends_cluster():
            return make(log_prefix, node_id, auth_config, cluster_name, process_runner, use_internal_ip, docker_config)
        processes = Processes()
        runner = make(log_prefix, node_id, auth_config, cluster_name, processes, use_internal_ip, docker_config)
        return BoundedRunner(runner, processes, self._progress)

    def _node_type_of(self, node_id: str) -> str:
        """Return the node type of a node that was listed, from its tags."""
        try:
            return _ray.node_type_of(self.node_tags(node_id))
        except Exception:  # noqa: BLE001 - a name in a line is no reason to leave a machine that is paid for
            return _ray.node_type_of({})

    def _raise_if_left(self, *found: Found) -> None:
        sentences = list(dict.fromkeys(sentence for part in found for sentence in part.unlisted))
        sentences += _by_reason(self._failed)
        if sentences:
            beginning = "some machines are not terminated, and you still pay for them: "
            end = "; run `ray down` again when that is repaired"
            raise click.ClickException(beginning + "\n".join(sentences) + end)


class Processes:
    """Python's `subprocess` as Ray's command runners use it, with an end for what was started and still runs."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *args: Any, **kwargs: Any) -> subprocess.Popen[Any]:  # noqa: N802 - the name that is called
        """Start a process."""
        process: subprocess.Popen[Any] = subprocess.Popen(*args, **kwargs)
        self._started.append(process)
        return process

    def check_call(self, args: Any, **kwargs: Any) -> int:
        """Run a process to its end.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        code = self.Popen(args, **kwargs).wait()
        if code:
            raise subprocess.CalledProcessError(code, args)
        return 0

    def check_output(self, args: Any, **kwargs: Any) -> Any:
        """Run a process to its end, and return its output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        process = self.Popen(args, **{"stdout": subprocess.PIPE, **kwargs})
        output, _ = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, args, output)
        return output

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()


class BoundedRunner:
    """A command runner whose commands have a deadline: the node is about to end, and may not answer."""

    def __init__(self, runner: Any, processes: Processes, progress: TeardownProgress) -> None:
        self._runner, self._processes, self._progress = runner, processes, progress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, cmd: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Run a command on the node.

        Raises:
            SilentError: it did not end in time.
        """
        if not args:
            kwargs["timeout"] = timeouts.RAY_STOP_CONNECT_S
        if cmd:
            self._progress.runs(cmd, timeouts.RAY_STOP_S)
        try:
            return within(timeouts.RAY_STOP_S, lambda: self._runner.run(cmd, *args, **kwargs), f"`{cmd}` did not end")
        finally:
            self._processes.end()


def within(timeout_s: float, function: Callable[[], T], what: str) -> T:
    """Return what a function returns, if it does in time; it continues in a thread of its own if it does not.

    Args:
        timeout_s: how long to wait.
        function: what to call; its errors are raised here.
        what: begins the sentence of the error: ``EC2 did not answer``.

    Raises:
        SilentError: the time is over.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    # A daemon: a connection that nobody answers must not keep the process from its end.
    thread = threading.Thread(target=call, name="accel-within", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise SilentError(f"{what} within {timeout_s:g} s")
    return results[0]


def _by_reason(failed: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reason, with the nodes that it holds for."""
    nodes_of: dict[str, list[str]] = {}
    for node_id, reason in failed.items():
        nodes_of.setdefault(reason, []).append(node_id)
    sentences = []
    for reason, nodes in nodes_of.items():
        more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
        sentences.append(f"{', '.join(nodes[:_NAMED])}{more} could not be ended: {reason}")
    return sentences
