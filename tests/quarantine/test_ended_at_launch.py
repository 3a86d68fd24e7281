"""Machines that EC2 ends before anybody has listed them, in rounds of Ray's own autoscalers on the local EC2."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.providers.aws import machine_end
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.providers.base.machine_end import EndedBy
from tests.providers.aws.test_provider import client_of, live
from tests.quarantine.test_beside_stock import (
    V1,
    V2,
    _yaml_in_c,  # noqa: F401 - a fixture
    account_fixture,  # noqa: F401
    ec2_fixture,  # noqa: F401
    on_the_head,
)
from tests.support.cluster import machines_of

pytestmark = pytest.mark.slow

BAD, GOOD = "g4dn.xlarge", "g4dn.2xlarge"


@pytest.mark.parametrize("autoscaler", [V2, V1])
def test_the_demand_goes_to_another_type_within_a_few_rounds(
    autoscaler: type[V1 | V2], account: LocalEC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself, v2 waits ten minutes for each such machine, and keeps the demand for it."""
    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider

    # The local EC2 ends machines for the user alone: here that is treated as EC2's own doing.
    monkeypatch.setitem(machine_end._BY, "Client.UserInitiatedShutdown", EndedBy.CLOUD)
    account.set_faults()
    config, path = on_the_head(account, {"bad": BAD, "good": GOOD}, monkeypatch)
    provider = AWSAcceleratorNodeProvider(config["provider"], config["cluster_name"])
    rounds: Any = autoscaler(path, provider)
    before, taken = len(machines_of(account, ["asked"])), 0
    while GOOD not in machines_of(account, ["asked"])[before:]:
        taken += 1
        assert taken <= 8, machines_of(account, ["asked"])[before:]
        rounds.run([{"CPU": 1, "GPU": 1, "accelerator_type:T4": 0.001}])
        if ended := live(account, BAD):
            client_of(account).terminate_instances(InstanceIds=ended)
    assert machines_of(account, ["asked"])[before:].count(BAD) == 2
    provider.terminate_nodes(provider.non_terminated_nodes({}))
