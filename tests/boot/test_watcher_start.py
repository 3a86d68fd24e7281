"""The watcher's process: who starts it, with what, what it takes, and when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.boot import start_hook, watcher_start
from accel_scaling.boot.node_event import EventKind
from accel_scaling.boot.watcher_start import WATCH, start_watcher, watched_of, with_watch
from accel_scaling.cluster.policies import OnEvent, WatcherPolicy
from accel_scaling.testing.hosts.metadata_servers import _MetadataHandler
from tests.boot.test_cloud_notices import serving

T4 = {"GPU": 1.0, "accelerator_type:T4": 1.0}


def test_what_the_provider_says_of_a_node_reaches_its_watcher_through_a_shell(tmp_path: Path) -> None:
    policy = WatcherPolicy(rebalance=OnEvent.IGNORE, drain_s=60)
    for head, interruption in ((False, OnEvent.ACT), (True, OnEvent.REPORT)):
        command = with_watch(f"printenv {WATCH} > {tmp_path}/w", "gcp", policy, head=head)
        subprocess.run(["sh", "-c", command], check=True)
        given = {WATCH: (tmp_path / "w").read_text(), watcher_start._JOINED_WITH: json.dumps(T4)}
        watched = watched_of(given)
        assert watched is not None
        assert (watched.cloud, watched.drain_s, watched.promised) == ("gcp", 60.0, T4)
        assert watched.on_event(EventKind.INTERRUPTION) is interruption
        assert watched.on_event(EventKind.REBALANCE) is OnEvent.IGNORE


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"cloud": "aws"}'])
def test_a_node_of_which_nobody_says_anything_is_not_watched(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched_of({} if text is None else {WATCH: text, watcher_start._JOINED_WITH: "{}"}) is None
    monkeypatch.setattr(watcher_start.subprocess, "Popen", lambda *_, **__: pytest.fail("a watcher was started"))
    start_watcher({}, T4)


@pytest.mark.parametrize(
    ("word", "fault", "units"),
    [
        ("refuse", None, 8),
        ("join", None, 8),
        ("join", "fewer:7", 7),
        ("report", None, 0),
        ("report", "fewer:7", 0),
        ("skip", None, 0),
    ],
)
def test_the_devices_are_watched_with_which_a_node_joins_where_the_file_wants_it(
    word: str, fault: str | None, units: int, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined_with: list[Any] = []
    boot("p4d.24xlarge", fault)
    promise = {"CPU": 96, "GPU": 8, "accelerator_type:A100": 1}
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps(promise))
    monkeypatch.setenv("ACCEL_SCALING_ON_MISMATCH", word)
    monkeypatch.setattr(start_hook, "start_watcher", lambda _, resources: joined_with.append(resources))
    start_hook.run(SimpleNamespace(labels={}, resources=None, num_gpus=None), head=False)
    assert joined_with == [{**promise, "GPU": units} if units else {}]


@pytest.mark.parametrize("error", [OSError(11, "no process for it"), RuntimeError("no home"), ValueError("x")])
def test_a_node_without_a_watcher_joins(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(watcher_start.subprocess, "Popen", fails)
    start_watcher({WATCH: "{}", "ACCEL_SCALING_START": "f" * 32, "ACCEL_SCALING_HOME": "/dev/null/x"}, T4)
    assert "this node is not watched" in capsys.readouterr().err


def watchers(start: str) -> list[int]:
    """The processes that watch for one start."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes()
            mine = f"ACCEL_SCALING_START={start}".encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and b"accel_scaling.boot.watcher" in words:
            found.append(int(folder.name))
    return sorted(found)


def until(condition: Any, seconds: float = 20) -> bool:
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return bool(condition())


@pytest.mark.parametrize("listens", [True, False])
def test_a_watcher_lives_as_long_as_the_raylet_is_small_and_imports_no_ray(
    listens: bool, tmp_path: Path, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("g4dn.xlarge")
    asked: list[str] = []
    told = subprocess.run(
        ["sh", "-c", with_watch(f"printenv {WATCH}", "aws", WatcherPolicy(driver_events=listens), head=False)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    start, log = os.urandom(16).hex(), tmp_path / f"watcher-{os.uname().nodename}.log"
    with serving(_MetadataHandler, lambda client: asked.append(client) or {}) as address:  # type: ignore[func-returns-value]
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
        environment = {**os.environ, "ACCEL_SCALING_START": start, "ACCEL_SCALING_HOME": str(tmp_path), WATCH: told}
        options = ["--node_id=ab12", "--node_ip_address=10.0.0.5", "--gcs-address=x:1"]
        words = ["raylet", "-c", "read", *options]  # it waits for its standard input
        raylet = subprocess.Popen(words, executable="/bin/bash", env=environment, stdin=subprocess.PIPE)
        try:
            start_watcher(environment, T4)
            assert until(lambda: asked and len(watchers(start)) == 2 + listens), log.read_text()
            for watcher in watchers(start):
                status = Path(f"/proc/{watcher}/status").read_text()
                resident_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
                assert int(resident_kib) < 40 * 1024
                assert "/ray/" not in Path(f"/proc/{watcher}/maps").read_text()
        finally:
            raylet.kill()
            raylet.communicate()
        assert until(lambda: not watchers(start))
        assert not log.read_text()


def test_the_probes_of_a_watcher_fit_into_its_memory_and_import_no_ray(boot: Any) -> None:
    boot("p4d.24xlarge")
    code = (
        "import sys, accel_scaling.boot.watcher, accel_scaling.boot.sick_devices as devices\n"
        "from accel_scaling.boot.watcher_start import Watched\n"
        "found = devices.devices_of(Watched('aws', {}, 1, {'GPU': 8.0, 'accelerator_type:A100': 1.0}))()\n"
        "import accel_scaling.providers.aws.notices\n"
        "print(found, sorted({'ray', 'boto3', 'google', 'moto'} & set(sys.modules)))\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, resident_kib = done.stdout.split("\n")[:2]
    assert loaded == "None []"
    assert int(resident_kib) < 40 * 1024
