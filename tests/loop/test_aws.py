"""The whole loop on real clusters: promise, launch, confirmation; what lies never joins. Over ssh, v2 and v1."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from accel_scaling import __version__
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.rehearse import try_task
from tests.support.cluster import LEAN, LEAN_HEAD, V1, V2, Cluster, cluster, config_of, machines_of
from tests.support.iam import User, policy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

BOTH = pytest.mark.parametrize("autoscaler", [pytest.param(V2, id="v2"), pytest.param(V1, id="v1")])


@BOTH
def test_a_task_launches_the_machine_that_it_asks_for_and_the_package_came_with_ray_up(
    autoscaler: Mapping[str, str],
) -> None:
    config = config_of({"t4": "g4dn.xlarge", "a10g": "g5.xlarge", "part": "g6f.large"})
    config["available_node_types"]["part"]["node_config"]["ImageId"] = "ami-0123456789abcdef0"  # with a GRID driver
    with cluster(config if autoscaler is V2 else config | LEAN, autoscaler) as one:
        one.up()
        ran = one.task(accelerator_type="T4", num_gpus=1)["ran"]
        assert ran["labels"]["accel-scaling.io/instance-type"] == "g4dn.xlarge"
        assert ran["labels"]["accel-scaling.io/verdict"] == "Confirmed"
        assert ran["labels"]["topology.k8s.aws/zone-id"].startswith("usw2-az")
        assert ran["resources"]["GPU"] == 1
        assert ran["ids"]["GPU"] == ["0"]
        assert ran["version"] == __version__
        assert fnmatch(ran["package"], "*/.accel_scaling_bundle/*/accel_scaling/__init__.py")
        if autoscaler is V2:
            ran = one.task(label_selector={"ray.io/accelerator-type": "A10G"}, num_gpus=1)["ran"]
            assert ran["labels"]["accel-scaling.io/instance-type"] == "g5.xlarge"
        else:
            one.has("cluster_accs.py")
            refused = one.scenario("refusal", {"num_accs": 1, "accelerator_type": ["H100", "T4"]})
            assert "this cluster's autoscaler is v1, which has no order of preference" in refused
            (ran,) = one.scenario("each", [{"num_accs": 1}])  # all that it can launch has NVIDIA's GPUs
            assert ran["variables"] == {"CUDA_VISIBLE_DEVICES": "0"}
        # A slice of an L4 is announced as that, and never as an L4.
        ran = one.task(accelerator_type="L4-3Q", num_gpus=1)["ran"]
        assert ran["resources"]["accelerator_type:L4-3Q"] == 1
        assert "accelerator_type:L4" not in ran["resources"]
        assert f"accel-scaling {__version__}" in one.exec("accel-scaling --version")
        assert "Active:" in one.ray("exec", str(one.path), "ray status").stdout
        asked = [machine for machine in machines_of(one.local, ["booted"]) if machine != "m5.large"]
        assert asked == ["g4dn.xlarge", "g5.xlarge", "g6f.large"][:: 1 if autoscaler is V2 else 2]
        assert one.ray("down", "-y", str(one.path)).returncode == 0
        one.wait(
            "ray down's end of all machines",
            lambda: len(machines_of(one.local, ["stopped", "terminated"])) == 1 + len(asked),
        )


def demand(machine: str, accelerator_type: str, resource: str = "GPU") -> dict[str, Any]:
    """What try_task takes."""
    return {"node_type": machine, "resource": resource, "count": 1, "accelerator_type": accelerator_type}


LIES = {
    "p4d.24xlarge": (
        Fault.fewer("p4d.24xlarge", 7),
        demand("p4d.24xlarge", "A100-40G"),
        "FewerThanPromised: promised 8 x A100-40G; 7 on the PCI bus, 7 seen by the driver",
    ),
    "g6.xlarge": (
        Fault.other("g6.xlarge", "NVIDIA A10G"),
        demand("g6.xlarge", "L4"),
        "OtherType: promised 1 x L4",
    ),
    "g5.xlarge": (
        Fault.no_driver("g5.xlarge"),
        demand("g5.xlarge", "A10G"),
        "DriverMissing: promised 1 x A10G; 1 on the PCI bus, 0 seen by the driver: the NVIDIA driver is not loaded",
    ),
    "trn1.2xlarge": (
        Fault.fewer("trn1.2xlarge", 0),
        demand("trn1.2xlarge", "Trainium", "neuron_cores"),
        "NoDevice: promised 2 neuron_cores of Trainium",
    ),
}


def test_a_machine_with_other_devices_never_joins_the_log_says_why_and_it_is_gone() -> None:
    config = config_of({f"w{number}": machine for number, machine in enumerate(LIES)})
    with cluster(config | LEAN) as one:
        one.local.set_faults(*(fault for fault, _, _ in LIES.values()))
        one.up()
        demands = [wanted for _, wanted, _ in LIES.values()]
        said = one.exec(shlex.join(try_task.words(demands, 45)) + " || true")
        # Each task stayed pending, and only the head ever joined.
        assert said.count('"ran": null') == len(LIES)
        assert said.count("NODE {") == 1
        for machine, (_, _, sentence) in LIES.items():
            one.wait(f"the refusal of {machine} in the log", lambda words=sentence: words in one.log())
            one.wait(f"the end of {machine}", lambda name=machine: name in machines_of(one.local, ["terminated"]))
        # None is stopped to be used again, though that is the default on AWS.
        assert machines_of(one.local, ["stopped"]) == []
        # Each was launched twice, and once more in another zone; now they are quarantined, and say why.
        assert len(machines_of(one.local, ["booted"])) <= 1 + 3 * len(LIES)
        assert "refused: DriverMissing" in one.exec("accel-scaling status")
        one.local.set_faults()
        assert "no node type is quarantined" in one.exec("accel-scaling status --clear")
        ran = one.task(accelerator_type="A10G", num_gpus=1)["ran"]
        assert ran["labels"]["accel-scaling.io/verdict"] == "Confirmed"


def test_a_head_that_lies_is_terminated_and_ray_up_says_why() -> None:
    config = config_of({}, head="g4dn.xlarge")
    with cluster(config | LEAN, kind=HostKind.PROCESSES) as one:
        one.local.set_faults(Fault.no_driver("g4dn.xlarge"))
        done = one.ray("up", "-y", str(one.path))
        assert done.returncode == 1
        assert "DriverMissing: promised 1 x T4" in done.stdout
        assert "Traceback" not in done.stdout
        one.wait("the head's end", lambda: machines_of(one.local, ["terminated"]) == ["g4dn.xlarge"])


@contextlib.contextmanager
def with_just_docs_iam(one: Cluster) -> Iterator[None]:
    """Who runs `ray up`, and the head, have the policies of docs/iam and no other, which moto enforces from now on."""
    launcher, head = User(one.local, policy("aws-launcher")), User(one.local, policy("aws-head"))
    config = yaml.safe_load(one.path.read_text())
    config["available_node_types"]["head"]["node_config"]["IamInstanceProfile"] = {"Name": "ray-autoscaler-v1"}
    # A local host has no metadata server that would give the head its role's credentials.
    exports = "".join(f"export {name}={value}; " for name, value in head.environment.items())
    config["head_start_ray_commands"] = [exports + LEAN_HEAD]
    one.path.write_text(yaml.safe_dump(config))
    one.autoscaler = {**one.autoscaler, **launcher.environment}
    with launcher:
        yield


def test_fewer_machines_than_asked_for_are_used_and_the_log_has_awss_reason_though_all_have_just_docs_iam() -> None:
    with cluster(config_of({"t4": "g4dn.xlarge"}) | LEAN, kind=HostKind.PROCESSES) as one, with_just_docs_iam(one):
        one.local.set_faults(Fault.capacity("g4dn.xlarge", 1))
        one.up()
        # Two nodes' worth of demand; one machine is available.
        one.exec(
            "python3 -c \"import ray; from ray.autoscaler.sdk import request_resources; ray.init('auto'); "
            "request_resources(bundles=[{'GPU': 1}] * 2)\""
        )
        reason = "We currently do not have sufficient g4dn.xlarge capacity"
        one.wait("AWS's reason in the autoscaler's log", lambda: reason in one.log())
        assert one.task(accelerator_type="T4", num_gpus=1)["alive"] == ["g4dn.xlarge", "m5.large"]
        assert one.ray("down", "-y", str(one.path)).returncode == 0
        one.wait("the end of both machines", lambda: len(machines_of(one.local, ["stopped"])) == 2)
