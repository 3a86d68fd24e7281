"""Which local clouds ask for a token: always where others could reach them, else where the user's cluster would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_scaling.testing.hosts import ray_token
from accel_scaling.testing.hosts.settings import HostKind


def test_plain_processes_have_a_token_of_their_own_each_time_whatever_the_user_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    config: dict[str, Any] = {"provider": {"authentication": "disabled"}}
    ray_token.keep_asking(config, HostKind.PROCESSES)
    one, other = (ray_token.of_all(HostKind.PROCESSES) for _ in range(2))
    assert config == {"provider": {}}
    assert one["RAY_AUTH_MODE"] == "token"
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]
    assert ray_token.of_laptop(HostKind.PROCESSES) == {}


@pytest.mark.parametrize(
    ("given", "there", "expected"),
    [
        ({}, False, {}),
        ({}, True, {"RAY_AUTH_MODE": "token"}),
        ({"RAY_AUTH_MODE": "disabled"}, True, {"RAY_AUTH_MODE": "disabled"}),
        ({"RAY_AUTH_MODE": "token"}, False, {"RAY_AUTH_MODE": "token"}),
        ({"RAY_AUTH_MODE": "tokn"}, False, {"RAY_AUTH_MODE": "tokn"}),  # `ray up` refuses it there, as it would here
    ],
)
def test_on_isolated_hosts_only_the_laptop_is_told_and_never_the_users_own_token(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    if there:
        (Path.home() / ".ray").mkdir()
        (Path.home() / ".ray" / "auth_token").write_text("the user's")
    assert ray_token.of_laptop(HostKind.ISOLATED) == expected
    assert ray_token.of_all(HostKind.ISOLATED) == {}


def test_a_ray_without_tokens_is_asked_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel_scaling._ray.versions.installed_version", lambda: "2.51.2")
    assert ray_token.of_all(HostKind.PROCESSES) == {}
