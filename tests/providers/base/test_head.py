"""A head that is refused: one that this `ray up` created is ended, one that was there before is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.providers.base.command_runner import NodeRefusedError
from accel_scaling.quarantine.gate import Gate
from tests.support.watched_cloud import CONFIRMED, LIES, START, Machine, WatchedProvider, fails

TAGS = {"ray-node-type": "head", "ray-user-node-type": "head"}


@pytest.fixture(name="provider")
def provider_fixture(tmp_path: Path) -> WatchedProvider:
    """The provider in `ray up`'s own process, on a laptop."""
    provider = WatchedProvider({}, Gate({}, None, tmp_path / "quarantine.json"))
    provider.machines["i-head"] = Machine("head", "us-west-2a", dict(TAGS))
    return provider


@pytest.mark.parametrize("exit_code_lost", [True, False])
def test_a_second_ray_up_leaves_a_head_that_is_refused_now_and_says_what_to_do(
    exit_code_lost: bool, provider: WatchedProvider
) -> None:
    provider.script.verdict = LIES
    if not exit_code_lost:
        provider.script.answers["ray start"] = fails(3)
    with pytest.raises(NodeRefusedError) as error:
        provider.get_command_runner("", "i-head").run(START)
    assert provider.machines["i-head"].state == "running"
    assert error.value.message == (
        "DriverMissing: promised 8; 0 seen; this head node existed before; it stays as it is, without Ray: repair it "
        "and run `ray up` again, or terminate it with `ray down`"
    )
    # Ray's updater takes an error of this kind for a failed command, and `ray up` then ends with 1.
    assert error.value.returncode == 3


def test_a_head_that_this_ray_up_created_is_ended(provider: WatchedProvider) -> None:
    provider.created_here.add("i-head")
    provider.script.verdict = LIES
    with pytest.raises(NodeRefusedError, match=r"^DriverMissing: promised 8; 0 seen$"):
        provider.get_command_runner("", "i-head").run(START)
    assert provider.machines["i-head"].state == "terminated"


@pytest.mark.parametrize("new", [True, False])
def test_a_head_without_a_verdict_is_left_with_rays_own_error(new: bool, provider: WatchedProvider) -> None:
    if new:
        provider.created_here.add("i-head")
    provider.script.verdict = ""
    provider.script.answers["ray start"] = fails(1)
    with pytest.raises(Exception, match="SSH command failed"):
        provider.get_command_runner("", "i-head").run(START)
    assert provider.machines["i-head"].state == "running"


def test_a_head_that_is_confirmed_is_not_changed(provider: WatchedProvider) -> None:
    provider.script.verdict = CONFIRMED
    provider.get_command_runner("", "i-head").run(START)
    assert provider.machines["i-head"].state == "running"


def test_ray_down_ends_workers_as_rays_provider_does(provider: WatchedProvider) -> None:
    provider.machines["i-1"] = Machine("p4d", "us-west-2a", {"ray-node-type": "worker"})
    provider.terminate_nodes(["i-head", "i-1"])
    assert {machine.state for machine in provider.machines.values()} == {"stopped"}
