"""A cluster whose nodes' watchers tell what they have found, and a Ray that drains nodes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from accel_scaling import _ray
from accel_scaling.boot.node_event import EventKind, NodeEvent
from tests.support.watched_cloud import Cluster


@pytest.fixture(name="forgotten")
def forgotten_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The nodes of which the key-value store has been cleared."""
    ids: list[str] = []
    monkeypatch.setattr(_ray, "forget_event", ids.append)
    monkeypatch.setattr(_ray, "tell_drivers", lambda _: None)
    return ids


class Told:
    """A cluster and what its nodes have told."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.events = cluster, dict[str, bytes]()
        self.drained: dict[str, tuple[str, float]] = {}
        self.refuses: Exception | str = ""
        self.stopped: list[str] = []
        self.head_reads()

    def head_reads(self) -> None:
        self.cluster.provider.node_events = lambda: self.events  # type: ignore[method-assign]
        self.cluster.provider.drain_nodes = self.drain  # type: ignore[method-assign]
        self.cluster.provider.stop_nodes = self.stopped.extend  # type: ignore[method-assign]

    def drain(self, ray_ids: Sequence[str], message: str, deadline_s: float) -> list[str]:
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return [self.refuses]
        self.drained |= dict.fromkeys(ray_ids, (message, deadline_s))
        return []

    def running(self, node_type: str = "p4d") -> str:
        (node,) = self.cluster.launch(node_type)
        assert self.cluster.boot(node)
        self.cluster.join(node)
        joined = self.cluster.provider.joined
        joined[-1] = joined[-1]._replace(node_id=f"ray-{node}")
        self.cluster.round()
        return node

    def tell(
        self,
        node: str,
        kind: EventKind,
        code: str = "Unhealthy",
        *,
        acts: bool = True,
        within_s: float = 100,
        sure: bool = True,
        told_s: float = 0.0,
    ) -> None:
        instance_id = node if self.cluster.version == "v2" else ""
        deadline_s, address = self.cluster.head.now_s + within_s, self.cluster.provider.internal_ip(node)
        event = NodeEvent(kind, code, "device 0 is lost", acts, deadline_s, instance_id, address, sure, told_s)
        self.events[f"ray-{node}"] = event.to_text().encode()

    def leaves(self, node: str) -> None:
        joined = self.cluster.provider.joined
        address = self.cluster.provider.internal_ip(node)
        self.cluster.provider.joined = [one._replace(alive=one.alive and one.address != address) for one in joined]


@pytest.fixture(name="told")
def told_fixture(cluster: Cluster, forgotten: list[str]) -> Told:
    assert forgotten == []
    return Told(cluster)
