"""The fill for Cloud TPU: what each host of a slice is promised, and how a wrong slice is refused."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.tpu_slices import known_slices
from accel_scaling.cluster.cluster import NodeMachine
from accel_scaling.errors import AccelScalingError, UnknownTpuError
from accel_scaling.fill.fill import fill, promise_of
from tests.providers.gcp.test_node_config import OURS, T4, cluster, refused
from tests.support.doors import of_fill, of_plan, of_ray_up

RUNTIME = {"runtimeVersion": "tpu-ubuntu2204-base"}


def filled(**node_config: Any) -> dict[str, Any]:
    config, notes = fill(cluster({**RUNTIME, **node_config}), shipped_catalog())
    assert notes == []
    return config["available_node_types"]["w0"]


def test_each_host_of_a_slice_is_promised_its_own_chips_and_one_head_for_the_slice() -> None:
    node_type = filled(acceleratorType="v4-16")
    resources = node_type["resources"]
    assert resources.pop("CPU") > 0
    assert resources.pop("memory") > 0
    assert resources == {"TPU": 4, "accelerator_type:TPU-V4": 1, "TPU-v4-16-head": 1}
    assert node_type["labels"] == {
        "accel-scaling.io/instance-type": "v4-16",
        "ray.io/accelerator-type": "TPU-V4",
        "ray.io/tpu-topology": "2x2x2",
        "ray.io/tpu-pod-type": "v4-16",
        "ray.io/tpu-worker-id": "0",
        "ray.io/market-type": "on-demand",
        "ray.io/availability-region": "us-central1",
        "ray.io/availability-zone": "us-central1-a",
    }


@pytest.mark.parametrize(
    ("accelerator_type", "config"),
    [
        ("v4-8", {"type": "V4", "topology": "2x2x1"}),
        ("v4-16", {"type": "V4", "topology": "2x2x2"}),
        ("v5litepod-4", {"type": "V5LITE_POD", "topology": "2x2"}),
        ("v5litepod-16", {"type": "V5LITE_POD", "topology": "4x4"}),
        ("v5p-8", {"type": "V5P", "topology": "2x2x1"}),
        ("v6e-8", {"type": "V6E", "topology": "2x4"}),
    ],
)
def test_a_slice_is_promised_alike_by_its_type_and_by_its_topology(
    accelerator_type: str, config: dict[str, str]
) -> None:
    by_type, by_topology = filled(acceleratorType=accelerator_type), filled(acceleratorConfig=config)
    assert by_topology["resources"] == by_type["resources"]
    assert by_topology["labels"] == by_type["labels"]


def test_a_topology_that_is_not_the_default_one_is_promised_as_written() -> None:
    labels = filled(acceleratorConfig={"type": "V4", "topology": "4x8x4"})["labels"]
    assert labels["ray.io/tpu-topology"] == "4x8x4"
    assert labels["ray.io/tpu-pod-type"] == "v4-256"


@pytest.mark.parametrize(
    ("scheduling", "market"),
    [
        (None, "on-demand"),
        ({}, "on-demand"),
        ({"preemptible": True}, "spot"),
        ({"spot": True}, "spot"),
    ],
)
def test_the_market_of_a_slice_is_a_label(scheduling: Any, market: str) -> None:
    labels = filled(acceleratorType="v4-8", schedulingConfig=scheduling)["labels"]
    assert labels["ray.io/market-type"] == market


def test_a_slice_of_a_reservation_is_of_none_of_rays_markets_and_says_so_in_a_label_of_ours() -> None:
    labels = filled(acceleratorType="v4-8", schedulingConfig={"reserved": True})["labels"]
    assert labels["accel-scaling.io/capacity-type"] == "reserved"
    assert "ray.io/market-type" not in labels


@pytest.mark.parametrize(
    ("node_config", "words"),
    [
        (
            {"acceleratorType": "v4-17"},
            "node_config.acceleratorType: TPU accelerator type 'v4-17' does not exist on Google Cloud",
        ),
        ({"acceleratorType": "v9-8"}, "node_config.acceleratorType: TPU accelerator type 'v9-8'"),
        ({"acceleratorType": "nvidia-tesla-t4"}, "acceleratorType is 'nvidia-tesla-t4', which is a GPU"),
        ({"acceleratorType": 8}, "node_config.acceleratorType is 8"),
        ({"acceleratorType": "v4-" + "9" * 5000}, "node_config.acceleratorType is 'v4-999"),
        (
            {"acceleratorConfig": {"type": "V4", "topology": "2x2x3"}},
            "node_config.acceleratorConfig: TPU topology '2x2x3' of V4 does not exist on Google Cloud",
        ),
        ({"acceleratorConfig": {"type": "V9", "topology": "2x2x2"}}, "node_config.acceleratorConfig: "),
        (
            {"acceleratorConfig": {"type": "V2", "topology": "2x2"}},
            "node_config.acceleratorConfig: acceleratorConfig.type 'V2' names no slice: ",
        ),
        ({"acceleratorConfig": {"type": "V3", "topology": "4x4"}}, "write acceleratorType: v3-32"),
        ({"acceleratorConfig": {"type": "v6e", "topology": "4x4"}}, "is not in the TPU API; write V6E"),
        ({"acceleratorConfig": {"type": "V4"}}, "node_config.acceleratorConfig.topology is None"),
        ({"acceleratorConfig": {"topology": "2x2x2"}}, "node_config.acceleratorConfig.type is None"),
        ({"acceleratorConfig": {"type": "V4", "topology": 222}}, "node_config.acceleratorConfig.topology is 222"),
        ({"acceleratorConfig": "v4-8"}, "node_config.acceleratorConfig is 'v4-8'"),
        (
            {"acceleratorType": "v4-8", "acceleratorConfig": {"type": "V4", "topology": "2x2x1"}},
            "node_config has acceleratorType and acceleratorConfig",
        ),
        ({"acceleratorType": "v4-8", "machineType": "n1-standard-8"}, "makes it a TPU, and machineType:"),
        (
            {"acceleratorConfig": {"type": "V4", "topology": "2x2x1"}, "machineType": "n1-standard-8"},
            "makes it a TPU, and machineType:",
        ),
        ({"acceleratorType": "v4-8", "guestAccelerators": T4}, "makes it a TPU, and guestAccelerators:"),
        ({"acceleratorType": "v4-8", "scheduling": {"preemptible": True}}, "makes it a TPU, and scheduling:"),
        ({"acceleratorType": "v4-8", "schedulingConfig": True}, "node_config.schedulingConfig is True"),
        (
            {"acceleratorType": "v4-8", "queuedResource": {"guaranteed": {}}},
            "node_config.queuedResource is written by Google",
        ),
        (
            {"acceleratorType": "v4-8", "queuedResource": "projects/p/x"},
            "remove it, and write provider.capacity: {w0: [{spot: {wait_for: 6h}}]} to have slices queued",
        ),
        (
            {"acceleratorType": "v4-8", "schedulingConfig": {"provisioningModel": "SPOT"}},
            "is 'SPOT', a key that version 2 of the Cloud TPU API does not have; write schedulingConfig: {spot: true}",
        ),
        (
            {"acceleratorType": "v4-8", "schedulingConfig": {"provisioningModel": "FLEX_START"}},
            "write schedulingConfig: {spot: true}, or {reserved: true}",
        ),
        ({"acceleratorType": "tpu7-8", "runtimeVersion": None}, "runtimeVersion is missing"),
        ({"acceleratorType": "v4-8", "runtimeVersion": 2}, "runtimeVersion is 2"),
        ({"acceleratorType": "v5litepod-8", "runtimeVersion": ""}, "usually v2-alpha-tpuv5-lite"),
    ],
)
def test_a_wrong_slice_is_refused_with_its_key_before_anything_is_paid_for(
    node_config: dict[str, Any], words: str
) -> None:
    text = refused({**RUNTIME, **node_config})
    assert words in text
    assert text.startswith("available_node_types.w0")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({"queuedResource": {"guaranteed": {}}}, "write provider.capacity: {w0: [{spot: {wait_for: 6h}}]}"),
        (
            {"schedulingConfig": {"provisioningModel": "FLEX_START"}},
            "write schedulingConfig: {spot: true}, or {reserved: true}",
        ),
    ],
    ids=str,
)
def test_every_door_refuses_a_queue_in_the_same_words(key: dict[str, Any], says: str) -> None:
    needed = {name: [] for name in ("setup_commands", "head_setup_commands", "worker_setup_commands")}
    config = {
        "cluster_name": "c",
        "max_workers": 1,
        **needed,
        **cluster({**RUNTIME, "acceleratorType": "v4-8", **key}, {**OURS, "project_id": "my-project"}),
    }
    said = {of_fill(config), of_plan(config), of_ray_up(config)}
    assert len(said) == 1
    assert says in str(said.pop())


def test_stock_rays_provider_has_provisioning_models_of_slices() -> None:
    node_config = {**RUNTIME, "acceleratorType": "v4-8", "schedulingConfig": {"provisioningModel": "SPOT"}}
    stock = {"type": "gcp", "region": "us-central1", "availability_zone": "us-central1-a", "project_id": "p"}
    config, notes = fill(cluster(node_config, stock), shipped_catalog())
    assert config["available_node_types"]["w0"]["labels"]["ray.io/market-type"] == "spot"
    assert notes == []


def test_a_generation_that_the_cloud_tpu_api_does_not_have_is_filled_and_said() -> None:
    for name in ("tpu7x-8", "v7x-8"):
        config, notes = fill(cluster({**RUNTIME, "acceleratorType": name}), shipped_catalog())
        assert config["available_node_types"]["w0"]["resources"]["TPU-v7x-8-head"] == 1
        assert config["available_node_types"]["w0"]["node_config"]["acceleratorType"] == name
        assert len(notes) == 1
        assert "available_node_types.w0: Ray creates slices through the Cloud TPU API" in notes[0]
        assert "Google's own recipes ask it for v7x-N, with a reservation" in notes[0]


def test_a_slice_that_no_list_has_is_said_to_be_doubtful() -> None:
    (note,) = fill(cluster({**RUNTIME, "acceleratorType": "v5litepod-2"}), shipped_catalog())[1]
    assert note.startswith("available_node_types.w0: no list of Google Cloud has v5litepod-2 (")


def test_an_unknown_slice_is_named_with_the_nearest_names() -> None:
    with pytest.raises(UnknownTpuError) as error:
        fill(cluster({**RUNTIME, "acceleratorType": "v5lite-8"}), shipped_catalog())
    assert "v5litepod-8" in str(error.value)


def test_a_slice_of_several_hosts_is_refused_as_the_head_node_and_one_host_is_not() -> None:
    config = cluster({**RUNTIME, "acceleratorType": "v4-16"})
    config["head_node_type"] = "w0"
    with pytest.raises(AccelScalingError, match=r"available_node_types\.w0 is the head_node_type and a v4-16 has 2"):
        fill(config, shipped_catalog())
    config["available_node_types"]["w0"]["node_config"]["acceleratorType"] = "v4-8"
    resources = fill(config, shipped_catalog())[0]["available_node_types"]["w0"]["resources"]
    assert resources["TPU"] == 4
    assert "memory" not in resources


def test_a_slice_without_a_software_version_gets_that_of_its_generation() -> None:
    versions = {}
    for each in known_slices(shipped_catalog()):
        if each.generation not in versions:
            node_config = {"acceleratorType": each.accelerator_type, "runtimeVersion": None}
            try:
                config, _ = fill(cluster(node_config), shipped_catalog())
            except AccelScalingError:
                versions[each.generation] = None
            else:
                versions[each.generation] = config["available_node_types"]["w0"]["node_config"]["runtimeVersion"]
    assert versions == {
        **dict.fromkeys(("v2", "v3", "v4"), "tpu-ubuntu2204-base"),
        "v5litepod": "v2-alpha-tpuv5-lite",
        "v5p": "v2-alpha-tpuv5",
        "v6e": "v2-alpha-tpuv6e",
        "tpu7x": "v2-alpha-tpuv7",  # of Google's recipes for v7x; its list of software versions ends with v6e
        "tpu7": None,
    }


def test_every_slice_is_promised_in_whole_numbers_and_valid_labels() -> None:
    from ray._private.label_utils import validate_node_label_syntax

    for each in known_slices(shipped_catalog()):
        promised = promise_of("w", NodeMachine(each.machine, each))
        assert all(isinstance(amount, int) and amount > 0 for amount in promised.resources.values()), each
        assert promised.resources["TPU"] * each.hosts == each.chips, each
        validate_node_label_syntax(promised.labels)
