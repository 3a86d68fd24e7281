"""Random sequences of what autoscalers and Google do: no machine is leaked, none forgotten, none created twice.

As many as the profile says (tests/conftest.py); the nightly run's 1,000 take some 100 s of CPU.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from accel_scaling import _ray, timeouts
from tests.support.gcp_provider import MACHINES, SLICES, ZONES, Google, config_of, google, provider_of, tags, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # 1,000 take several times as long beside clusters

CREATES = {
    "compute.instances.insert",
    "compute.instances.bulkInsert",
    "tpu.projects.locations.nodes.create",
}
CALLS = sorted(
    CREATES
    | {
        "compute.instances.list",
        "compute.instances.get",
        "compute.instances.setLabels",
        "compute.instances.delete",
        "compute.zoneOperations.wait",
        "tpu.projects.locations.nodes.list",
        "tpu.projects.locations.nodes.get",
        "tpu.projects.locations.nodes.patch",
        "tpu.projects.locations.nodes.delete",
        "tpu.projects.locations.operations.get",
    }
)
NETWORK = [{"subnetwork": "projects/rehearsal/regions/us-central1/subnetworks/default"}]
KINDS: dict[str, dict[str, Any]] = {
    name: {**MACHINES[name], "networkInterfaces": NETWORK} for name in ("cpu", "l4", "t4")
} | {"v4": SLICES["v4"]}

_google: list[Google] = []


@pytest.fixture(scope="module", autouse=True)
def _one_google(request: pytest.FixtureRequest) -> Iterator[None]:
    """One local Compute Engine for all sequences, each with a cluster of its own; what waits, waits briefly."""
    with pytest.MonkeyPatch.context() as patch, google() as at:
        for name, value in {
            "GCP_RETRY_WAITS_S": (0.001, 0.001),
            "GCP_LABELS_DELAY_S": 0.001,
            "GCP_LABELS_RETRY_S": 0.01,
            "GCP_CONFLICT_WAIT_S": 0.001,
            "GCP_OPERATION_POLL_S": 0.005,
        }.items():
            patch.setattr(timeouts, name, value)
        _google.append(at)
        yield
        _google.clear()


class Sequences(RuleBasedStateMachine):
    """Two processes, as the laptop and the head, that share one cluster."""

    nodes = Bundle("nodes")

    @initialize()
    def begin(self) -> None:
        self.at = _google[0]
        self.at.injection.call_faults.clear()
        self.at.injection.dry_zones.clear()
        self.cluster = f"c{uuid.uuid4().hex[:8]}"
        config = config_of(self.at.url, availability_zone=",".join(ZONES[:2]))
        provider = {**config["provider"], _ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD: True}
        self.providers = [provider_of({"provider": provider, "cluster_name": self.cluster}) for _ in range(2)]
        self.made: set[str] = set()
        self.ended: set[str] = set()  # nodes that were deleted or taken back
        self.labels: dict[str, dict[str, str]] = {}

    # What the autoscalers do. Each may fail where Google does, and must leave nothing behind then.

    @rule(
        target=nodes,
        who=st.integers(0, 1),
        kind=st.sampled_from(sorted(KINDS)),
        count=st.integers(1, 4),
        unanswered=st.sampled_from([0, 0, 1, 2, 12]),
    )
    def create(self, who: int, kind: str, count: int, unanswered: int) -> Any:
        """Create nodes; the first calls of it may be carried out without an answer."""
        before = self.everything()
        for call in CREATES if unanswered else ():
            self.at.fault(call, times=unanswered, kind="broken_connection")
        try:
            made = self.providers[who].create_node(KINDS[kind], tags(kind, cluster=self.cluster), count)
        except _ray.node_launch_exception():
            made = None  # what came is found by listing
        new = set(self.everything()) - set(before)
        assert len(new) <= count, "one is there twice"
        assert made is None or set(made) == new
        self.made |= new
        return multiple(*sorted(new))

    @rule(who=st.integers(0, 1), node=nodes, key=st.sampled_from("ab"), value=st.integers(0, 9))
    def label(self, who: int, node: str, key: str, value: int) -> None:
        # Each process has its own tags: which of two writers of one tag is the last, nobody knows. Labels of slices
        # have no fingerprint, so one process alone writes them.
        who = 0 if "/nodes/" in node else who
        wanted = {f"{key}{who}": str(value)}
        self.providers[who].set_node_tags(node, wanted)
        self.labels.setdefault(node, {}).update(wanted)
        assert node in self.ended or wanted.items() <= self.tolerant(self.providers[who].node_tags, node).items()

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        try:
            seen = self.providers[who].non_terminated_nodes({})
        except Exception:  # noqa: BLE001 - a fault of this sequence; Ray looks again
            return
        assert not set(seen) & self.ended, "a node that is gone is listed"

    @rule(who=st.integers(0, 1), chosen=st.lists(nodes, min_size=1, max_size=3))
    def delete(self, who: int, chosen: list[str]) -> None:
        try:
            self.providers[who].terminate_nodes(chosen)
        except Exception:  # noqa: BLE001 - Ray asks again
            # What was carried out without an answer is deleted anyway.
            self.ended |= {node for node in chosen if node not in self.exists()}
            return
        self.ended |= set(chosen)

    # What Google does.

    @rule(node=nodes)
    def preempt(self, node: str) -> None:
        alive = {**self.at.machines(), **self.at.slices()}.get(node)
        if alive and (alive.get("status"), alive.get("state")) in {("RUNNING", None), (None, "READY")}:
            spot = alive.get("scheduling", {})
            if "state" in alive or spot.get("preemptible") or spot.get("provisioningModel") == "SPOT":
                self.at.engine.preempt(node)
                self.ended.add(node)

    @rule(
        call=st.sampled_from(sorted(CREATES)) | st.sampled_from(CALLS),
        how=st.just({"kind": "broken_connection"})
        | st.sampled_from(
            [
                {"status": 503, "reason": "backendError"},
                {"status": 429, "reason": "rateLimitExceeded"},
                {"status": 403, "reason": "quotaExceeded"},
                {"kind": "lost_request"},
                {"kind": "operation", "code": "QUOTA_EXCEEDED", "message": "Quota exceeded"},
            ]
        ),
        times=st.sampled_from([1, 2, 12]),  # each call is tried three times, and each try may be sent twice
    )
    def fault(self, call: str, how: dict[str, Any], times: int) -> None:
        if (how.get("reason") == "quotaExceeded" or how.get("kind") == "operation") and call not in CREATES:
            return
        self.at.fault(call, times=times, **how)

    @rule(zone=st.sampled_from(ZONES[:2]), dry=st.booleans())
    def stock_out(self, zone: str, dry: bool) -> None:
        if dry:
            self.at.injection.dry_zones[zone] = ["*"]
        else:
            self.at.injection.dry_zones.pop(zone, None)

    # What must hold.

    def tolerant(self, ask: Any, node: str) -> dict[str, str]:
        try:
            found: dict[str, str] = ask(node)
        except Exception:  # noqa: BLE001 - a fault of this sequence
            return self.labels.get(node, {})
        return found

    def everything(self) -> dict[str, dict[str, Any]]:
        found = {**self.at.machines(), **self.at.slices()}
        return {name: one for name, one in found.items() if one["labels"].get("ray-cluster-name") == self.cluster}

    def exists(self) -> dict[str, dict[str, Any]]:
        mine = self.everything()
        gone = {"STOPPING", "DELETING"}
        return {name: one for name, one in mine.items() if one.get("status", one.get("state")) not in gone}

    def teardown(self) -> None:
        if not hasattr(self, "made"):
            return
        self.at.injection.call_faults.clear()
        first, second = self.providers
        # None is forgotten: every node that exists is listed, by whoever asks, and what was taken back is deleted.
        assert self.made - self.ended <= set(first.non_terminated_nodes({}))
        wait_until("what was taken back to be deleted", lambda: not self.taken_back(second))
        assert set(second.non_terminated_nodes({})) == set(self.exists())
        # No tag is lost.
        assert [*first.flush_tags(), *second.flush_tags()] == []
        for node, wanted in self.labels.items():
            if node in self.exists():
                assert wanted.items() <= self.exists()[node]["labels"].items()
        # None is leaked: after the end of the cluster, nothing is left.
        first.terminate_nodes(second.nodes_for_teardown({}))
        wait_until("the end of the cluster", lambda: not self.exists())
        assert second.non_terminated_nodes({}) == []

    def taken_back(self, provider: Any) -> set[str]:
        provider.non_terminated_nodes({})
        states = {"TERMINATED", "PREEMPTED"}
        return {name for name, one in self.exists().items() if one.get("status", one.get("state")) in states}


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    stateful_step_count=10,
    suppress_health_check=list(HealthCheck),
)
