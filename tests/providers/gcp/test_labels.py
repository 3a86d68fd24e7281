"""Tags of nodes, written behind: seen at once, never lost, never older than what Google was told last."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from accel_scaling import timeouts
from accel_scaling.providers.gcp.labels import LabelWriter
from tests.providers.gcp.test_parts import http_error

ROOT = Path(__file__).resolve().parents[3]


class Cloud:
    """Labels of nodes, written by a LabelWriter; may refuse, and says how often it was asked."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}
        self.writes: list[str] = []
        self.refusing = 0
        self.slow = threading.Event()
        self.slow.set()

    def write(self, node_id: str, tags: dict[str, str]) -> bool:
        assert self.slow.wait(10)
        self.writes.append(node_id)
        if node_id == "gone":
            return False
        if self.refusing:
            self.refusing -= 1
            raise http_error(500)
        self.labels.setdefault(node_id, {}).update(tags)
        return True


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_tags_are_seen_at_once_and_written_together(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    for status in ("a", "b", "c"):
        writer.set("n", {"status": status})
    writer.set("n", {"other": "x"})
    assert writer.merged("n", {"status": "old", "kept": "k"}, 0) == {"status": "c", "other": "x", "kept": "k"}
    assert writer.flush(10) == []
    assert cloud.labels == {"n": {"status": "c", "other": "x"}}
    assert cloud.writes == ["n"]


def test_tags_are_written_without_being_asked_for(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    writer.set("n", {"status": "a"})
    deadline = time.monotonic() + 10
    while not cloud.labels:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_tag_that_may_wait_is_written_with_one_that_may_not(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    writer.set("n", {"status": "a"}, within_s=600)
    writer.set("n", {"other": "x"})
    deadline = time.monotonic() + 10
    while not cloud.labels:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert cloud.labels == {"n": {"status": "a", "other": "x"}}


def test_an_answer_that_was_on_its_way_does_not_bring_an_old_value_back(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    asked_before = time.monotonic()
    writer.set("n", {"status": "new"})
    assert writer.flush(10) == []
    assert writer.merged("n", {"status": "old"}, asked_before) == {"status": "new"}
    # Asked after the write, Google is trusted, and what another process wrote is seen.
    assert writer.merged("n", {"status": "another's"}, time.monotonic()) == {"status": "another's"}
    assert writer.merged("n", {"status": "old"}, asked_before) == {"status": "old"}


def test_a_failed_write_is_made_again_with_what_was_set_since(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "GCP_LABELS_RETRY_S", 0.01)
    cloud.refusing = 2
    writer = LabelWriter(cloud.write)
    writer.set("n", {"a": "1", "b": "1"})
    writer.set("n", {"b": "2"})
    assert writer.flush(10) == []
    assert cloud.labels == {"n": {"a": "1", "b": "2"}}


def test_a_node_that_is_gone_is_forgotten(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    writer.set("gone", {"a": "1"})
    assert writer.flush(10) == []
    assert writer.merged("gone", {}, 0) == {}


def test_a_flush_says_what_it_could_not_write_in_time(cloud: Cloud) -> None:
    cloud.slow.clear()
    writer = LabelWriter(cloud.write)
    writer.set("n", {"a": "1"})
    assert writer.flush(0.3) == ["n"]
    cloud.slow.set()
    assert writer.flush(10) == []


def test_many_threads_that_set_tags_lose_none(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    threads = [
        threading.Thread(target=lambda n=number: [writer.set(f"n{i % 7}", {f"k{n}": str(i)}) for i in range(50)])
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(10) == []
    expected = {f"k{number}" for number in range(8)}
    assert all(set(labels) == expected for labels in cloud.labels.values())
    assert {cloud.labels[f"n{i % 7}"]["k0"] for i in (48, 49)} == {"48", "49"}


def test_what_is_unwritten_when_a_process_ends_is_written(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from accel_scaling.providers.gcp.labels import LabelWriter\n"
        "def write(node, tags):\n"
        "    with open(sys.argv[1], 'a') as file: file.write(node + str(tags) + '\\n')\n"
        "    return True\n"
        "writer = LabelWriter(write)\n"
        "for i in range(3): writer.set(f'n{i}', {'a': 'b'})\n"
        "sys.exit(0 if sys.argv[2] == 'ends' else 1/0)\n"
    )
    for how in ("ends", "fails"):
        path = tmp_path / how
        subprocess.run([sys.executable, "-c", code, path, how], cwd=ROOT, check=False, capture_output=True, timeout=60)
        assert sorted(path.read_text().splitlines()) == [f"n{i}{{'a': 'b'}}" for i in range(3)]


SLOW = """
import os, signal, sys, threading, time
from accel_scaling import timeouts
from accel_scaling.providers.gcp.labels import LabelWriter
timeouts.GCP_LABELS_SIGTERM_S = float(sys.argv[2])
if sys.argv[3] == "theirs":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
busy = threading.Event()
def write(node, tags):
    busy.set()
    if float(sys.argv[2]) < 1: threading.Event().wait(60)  # a server that is silent
    with open(sys.argv[1], 'a') as file: file.write(node)
    return True
writer = LabelWriter(write)
writer.set("n1", {"a": "b"})
if sys.argv[3] == "later":
    assert writer.flush(10) == []
    writer.set("n2", {"a": "b"})
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("deadline", "how", "code", "written"),
    [
        ("7", "at once", -signal.SIGTERM, "n1"),
        ("7", "later", -signal.SIGTERM, "n1n2"),
        ("0.1", "silent server", -signal.SIGTERM, ""),
        ("7", "theirs", 7, ""),
    ],
)
def test_what_is_unwritten_when_sigterm_ends_a_process_is_written_and_it_ends_by_that_signal(
    tmp_path: Path, deadline: str, how: str, code: int, written: str
) -> None:
    path = tmp_path / "written"
    path.touch()
    done = subprocess.run([sys.executable, "-c", SLOW, path, deadline, how], cwd=ROOT, check=False, timeout=60)
    assert (done.returncode, path.read_text()) == (code, written)


def test_ray_stop_waits_longer_for_a_process_than_we_write() -> None:
    from ray.scripts.scripts import stop

    (grace,) = [option.default for option in stop.params if option.name == "grace_period"]
    assert grace > timeouts.GCP_LABELS_SIGTERM_S
