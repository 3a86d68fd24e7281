"""The fill for GCP: what a machineType with its GPUs is promised, where it runs, and how a wrong one is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.errors import AccelScalingError, ClusterConfigError, UnknownInstanceTypeError
from accel_scaling.fill.cluster import fill
from accel_scaling.fill.gcp import place_labels, region_of, with_template, zones_of

OURS = {
    "type": "external",
    "module": "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
    "project_id": "p",
    "region": "us-central1",
    "availability_zone": "us-central1-a",
}
STOCK = {"type": "gcp", "project_id": "p", "region": "us-central1", "availability_zone": "us-central1-a"}
T4 = [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]


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
    """The filled node type of a machine type and further keys of its node_config."""
    config, notes = fill(cluster({"machineType": machine_type, **more}), shipped_catalog())
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
    promised = filled(machine)["resources"]
    assert {k: v for k, v in promised.items() if k not in {"CPU", "memory"}} == resources


@pytest.mark.parametrize("machine", ["g4-standard-6", "g4-standard-12", "g4-standard-24"])
def test_a_slice_of_a_gpu_is_promised_by_its_own_name_only(machine: str) -> None:
    types = [key for key in filled(machine)["resources"] if key.startswith("accelerator_type:")]
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
    assert filled(spelt) == {**filled("g2-standard-4"), "node_config": {"machineType": spelt}}


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
        (
            {"sourceInstanceTemplate": "global/instanceTemplates/t"},
            "a sourceInstanceTemplate and no machineType",
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


# --- market and place ---


@pytest.mark.parametrize(
    ("scheduling", "market"),
    [
        (None, "on-demand"),
        ({"provisioningModel": "SPOT"}, "spot"),
        ({"provisioningModel": "STANDARD"}, "on-demand"),
        ({"provisioningModel": "FLEX_START"}, "on-demand"),
        ({"preemptible": True}, "spot"),
        ([{"preemptible": True}], "spot"),
        ([{"preemptible": True}, {"onHostMaintenance": "TERMINATE"}], "spot"),
        ([{"onHostMaintenance": "TERMINATE"}], "on-demand"),
    ],
)
def test_the_market_is_a_label_in_each_way_that_ray_and_google_write_it(scheduling: Any, market: str) -> None:
    assert filled("n2-standard-2", scheduling=scheduling)["labels"]["ray.io/market-type"] == market


def test_the_zone_is_a_label_only_where_the_config_fixes_one() -> None:
    several = {**OURS, "availability_zone": "us-central1-a, us-central1-b"}
    assert place_labels(OURS, {}) == {
        "ray.io/market-type": "on-demand",
        "ray.io/availability-region": "us-central1",
        "ray.io/availability-zone": "us-central1-a",
    }
    assert "ray.io/availability-zone" not in place_labels(several, {})
    assert place_labels(several, {})["ray.io/availability-region"] == "us-central1"


@pytest.mark.parametrize(
    ("given", "zones"),
    [
        ("us-central1-a", ("us-central1-a",)),
        ("us-central1-a,us-central1-c, us-central1-b,", ("us-central1-a", "us-central1-c", "us-central1-b")),
        (["us-central1-a", "us-central1-a", "us-central1-b"], ("us-central1-a", "us-central1-b")),
        ("us-central1-ai1a", ("us-central1-ai1a",)),
        ("northamerica-northeast1-b", ("northamerica-northeast1-b",)),
    ],
)
def test_zones_are_kept_in_their_order(given: Any, zones: tuple[str, ...]) -> None:
    assert zones_of({"availability_zone": given}) == zones


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"availability_zone": None}, "provider.availability_zone is missing"),
        ({"availability_zone": ""}, "provider.availability_zone is empty"),
        ({"availability_zone": 1}, "provider.availability_zone is 1"),
        ({"availability_zone": ["us-central1-a", 1]}, "provider.availability_zone is ["),
        ({"availability_zone": "us-central1-a,b"}, "names 'b', which is no zone"),
        ({"availability_zone": "us-central1"}, "names 'us-central1', which is no zone"),
        ({"availability_zone": "us-central1-a,us-east1-b"}, "zones of us-central1 and us-east1"),
        ({"region": "us-east1"}, "provider.region is 'us-east1', and provider.availability_zone us-central1-a"),
        ({"region": ["us-central1"]}, "provider.region is ['us-central1']"),
    ],
)
def test_a_place_that_is_missing_or_contradicts_itself_is_refused(place: dict[str, Any], words: str) -> None:
    assert words in refused({"machineType": "n2-standard-2"}, {**OURS, **place})


def test_the_region_follows_from_the_zones_where_it_is_left_out() -> None:
    assert region_of({"provider": {"availability_zone": "europe-west4-b"}}) == "europe-west4"


# --- instance templates ---


def test_overrides_stand_over_a_template_as_google_merges_them() -> None:
    properties = {
        "machineType": "n1-standard-4",
        "guestAccelerators": T4,
        "scheduling": {"preemptible": True, "onHostMaintenance": "TERMINATE"},
        "labels": {"a": "1"},
        "minCpuPlatform": "Intel Skylake",
    }
    own = {
        "sourceInstanceTemplate": "global/instanceTemplates/t",
        "machineType": "n1-standard-8",
        "scheduling": [{"preemptible": False}],
        "labels": {"b": "2"},
        "minCpuPlatform": None,
    }
    before = copy.deepcopy((own, properties))
    assert with_template(own, properties) == {
        "machineType": "n1-standard-8",
        "guestAccelerators": T4,
        "scheduling": {"preemptible": False, "onHostMaintenance": "TERMINATE"},
        "labels": {"a": "1", "b": "2"},
    }
    assert (own, properties) == before
    assert with_template({"guestAccelerators": []}, properties)["guestAccelerators"] == []


def test_a_template_with_a_machine_type_over_it_is_filled_and_what_it_may_attach_is_said() -> None:
    template = {"sourceInstanceTemplate": "global/instanceTemplates/t"}
    config, notes = fill(cluster({**template, "machineType": "n1-standard-8"}), shipped_catalog())
    assert "GPU" not in config["available_node_types"]["w0"]["resources"]
    assert len(notes) == 1
    assert notes[0].startswith("available_node_types.w0: GPUs that the sourceInstanceTemplate attaches")
    for silent in ({"machineType": "g2-standard-4"}, {"machineType": "n1-standard-8", "guestAccelerators": T4}):
        assert fill(cluster({**template, **silent}), shipped_catalog())[1] == []


# --- the whole file ---


def test_a_stock_gcp_file_is_filled_as_one_of_ours() -> None:
    ours, _ = fill(cluster({"machineType": "g2-standard-4"}), shipped_catalog())
    stock, _ = fill(cluster({"machineType": "g2-standard-4"}, STOCK), shipped_catalog())
    assert stock["available_node_types"] == ours["available_node_types"]


def test_rays_own_default_file_is_filled_its_list_of_scheduling_too() -> None:
    from accel_scaling.fill.defaults import ray_defaults

    config, notes = fill(ray_defaults("gcp"), shipped_catalog())
    assert notes == []
    head, worker = (config["available_node_types"][name] for name in ("ray_head_default", "ray_worker_small"))
    assert head["resources"] == {"CPU": 2}
    assert head["labels"]["ray.io/market-type"] == "on-demand"
    assert worker["resources"] == {"CPU": 2, "memory": int(7680 * 1024 * 1024 * 0.7)}
    assert worker["labels"]["ray.io/market-type"] == "spot"


def test_filling_twice_changes_nothing_and_says_nothing() -> None:
    once, _ = fill(cluster({"machineType": "n1-standard-8", "guestAccelerators": T4}), shipped_catalog())
    assert fill(once, shipped_catalog()) == (once, [])


@pytest.mark.parametrize("name", ["gcp-gpu", "gcp-a3-multizone", "gcp-tpu-v5e", "gcp-tpu-v4-pod"])
def test_the_examples_are_complete_for_ray_and_filled_without_a_note(
    name: str, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.autoscaler._private.util import validate_config

    from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_defaults

    path = examples / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert all(key in yaml.safe_load(text) for key in NEEDED_BY_RAY)
    assert "project_id: your-project-id" in text
    assert main(["fill", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    config = yaml.safe_load(out)
    assert all(node_type["resources"] and node_type["labels"] for node_type in config["available_node_types"].values())
    validate_config(with_defaults(config, "gcp"))


def test_the_fill_command_adds_what_ray_needs_on_a_gcp_head(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = yaml.safe_load((examples / "gcp-gpu.yaml").read_text(encoding="utf-8"))
    for key in ("setup_commands", "head_setup_commands", "worker_setup_commands", "max_workers"):
        del short[key]
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(short), encoding="utf-8")
    assert main(["fill", str(path)]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert "google-api-python-client" in config["head_setup_commands"][0]
    assert "ray[default]==" in config["setup_commands"][-1]
    assert "boto3" not in str(config)


def test_a_wrong_type_is_refused_with_the_line_of_its_node_type(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (examples / "gcp-gpu.yaml").read_text(encoding="utf-8").replace("acceleratorCount: 1", "acceleratorCount: 3")
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["fill", str(path)]) == 2
    line = text.splitlines().index("  t4:") + 1
    assert f"cluster.yaml:{line}: available_node_types.t4.node_config.guestAccelerators:" in capsys.readouterr().err


def test_a_wrong_place_is_refused_with_its_line(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (examples / "gcp-gpu.yaml").read_text(encoding="utf-8").replace("region: us-central1", "region: us-east1")
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["fill", str(path)]) == 2
    line = text.splitlines().index("  region: us-east1") + 1
    assert f"cluster.yaml:{line}: provider.region is 'us-east1'" in capsys.readouterr().err


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["n1-standard-8", "g2-standard-4", "nvidia-tesla-t4", "v4-16", "V4", "2x2x2", "SPOT", "us-central1-a", "7"]
)
GUEST = st.fixed_dictionaries({}, optional={"acceleratorType": ANY | NAMES, "acceleratorCount": ANY | st.just(1)})
CONFIG = st.fixed_dictionaries({}, optional={"type": ANY | NAMES, "topology": ANY | NAMES})
SCHEDULING = st.fixed_dictionaries({}, optional={"provisioningModel": ANY | NAMES, "preemptible": ANY, "spot": ANY})
NODE_CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "machineType": ANY | NAMES,
        "guestAccelerators": ANY | st.lists(GUEST, max_size=2),
        "sourceInstanceTemplate": ANY,
        "acceleratorType": ANY | NAMES,
        "acceleratorConfig": ANY | CONFIG,
        "runtimeVersion": ANY | NAMES,
        "scheduling": ANY | SCHEDULING | st.lists(SCHEDULING, max_size=2),
        "schedulingConfig": ANY | SCHEDULING,
    },
)
PLACE = st.fixed_dictionaries({}, optional={"availability_zone": ANY | NAMES | st.lists(NAMES), "region": ANY | NAMES})


@settings(max_examples=1000)
@given(NODE_CONFIG, PLACE | st.just({}))
def test_any_node_config_is_filled_or_refused_in_one_sentence_and_never_crashes(node_config: Any, place: Any) -> None:
    try:
        fill(cluster(node_config, {**OURS, **place}), shipped_catalog())
    except AccelScalingError as error:
        assert "\n" not in str(error)


@given(ANY)
def test_any_kind_of_node_config_is_filled_or_refused_in_one_sentence(node_config: Any) -> None:
    try:
        fill(cluster(node_config), shipped_catalog())
    except AccelScalingError as error:
        assert isinstance(error, ClusterConfigError)


@given(NODE_CONFIG, st.dictionaries(st.sampled_from(["machineType", "guestAccelerators", "scheduling"]), ANY))
def test_with_a_template_of_any_kind_nothing_crashes(node_config: Any, properties: Any) -> None:
    try:
        fill(cluster(with_template(node_config, properties)), shipped_catalog())
    except AccelScalingError as error:
        assert "\n" not in str(error)
