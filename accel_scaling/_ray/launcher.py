"""The launcher behind `ray up` and both autoscalers: logs, errors, command runners, tags, and the running command."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from accel_scaling._ray import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*m")  # colours


def cli_logger() -> Any:
    """Return the logger behind `ray up`'s output and the autoscaler's log."""
    from ray.autoscaler._private.cli_logger import cli_logger as logger

    return logger


@contextlib.contextmanager
def collected_panics() -> Iterator[list[str]]:
    """Collect what Ray's code says in lines of PANIC, in place of printing it; it raises next."""
    from ray.autoscaler._private import cli_logger as module

    logger, texts = module.cli_logger, list[str]()

    def collect(msg: str, *args: Any, _level_str: str | None = None, **kwargs: Any) -> None:
        del _level_str, kwargs
        text = _TERMINAL_CODE.sub("", module._format_msg(msg, *args))  # noqa: SLF001
        texts.append(" ".join(text.split()))

    # On the object, not its class: taken away again, the class's own function is there.
    logger._error = collect  # noqa: SLF001
    try:
        yield texts
    finally:
        del logger._error  # noqa: SLF001


def node_launch_exception() -> Any:
    """Return the exception that tells both autoscalers why a launch failed."""
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    return NodeLaunchException


def command_failed() -> tuple[type[Exception], ...]:
    """Return what a command runner raises when a command on a node fails; the others with `--use-normal-shells`.

    The last where Ray asks for the exit code a moment before ssh has ended: it compares None with 0
    (_run_and_process_output in subprocess_output_util.py polls once, when the output has ended).
    """
    import click
    from ray.autoscaler._private.command_runner import ProcessRunnerError

    return click.ClickException, ProcessRunnerError, TypeError


def hosts_of(runner: Any) -> list[Any]:
    """Return the command runners of a node's hosts: several for a TPU slice, else the one given."""
    return list(getattr(runner, "_command_runners", None) or [runner])


def connections_of(runner: Any) -> int:
    """Return to how many hosts of a TPU slice Ray's command runner talks at once."""
    return max(1, int(getattr(runner, "num_connections", 1)))


def ssh_runner_of(runner: Any) -> Any:
    """Return the command runner of a host itself, of the runner of a host or of the container on it."""
    return getattr(runner, "ssh_command_runner", runner)


def command_in_container(runner: Any, words: Sequence[str]) -> str | None:
    """Return the command for the host that runs words in its container, with its own input; None without a container.

    Not by Ray's runner: it asks the container for a terminal, which input from a file is not.
    """
    if not hasattr(runner, "ssh_command_runner"):
        return None
    return shlex.join([runner.docker_cmd, "exec", "-i", runner.container_name, *words])


def quick_probe(runner: Any, timeout_s: int) -> dict[str, Any]:
    """Return the options with which this command runner of Ray's asks whether ssh answers, silently if not."""
    # That of containers has no `silent`, though it runs the probe by the one of the host.
    silent = {"silent": True} if "silent" in inspect.signature(runner.run).parameters else {}
    return {"timeout": timeout_s, **silent}


def is_head(tags: dict[str, str]) -> bool:
    """Return whether these node tags are a head node's."""
    from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

    return bool(tags.get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD)


def node_type_of(tags: dict[str, str]) -> str:
    """Return the node type's name in the cluster file, from a node's tags."""
    from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

    return str(tags.get(TAG_RAY_USER_NODE_TYPE, "?"))


def cluster_name_tag() -> str:
    """Return the tag of a node that holds its cluster's name."""
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

    return str(TAG_RAY_CLUSTER_NAME)


def called_by_ray_up() -> bool:
    """Return whether Ray's `_bootstrap_config` is calling the provider's fill, and swallows what it raises.

    It prints a warning, or off a terminal a traceback, and continues with a config that was not filled.
    """
    from ray.autoscaler._private.commands import _bootstrap_config

    return calls_through(_bootstrap_config, "fillout_available_node_types_resources")


def reads_only() -> bool:
    """Return whether the config is being resolved for a command that launches nothing, as `ray down` and `ray exec`."""
    from ray.autoscaler._private import commands

    command = _resolving_command()
    if command is None:
        return False
    starts = command.f_locals.get("start")  # `ray exec --start`
    # By its code, not its name: a wrapper or another module may have a function of the same name.
    return command.f_code is not commands.create_or_update_cluster.__code__ and not starts


def launched_by_ray_up() -> bool:
    """Return whether the config is being resolved for `ray up` itself, which then launches the head from here."""
    from ray.autoscaler._private import commands

    command = _resolving_command()
    return command is not None and command.f_code is commands.create_or_update_cluster.__code__


def may_launch_head() -> bool:
    """Return whether the config is being resolved for a command that launches a head where none runs.

    `ray up`, and `ray exec`, `ray attach` and `ray submit` with `--start`.
    """
    return _resolving_command() is not None and not reads_only()


def leaves_ray_running() -> bool:
    """Return whether the config is being resolved for `ray up --no-restart`, which starts no Ray that is running."""
    command = _resolving_command()
    return command is not None and bool(command.f_locals.get("no_restart"))


def file_of_ray_up() -> str | None:
    """Return the path of the cluster file that `ray up` was given, in this thread; None where it is not running."""
    from ray.autoscaler._private.commands import create_or_update_cluster

    frame = next((frame for frame in callers() if frame.f_code is create_or_update_cluster.__code__), None)
    path = frame.f_locals.get("config_file") if frame is not None else None
    return path if isinstance(path, str) else None


def config_cache_path() -> str | None:
    """Return where Ray caches the config that it is resolving now; None where it is resolving none."""
    from ray.autoscaler._private.commands import _bootstrap_config

    frame = next((frame for frame in callers() if frame.f_code is _bootstrap_config.__code__), None)
    path = frame.f_locals.get("cache_key") if frame is not None else None
    return path if isinstance(path, str) else None


def name_config_cache(provider_config: dict[str, Any]) -> None:
    """Write where Ray caches the config that it is resolving into its provider section, as Ray does since 2.51."""
    path = config_cache_path()
    if path is not None and not versions.has("named_config_cache"):
        provider_config["_config_cache_path"] = path


def ends_cluster() -> bool:
    """Return whether `ray down` is running, in this thread."""
    return _teardown() is not None


def lists_to_end() -> bool:
    """Return whether `ray down` lists nodes to end them by `non_terminated_nodes`, in this thread.

    Since 2.56 it asks for them by `nodes_for_teardown`; before, stopped machines would stay, and be paid for.
    """
    if versions.has("nodes_for_teardown") or _teardown() is None:
        return False
    names = [frame.f_code.co_name for frame in callers()]
    # teardown_cluster lists by a function of its own; what this package lists for its answer is no question of Ray's.
    return "remaining_nodes" in names and "nodes_for_teardown" not in names


def ends_workers_only() -> bool:
    """Return whether `ray down --workers-only` is running, in this thread."""
    frame = _teardown()
    return frame is not None and bool(frame.f_locals.get("workers_only"))


def _teardown() -> FrameType | None:
    from ray.autoscaler._private.commands import teardown_cluster

    return next((frame for frame in callers() if frame.f_code is teardown_cluster.__code__), None)


def _resolving_command() -> FrameType | None:
    """Return the frame of Ray's command that is resolving a config; None where none is."""
    from ray.autoscaler._private import commands

    command = caller_of(commands._bootstrap_config)  # noqa: SLF001
    # The SDK and cluster_dump.py call it too; what they do with the config is not known here, so they count as none.
    return command if command is not None and command.f_globals is vars(commands) else None


# Ray tells a provider neither which command resolves its config nor which autoscaler made it; only the call stack has
# it. Frames are found by the function that they run, never by their depth: a helper between two functions of ours
# changes nothing.


def callers() -> list[FrameType]:
    """Return the frames of this thread from the nearest caller outwards; the first is whoever called this function."""
    frames = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way costs 1 ms a frame (inspect.stack)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def caller_of(function: Callable[..., Any]) -> FrameType | None:
    """Return the frame that called a function which is being run now; None where it is not being run."""
    frames = callers()
    outer = itertools.dropwhile(lambda frame: frame.f_code is not function.__code__, frames)
    next(outer, None)
    return next(outer, None)


def calls_through(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function is being run now, and has called us through a function of this name."""
    frames = callers()
    inner = list(itertools.takewhile(lambda frame: frame.f_code is not function.__code__, frames))
    return len(inner) < len(frames) and any(frame.f_code.co_name == name for frame in inner)


def variable_of_callers(name: str, attribute: str) -> Any | None:
    """Return a variable of a caller, or an attribute of its ``self``: the nearest value that has an attribute.

    Args:
        name: the name of the variable, or of the attribute of ``self``.
        attribute: what the value must have; None is returned where no caller's has it.
    """
    for frame in callers():
        # v2's monitor has some of these as local variables, v1's has the same as attributes.
        for value in (frame.f_locals.get(name), getattr(frame.f_locals.get("self"), name, None)):
            if hasattr(value, attribute):
                return value
    return None
