"""Stock Ray, unchanged, on the local EC2: up, a task that needs a new machine, down."""

from __future__ import annotations

import pytest
import yaml

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.events import EventKind
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.local_ec2 import isolated

CONFIG = {
    "cluster_name": "stock",
    "max_workers": 1,
    "provider": {"type": "aws", "region": "us-west-2", "use_internal_ips": True, "cache_stopped_nodes": False},
    "auth": {"ssh_user": "ubuntu"},
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_node_type": "head",
    "available_node_types": {
        "head": {"node_config": {"InstanceType": "m5.large"}},
        "gpu": {"min_workers": 0, "max_workers": 1, "node_config": {"InstanceType": "g4dn.xlarge"}},
    },
}

TASK = """
import ray
ray.init(address="auto", log_to_driver=False)

@ray.remote(num_gpus=1)
def where():
    return ray.util.get_node_ip_address()

print("RAN", "ON", ray.get(where.remote(), timeout=120))
"""


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("kind", "autoscaler"),
    # Each kind and each autoscaler once: tests/loop/test_aws.py and test_failing_machines.py have the other pairs, with
    # our provider.
    [
        pytest.param(HostKind.PROCESSES, "v1", marks=pytest.mark.wide),
        pytest.param(*isolated.values, "v2", marks=isolated.marks),
    ],
)
def test_stock_ray_launches_a_machine_for_a_task_and_takes_it_down(tmp_path, kind, autoscaler):
    cluster, task = tmp_path / "cluster.yaml", tmp_path / "task.py"
    cluster.write_text(yaml.safe_dump(CONFIG))
    task.write_text(TASK)
    with LocalEC2(tmp_path / "cloud", kind=kind) as ec2:
        environment = ec2.environment() | ({} if autoscaler == "v2" else {"RAY_UP_enable_autoscaler_v2": "0"})

        def ray(*words):
            done = ec2.run(["ray", *words], env=environment, capture_output=True, timeout=200)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            return done.stdout

        ray("up", "-y", cluster)
        ray("rsync-up", cluster, task, "~/task.py")
        told = ray("exec", cluster, "python ~/task.py")
        worker = [event for event in ec2.events() if event.kind is EventKind.BOOTED][-1]
        assert worker.instance_type == "g4dn.xlarge"
        assert f"RAN ON {worker.address}" in told
        ray("down", "-y", cluster)
        ended = [event.instance_type for event in ec2.events() if event.kind is EventKind.TERMINATED]
    assert sorted(ended) == ["g4dn.xlarge", "m5.large"]
    assert list((tmp_path / "cloud" / "postmortem" / str(worker.instance_id)).rglob("raylet.out"))
