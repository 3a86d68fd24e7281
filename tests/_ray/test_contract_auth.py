"""Where Ray looks for its token, how it reads a mode, and what its clients and servers say without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling._ray import auth, facts

LOADER = """
import json, os
from ray._raylet import AuthenticationMode as modes, AuthenticationTokenLoader, Config, get_authentication_mode
asks, loader = get_authentication_mode() == modes.TOKEN, AuthenticationTokenLoader.instance()
try:
    token = loader.get_raw_token(ignore_auth_mode=True)
except TypeError:  # before 2.54 it looks only where authentication is on
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
    token = loader.get_raw_token() if loader.has_token() else ""
except Exception as error:
    token = type(error).__name__
print(json.dumps([asks, token]))
"""


def of_ray(home: Path, **variables: str) -> Any:
    """Return whether Ray asks for a token, and which it finds, in a process with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", LOADER], env={**kept, "HOME": str(home), **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Before 2.54 the process ends at a file that cannot be read.
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else [None, "AuthenticationError"]


@pytest.mark.parametrize(
    ("in_home", "variables"),
    [
        (None, {}),
        ("of the home\n", {}),
        ("  of the home \n second line\n", {}),
        ("\nsecond line\n", {}),
        ("of the home", {"RAY_AUTH_TOKEN": " of the variable "}),
        ("of the home", {"RAY_AUTH_TOKEN": " "}),
        ("of the home", {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""}),
        ("of the home", {"RAY_AUTH_TOKEN_PATH": "FILE"}),
        ("of the home", {"RAY_AUTH_TOKEN_PATH": "/no/such/file"}),
        ("of the home", {"RAY_AUTH_TOKEN_PATH": "~/.ray/auth_token"}),
        ("of the home", {"RAY_AUTH_TOKEN_PATH": "FILE", "RAY_AUTH_TOKEN": "of the variable"}),
    ],
)
def test_we_find_the_token_that_ray_finds(tmp_path: Path, in_home: str | None, variables: dict[str, str]) -> None:
    (tmp_path / "file").write_text("of the file\n")
    variables = {name: value.replace("FILE", str(tmp_path / "file")) for name, value in variables.items()}
    if in_home is not None:
        (tmp_path / facts.AUTH_TOKEN_FILE).parent.mkdir()
        (tmp_path / facts.AUTH_TOKEN_FILE).write_text(in_home)
    try:
        found = auth.find_token(variables, tmp_path)
        ours = found.text if found else ""
    except auth.CannotReadTokenError:
        ours = "AuthenticationError"
    assert ours == of_ray(tmp_path, **variables)[1]


@pytest.mark.parametrize(("mode", "asks"), [("token", True), ("Token", True), ("disabled", False), ("tokn", False)])
def test_ray_reads_small_and_capital_letters_and_takes_another_word_for_disabled(
    tmp_path: Path, mode: str, *, asks: bool
) -> None:
    assert of_ray(tmp_path, RAY_AUTH_MODE=mode)[0] is asks


def test_a_ray_of_today_asks_nobody_by_default(tmp_path: Path) -> None:
    assert of_ray(tmp_path)[0] is _ray.asks_for_token_by_default()


SWITCHED = """
from ray._raylet import AuthenticationMode as modes, get_authentication_mode
from accel_scaling._ray import set_auth_mode
for mode in ("token", "disabled"):
    set_auth_mode(mode)
    print(get_authentication_mode() == modes.TOKEN)
"""


def test_a_mode_that_is_set_after_rays_core_was_loaded_counts() -> None:
    done = subprocess.run([sys.executable, "-c", SWITCHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("version", "knows", "by_default"),
    [("2.50.1", False, False), ("2.51.2", False, False), ("2.52.0", True, False), ("2.60.0", True, False),
     ("2.61.0rc1", True, True), ("3.0.0.dev0", True, True), ("", False, False)],
)  # fmt: skip
def test_a_version_says_whether_its_ray_can_ask_for_a_token(version: str, *, knows: bool, by_default: bool) -> None:
    assert auth.knows_tokens(version) is knows
    assert auth.asks_for_token_by_default(version) is by_default


def test_rays_documentation_has_the_file_where_its_own_command_writes(tmp_path: Path) -> None:
    from ray._private.authentication.authentication_token_setup import _get_default_token_path

    assert _get_default_token_path() == Path.home() / facts.AUTH_TOKEN_FILE


def test_a_container_of_rays_has_the_runner_of_its_host_and_the_program_that_runs_it() -> None:
    from ray.autoscaler._private.command_runner import DockerCommandRunner, SSHCommandRunner

    runner = DockerCommandRunner(
        {"container_name": "mine", "use_podman": True}, log_prefix="", node_id="i", provider=None,
        auth_config={"ssh_user": "ubuntu"}, cluster_name="c", process_runner=subprocess, use_internal_ip=True,
    )  # fmt: skip
    assert isinstance(_ray.ssh_runner_of(runner), SSHCommandRunner)
    assert _ray.command_in_container(runner, ["cat", "a b"]) == "podman exec -i mine cat 'a b'"
    assert _ray.ssh_runner_of(runner.ssh_command_runner) is runner.ssh_command_runner
    assert _ray.command_in_container(runner.ssh_command_runner, ["cat"]) is None


def test_the_gcs_has_the_call_that_we_ask_and_rays_client_the_error_that_we_know() -> None:
    import ray.exceptions
    from ray.core.generated import gcs_service_pb2

    service, call = auth._QUESTION.removeprefix("/").split("/")
    package, _, name = service.rpartition(".")
    assert gcs_service_pb2.DESCRIPTOR.package == package
    method = gcs_service_pb2.DESCRIPTOR.services_by_name[name].methods_by_name[call]
    assert [field.name for field in method.input_type.fields] == []
    assert auth.is_refusal(ray.exceptions.AuthenticationError("no token"))
    assert not auth.is_refusal(RuntimeError("no token"))
