"""Where Ray looks for its token, how it reads a mode, and what its clients and servers say without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from accel_scaling import _ray
from accel_scaling._ray import auth, facts, versions

# All of them in one process: each start of Ray's core takes a second of CPU.
LOADER = """
import json, os, sys
from ray._raylet import AuthenticationMode as modes, AuthenticationTokenLoader, Config, get_authentication_mode
answers = []
for variables in json.load(sys.stdin):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ.update(variables)
    Config.initialize("")
    loader = AuthenticationTokenLoader.instance()
    loader.reset_cache()
    try:
        token = loader.get_raw_token(ignore_auth_mode=True)
    except Exception as error:
        token = type(error).__name__
    answers.append([get_authentication_mode() == modes.TOKEN, token])
print(json.dumps(answers))
"""


def of_ray(*cases: dict[str, str]) -> list[tuple[bool, str]]:
    """Return, for each set of variables, whether Ray asks for a token, and which it finds."""
    done = subprocess.run(
        [sys.executable, "-c", LOADER], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return [(asks, token) for asks, token in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.since(2, 53)
def test_we_find_the_token_that_ray_finds(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the file\n")
    homes = {"none": None, "a": "of the home\n", "b": "  of the home \n second line\n", "c": "\nsecond line\n"}
    for name, text in homes.items():
        (tmp_path / name / ".ray").mkdir(parents=True)
        if text is not None:
            (tmp_path / name / facts.AUTH_TOKEN_FILE).write_text(text)
    given = [
        {"RAY_AUTH_TOKEN": " of the variable "},
        {"RAY_AUTH_TOKEN": " "},
        {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""},
        {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")},
        {"RAY_AUTH_TOKEN_PATH": "/no/such/file"},
        {"RAY_AUTH_TOKEN_PATH": "~/.ray/auth_token"},
        {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file"), "RAY_AUTH_TOKEN": "of the variable"},
    ]
    cases = [{"HOME": str(tmp_path / name)} for name in homes]
    cases += [{"HOME": str(tmp_path / "a"), **variables} for variables in given]
    ours = [found_by_us(variables) for variables in cases]
    assert ours == [token for _, token in of_ray(*cases)]
    assert len(set(ours)) == 5, "the cases differ"


def found_by_us(variables: dict[str, str]) -> str:
    try:
        found = _ray.find_token(variables, Path(variables["HOME"]))
    except _ray.CannotReadTokenError:
        return "AuthenticationError"
    return found.text if found else ""


@pytest.mark.since(2, 52)
def test_ray_reads_small_and_capital_letters_takes_another_word_for_disabled_and_asks_for_no_token_by_default() -> None:
    words = ("token", "Token", "disabled", "tokn")
    answers = of_ray({}, *({"RAY_AUTH_MODE": word} for word in words))
    assert [asks for asks, _ in answers] == [versions.is_at_least(versions.TOKENS_BY_DEFAULT), True, True, False, False]


SWITCHED = """
from ray._raylet import AuthenticationMode as modes, get_authentication_mode
from accel_scaling import _ray
for mode in ("token", "disabled"):
    _ray.set_auth_mode(mode)
    print(get_authentication_mode() == modes.TOKEN)
"""


@pytest.mark.since(2, 52)
def test_a_mode_that_is_set_after_rays_core_was_loaded_counts() -> None:
    done = subprocess.run([sys.executable, "-c", SWITCHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("version", "knows", "by_default"),
    [("2.50.1", False, False), ("2.51.2", False, False), ("2.52.0", True, False), ("2.60.0", True, False),
     ("2.61.0rc1", True, True), ("3.0.0.dev0", True, True), (None, True, False)],
)  # fmt: skip
def test_a_version_says_whether_its_ray_can_ask_for_a_token(
    monkeypatch: pytest.MonkeyPatch, version: str | None, *, knows: bool, by_default: bool
) -> None:
    assert versions.installed_version() == ray.__version__
    monkeypatch.setattr(versions, "installed_version", lambda: version)
    assert _ray.has("tokens") is knows
    assert versions.is_at_least(versions.TOKENS_BY_DEFAULT) is by_default


@pytest.mark.since(2, 52)
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


@pytest.mark.since(2, 52)
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
