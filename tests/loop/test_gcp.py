"""The whole loop on Google Cloud: promise, launch over zones, confirmation, preemption, slices. Over ssh, v2 and v1."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest

from accel_scaling import __version__
from accel_scaling.providers.gcp.local_cloud import LocalGCE
from accel_scaling.testing import Fault
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.rehearse import try_task
from tests.loop.test_aws import demand
from tests.support.cluster import LEAN, V1, V2, cluster, gcp_config_of, machines_of
from tests.support.gce_client import PARENT, Client

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

BOTH = pytest.mark.parametrize("autoscaler", [pytest.param(V2, id="v2"), pytest.param(V1, id="v1")])

T4 = {
    "machineType": "n1-standard-4",
    "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}],
    "scheduling": {"provisioningModel": "SPOT"},
}
V4_POD = {"acceleratorType": "v4-16", "runtimeVersion": "tpu-ubuntu2204-base"}


@BOTH
def test_a_task_launches_the_machine_that_it_asks_for_wherever_there_is_one_and_a_preempted_one_is_replaced(
    autoscaler: Mapping[str, str],
) -> None:
    # Google has no image with the GRID driver that a part of a GPU needs: a user names one.
    image = {"sourceImage": "projects/p/global/images/with-grid-driver", "diskSizeGb": 50}
    part = {"machineType": "g4-standard-6", "disks": [{"boot": True, "autoDelete": True, "initializeParams": image}]}
    config = gcp_config_of({"t4": T4, "l4": "g2-standard-4", "part": part}, zones="us-central1-a,us-central1-b")
    with cluster(config | LEAN, autoscaler) as one:
        local = one.local
        assert isinstance(local, LocalGCE)
        one.up()
        local.set_faults(Fault.no_capacity("n1-standard-4@us-central1-a"))
        ran = one.task(accelerator_type="T4", num_gpus=1)["ran"]
        assert ran["labels"]["accel-scaling.io/instance-type"] == "n1-standard-4"
        assert ran["labels"]["accel-scaling.io/verdict"] == "Confirmed"
        assert (ran["resources"]["GPU"], ran["ids"]["GPU"]) == (1, ["0"])
        assert ran["version"] == __version__
        asked = [
            event for event in local.events() if event.kind.value == "asked" and event.instance_type == "n1-standard-4"
        ]
        assert [(event.subnet, event.granted) for event in asked][:2] == [("us-central1-a", 0), ("us-central1-b", 1)]
        # A slice of an RTX PRO 6000 is announced as that, and never as a whole one.
        ran = one.task(accelerator_type="RTX-PRO-6000-12Q", num_gpus=1)["ran"]
        assert "accelerator_type:RTX-PRO-6000" not in ran["resources"]
        (spot,) = {event.instance_id for event in local.events() if event.instance_type == "n1-standard-4"} - {None}
        local.preempt(spot)
        one.wait("the end of the preempted machine", lambda: "n1-standard-4" in machines_of(local, ["terminated"]))
        ran = one.task(accelerator_type="T4", num_gpus=1)["ran"]
        assert ran["labels"]["accel-scaling.io/verdict"] == "Confirmed"
        assert "Active:" in one.ray("exec", str(one.path), "ray status").stdout
        assert one.ray("down", "-y", str(one.path)).returncode == 0
        booted = len(machines_of(local, ["booted"]))
        one.wait("ray down's end of all machines", lambda: len(machines_of(local, ["terminated"])) == booted)


LIES = {
    "a2-highgpu-8g": (
        Fault.fewer("a2-highgpu-8g", 7),
        "A100-40G",
        "FewerThanPromised: promised 8 x A100-40G; 7 on the PCI bus, 7 seen",
    ),
    "g2-standard-4": (Fault.other("g2-standard-4", "NVIDIA A10G"), "L4", "OtherType: promised 1 x L4"),
    "v4-16": (
        Fault.no_driver("v4-16"),
        "TPU-V4",
        "DriverMissing: host 0 of 2: promised 4 TPU of TPU-V4; 4 on the PCI bus, 0 seen by the driver",
    ),
}


def test_a_machine_or_slice_that_lies_never_joins_the_log_says_why_and_it_is_gone() -> None:
    config = gcp_config_of({"a100": "a2-highgpu-8g", "l4": "g2-standard-4", "pod": V4_POD})
    with cluster(config | LEAN) as one:
        one.local.set_faults(*(fault for fault, _, _ in LIES.values()))
        one.up()
        demands = [demand(name, kind, "TPU" if "TPU" in kind else "GPU") for name, (_, kind, _) in LIES.items()]
        said = one.exec(shlex.join(try_task.words(demands, 45)) + " || true")
        assert said.count('"ran": null') == len(LIES)
        assert said.count("NODE {") == 1, "only the head ever joined"
        for machine, (_, _, sentence) in LIES.items():
            one.wait(f"the refusal of {machine} in the log", lambda wanted=sentence: wanted in one.log())
            one.wait(f"the end of {machine}", lambda name=machine: name in machines_of(one.local, ["terminated"]))


RESERVE = """
import json, ray
ray.init("auto", log_to_driver=False, logging_level="ERROR")
from ray.util.tpu import slice_placement_group
whole = slice_placement_group(topology="2x2x2", accelerator_version="v4", head_reservation_timeout_s=120)
ray.get(whole.placement_group.ready(), timeout=60)
nodes = [node for node in ray.nodes() if node["Alive"] and "TPU" in node["Resources"]]
told = [[node["Labels"]["ray.io/tpu-worker-id"], node["Resources"].get("TPU-v4-16-head", 0)] for node in nodes]
print("RESERVED", json.dumps(sorted(told)), len({node["Labels"]["ray.io/tpu-slice-name"] for node in nodes}))
"""


# Two rounds of the autoscaler in which host 1 could have joined without host 0.
SLOW_HOST_0 = "case $(hostname) in *-w-0) sleep 10;; esac; "


def test_a_queued_slice_of_two_hosts_is_reserved_from_nothing_and_each_host_knows_its_number() -> None:
    config = gcp_config_of({"pod": V4_POD}) | LEAN
    config["provider"]["capacity"] = {"pod": [{"spot": {"wait_for": "1h"}}]}
    config["worker_start_ray_commands"] = [SLOW_HOST_0 + one for one in config["worker_start_ray_commands"]]
    with cluster(config) as one:
        one.local.set_faults(Fault.waits("v4-16", 12))
        one.up()
        assert 'RESERVED [["0", 1.0], ["1", 0]] 1' in one.exec("python3 -c " + shlex.quote(RESERVE))
        assert machines_of(one.local, ["asked"]) == ["n2-standard-2", "v4-16"], "one slice, not one for each host"
        one.has("cluster_accs.py")
        (ran,) = one.scenario("each", [{"num_accs": 2, "accelerator_type": "TPU-V4"}])
        assert (ran["verdict"], ran["ids"], ran["variables"]) == ("Confirmed", ["0", "1"], {"TPU_VISIBLE_CHIPS": "0,1"})
        queue = Client(one.local.endpoint_url).tpu.projects().locations().queuedResources()
        (queued,) = queue.list(parent=PARENT).execute()["queuedResources"]
        assert (queued["state"]["state"], queued["spot"]) == ("ACTIVE", {})
        assert one.ray("down", "-y", str(one.path)).returncode == 0
        one.wait("the end of its queued resource", lambda: "queuedResources" not in queue.list(parent=PARENT).execute())


def test_a_head_that_lies_is_deleted_and_ray_up_says_why() -> None:
    with cluster(gcp_config_of({}, head="g2-standard-4") | LEAN, kind=HostKind.PROCESSES) as one:
        one.local.set_faults(Fault.no_driver("g2-standard-4"))
        done = one.ray("up", "-y", str(one.path))
        assert done.returncode == 1
        assert "DriverMissing: promised 1 x L4" in done.stdout
        assert "Traceback" not in done.stdout
        one.wait("the head's end", lambda: machines_of(one.local, ["terminated"]) == ["g2-standard-4"])
