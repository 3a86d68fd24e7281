"""The notices of both clouds, as their metadata servers say them; and answers of other servers, which are none."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.providers.aws.notices import Notices as Ec2Notices
from accel_scaling.providers.gcp.metadata_changes import ChangingItem
from accel_scaling.providers.gcp.notices import Notices as GoogleNotices
from accel_scaling.testing.hosts.metadata_servers import Metadata, _MetadataHandler, _MetadataServer


@contextlib.contextmanager
def serving(handler: type[_MetadataHandler], metadata_of: Callable[[str], Metadata]) -> Iterator[str]:
    server = _MetadataServer(("127.0.0.1", 0), metadata_of)
    server.RequestHandlerClass = handler
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(name="metadata")
def metadata_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """What the metadata server of this machine says, of EC2 and of Google."""
    metadata: Metadata = {}
    with serving(_MetadataHandler, lambda _: metadata) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        yield metadata


def test_ec2_announces_an_interruption_by_imdsv2(metadata: Metadata) -> None:
    notices = Ec2Notices()
    assert notices.urgent() == []
    metadata["spot/instance-action"] = '{"action": "terminate", "time": "2026-09-18T08:22:00Z"}'
    (notice,) = notices.urgent()
    assert (notice.kind, notice.code, notice.at_s) == (EventKind.INTERRUPTION, "spot terminate", 1789719720.0)


PROXYS = ["", "{", "[]", "null", "[" * 60_000, "{}", '{"error": "no"}', "<html>\n<body>TRUE</body>", '{"action": 5}']


@pytest.mark.parametrize("text", PROXYS)
def test_what_a_proxy_answers_to_everything_is_no_notice(text: str, metadata: Metadata) -> None:
    for path in ("spot/instance-action", "events/recommendations/rebalance", "events/maintenance/scheduled"):
        metadata[path] = text
    for path in ("preempted", "maintenance-event", "upcoming-maintenance"):
        metadata[f"instance/{path}"] = text
    for source in (Ec2Notices(), GoogleNotices()):
        assert [*source.urgent(), *source.slow()] == []


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
@pytest.mark.parametrize("page", ["<html>\n<p>blocked</p>", "caf\u00e9", "TRUE", ""])
def test_a_server_that_is_not_the_clouds_is_one_error_or_none(
    status: int, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proxy(_MetadataHandler):
        def _answer(self, *_: object) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(page.encode())))
            self.end_headers()
            self.wfile.write(page.encode())

    with serving(Proxy, lambda _: {}) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        for source in (Ec2Notices(), GoogleNotices()):
            with contextlib.suppress(OSError):
                assert [*source.urgent(), *source.slow()] == []


def test_ec2_announces_what_comes_later(metadata: Metadata) -> None:
    metadata["events/recommendations/rebalance"] = '{"noticeTime": "2026-10-27T08:22:00Z"}'
    event = {"NotBefore": "21 Jan 2027 09:00:43 GMT", "Code": "instance-retirement", "Description": "it goes"}
    done = {**event, "State": "completed"}
    metadata["events/maintenance/scheduled"] = json.dumps([{**event, "State": "active"}, done])
    rebalance, retirement = Ec2Notices().slow()
    assert rebalance.kind is EventKind.REBALANCE
    assert retirement == Notice(EventKind.MAINTENANCE, "instance-retirement", "it goes", 1800522043.0)


def _when_changed(notices: GoogleNotices, count: int) -> list[Notice]:
    """What Google says when so many items have changed: each within its own answer."""
    until_s = time.monotonic() + 10
    while len(found := notices.urgent()) < count and time.monotonic() < until_s:
        notices.pause(5)
    return found


def test_google_is_not_asked_while_nothing_changes_and_says_a_change_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {"instance/preempted": "FALSE", "instance/maintenance-event": "NONE"}
    questions: list[str] = []

    class Counted(_MetadataHandler):
        def do_GET(self) -> None:  # noqa: N802
            questions.append(self.path)
            super().do_GET()

    with serving(Counted, lambda _: metadata) as address:
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        notices = GoogleNotices()
        for _ in range(20):
            assert notices.urgent() == []
            assert not notices.pause(0.02)
        assert len(questions) == 4, "the value of each, then its change"
        assert sum("?wait_for_change=true&timeout_sec=10&last_etag=" in path for path in questions) == 2
        began_s = time.monotonic()
        metadata["instance/preempted"] = "TRUE"
        assert notices.pause(5)
        assert [notice.code for notice in notices.urgent()] == ["preempted"]
        assert time.monotonic() - began_s < 4


def test_a_wait_that_ends_without_a_change_is_begun_again(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel_scaling.timeouts.METADATA_WAIT_S", 0)
    metadata |= {"instance/preempted": "FALSE", "instance/maintenance-event": "NONE"}
    notices = GoogleNotices()
    for _ in range(5):
        assert notices.urgent() == []
        notices.pause(1)
    metadata["instance/preempted"] = "TRUE"
    assert len(_when_changed(notices, 1)) == 1


def test_a_connection_on_which_nothing_comes_is_given_up(metadata: Metadata) -> None:
    now_s = 0.0
    item = ChangingItem("preempted", lambda: now_s)
    metadata["instance/preempted"] = "FALSE"
    assert item.value() == "FALSE"
    now_s = 12.5
    with pytest.raises(OSError, match="longer than it was told to"):
        item.value()
    assert item.value() == "FALSE"


def test_google_announces_a_preemption_and_maintenance(metadata: Metadata) -> None:
    metadata |= {"instance/preempted": "FALSE", "instance/maintenance-event": "NONE"}
    notices = GoogleNotices(lambda: 1000.0)
    assert notices.urgent() == []
    assert notices.slow() == []
    metadata["instance/maintenance-event"] = "MIGRATE_ON_HOST_MAINTENANCE"
    metadata["instance/upcoming-maintenance"] = "NONE"
    notices.pause(5)
    assert [*notices.urgent(), *notices.slow()] == [], "a task does not notice a migration"
    metadata |= {"instance/preempted": "TRUE", "instance/maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"}
    preempted, maintenance = _when_changed(notices, 2)
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
    metadata["instance/scheduling/on-host-maintenance"] = "TERMINATE"
    assert len(GoogleNotices().slow()) == 1
    metadata["instance/scheduling/on-host-maintenance"] = "MIGRATE"
    assert GoogleNotices().slow() == [], "it is moved while it runs"


@pytest.mark.parametrize("source", [Ec2Notices, GoogleNotices])
def test_a_metadata_server_that_is_not_there_is_one_error(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    with pytest.raises(OSError, match=r"metadata ser[a-z]* does not answer"):
        source().urgent()
