"""The notices of both clouds, as their metadata servers say them; and answers of other servers, which are none."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accel_scaling.boot.node_event import EventKind, Notice
from accel_scaling.providers.aws.notices import Notices as Ec2Notices
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
