"""Capacity as it is bought: a reservation first, then spot, then on demand; and a block that begins meanwhile."""

from __future__ import annotations

import json
import os

import pytest

from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.reservations import read_reservations
from tests.support.cluster import LEAN, V1, V2, Cluster, cluster, config_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

RESERVED = "cr-0aa:count=2,type=g5.xlarge"
BLOCK = "cr-0bb:count=1,type=g5.2xlarge,kind=block,begins=60s,ends=1d"
ORDERS = {"gpu": [{"reserved": "cr-0aa"}, "spot", "on-demand"], "later": {"block": "cr-0bb"}}
CONFIG = config_of({"gpu": "g5.xlarge", "later": "g5.2xlarge"}, provider={"capacity": ORDERS})
CONFIG["available_node_types"]["gpu"] |= {"min_workers": 4, "max_workers": 4}
CONFIG["available_node_types"]["later"] |= {"min_workers": 1, "max_workers": 1}
# The nightly run tries v1 too: the provider's part is the same, and its tests of sequences are.
AUTOSCALERS = {"v2": V2, "v1": V1} if os.environ.get("ACCEL_SCALING_TEST_BOTH") else {"v2": V2}

LABELS = (
    "import json, ray; ray.init(address='auto', logging_level='ERROR'); "
    "print('LABELS', json.dumps([node['Labels'] for node in ray.nodes() if node['Alive']]))"
)


def labels_of(one: Cluster, machine_type: str) -> list[tuple[str, str]]:
    """How the nodes of a machine type were bought, by their labels: ours, and Ray's."""
    said = one.exec(f'python3 -c "{LABELS}"')
    line = next(line for line in said.splitlines() if line.startswith("LABELS "))
    every = json.loads(line.removeprefix("LABELS "))
    mine = [row for row in every if row.get("accel-scaling.io/instance-type") == machine_type]
    return sorted((row.get("accel-scaling.io/capacity-type", ""), row.get("ray.io/market-type", "")) for row in mine)


@pytest.mark.parametrize("autoscaler", AUTOSCALERS)
def test_four_machines_are_two_reserved_one_spot_and_one_on_demand_and_a_block_is_used_when_it_begins(
    autoscaler: str,
) -> None:
    with cluster(CONFIG | LEAN, AUTOSCALERS[autoscaler], kind=HostKind.PROCESSES) as one:
        one.local.set_faults(Fault.capacity("g5.xlarge/spot", 1))
        one.local.set_reservations(RESERVED, BLOCK)
        bought = {one.name: one for one in read_reservations(one.local.settings.reservations_file)}
        one.up()
        one.wait("the four machines", lambda: len(labels_of(one, "g5.xlarge")) == 4)
        assert labels_of(one, "g5.xlarge") == [
            ("on-demand", "on-demand"),
            ("reserved", ""),
            ("reserved", ""),
            ("spot", "spot"),
        ]
        one.wait("the machine of the block", lambda: labels_of(one, "g5.2xlarge") == [("block", "")])
        launched = [event for event in one.local.events() if event.kind is EventKind.LAUNCHED]
        *others, of_block = [event.time for event in launched if event.instance_type != "m5.large"]
        assert len(others) == 4, "none too many"
        # On a slow machine, the block begins before the autoscaler does.
        possible_s = max(bought["cr-0bb"].begins_at_s, *others)
        assert bought["cr-0bb"].begins_at_s <= of_block <= possible_s + 10
