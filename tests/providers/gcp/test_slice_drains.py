"""The hosts of a TPU slice of which one is drained: the slice is one machine, so all of them are; under v2 and v1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from accel_scaling import _ray
from accel_scaling.boot.node_event import EventKind, NodeEvent
from accel_scaling.boot.verdicts import LABEL_VERDICT
from tests.providers.gcp.test_machine_end import Head
from tests.support.gcp_provider import Google, google, wait_until
from tests.support.watched_cloud import become

HOSTS = ("ray-0", "ray-1")


class Slice:
    """A slice of two hosts on a local Cloud TPU, whose hosts join the Ray of a head."""

    def __init__(self, head: Head, version: str) -> None:
        self.head, self.version = head, version
        self.drained: dict[str, float] = {}
        self.asked = 0
        self.refuses: Exception | str = ""
        self.events: dict[str, bytes] = {}
        self.joined = list[_ray.JoinedNode]()
        # Before the first round: the provider's drains keep what they have found.
        head.provider.node_events = lambda: self.events
        head.provider.joined_nodes = lambda: self.joined
        head.provider.drain_nodes = self.drain
        self.node = head.launch("v4")
        head.round()
        for host in HOSTS:
            self.join(host)

    def join(self, host: str) -> None:
        address = self.head.provider.addresses_of(self.node)[int(host[-1])]
        name = self.node if self.version == "v2" else ""
        self.joined.append(_ray.JoinedNode(name, address, {LABEL_VERDICT: "Confirmed"}, True, host))

    def drain(self, ray_ids: Sequence[str], _: str, deadline_s: float) -> list[str]:
        self.asked += 1
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return [self.refuses]
        self.drained |= dict.fromkeys(ray_ids, deadline_s)
        return []

    def tell(self, host: str, kind: EventKind, within_s: float = 100) -> None:
        one = next(node for node in self.joined if node.node_id == host)
        deadline_s = self.head.now_s + within_s
        event = NodeEvent(kind, "preempted", "Google takes it back", True, deadline_s, one.instance_id, one.address)
        self.events[host] = event.to_text().encode()

    def leaves(self, *hosts: str) -> None:
        self.joined = [node._replace(alive=node.alive and node.node_id not in hosts) for node in self.joined]


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


@pytest.fixture(name="slice_", params=["v2", "v1"])
def slice_fixture(
    request: pytest.FixtureRequest, gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Slice:
    monkeypatch.setattr(_ray, "forget_event", lambda _: None)
    monkeypatch.setattr(_ray, "tell_drivers", lambda _: None)
    head = Head(gce, tmp_path, monkeypatch)
    become(request.param, monkeypatch)
    return Slice(head, request.param)


@pytest.mark.parametrize("refuses", [RuntimeError("no GCS"), "it is busy"])
def test_after_a_notice_to_one_host_the_head_drains_the_others_and_the_slice_ends_as_a_whole(
    refuses: Exception | str, slice_: Slice, gce: Google
) -> None:
    slice_.tell("ray-1", EventKind.INTERRUPTION)
    until_s, slice_.refuses = slice_.head.now_s + 100, refuses
    slice_.head.round()
    assert (slice_.asked, slice_.drained) == (1, {})
    slice_.refuses = ""
    slice_.head.round()
    assert slice_.drained == {"ray-0": until_s}, "the host with the notice has drained itself"
    slice_.leaves("ray-1")
    slice_.head.round()
    assert slice_.asked == 2
    assert slice_.node in gce.slices(), "a task of the other host continues"
    slice_.leaves("ray-0")
    slice_.head.round()
    wait_until("its end", lambda: not gce.slices())
    assert slice_.head.strikes() == {slice_.node: "Confirmed"}


def test_all_hosts_of_a_slice_with_one_sick_host_are_drained_and_it_counts_once(slice_: Slice) -> None:
    for host in HOSTS:
        slice_.tell(host, EventKind.SICK)
        slice_.head.round()
    assert (slice_.asked, set(slice_.drained)) == (1, set(HOSTS))
    assert slice_.head.strikes() == {slice_.node: "preempted"}


def test_a_host_that_joins_a_slice_that_is_drained_is_drained_too(slice_: Slice) -> None:
    slice_.joined = [node for node in slice_.joined if node.node_id == "ray-0"]
    slice_.tell("ray-0", EventKind.INTERRUPTION)
    slice_.head.round()
    assert slice_.asked == 0
    slice_.join("ray-1")
    slice_.head.round()
    assert set(slice_.drained) == {"ray-1"}
