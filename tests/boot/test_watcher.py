"""The watcher of a node: the notices of both clouds, sick devices, and what it makes of them; without a Ray cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import timeouts
from accel_scaling.boot import watcher as module
from accel_scaling.boot import watcher_start
from accel_scaling.boot.node_event import EventKind, NodeEvent, Notice, read_event
from accel_scaling.boot.watcher import Watcher, devices_of
from accel_scaling.boot.watcher_start import WATCH, Watched, start_watcher, watched_of, with_watch
from accel_scaling.cluster.policies import OnEvent, WatcherPolicy
from accel_scaling.providers.aws.notices import Notices as Ec2Notices
from accel_scaling.providers.gcp.notices import Notices as GoogleNotices
from accel_scaling.testing.hosts.metadata_servers import Metadata, _MetadataServer

T4 = {"GPU": 1.0, "accelerator_type:T4": 1.0}


@pytest.fixture(name="metadata")
def metadata_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """What the metadata server of this machine says, of EC2 and of Google."""
    import threading

    metadata: Metadata = {}
    server = _MetadataServer(("127.0.0.1", 0), lambda _: metadata)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
    monkeypatch.setenv("GCE_METADATA_HOST", address)
    yield metadata
    server.shutdown()
    server.server_close()


def test_ec2_announces_an_interruption_by_imdsv2(metadata: Metadata) -> None:
    notices = Ec2Notices()
    assert notices.urgent() == []
    metadata["spot/instance-action"] = '{"action": "terminate", "time": "2026-09-18T08:22:00Z"}'
    (notice,) = notices.urgent()
    assert (notice.kind, notice.code, notice.at_s) == (EventKind.INTERRUPTION, "spot terminate", 1789719720.0)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"action": 5, "time": []}'])
def test_what_ec2_does_not_say_so_is_no_error(text: str, metadata: Metadata) -> None:
    metadata["spot/instance-action"] = metadata["events/maintenance/scheduled"] = text
    notices = Ec2Notices()
    assert [notice.at_s for notice in [*notices.urgent(), *notices.slow()]] in ([], [None])


def test_ec2_announces_what_comes_later(metadata: Metadata) -> None:
    metadata["events/recommendations/rebalance"] = '{"noticeTime": "2026-10-27T08:22:00Z"}'
    event = {"NotBefore": "21 Jan 2027 09:00:43 GMT", "Code": "instance-retirement", "Description": "it goes"}
    done = {**event, "State": "completed"}
    metadata["events/maintenance/scheduled"] = json.dumps([{**event, "State": "active"}, done])
    rebalance, retirement = Ec2Notices().slow()
    assert rebalance.kind is EventKind.REBALANCE
    assert retirement == Notice(EventKind.MAINTENANCE, "instance-retirement", "it goes", 1800522043.0)


def test_google_announces_a_preemption_and_maintenance(metadata: Metadata) -> None:
    metadata |= {"instance/preempted": "FALSE", "instance/maintenance-event": "NONE"}
    notices = GoogleNotices(lambda: 1000.0)
    assert notices.urgent() == []
    assert notices.slow() == []
    metadata["instance/maintenance-event"] = "MIGRATE_ON_HOST_MAINTENANCE"
    metadata["instance/upcoming-maintenance"] = "NONE"
    assert [*notices.urgent(), *notices.slow()] == [], "a task does not notice a migration"
    metadata |= {"instance/preempted": "TRUE", "instance/maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"}
    preempted, maintenance = notices.urgent()
    assert (preempted.kind, preempted.at_s) == (EventKind.INTERRUPTION, 1030.0)
    assert (maintenance.kind, maintenance.at_s) == (EventKind.MAINTENANCE, None)


@pytest.mark.parametrize(
    "names", [("maintenance_status", "window_start_time"), ("maintenanceStatus", "windowStartTime")]
)
@pytest.mark.parametrize("at", ["2026-12-01T19:00:01Z", "2026-12-01T19:00:01+00:00"])
def test_google_announces_a_window_of_maintenance(names: tuple[str, str], at: str, metadata: Metadata) -> None:
    metadata["instance/upcoming-maintenance"] = json.dumps({names[0]: "PENDING", "type": "SCHEDULED", names[1]: at})
    (notice,) = GoogleNotices().slow()
    assert (notice.kind, notice.code, notice.at_s) == (EventKind.MAINTENANCE, "upcoming SCHEDULED", 1796151601.0)


@pytest.mark.parametrize("source", [Ec2Notices, GoogleNotices])
def test_a_metadata_server_that_is_not_there_is_one_error(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    with pytest.raises(OSError, match=r"metadata ser[a-z]* does not answer"):
        source().urgent()


class Node:
    """A watcher whose clock is moved by hand, and what it has told."""

    def __init__(self, **policy: Any) -> None:
        self.now_s, self.notices, self.sick, self.told = 1_000_000.0, [], None, list[NodeEvent]()
        self.silent, self.questions, self.accepts, self.logged = False, 0, True, list[str]()
        words = {kind: OnEvent(policy.get(kind.value, "act")) for kind in EventKind}
        watched = Watched("aws", words, policy.get("drain_s", 300.0), T4)
        self.watcher = Watcher(
            watched, self, lambda: self.sick, self.tell, lambda: self.now_s, self.logged.append, "10.0.0.5"
        )

    notices: list[Notice]
    sick: tuple[str, str] | None

    def urgent(self) -> list[Notice]:
        self.questions += 1
        if self.silent:
            raise OSError("it does not answer")
        return self.notices

    def slow(self) -> list[Notice]:
        if self.silent:
            raise OSError("it does not answer")
        return []

    def tell(self, event: NodeEvent) -> bool:
        self.told.append(event)
        return self.accepts

    def goes_on(self, seconds: float) -> list[NodeEvent]:
        for _ in range(int(seconds)):
            self.now_s += 1
            self.watcher.step()
        return self.told


INTERRUPTION = Notice(EventKind.INTERRUPTION, "spot terminate", "EC2 will terminate it", 1_000_122.0)


def test_a_notice_drains_the_node_within_a_second_until_the_cloud_takes_it() -> None:
    node = Node()
    node.goes_on(2)
    node.notices = [INTERRUPTION]
    (event,) = node.goes_on(1)
    assert (event.acts, event.deadline_s, event.address) == (True, 1_000_122.0, "10.0.0.5")
    assert len(node.goes_on(100)) == 1, "told once"


def test_what_the_head_was_not_told_is_told_again() -> None:
    node = Node()
    node.notices, node.accepts = [INTERRUPTION], False
    assert len(node.goes_on(3)) == 3
    node.accepts = True
    assert len(node.goes_on(3)) == 4


@pytest.mark.parametrize(("word", "count"), [("report", 1), ("ignore", 0)])
def test_the_cluster_files_word_decides(word: str, count: int) -> None:
    node = Node(interruption=word)
    node.notices = [INTERRUPTION]
    assert [event.acts for event in node.goes_on(50)] == [False] * count


def test_what_comes_in_days_is_told_at_once_and_drained_in_time() -> None:
    node = Node(drain_s=100)
    node.notices = [Notice(EventKind.MAINTENANCE, "instance-retirement", "it goes", node.now_s + 1000)]
    assert [event.acts for event in node.goes_on(890)] == [False]
    reported, drained = node.goes_on(20)
    assert (reported.acts, drained.acts, drained.deadline_s) == (False, True, 1_001_000.0)


def test_a_device_is_sick_when_two_looks_in_a_row_find_it_so() -> None:
    node = Node()
    node.sick = ("Unhealthy", "device 0 is lost")
    assert node.goes_on(timeouts.WATCHER_DEVICES_S + 2) == []
    node.sick = None
    assert node.goes_on(timeouts.WATCHER_DEVICES_S) == []
    node.sick = ("Unhealthy", "device 0 is lost")
    (event,) = node.goes_on(timeouts.WATCHER_DEVICES_S + timeouts.WATCHER_SICK_AGAIN_S + 1)
    assert (event.kind, event.code, event.acts) == (EventKind.SICK, "Unhealthy", True)
    assert event.deadline_s == pytest.approx(node.now_s + 300, abs=timeouts.WATCHER_DEVICES_S)


def test_a_metadata_server_that_is_away_is_asked_rarely_and_spoken_of_once() -> None:
    node = Node()
    node.silent = True
    node.goes_on(timeouts.NOTICE_LOST_S)
    before = node.questions
    node.goes_on(300)
    assert node.questions - before <= 300 / timeouts.WATCHER_SLOW_NOTICES_S + 1
    assert node.logged == ["it does not answer"]
    node.silent, node.notices = False, [INTERRUPTION]
    assert len(node.goes_on(31)) == 1


def test_an_hour_of_quiet_tells_nothing_and_keeps_nothing() -> None:
    node = Node()
    assert node.goes_on(3600) == []
    assert node.watcher._told == set()
    assert len(node.watcher._due) == 3


@pytest.mark.parametrize(
    ("machine", "fault", "word"),
    [
        ("g4dn.xlarge", "unhealthy", "Unhealthy"),  # off the bus
        ("p4d.24xlarge", "ecc", "Unhealthy"),
        ("p4d.24xlarge", "fewer", "FewerThanPromised"),
        ("trn1.32xlarge", "ecc", "Unhealthy"),
        ("trn1.32xlarge", "unhealthy", "Unhealthy"),
        ("p4d.24xlarge", "no-driver", "DriverMissing"),
    ],
)
def test_devices_that_hold_the_promise_no_more_are_sick(machine: str, fault: str, word: str, boot: Any) -> None:
    from accel_scaling.catalog.load import shipped_catalog
    from accel_scaling.fill.promise import promise_for

    promised = promise_for(shipped_catalog().machine_type("aws", machine)).resources
    look = devices_of(Watched("aws", {}, 300, {name: float(amount) for name, amount in promised.items()}))
    boot(machine)
    assert look() is None
    boot(machine, fault)
    found = look()
    assert found is not None
    assert found[0] == word


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


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 9000, '{"kind": "sick"}', '{"kind": "x", "deadline_s": 1}'])
def test_what_is_no_event_is_read_as_none(text: str) -> None:
    assert read_event(text) is None


def test_the_text_of_an_event_is_safe_to_print() -> None:
    event = NodeEvent(EventKind.SICK, "Un\x1b[31m", "a\nb\x07", acts=True, deadline_s=5.0, instance_id="i-1")
    read = read_event(event.to_text())
    assert read is not None
    assert not {"\x1b", "\n", "\x07"} & set(read.code + read.message)
    assert read_event(event.to_text().replace("5.0", "Infinity")) is None


def test_the_watcher_imports_no_ray_is_small_and_ends_with_the_raylet(
    metadata: Metadata, tmp_path: Path, boot: Any
) -> None:
    del metadata
    boot("g4dn.xlarge")
    raylet = subprocess.Popen(
        ["bash", "-c", "exec -a raylet sleep 600 --node_id=ab12 --node_ip_address=10.0.0.5 --gcs-address=x:1"],
        env={**os.environ, "ACCEL_SCALING_START": "f" * 32},
    )
    raylet.kill()
    raylet.wait()
    code = (
        "import sys, accel_scaling.boot.watcher as w\n"
        "from accel_scaling.boot.watcher_start import Watched\n"
        "w.devices_of(Watched('aws', {}, 1, {'GPU': 1.0, 'accelerator_type:T4': 1.0}))()\n"
        "import accel_scaling.providers.aws.notices\n"
        "print(sorted({'ray', 'boto3', 'google', 'moto'} & set(sys.modules)))\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, resident_kib = done.stdout.split("\n")[:2]
    assert loaded == "[]"
    assert int(resident_kib) < 40 * 1024
    started = time.monotonic()
    assert module._runs(module._ray.Raylet(raylet.pid, "ab12", "10.0.0.5", "x:1")) is False
    assert time.monotonic() - started < 5


def test_a_watcher_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def watch(_: Callable[..., Any]) -> None:
        with marks.open("a") as file:
            file.write("x")
        if len(marks.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(module, "watch", watch)
    monkeypatch.setattr(timeouts, "WATCHER_AGAIN_S", 0.0)
    assert module.main() == 0
    assert marks.read_text() == "xxx"


def test_of_two_watchers_of_one_node_the_second_waits_until_the_first_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    environment, raylet = {"ACCEL_SCALING_HOME": str(tmp_path)}, module._ray.Raylet(1, "ab12", "10.0.0.5", "x:1")
    monkeypatch.setattr(module, "_runs", lambda _: len(waits) < 3)
    monkeypatch.setattr(module.time, "sleep", waits.append)
    with module._alone(raylet, environment):
        assert waits == []
        with module._alone(raylet, environment):
            assert len(waits) == 3, "as long as the raylet ran"
    waits.clear()
    with module._alone(raylet, environment):
        assert waits == []
