"""A machine that the cloud takes back is drained and replaced, on real clusters: an actor moves to the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from accel_scaling.testing import Fault
from accel_scaling.testing.base_cloud import LocalCloud
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.cluster import LEAN, V1, V2, cluster, gcp_config_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

# Google gives 30 s between the notice and the end, and EC2 two minutes, in which an actor keeps its machine.
CONFIG = gcp_config_of({"l4": "g2-standard-4"}) | LEAN


@pytest.mark.parametrize("autoscaler", [V2, V1], ids=["v2", "v1"])
def test_an_actor_moves_to_a_new_machine_when_the_cloud_takes_its_own_and_nothing_is_quarantined(
    autoscaler: Mapping[str, str],
) -> None:
    with cluster(CONFIG, autoscaler, kind=HostKind.PROCESSES) as one:
        one.local.set_faults(Fault.parse("notice:g2-standard-4@3s"))
        one.up()
        one.has("cluster_moves.py")
        printed = one.exec("python3 cluster_moves.py L4")
        found = json.loads(printed.partition("RESULT ")[2].splitlines()[0])
        assert not found["same"], one.log()[-3000:]
        assert not found["first_alive"]
        assert found["second"]["accel-scaling.io/verdict"] == "Confirmed"
        first, second = (event for event in one.local.events() if event.kind is EventKind.BOOTED and event != one.head)
        one.wait("the end of the first machine", lambda: first.instance_id in _ended(one.local), timeout_s=60)
        assert second.instance_id not in _ended(one.local)
        status = one.exec("accel-scaling status --json")
        content = json.loads(status[status.index("{") : status.rindex("}") + 1])
        assert content["left_alone"] == [], "a notice is no strike"


def _ended(local: LocalCloud) -> set[str]:
    return {event.instance_id for event in local.events() if event.kind is EventKind.TERMINATED}
