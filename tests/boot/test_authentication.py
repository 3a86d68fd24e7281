"""Before Ray starts on a node: the token comes to its place, and its Ray asks for it where it is to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.boot import authentication, bundle, start_hook
from accel_scaling.boot.authentication import INCOMING

SCRIPT = Path(bundle.__file__).with_name("before_ray_start.sh")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first: the code under test changes them, and monkeypatch takes back what it has seen.
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def source(home: Path, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "ACCEL_SCALING_BUNDLE": "/b"}
    return subprocess.run(
        [shell, "-euc", f"umask 022; . {SCRIPT}; set"], env=environment, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("before", [None, "of the image"])
def test_a_token_that_has_come_is_its_owners_and_replaces_what_the_image_had(
    tmp_path: Path, shell: str, before: str | None
) -> None:
    file = tmp_path / ".ray" / "auth_token"
    if before:
        file.parent.mkdir()
        file.write_text(before)
        file.chmod(0o644)
    (tmp_path / INCOMING).write_text("new\n")
    done = source(tmp_path, shell)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new\n", 0o600)
    assert not (tmp_path / INCOMING).exists()
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]
    assert "_accel_" not in done.stdout
    assert source(tmp_path, shell).stderr == ""
    assert file.read_text() == "new\n", "the next start has brought none"


def test_a_file_on_which_another_is_mounted_gets_the_token_too(tmp_path: Path) -> None:
    file, tools = tmp_path / ".ray" / "auth_token", tmp_path / "bin"
    for folder in (file.parent, tools):
        folder.mkdir()
    file.write_text("of the host")
    (tools / "mv").write_text("#!/bin/sh\nexit 1\n")  # as rename(2) on a mount: EBUSY
    (tools / "mv").chmod(0o755)
    (tmp_path / INCOMING).write_text("new")
    environment = {"HOME": str(tmp_path), "PATH": f"{tools}:/usr/bin:/bin", "ACCEL_SCALING_BUNDLE": "/b"}
    subprocess.run(["sh", "-euc", f". {SCRIPT}"], env=environment, check=True)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]


def start(*, head: bool) -> None:
    start_hook.run(SimpleNamespace(labels=None), head=head)


def in_shells() -> list[str]:
    file = Path(os.environ["ACCEL_SCALING_HOME"], "env.sh")
    return [line for line in file.read_text().splitlines() if "AUTH" in line]


@pytest.fixture(name="node")
def node_fixture(boot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home, right before `ray start`."""
    home = Path.home()
    (home / ".accel_scaling").mkdir()
    (home / ".accel_scaling" / "env.sh").write_text("export RAY_AUTH_MODE=former\n")
    monkeypatch.setenv("ACCEL_SCALING_HOME", str(home / ".accel_scaling"))
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')
    return home


def put_token(home: Path) -> None:
    (home / ".ray").mkdir(parents=True, exist_ok=True)
    (home / ".ray" / "auth_token").write_text("a token")


@pytest.mark.parametrize(
    ("head", "there", "said", "mode"),
    [
        (True, True, None, "token"),  # Ray 2.59 and newer do so by themselves
        (True, False, None, None),
        (True, True, "disabled", "disabled"),
        (False, True, None, None),  # its head has not said so
        (False, True, "token", "token"),
    ],
)
def test_a_head_that_has_a_token_asks_for_it_unless_a_user_says_no_and_its_shells_know(
    node: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, mode: str | None, *, head: bool, there: bool
) -> None:
    from ray._raylet import Config

    if there:
        put_token(node)
    if said:
        monkeypatch.setenv("RAY_AUTH_MODE", said)
    try:
        start(head=head)
        assert os.environ.get("RAY_AUTH_MODE") == mode
        assert in_shells() == ([f"export RAY_AUTH_MODE={mode}"] if mode else [])
    finally:
        monkeypatch.undo()
        Config.initialize("")


def test_a_ray_that_sudo_gave_another_home_reads_the_token_of_whoever_called_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_token(tmp_path / "ubuntu")
    environment = {"RAY_AUTH_MODE": "token", "ACCEL_SCALING_HOME": str(tmp_path / "ubuntu" / ".accel_scaling")}
    assert authentication.settle(environment, head=False) == ""
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "ubuntu" / ".ray" / "auth_token")


@pytest.mark.parametrize("other", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
@pytest.mark.parametrize("sent", [True, False])
def test_a_worker_uses_the_token_that_its_head_has_sent_whatever_its_image_has(
    tmp_path: Path, other: str, *, sent: bool
) -> None:
    put_token(tmp_path)
    (tmp_path / "other").write_text("of the image")
    environment = {
        "RAY_AUTH_MODE": "token",
        "ACCEL_SCALING_HOME": str(tmp_path / ".accel_scaling"),
        other: str(tmp_path / "other"),
        **({authentication.OF_HEAD: "1"} if sent else {}),
    }
    assert authentication.settle(environment, head=False) == ""
    found = _ray.find_token(environment, Path("/no home"))
    assert found is not None
    assert (found.text == "a token") is sent


def test_a_node_whose_ray_cannot_ask_for_the_token_never_joins(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("accel_scaling._ray.versions.installed_version", lambda: "2.51.2")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(SystemExit) as end:
        start(head=False)
    assert end.value.code == 1
    said: Any = capsys.readouterr().err.splitlines()
    assert said[-1].endswith(
        "RAY_AUTH_MODE=token, and the Ray of this node, 2.51.2, does not ask for a token; install Ray 2.52 or newer on"
        " the nodes"
    )
