"""Random sequences on Google Cloud beside spoilt answers: nothing is bought twice, nothing leaked, no call hangs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling import _ray, timeouts
from accel_scaling.providers.gcp.labels import abandon_all
from tests.support import gcp_provider
from tests.support.gcp_answers import CALLS, KINDS, Spoilt, spoilt_answers
from tests.support.gcp_provider import MACHINES, SLICES, ZONES, Google, config_of, google, provider_of
from tests.support.launch_sequences import EXAMPLES, Machine, Sequence, sequence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

NETWORK = [{"subnetwork": "projects/rehearsal/regions/us-central1/subnetworks/default"}]
CONFIGS: dict[str, dict[str, Any]] = {
    "cpu": {**MACHINES["cpu"], "networkInterfaces": NETWORK},
    "l4": {**MACHINES["l4"], "networkInterfaces": NETWORK},
    "v4": SLICES["v4"],
}
PAID = {"PENDING", "PROVISIONING", "STAGING", "RUNNING", "REPAIRING", "CREATING", "STARTING", "RESTARTING", "READY"}

METHODS = (
    "compute.instances.insert",
    "compute.instances.bulkInsert",
    "compute.instances.bulkInsert",
    "compute.instances.list",
    "compute.instances.get",
    "compute.instances.start",
    "compute.instances.stop",
    "compute.instances.delete",
    "compute.instances.setLabels",
    "compute.zoneOperations.wait",
    "tpu.projects.locations.nodes.create",
    "tpu.projects.locations.nodes.list",
    "tpu.projects.locations.nodes.get",
    "tpu.projects.locations.nodes.delete",
    "tpu.projects.locations.operations.get",
    "*",
)
FAULTS: dict[str, dict[str, Any]] = {
    "broken": {"kind": "broken_connection"},
    "lost": {"kind": "lost_request"},
    "503": {"status": 503, "reason": "backendError"},
    "429": {"status": 429, "reason": "rateLimitExceeded"},
    "403": {"status": 403, "reason": "forbidden"},
    "quota": {"status": 403, "reason": "quotaExceeded"},
    "operation": {"kind": "operation", "code": "QUOTA_EXCEEDED", "message": "Quota exceeded"},
}


class EmulatedGoogle:
    """Compute Engine and Cloud TPU, as the sequences use them."""

    kinds = tuple(CONFIGS)
    zones = ZONES[:2]
    # Faults of the server, and answers that are spoilt on their way.
    calls = (*METHODS, *(f"answer {name}" for name in CALLS))
    launch_calls = (
        *(name for name in METHODS if "nsert" in name or "create" in name or "start" in name),
        "compute.instances.list",
        "compute.zoneOperations.wait",
        "*",
        *(f"answer {name}" for name in ("insert", "bulkInsert", "slice", "wait", "any")),
    )
    faults = (*FAULTS, *KINDS)

    def __init__(self, at: Google, spoilt: Spoilt) -> None:
        self.at, self.spoilt = at, spoilt

    def begin(self, cluster: str) -> None:
        self.cluster = cluster
        self.spoilt.random.seed(0)
        self.calm()

    def provider(self, *, cache_stopped_nodes: bool, zones: int) -> Any:
        config = config_of(self.at.url, availability_zone=",".join(self.zones[:zones]))
        section = {
            **config["provider"],
            "cache_stopped_nodes": cache_stopped_nodes,
            _ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD: True,
        }
        return provider_of({"provider": section, "cluster_name": self.cluster})

    def node_config(self, kind: str, zones: int) -> dict[str, Any]:
        del zones  # of the provider section
        return CONFIGS[kind]

    def tags(self, kind: str) -> dict[str, str]:
        return gcp_provider.tags(kind, cluster=self.cluster)

    def machines(self) -> dict[str, Machine]:
        found = {}
        for name, one in {**self.at.machines(), **self.at.slices()}.items():
            labels = one["labels"]
            if labels.get("ray-cluster-name") == self.cluster:
                zone = name.split("/")[3] if "/" in name else one["zone"].rsplit("/", 1)[-1]
                paid = (one.get("status") or one.get("state")) in PAID
                found[name] = Machine(labels["ray-user-node-type"], zone, paid)
        return found

    def fault(self, call: str, what: str, times: int) -> None:
        if call.startswith("answer "):
            kind = what if what in KINDS else "mutated"
            self.spoilt.todo += [(call.removeprefix("answer "), kind)] * times
            return
        how = FAULTS.get(what, FAULTS["broken"])
        creates = "nsert" in call or "create" in call
        if creates or not (how.get("kind") == "operation" or how.get("reason") == "quotaExceeded"):
            self.at.fault(call, times=times, **how)

    def sold_out(self, zones: set[str]) -> None:
        self.at.injection.dry_zones.clear()
        self.at.injection.dry_zones.update({zone: ["*"] for zone in zones})

    def hide(self, *, new: bool) -> None:
        """Do nothing: Google's lists are complete."""

    def calm(self) -> None:
        self.spoilt.todo.clear()
        self.at.injection.call_faults.clear()
        self.at.injection.dry_zones.clear()

    def close(self) -> None:
        abandon_all()


@pytest.fixture(name="cloud", scope="module")
def cloud_fixture() -> Iterator[EmulatedGoogle]:
    """One local Compute Engine for all sequences; what waits, waits briefly."""
    with pytest.MonkeyPatch.context() as patch, google() as at, spoilt_answers() as spoilt:
        for name, value in {
            "GCP_RETRY_WAITS_S": (0.001, 0.001),
            "GCP_LABELS_DELAY_S": 0.001,
            "GCP_LABELS_RETRY_S": 0.01,
            "GCP_CONFLICT_WAIT_S": 0.001,
            "GCP_OPERATION_POLL_S": 0.005,
            "GCP_OPERATION_S": 5.0,
        }.items():
            patch.setattr(timeouts, name, value)
        yield EmulatedGoogle(at, spoilt)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cache=st.booleans(), zones=st.integers(1, 2), seed=st.integers(0, 2**63), length=st.integers(4, 16))
def test_whatever_happens_nothing_is_bought_twice_leaked_or_waited_for_for_ever(
    cloud: EmulatedGoogle, cache: bool, zones: int, seed: int, length: int
) -> None:
    Sequence(cloud, cache=cache, zones=zones).run(sequence(seed, length))
