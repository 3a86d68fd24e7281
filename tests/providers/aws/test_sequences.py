"""Random sequences on EC2: nothing is bought twice, nothing is leaked, and no call hangs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import aws_provider
from tests.support.aws_provider import ALIVE, EC2, A, B, ec2_in_process, node_config, provider_of
from tests.support.launch_sequences import EXAMPLES, Machine, Sequence, sequence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TYPES = {"cpu": "m5.large", "a10g": "g5.xlarge"}


class EmulatedEC2:
    """EC2, as the sequences use it."""

    kinds = tuple(TYPES)
    zones = (A, B)
    calls = (
        "RunInstances",
        "RunInstances",
        "StartInstances",
        "DescribeInstances",
        "DescribeInstances",
        "CreateTags",
        "StopInstances",
        "TerminateInstances",
        "DescribeSubnets",
        "*",
    )
    launch_calls = ("RunInstances", "RunInstances", "StartInstances", "DescribeInstances", "*")
    faults = tuple(
        f"{when} {what}"
        for when in ("before", "after")
        for what in (
            "throttled",
            "unavailable",
            "internal",
            "unknown 5xx",
            "no permission",
            "closed",
            "silent",
            "garbled",
        )
        if not (when == "after" and what in ("throttled", "no permission"))  # those are said before anything is done
    )

    def __init__(self, ec2: EC2) -> None:
        self.ec2 = ec2

    def begin(self, cluster: str) -> None:
        self.cluster = cluster
        self.ec2.reset()

    def provider(self, *, cache_stopped_nodes: bool, zones: int) -> Any:
        del zones  # of the node_config
        return provider_of(self.cluster, cache_stopped_nodes=cache_stopped_nodes)

    def node_config(self, kind: str, zones: int) -> dict[str, Any]:
        return node_config(self.ec2, TYPES[kind], self.zones[:zones])

    def tags(self, kind: str) -> dict[str, str]:
        return aws_provider.tags(kind)

    def machines(self) -> dict[str, Machine]:
        found = {}
        for name, one in self.ec2.machines().items():
            tags = {tag["key"]: tag["value"] for tag in one.get_tags()}
            assert tags["ray-cluster-name"] == self.cluster, "a machine that no list of this cluster finds"
            found[name] = Machine(tags["ray-user-node-type"], one.placement.zone, one.state in ALIVE)
        return found

    def fault(self, call: str, what: str, times: int) -> None:
        when, _, kind = what.partition(" ")
        self.ec2.fault(call, when, kind, times)  # type: ignore[arg-type]

    def sold_out(self, zones: set[str]) -> None:
        self.ec2.sold_out(*(f"{machine}@{zone}" for machine in TYPES.values() for zone in zones))

    def hide(self, *, new: bool) -> None:
        self.ec2.hide(new=new)

    def calm(self) -> None:
        self.ec2.faults.clear()
        self.ec2.sold_out()

    def close(self) -> None:
        """Do nothing: all is written at once."""


@pytest.fixture(name="region", scope="module")
def region_fixture() -> Iterator[EC2]:
    """One EC2 for all sequences."""
    from ray.autoscaler._private.aws import node_provider

    with pytest.MonkeyPatch.context() as patch, ec2_in_process() as ec2:
        patch.setattr(node_provider, "TAG_BATCH_DELAY", 0.0)
        patch.setattr(node_provider, "LIST_RETRY_DELAY_SEC", 0.0)
        yield ec2


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cache=st.booleans(), zones=st.integers(1, 2), seed=st.integers(0, 2**63), length=st.integers(4, 16))
def test_whatever_happens_nothing_is_bought_twice_leaked_or_waited_for_for_ever(
    region: EC2, cache: bool, zones: int, seed: int, length: int
) -> None:
    Sequence(EmulatedEC2(region), cache=cache, zones=zones).run(sequence(seed, length))
