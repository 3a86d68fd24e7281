"""What a rehearsal that was killed has left below /tmp, and what is never touched there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_scaling.testing.hosts import leftovers
from accel_scaling.testing.hosts.leftovers import CLAIM, claim, remove_leftovers
from accel_scaling.testing.hosts.settings import MARKER_VARIABLE
from tests.support.local_ec2 import until

OWNER = "import sys, time; from pathlib import Path; from accel_scaling.testing.hosts.leftovers import claim; "
OWNER += "claim(Path(sys.argv[1]), sys.argv[2]); print('ready', flush=True); time.sleep(600)"


@pytest.fixture(name="temporary")
def temporary_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files; /tmp itself is not changed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(leftovers, "Path", lambda *parts: tmp_path if parts == ("/tmp",) else Path(*parts))
    return tmp_path


@pytest.fixture(name="owned")
def owned_fixture(temporary: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Yield a folder with a file and a living owner."""
    folder = Path(tempfile.mkdtemp(prefix="accel-", dir=temporary))
    (folder / "file").write_text("x")
    process = subprocess.Popen([sys.executable, "-c", OWNER, folder, "cloudtest"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_goes_once_its_owner_was_killed_and_not_before(owned: tuple[Path, subprocess.Popen[str]]) -> None:
    folder, process = owned
    assert remove_leftovers() == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert remove_leftovers() == [folder]
    assert not folder.exists()


def test_a_folder_of_two_owners_stays_as_long_as_one_lives(owned: tuple[Path, subprocess.Popen[str]]) -> None:
    folder, process = owned
    mine = claim(folder)
    process.kill()
    process.wait()
    assert remove_leftovers() == []
    os.close(mine)
    assert remove_leftovers() == [folder]


def test_what_is_left_of_its_processes_is_ended_with_a_folder(owned: tuple[Path, subprocess.Popen[str]]) -> None:
    _, process = owned
    marked = {**os.environ, MARKER_VARIABLE: "cloudtest/i-1"}
    with subprocess.Popen(["sleep", "600"], env=marked) as orphan:
        assert remove_leftovers() == []
        assert orphan.poll() is None
        process.kill()
        process.wait()
        remove_leftovers()
        until(lambda: orphan.poll() is not None)


@pytest.mark.parametrize("case", ["no claim", "another claim", "open to others", "a link", "a pipe", "another prefix"])
def test_what_is_not_surely_a_local_clouds_is_not_touched(case: str, temporary: Path) -> None:
    theirs = temporary / ("other-x" if case == "another prefix" else "accel-x")
    target = temporary / "target" if case == "a link" else theirs
    target.mkdir(mode=0o755 if case == "open to others" else 0o700)
    (target / "precious").write_text("x")
    if case == "a link":
        theirs.symlink_to(target)
    if case == "a pipe":
        os.mkfifo(target / CLAIM)
    elif case != "no claim":
        word = "something else" if case == "another claim" else leftovers._MAGIC
        (target / CLAIM).write_text(json.dumps({"claim": word, "cloud_id": ""}))
    assert remove_leftovers() == []
    assert (target / "precious").read_text() == "x"


def test_a_claim_that_is_a_link_is_not_followed(temporary: Path) -> None:
    folder = temporary / "accel-x"
    folder.mkdir(mode=0o700)
    elsewhere = temporary / "claim"
    elsewhere.write_text(json.dumps({"claim": leftovers._MAGIC, "cloud_id": ""}))
    (folder / CLAIM).symlink_to(elsewhere)
    assert remove_leftovers() == []
    assert folder.exists()
