"""Random sequences over capacity types on Google Cloud: nothing is bought outside of the user's order, nor twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling import _ray, timeouts
from accel_scaling.cluster import machine_lists
from accel_scaling.providers.gcp.reservations import Reservations
from accel_scaling.testing.gce.reservations import GceReservation
from tests.providers.gcp import test_launch_sequences as plain
from tests.support.capacity_ledger import GRANTED, REFUSED, Request, check_order
from tests.support.gcp_answers import KINDS, spoilt_answers
from tests.support.gcp_provider import MACHINES, ZONES, config_of, google, provider_of
from tests.support.launch_sequences import EXAMPLES, Sequence, sequence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TYPES = FIRST, SECOND = ("n1-standard-4", "n2-standard-4")  # a list of two; the reservation is for the second
ORDER = [f"{way} {machine}" for way in ("reserved mine", "spot", "on-demand") for machine in TYPES]
CAPACITY = {"cpu": [{"reserved": "mine"}, "spot", "on-demand"]}
MINE = GceReservation("mine", SECOND, count=2, zone=ZONES[0])
RESERVED = f"reserved mine {SECOND}"
PLACES = {RESERVED: {ZONES[0]}}
SOLD_OUT = {"ZONE_RESOURCE_POOL_EXHAUSTED"}
# Refusals before the call is carried out, of which Google's own records know nothing.
UNSEEN = ("403", "quota")


def _of_machines(call: str) -> bool:
    return not any(word in call for word in ("tpu", "slice", "answer any"))


class GoogleWithReservation(plain.EmulatedGoogle):
    """Compute Engine with a node type of three capacity types and two machine types, and the account of it."""

    kinds = ("cpu",)
    # No answer is spoilt that tells of reservations: who is told that one is full continues with spot, and is right.
    calls = (
        *(name for name in plain.EmulatedGoogle.calls if _of_machines(name)),
        "compute.reservations.aggregatedList",
    )
    launch_calls = tuple(name for name in plain.EmulatedGoogle.launch_calls if _of_machines(name))
    faults = tuple(name for name in (*plain.FAULTS, *KINDS) if name not in UNSEEN)

    def begin(self, cluster: str) -> None:
        super().begin(cluster)
        self.requests: list[Request] = []
        engine = self.at.engine
        engine._reservations.set([MINE])
        engine._launches._report = self.record  # type: ignore[method-assign]

    def record(self, zone: str, machine: Any, count: int, granted: int, errors: Any) -> None:
        """Note a request by Google's words for how it is bought."""
        del count
        if machine.get("labels", {}).get("ray-cluster-name") != self.cluster:
            return
        affinity = (machine.get("reservationAffinity") or {}).get("values")
        model = (machine.get("scheduling") or {}).get("provisioningModel")
        kind = "reserved mine" if affinity else "spot" if model == "SPOT" else "on-demand"
        way = f"{kind} {machine['machineType'].rpartition('/')[2]}"
        code = errors[0]["code"] if errors else ""
        used = sum(bool((one.get("reservationAffinity") or {}).get("values")) for one in self.at.machines().values())
        full = frozenset({f"reserved mine {FIRST}", *((RESERVED,) if used >= MINE.count else ())})
        self.requests.append(Request(way, zone, GRANTED if granted else REFUSED, code, unusable=full))

    def provider(self, *, cache_stopped_nodes: bool, zones: int) -> Any:
        del zones
        config = config_of(self.at.url, availability_zone=",".join(self.zones), capacity=CAPACITY)
        section = {
            **config["provider"],
            "cache_stopped_nodes": cache_stopped_nodes,
            machine_lists.MACHINES: {"cpu": {SECOND: {"machineType": SECOND}}},
            _ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD: False,
        }
        return provider_of({"provider": section, "cluster_name": self.cluster})

    def node_config(self, kind: str, zones: int) -> dict[str, Any]:
        del kind, zones
        return {**MACHINES["cpu"], "machineType": FIRST, "networkInterfaces": plain.NETWORK}


class OrderedSequence(Sequence):
    """A sequence whose launches are compared with the user's order."""

    at: GoogleWithReservation

    def create(self, kind: int, count: int, at_once: int) -> None:
        before = len(self.at.requests)
        super().create(kind, count, at_once)
        if at_once == 1:  # of two launches at once, nobody could say whose a request is
            made = self.at.requests[before:]
            check_order(ORDER, lambda way: PLACES.get(way, set(self.at.zones)), made, SOLD_OUT, set())


@pytest.fixture(name="cloud", scope="module")
def cloud_fixture() -> Iterator[GoogleWithReservation]:
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
        # Its own count is compared with Google's, so it has no older one.
        patch.setattr(Reservations.of, "__defaults__", (-1.0,))
        yield GoogleWithReservation(at, spoilt)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cache=st.booleans(), seed=st.integers(0, 2**63), length=st.integers(4, 16))
def test_nothing_is_bought_outside_of_the_order_whatever_fails(
    cloud: GoogleWithReservation, cache: bool, seed: int, length: int
) -> None:
    OrderedSequence(cloud, cache=cache, zones=2).run(sequence(seed, length))
