"""The calls of the local clouds that a benchmark counts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from accel_scaling.testing.hosts.call_log import CallLog, LoggedApplication, read_calls


def test_each_call_is_noted_and_answered_with_its_whole_request(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def answers(environ: dict[str, Any], _: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        return [b"<ok/>"]

    log = LoggedApplication(answers, CallLog(tmp_path))
    bodies = [b"Action=RunInstances&MaxCount=2", b"Action=DescribeInstances", b"\xff{}"]
    for body in bodies:
        assert log({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}, None) == [b"<ok/>"]
    assert log({"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": ""}, None) == [b"<ok/>"]
    assert seen == [*bodies, b""]
    calls = read_calls(tmp_path)
    assert [call.action for call in calls] == ["RunInstances", "DescribeInstances", "?", "?"]
    assert [call.time_s for call in calls] == sorted(call.time_s for call in calls)


def test_a_cloud_that_nobody_asked_has_no_calls(tmp_path: Path) -> None:
    assert read_calls(tmp_path) == []
