"""Token authentication of a cluster: who decides it, and the token's way from laptop to head, and from head to workers.

It is copied right before a node's start command, as a file that only its owner may read. So it is in no cluster config
(the head has that as a file, and its hash is a tag of the machine), in no command line, and in no log.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray import versions
from accel_scaling._ray.facts import AUTH_MODE, AUTH_TOKEN, AUTH_TOKEN_FILE
from accel_scaling.boot.authentication import DISABLED, INCOMING, OF_HEAD, SINCE, TOKEN, mode_of
from accel_scaling.cluster.policies import AUTHENTICATION, authentication_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.base.tpu_slice_start import on_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Where a cluster file may set the variable for its nodes, as Ray's documentation has it.
_COMMANDS = ("initialization_commands", "setup_commands", "head_setup_commands", "head_start_ray_commands")
_CONTAINERS = ("run_options", "head_run_options")

_OTHER = "another-token-was-here"
_COMPARE = (
    f'if [ -s ~/{AUTH_TOKEN_FILE} ] && [ "$(head -n 1 ~/{AUTH_TOKEN_FILE})" != "$(head -n 1 ~/{INCOMING})" ]; '
    f"then echo {_OTHER}; fi"
)
_REPLACED = (
    f"The head has another token in ~/{AUTH_TOKEN_FILE}, which is now replaced: its Ray starts with the new one, then "
    "that of the workers; calls with the former one are refused until the caller has this one "
    "(`ray get-auth-token` prints it)."
)
_IN_TEXT = re.compile(rf"\b{AUTH_MODE}=[\"']?(token|disabled)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Authentication:
    """What a node is told before it starts Ray.

    Attributes:
        mode: ``token``, ``disabled``, or empty: the node decides, by whether it has a token.
        token: with ``token``; empty where the node has its own.
        of_head: whether the head tells it to a worker, which must use this token and no other.
    """

    mode: str = ""
    token: str = field(default="", repr=False)
    of_head: bool = False


def decide(config: Mapping[str, Any], environment: Mapping[str, str], home: Path) -> str:
    """Return whether a cluster asks for a token: ``token``, ``disabled``, or empty where nothing speaks for either.

    The file says it first, then RAY_AUTH_MODE here, then a token that is here, and last the version of Ray.

    Args:
        config: the cluster config.
        environment: of whoever runs `ray up`.
        home: theirs.

    Raises:
        ClusterConfigError: a mode that does not exist, a Ray that cannot ask for a token, a file without one.
    """
    provider = config.get("provider") or {}
    of_file = authentication_policy(provider) or _mode_in_commands(config)
    of_user = mode_of(environment)
    if not of_file and of_user not in ("", TOKEN, DISABLED):
        raise ClusterConfigError(f"{AUTH_MODE} is {shown(environment[AUTH_MODE])}: set it to {TOKEN} or {DISABLED}")
    mode = of_file or of_user
    if mode == TOKEN and not _ray.has("tokens"):
        where = f"provider.{AUTHENTICATION}: {TOKEN}" if provider.get(AUTHENTICATION) else f"{AUTH_MODE}={TOKEN}"
        raise ClusterConfigError(
            f"{where}: Ray {versions.installed_version()} cannot ask for a token; install {SINCE} or newer, here and "
            "on the nodes, or leave it out"
        )
    if mode or not _ray.has("tokens"):
        return mode
    return TOKEN if versions.is_at_least(versions.TOKENS_BY_DEFAULT) or _token_here(environment, home) else ""


def prepare(config: Mapping[str, Any]) -> None:
    """Decide it at `ray up`, write it into the provider section, and make a token where one is needed and none is here.

    Raises:
        ClusterConfigError: as of `decide`, or a token that cannot be written.
    """
    home = Path.home()
    mode = decide(config, os.environ, home)
    if mode:
        config["provider"][AUTHENTICATION] = mode
    if mode != TOKEN:
        return
    made = "" if _token_here(os.environ, home) else ", made just now"
    file = home / AUTH_TOKEN_FILE
    try:
        if made:
            make_token(file)
        _keep_to_owner(file)
    except OSError as error:
        raise ClusterConfigError(
            f"{error.filename or file}: the token of the cluster cannot be written: {error.strerror}; set HOME to a "
            f"folder that you may write to, or set {AUTH_MODE}={DISABLED}"
        ) from None
    found = _token_here(os.environ, home)
    if found is None:
        raise ClusterConfigError(
            f"{AUTH_TOKEN} contains only spaces, and Ray then looks for a token nowhere else; unset it"
        )
    when = "A node gets it by ssh, when its Ray is started."
    if _ray.leaves_ray_running():
        when = "With --no-restart, a head that runs keeps the token that it was started with."
    _ray.cli_logger().print(
        "{}", f"The cluster's Ray asks its callers for a token: that of {found.place}{made}. {when}"
    )


def of_laptop(provider: Mapping[str, Any]) -> Authentication:
    """Return what `ray up` tells the head.

    Args:
        provider: the provider section that `prepare` has seen.
    """
    mode = str(provider.get(AUTHENTICATION) or "")
    found = _token_here(os.environ, Path.home()) if mode == TOKEN else None
    return Authentication(mode, found.text if found else "")


def of_head() -> Authentication:
    """Return what the autoscaler tells a worker: to do as its own Ray does, which started this process.

    To be asked once, when the process begins: Ray keeps the token that it was started with. A file mount, or a person,
    may replace the file while it runs; workers with the new token would be refused, and launched again and again.
    """
    if not _ray.has("tokens"):
        return Authentication()
    # `ray start` gives its processes the mode that it has come to. Said even where it is off: an image's own variable,
    # or the default of a newer Ray, must not have one worker ask for what no other sends.
    if mode_of(os.environ) != TOKEN:
        return Authentication(DISABLED)
    # Not even Ray starts where a file that the environment names has none: then this process is not a head's.
    with contextlib.suppress(_ray.CannotReadTokenError):
        if found := _ray.find_token(os.environ, Path.home()):
            return Authentication(TOKEN, found.text, of_head=True)
    return Authentication(TOKEN)


def with_mode(command: str, authentication: Authentication) -> str:
    """Return a start command that runs with this mode."""
    words = f"{AUTH_MODE}={authentication.mode}" + (f" {OF_HEAD}=1" if authentication.of_head else "")
    return f"export {words}; {command}" if authentication.mode else command


def bring_token(runner: Any, authentication: Authentication) -> None:
    """Copy the token to the hosts of a node: into their containers, where they have some.

    Args:
        runner: Ray's command runner of a node, or of all hosts of a slice.
        authentication: without a token, nothing is done.

    Raises:
        Exception: what Ray's runners raise where a command fails.
    """
    if not authentication.token:
        return
    with _private_file(authentication.token) as file:
        on_each(runner, _ray.hosts_of(runner), lambda host: _bring_to(host, file))
    if not authentication.of_head and _replaces_another(runner):
        _ray.cli_logger().print("{}", _REPLACED)


def _replaces_another(runner: Any) -> bool:
    """Return whether a node has another token than the one that was just copied to it."""
    try:
        output = runner.run(_COMPARE, with_output=True)
    except _ray.command_failed():
        return False
    return _OTHER in (output.decode(errors="replace") if isinstance(output, bytes) else str(output))


def _bring_to(host: Any, file: Path) -> None:
    _ray.ssh_runner_of(host).run_rsync_up(str(file), f"~/{INCOMING}")
    # Written by the container's own user: a copy keeps the number of the host's, who may be nobody there.
    words = ["sh", "-c", f'umask 077; cat > "$HOME/{INCOMING}"']
    if command := _ray.command_in_container(host, words):
        host.run(f'{command} < "$HOME/{INCOMING}"; code=$?; rm -f "$HOME/{INCOMING}"; exit $code', run_env="host")


@contextlib.contextmanager
def _private_file(text: str) -> Iterator[Path]:
    """Keep a text in a file of this machine that only its owner may read, until the end of the block."""
    number, name = tempfile.mkstemp(prefix="accel-")  # 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text + "\n")
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def make_token(file: Path) -> None:
    """Write a new token into a file of the laptop that only its owner may read; one that is there stays.

    Raises:
        OSError: it cannot be written.
    """
    import secrets

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix="auth_token.", dir=file.parent)
    fresh = Path(name)
    try:
        with os.fdopen(number, "w", encoding="ascii") as written:
            written.write(secrets.token_hex(32))  # as long as Ray's own
        # Never over another's: a second `ray up` at the same moment uses the first one's.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
        if not file.read_bytes().strip():
            fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _keep_to_owner(file: Path) -> None:
    """Take the permissions of others from Ray's own token file: `ray get-auth-token --generate` lets everybody read."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)


def _token_here(environment: Mapping[str, str], home: Path) -> _ray.FoundToken | None:
    try:
        return _ray.find_token(environment, home)
    except _ray.CannotReadTokenError as error:
        raise ClusterConfigError(
            f"RAY_AUTH_TOKEN_PATH names {error}, and there is no token in it; write one there, or unset the variable"
        ) from None


def _mode_in_commands(config: Mapping[str, Any]) -> str:
    """Return the mode that a cluster file sets in options of its container or commands of its head; the last counts."""
    docker = config.get("docker")
    options = [docker.get(key) for key in _CONTAINERS] if isinstance(docker, dict) else []
    lists = [*options, *(config.get(key) for key in _COMMANDS)]
    texts = [text for one in lists for text in (one if isinstance(one, list) else ()) if isinstance(text, str)]
    found = [match[1].lower() for text in texts for match in _IN_TEXT.finditer(text)]
    return found[-1] if found else ""
