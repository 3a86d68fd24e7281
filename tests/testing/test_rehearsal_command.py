"""The user's command of a rehearsal: the scripts that it brings to the head, its exit code, and a head that ends."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.hosts import below_home
from accel_scaling.testing.rehearse.command import EXIT_CODE_FILE, exit_code, shell_line
from accel_scaling.testing.rehearse.timeline import Timeline

HEAD = "the head, m5.large i-head,"


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user calls `rehearse`."""
    folder = tmp_path / "work"
    (folder / "my scripts").mkdir(parents=True)
    (folder / "my scripts" / "say it.sh").write_text("echo \"'$1'\"; exit 7\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def on_head(tmp_path: Path, line: str) -> tuple[str, str]:
    """Run a line as the head's account does; return what it prints, and the exit code that it notes."""
    home = tmp_path / "home"
    (home / ".accel_scaling").mkdir(parents=True)
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(["bash", "-c", line], cwd=home, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr, (home / EXIT_CODE_FILE).read_text(encoding="ascii").strip()


def test_a_script_that_the_command_names_is_on_the_head_under_the_same_name(folder: Path, tmp_path: Path) -> None:
    line = shell_line(["bash", "my scripts/say it.sh", "a  word"])
    assert on_head(tmp_path, line) == ("'a  word'\n", "7")


def test_a_program_can_be_run_on_the_head_too(folder: Path, tmp_path: Path) -> None:
    program = folder / "train.sh"
    program.write_text("#!/bin/sh\necho it runs\n", encoding="utf-8")
    program.chmod(0o755)
    assert on_head(tmp_path, shell_line(["./train.sh"])) == ("it runs\n", "0")


@pytest.mark.parametrize("word", ["my scripts", "/etc/hostname", "../work/my scripts/say it.sh", "-c", "x" * 5000, ""])
def test_other_words_of_the_command_bring_nothing(folder: Path, tmp_path: Path, word: str) -> None:
    line = shell_line(["printf", "%s", word])
    assert "base64" not in line
    assert on_head(tmp_path, line) == (word, "0")


def test_a_large_file_is_refused_in_one_sentence(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"0" * 70_000)
    with pytest.raises(
        RehearsalError, match=r"^the command names 'model.bin', 70,000 bytes in all; a rehearsal brings"
    ):
        shell_line(["python3", "-m", "train", "model.bin"])


@pytest.mark.parametrize("folder", ["~/my/runs", "~/my/runs/", "HOME/my/runs"])
def test_a_shared_folder_is_below_the_home_also_where_the_shell_has_written_it(folder: str) -> None:
    assert below_home(folder.replace("HOME", str(Path.home()))) == "my/runs"
    assert below_home("") == ""


@pytest.mark.parametrize("folder", ["runs", "/mnt/runs", "~", "~/", "~/../x", "~other/runs"])
def test_another_shared_folder_is_refused_in_one_sentence(folder: str) -> None:
    with pytest.raises(RehearsalError, match=r"cannot be shared: hosts share a folder below their home"):
        below_home(folder)


class Rehearsed:
    """A rehearsal whose command has ended, with the files that it has left."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._home, self._postmortem = tmp_path / "head", tmp_path / "postmortem"
        self._kept = tmp_path / "kept"
        self._kept.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(self._kept))
        self.timeline = Timeline(0.0, io.StringIO())
        self.head = self.timeline.machine("i-head", "m5.large")

    def wrote(self, path: str, text: str) -> None:
        """The head has a file of its home, or of its /tmp."""
        file = self._file(path)
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")

    def ended(self) -> None:
        """The head has ended, and its cloud keeps Ray's logs."""
        logs = self._postmortem / "i-head" / "session_2026"
        logs.mkdir(parents=True)
        (logs / "monitor.log").write_text("all of it", encoding="utf-8")

    def exit_code(self, returned: int = 0) -> int:
        local: Any = SimpleNamespace(
            settings=SimpleNamespace(postmortem=self._postmortem), host_file=lambda _, path: self._file(path)
        )
        return exit_code(local, self.timeline, returned)

    def logs(self) -> Path:
        return next(self._kept.glob("ray-head-*/session_2026"))

    def nothing_kept(self) -> bool:
        return list(self._kept.iterdir()) == []

    def _file(self, path: str) -> Path:
        return self._home / str(path).lstrip("/")


@pytest.fixture(name="rehearsed")
def rehearsed_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsed:
    return Rehearsed(tmp_path, monkeypatch)


def test_the_exit_code_of_the_command_is_that_of_the_rehearsal(rehearsed: Rehearsed) -> None:
    rehearsed.wrote(EXIT_CODE_FILE, "7\n")
    assert rehearsed.exit_code() == 7
    assert rehearsed.exit_code(returned=1) == 1, "`ray exec` itself has failed"


@pytest.mark.parametrize("returned", [0, 1])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not seen yet"])
def test_a_head_that_ends_under_the_command_is_one_sentence_with_the_logs_to_read(
    rehearsed: Rehearsed, returned: int, *, seen: bool
) -> None:
    rehearsed.ended()
    if seen:
        rehearsed.head.gone_s, rehearsed.head.trouble = 20.0, "Server.SpotInstanceTermination"
    why = " (Server.SpotInstanceTermination)" if seen else ""
    with pytest.raises(RehearsalError) as error:
        rehearsed.exit_code(returned)
    known = f"{HEAD} ended under the command{why}, so its exit code is not known; Ray's logs of it: {rehearsed.logs()}"
    assert str(error.value) == known
    assert (rehearsed.logs() / "monitor.log").read_text(encoding="utf-8") == "all of it"


@pytest.mark.parametrize("text", [None, "", "no number"])
def test_a_head_without_the_exit_code_is_one_sentence_with_the_logs_to_read(
    rehearsed: Rehearsed, text: str | None
) -> None:
    if text is not None:
        rehearsed.wrote(EXIT_CODE_FILE, text)
    rehearsed.wrote("/tmp/ray/session_2026/logs/gcs_server.out", "all of it")
    with pytest.raises(RehearsalError) as error:
        rehearsed.exit_code()
    place = "does not have the command's exit code in ~/.accel_scaling/exit_code"
    assert str(error.value) == f"{HEAD} {place}; Ray's logs of it: {rehearsed.logs()}"


def test_a_head_without_logs_leaves_no_folder(rehearsed: Rehearsed) -> None:
    rehearsed.head.gone_s = 20.0
    with pytest.raises(RehearsalError, match=r"so its exit code is not known; Ray has left no logs on it$"):
        rehearsed.exit_code()
    assert rehearsed.nothing_kept()
