"""Which clusters ask for a token, the token on the laptop, and its way into hosts and containers."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.base import authentication
from accel_scaling.providers.base.authentication import Authentication, bring_token, decide, make_token, prepare
from accel_scaling.providers.base.command_runner import NodeStart, RefusingCommandRunner
from accel_scaling.providers.base.provider import BootCheckedProvider

TOKEN = "5" * 64
START = with_boot_check("ray start --head")


@pytest.fixture(name="home")
def home_fixture() -> Path:
    return Path.home()


@pytest.fixture(name="ray_is")
def ray_is_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let another version of Ray be the installed one."""

    def ray_is(version: str) -> None:
        monkeypatch.setattr("accel_scaling._ray.versions.installed_version", lambda: version)

    return ray_is


def with_token(home: Path, mode: int = 0o600) -> Path:
    file = home / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(TOKEN)
    file.chmod(mode)
    return file


IN_FILE: list[dict[str, Any]] = [
    {"provider": {"authentication": "token"}},
    {"initialization_commands": ['echo "export RAY_AUTH_MODE=token" >> ~/.bashrc']},  # Ray's documentation
    {"head_start_ray_commands": ["ray stop", "RAY_AUTH_MODE='token' ray start --head"]},
    {"docker": {"run_options": ["--env RAY_AUTH_MODE=token"]}},
]


@pytest.mark.parametrize("config", IN_FILE)
def test_a_cluster_file_asks_for_a_token_whatever_the_users_environment_says(config: Any, home: Path) -> None:
    assert decide(config, {"RAY_AUTH_MODE": "disabled"}, home) == "token"
    assert decide({**config, "provider": {"authentication": "disabled"}}, {}, home) == "disabled"


@pytest.mark.parametrize(
    ("given", "there", "version", "mode"),
    [
        ("", False, "2.60.0", ""),
        ("", True, "2.60.0", "token"),
        ("", True, "2.52.1", "token"),
        ("token", False, "2.60.0", "token"),
        ("TOKEN", False, "2.52.1", "token"),
        ("disabled", True, "2.61.0", "disabled"),
        ("", False, "2.61.0", "token"),  # it is that Ray's default
        ("", True, "2.51.2", ""),  # nothing to switch on
        ("disabled", True, "2.51.2", "disabled"),
    ],
)
def test_the_user_says_it_or_a_token_that_is_there_or_the_version(
    given: str, version: str, mode: str, home: Path, ray_is: Any, *, there: bool
) -> None:
    ray_is(version)
    if there:
        with_token(home)
    assert decide({"provider": {}}, {"RAY_AUTH_MODE": given} if given else {}, home) == mode


@pytest.mark.parametrize(
    ("provider", "variables", "version", "sentence"),
    [
        ({}, {"RAY_AUTH_MODE": "tokn"}, "2.60.0", "RAY_AUTH_MODE is 'tokn': set it to token or disabled"),
        ({}, {"RAY_AUTH_MODE": "token"}, "2.51.2", "RAY_AUTH_MODE=token: Ray 2.51.2 cannot ask for a token; install R"),
        ({"authentication": "token"}, {}, "2.50.1", "provider.authentication: token: Ray 2.50.1 cannot ask for a tok"),
        ({"authentication": True}, {}, "2.60.0", "provider.authentication is True: write token or disabled"),
        ({}, {"RAY_AUTH_TOKEN_PATH": "/no/file"}, "2.60.0", "RAY_AUTH_TOKEN_PATH names /no/file, and there is no tok"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    provider: dict[str, Any], variables: dict[str, str], version: str, sentence: str, ray_is: Any
) -> None:
    ray_is(version)
    with pytest.raises(ClusterConfigError) as error:
        decide({"provider": provider}, variables, Path.home())
    assert str(error.value).startswith(sentence)


def test_ray_up_makes_a_token_once_and_says_where_it_is_but_not_what_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    config: dict[str, Any] = {"provider": {}}
    prepare(config)
    file = home / ".ray" / "auth_token"
    token = file.read_text()
    assert len(token) == 64
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    prepare(config)
    assert file.read_text() == token
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]
    said = "".join(capsys.readouterr())
    assert "~/.ray/auth_token, made just now" in said
    assert token not in said + str(config) + repr(authentication.of_laptop(config["provider"]))
    assert authentication.of_laptop(config["provider"]).token == token


def test_two_ray_ups_at_once_make_one_token(home: Path) -> None:
    file, tokens = home / ".ray" / "auth_token", set()

    def make() -> None:
        make_token(file)
        tokens.add(file.read_text())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 1


def test_the_file_that_rays_own_command_left_open_to_everybody_is_closed(home: Path) -> None:
    file = with_token(home, mode=0o644)
    config: dict[str, Any] = {"provider": {}}
    prepare(config)
    assert config["provider"]["authentication"] == "token"
    assert (file.read_text(), file.stat().st_mode & 0o777) == (TOKEN, 0o600)


def test_a_home_that_cannot_be_written_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray").write_text("in the way")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ClusterConfigError, match=r"the token of the cluster cannot be written: .*; set HOME to"):
        prepare({"provider": {}})


def test_a_variable_of_blanks_hides_every_token_and_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", " ")
    with pytest.raises(
        ClusterConfigError,
        match=r"^RAY_AUTH_TOKEN contains only spaces, and Ray then looks for a "
        "token",
    ):
        prepare({"provider": {"authentication": "token"}})


def test_a_worker_is_told_what_the_heads_ray_has_come_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_token(home)
    assert authentication.of_head() == Authentication("disabled")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert authentication.of_head() == Authentication("token", TOKEN, of_head=True)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the variable")
    assert authentication.of_head().token == "of the variable"


class Autoscaler(BootCheckedProvider):
    """A provider of an autoscaler, with nothing of a cloud."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        config = tmp_path / "ray_bootstrap_config.yaml"
        config.write_text("{available_node_types: {}}")
        monkeypatch.setattr("sys.argv", ["/ray/autoscaler/v2/monitor.py", f"--autoscaling-config={config}"])
        monkeypatch.setattr("accel_scaling.providers.base.cluster_config.publish", lambda path: None)
        self._set_gate({"type": "external", "spare_accelerators": False})


def test_workers_get_the_token_with_which_the_heads_ray_runs_not_one_that_has_come_to_its_file_since(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = with_token(home)
    autoscaler = Autoscaler(monkeypatch, tmp_path)
    file.write_text("a file mount has brought this one")
    assert autoscaler._authentication() == Authentication("token", TOKEN, of_head=True)
    file.unlink()
    assert autoscaler._authentication().token == TOKEN


@pytest.mark.parametrize(
    ("before", "said"), [("of another user\n", True), (TOKEN, False), (f"{TOKEN}\n", False), (None, False)]
)
def test_ray_up_says_before_the_heads_ray_starts_that_its_token_is_replaced(
    before: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, said: bool
) -> None:
    head = tmp_path / ".ray" / "auth_token"
    head.parent.mkdir()
    if before:
        head.write_text(before)
    bring_token(Host(tmp_path), Authentication("token", TOKEN))
    text = " ".join("".join(capsys.readouterr()).split())
    assert ("The head has another token in ~/.ray/auth_token, which is now replaced" in text) is said
    assert TOKEN not in text
    bring_token(Host(tmp_path), Authentication("token", TOKEN, of_head=True))
    assert "".join(capsys.readouterr()) == "", "a worker's is the autoscaler's own affair"


def test_ray_up_says_when_a_node_gets_the_token(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_token(home)
    prepare({"provider": {}})
    assert "that of ~/.ray/auth_token. A node gets it by ssh, when its Ray is started." in "".join(capsys.readouterr())
    monkeypatch.setattr(_ray, "leaves_ray_running", lambda: True)
    prepare({"provider": {}})
    assert "With --no-restart, a head that runs keeps the token that it was s" in "".join(capsys.readouterr())


class Host:
    """A host, and the container on it: rsync and commands go to folders of this machine."""

    def __init__(self, home: Path, container: Path | None = None) -> None:
        self.home, self.container, self.commands = home, container, list[str]()
        if container:
            self.ssh_command_runner, self.container_name, self.docker_cmd = Host(home), "mine", "docker"
            self.ssh_command_runner.commands = self.commands

    def run_rsync_up(self, source: str, target: str) -> None:
        self.commands.append(f"rsync {source} {target}")
        subprocess.run(["cp", "-p", source, self.home / target.removeprefix("~/")], check=True)

    def run(self, cmd: str, **_: Any) -> bytes:
        self.commands.append(cmd)
        # `docker exec -i mine` is the shell of the container.
        cmd = cmd.replace("docker exec -i mine", f"env HOME={self.container}")
        done = subprocess.run(
            ["bash", "-c", cmd], env={**os.environ, "HOME": str(self.home)}, check=True, capture_output=True
        )
        return done.stdout


def test_the_token_comes_into_a_container_as_its_users_file_and_nothing_of_it_stays_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name in ("host", "container", "tmp"):
        (tmp_path / name).mkdir()
    host = Host(tmp_path / "host", tmp_path / "container")
    bring_token(host, Authentication("token", TOKEN))
    (file,) = (tmp_path / "container").iterdir()
    assert (file.read_text().strip(), file.stat().st_mode & 0o777) == (TOKEN, 0o600)
    assert list((tmp_path / "host").iterdir()) == list(temporary.iterdir()) == []
    assert TOKEN not in "".join(host.commands)


def test_a_node_gets_the_token_once_before_its_first_start_command_and_each_is_told_the_mode(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.run = lambda cmd, **_: host.commands.append(cmd) or b""  # type: ignore[method-assign,func-returns-value]
    runner = RefusingCommandRunner(
        host,
        lambda *_: True,
        lambda *_: None,
        authentication=lambda: Authentication("token", TOKEN, of_head=True),
    )
    for command in ("ray stop", START, START):
        runner.run(command)
    starts = [command for command in host.commands if "ray start" in command]
    assert ["ray stop" in host.commands[0], *(command.partition(" ")[0] for command in host.commands[1:3])] == [
        True,
        "rsync",
        "export",
    ]
    assert sum(command.startswith("rsync") for command in host.commands) == 1
    assert len(starts) == 2
    assert all(command.startswith("export RAY_AUTH_MODE=token ACCEL_SCALING_TOKEN_OF_HEAD=1; ") for command in starts)
    assert TOKEN not in "".join(host.commands)


def test_a_token_that_cannot_be_copied_is_told_of_the_node(tmp_path: Path) -> None:
    failed = []

    class Told(NodeStart):
        def command_failed(self, one: Any) -> None:
            failed.append(one.command)

    runner = RefusingCommandRunner(
        Host(tmp_path / "no such folder"), lambda *_: True, lambda *_: None, told=Told(),
        authentication=lambda: Authentication("token", TOKEN),
    )  # fmt: skip
    with pytest.raises(subprocess.CalledProcessError):
        runner.run(START)
    assert failed == ["the copy of Ray's token"]


def test_no_message_has_a_token(home: Path) -> None:
    with_token(home)
    assert TOKEN not in repr(_ray.find_token({}, home)) + repr(Authentication("token", TOKEN))
