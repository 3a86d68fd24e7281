"""How often a head collects what waits on its nodes."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from accel_scaling import _ray, timeouts
from accel_scaling.providers.base.demand_reports import collected_as_by_ray, collected_often

START = "ray start --head"


def _collected(config: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    """What the head's Ray finds in its environment, in milliseconds; empty where Ray keeps its own."""
    (line,) = collected_often({"head_start_ray_commands": [START], **config})["head_start_ray_commands"]
    command = line.replace(START, f'printf %s "${_ray.DEMAND_PERIOD_VARIABLE}"')
    done = subprocess.run(["sh", "-c", command], env=environment or {}, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("most", "milliseconds"),
    [(0, "100"), (24, "100"), (99, "400"), (248, "996"), (249, ""), (5000, ""), (None, "100")],
)
def test_a_small_cluster_is_asked_often_and_a_large_one_as_ray_does(most: int | None, milliseconds: str) -> None:
    assert _collected({"max_workers": most}) == milliseconds


def test_a_users_own_period_stays_and_doing_it_twice_changes_nothing() -> None:
    assert _collected({"max_workers": 2}, {_ray.DEMAND_PERIOD_VARIABLE: "700"}) == "700"
    config = collected_often({"head_start_ray_commands": ["ray stop", START], "max_workers": 2})
    assert config["head_start_ray_commands"][0] == "ray stop"
    assert collected_often(config | {}) == config
    assert collected_as_by_ray(config | {})["head_start_ray_commands"] == ["ray stop", START]


def test_what_grows_has_grown_from_one_look_to_the_next() -> None:
    assert timeouts.DEMAND_PERIOD_S < timeouts.DEMAND_LOOK_S
