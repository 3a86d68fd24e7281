"""The fill for GCP: what a machineType with its GPUs is promised, and how a wrong one is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError, UnknownInstanceTypeError
from accel_scaling.fill.fill import fill

OURS = {
    "type": "external",
    "module": "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
    "project_id": "p",
    "region": "us-central1",
    "availability_zone": "us-central1-a",
}
STOCK = {"type": "gcp", "project_id": "p", "region": "us-central1", "availability_zone": "us-central1-a"}
T4 = [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]


IN_ZONE_B = ("a3-ultragpu-8g", "a4-highgpu-8g")


def cluster(node_config: Any, provider: dict[str, Any] | None = None, **worker: Any) -> dict[str, Any]:
    """A cluster config with this node_config as w0."""
    return {
        "provider": dict(OURS) if provider is None else provider,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"machineType": "n2-standard-2"}},
            "w0": {"node_config": copy.deepcopy(node_config), **worker},
        },
    }


def filled(machine_type: str, **more: Any) -> dict[str, Any]:
    """The filled node type of a machine type and further keys of its node_config, in a zone that has it."""
    provider = {**OURS, "availability_zone": "us-central1-b" if machine_type in IN_ZONE_B else "us-central1-a"}
    config, notes = fill(cluster({"machineType": machine_type, **more}, provider), shipped_catalog())
    assert notes == []
    return config["available_node_types"]["w0"]


def refused(node_config: Any, provider: dict[str, Any] | None = None) -> str:
    with pytest.raises(AccelScalingError) as error:
        fill(cluster(node_config, provider), shipped_catalog())
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("machine", "resources"),
    [
        ("a2-highgpu-1g", {"GPU": 1, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}),
        ("a2-megagpu-16g", {"GPU": 16, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}),
        ("a2-ultragpu-8g", {"GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-80G": 1}),
        ("a3-highgpu-8g", {"GPU": 8, "accelerator_type:H100": 1}),
        ("a3-megagpu-8g", {"GPU": 8, "accelerator_type:H100": 1}),
        ("a3-ultragpu-8g", {"GPU": 8, "accelerator_type:H200": 1}),
        ("a4-highgpu-8g", {"GPU": 8, "accelerator_type:B200": 1}),
        ("a4x-highgpu-4g", {"GPU": 4, "accelerator_type:GB200": 1}),
        ("g2-standard-24", {"GPU": 2, "accelerator_type:L4": 1}),
        ("g2-standard-32", {"GPU": 1, "accelerator_type:L4": 1}),
        ("g4-standard-48", {"GPU": 1, "accelerator_type:RTX-PRO-6000": 1}),
        ("n2-standard-8", {}),
        ("e2-medium", {}),
        ("c4a-standard-4", {}),
        ("n2-custom-8-65536-ext", {}),
    ],
)
def test_a_machine_type_alone_is_promised_its_built_in_gpus(machine: str, resources: dict[str, int]) -> None:
    config, notes = fill(cluster({"machineType": machine}), shipped_catalog())
    promised = config["available_node_types"]["w0"]["resources"]
    assert {k: v for k, v in promised.items() if k not in {"CPU", "memory"}} == resources
    # Some of these are not sold on demand, and that is said: tests/fill/test_capacity_types.py.
    assert all("not on demand as here" in note or "known to have it" in note for note in notes)


@pytest.mark.parametrize("machine", ["g4-standard-6", "g4-standard-12", "g4-standard-24"])
def test_a_slice_of_a_gpu_is_promised_by_its_own_name_only(machine: str) -> None:
    own_image = [{"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/with-grid-driver"}}]
    types = [key for key in filled(machine, disks=own_image)["resources"] if key.startswith("accelerator_type:")]
    assert len(types) == 1
    assert types != ["accelerator_type:RTX-PRO-6000"]


def test_cpu_and_memory_are_the_machines_and_the_head_is_promised_no_memory() -> None:
    config, _ = fill(cluster({"machineType": "n2-custom-8-65536-ext"}), shipped_catalog())
    head, worker = (config["available_node_types"][name]["resources"] for name in ("head", "w0"))
    assert worker == {"CPU": 8, "memory": int(65536 * 1024 * 1024 * 0.7)}
    assert head == {"CPU": 2}


@pytest.mark.parametrize(
    "spelt",
    [
        "g2-standard-4",
        " g2-standard-4 ",
        "zones/us-central1-a/machineTypes/g2-standard-4",
        "projects/p/zones/us-central1-a/machineTypes/g2-standard-4",
        "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/machineTypes/g2-standard-4",
    ],
)
def test_a_machine_type_may_be_written_as_google_takes_it(spelt: str) -> None:
    short = filled("g2-standard-4")
    assert filled(spelt) == {**short, "node_config": {**short["node_config"], "machineType": spelt}}


@pytest.mark.parametrize(
    "spelt",
    [
        "nvidia-tesla-t4",
        "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4",
        "projects/p/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4",
        "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4",
    ],
)
@pytest.mark.parametrize("machine", ["n1-standard-8", "n1-custom-8-32768"])
def test_gpus_that_are_attached_to_an_n1_are_promised(machine: str, spelt: str) -> None:
    node_type = filled(machine, guestAccelerators=[{"acceleratorType": spelt, "acceleratorCount": 2}])
    assert node_type["resources"]["GPU"] == 2
    assert node_type["resources"]["accelerator_type:T4"] == 1
    assert node_type["labels"]["ray.io/accelerator-type"] == "T4"
    assert node_type["labels"]["accel-scaling.io/instance-type"] == machine


def test_built_in_gpus_that_are_spelt_out_rightly_change_nothing() -> None:
    spelt = [{"acceleratorType": "nvidia-l4", "acceleratorCount": 1}]
    assert filled("g2-standard-4", guestAccelerators=spelt)["resources"] == filled("g2-standard-4")["resources"]
    assert filled("n2-standard-8", guestAccelerators=[])["resources"] == filled("n2-standard-8")["resources"]


@pytest.mark.parametrize(
    ("node_config", "words"),
    [
        ({}, "available_node_types.w0.node_config has no machineType"),
        (None, "available_node_types.w0.node_config has no machineType"),
        ({"machineType": 7}, "node_config.machineType is 7"),
        ({"machineType": ""}, "node_config.machineType is ''"),
        ({"machineType": "zones/us-central1-a/n1-standard-1"}, "node_config.machineType is 'zones/"),
        ({"machineType": "g2-standrd-4"}, "node_config.machineType: instance type 'g2-standrd-4' of gcp"),
        ({"machineType": "n1-custom-7-1"}, "node_config.machineType: "),
        ({"machineType": "n1-standard-8", "guestAccelerators": {}}, "guestAccelerators is {}; expected a list"),
        ({"machineType": "n1-standard-8", "guestAccelerators": [1]}, "guestAccelerators is [1]; expected a list"),
        ({"machineType": "n1-standard-8", "guestAccelerators": [{}]}, "acceleratorType is None"),
        (
            {"machineType": "n1-standard-8", "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4"}]},
            "acceleratorCount is None; expected how many of nvidia-tesla-t4",
        ),
        (
            {
                "machineType": "n1-standard-8",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": "1"}],
            },
            "acceleratorCount is '1'",
        ),
        ({"machineType": "n1-standard-8", "guestAccelerators": T4 + T4}, "guestAccelerators names 2 accelerators"),
        (
            {
                "machineType": "n1-standard-1",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-k80", "acceleratorCount": 8}],
            },
            "node_config.guestAccelerators: 8 x nvidia-tesla-k80 cannot be attached to n1-standard-1",
        ),
        (
            {
                "machineType": "n1-standard-8",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 3}],
            },
            "node_config.guestAccelerators: 3 x nvidia-tesla-t4 cannot be attached",
        ),
        (
            {
                "machineType": "a2-highgpu-1g",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-a100", "acceleratorCount": 2}],
            },
            "node_config.guestAccelerators: machine type a2-highgpu-1g comes with 1 x",
        ),
        ({"machineType": "n2-standard-8", "guestAccelerators": T4}, "cannot be attached to n2-standard-8"),
        (
            {
                "machineType": "n1-standard-8",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t5", "acceleratorCount": 1}],
            },
            "nearest: nvidia-tesla-",
        ),
        ({"machineType": "n1-standard-8", "scheduling": "SPOT"}, "node_config.scheduling is 'SPOT'"),
        (
            {"machineType": "zones/us-east1-b/machineTypes/n1-standard-8"},
            "machineTypes/n1-standard-8' is in zone us-east1-b, and provider.availability_zone is us-central1-a",
        ),
        (
            {
                "machineType": "n1-standard-8",
                "guestAccelerators": [
                    {"acceleratorType": "zones/us-east1-b/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}
                ],
            },
            "node_config.guestAccelerators: 'zones/us-east1-b/acceleratorTypes/nvidia-tesla-t4' is in zone us-east1-b",
        ),
    ],
)
def test_a_wrong_node_type_is_refused_with_its_key_before_anything_is_paid_for(node_config: Any, words: str) -> None:
    text = refused(node_config)
    assert words in text
    assert text.startswith("available_node_types.w0")


def test_an_unknown_machine_type_is_named_with_the_nearest_names() -> None:
    with pytest.raises(UnknownInstanceTypeError) as error:
        fill(cluster({"machineType": "g2-standrd-4"}), shipped_catalog())
    assert "g2-standard-4" in str(error.value)


def test_a_template_that_nobody_was_asked_for_is_one_note_and_leaves_the_node_type_as_it_is() -> None:
    config = cluster({"sourceInstanceTemplate": "global/instanceTemplates/t"}, resources={"GPU": 1})
    made, notes = fill(config, shipped_catalog())
    assert made["available_node_types"]["w0"] == config["available_node_types"]["w0"]
    (note,) = notes
    assert note.startswith("available_node_types.w0.node_config has a sourceInstanceTemplate and no machineType")
    assert "write machineType" in note


def test_the_market_that_a_template_may_choose_is_not_promised_by_who_has_not_asked() -> None:
    template = {"machineType": "g2-standard-4", "sourceInstanceTemplate": "global/instanceTemplates/t"}
    spot = {**template, "scheduling": {"provisioningModel": "SPOT"}}
    for node_config, market in ((template, None), (spot, "spot")):
        made, _ = fill(cluster(node_config), shipped_catalog())
        assert made["available_node_types"]["w0"]["labels"].get("ray.io/market-type") == market
