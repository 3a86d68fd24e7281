"""The fill for GCP over whole files: stock ones, the examples, the command, and anything that YAML can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.gcp.node_config import with_template
from tests.providers.gcp.test_node_config import OURS, STOCK, T4, cluster


def test_a_stock_gcp_file_is_filled_as_one_of_ours() -> None:
    ours, _ = fill(cluster({"machineType": "g2-standard-4"}), shipped_catalog())
    stock, _ = fill(cluster({"machineType": "g2-standard-4"}, STOCK), shipped_catalog())
    assert stock["available_node_types"] == ours["available_node_types"]


def test_rays_own_default_file_is_filled_its_list_of_scheduling_too() -> None:
    from accel_scaling.cluster.node_type_defaults import ray_defaults

    config, notes = fill(ray_defaults(known_clouds()["gcp"]), shipped_catalog())
    assert notes == []
    head, worker = (config["available_node_types"][name] for name in ("ray_head_default", "ray_worker_small"))
    assert head["resources"] == {"CPU": 2}
    assert head["labels"]["ray.io/market-type"] == "on-demand"
    assert worker["resources"] == {"CPU": 2, "memory": int(7680 * 1024 * 1024 * 0.7)}
    assert worker["labels"]["ray.io/market-type"] == "spot"


def test_filling_twice_changes_nothing_and_says_nothing() -> None:
    once, _ = fill(cluster({"machineType": "n1-standard-8", "guestAccelerators": T4}), shipped_catalog())
    assert fill(once, shipped_catalog()) == (once, [])


@pytest.mark.parametrize("name", ["gcp-gpu", "gcp-a3-multizone", "gcp-tpu-v5e", "gcp-tpu-v4-pod", "gcp-tpu-v6e-queued"])
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
    validate_config(with_defaults(config, known_clouds()["gcp"]))


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
    assert config["setup_commands"][-1].endswith("pip install 'ray[default]'"), "`ray up` adds its version"
    assert "boto3" not in str(config)


def test_what_cannot_be_attached_is_refused_with_the_line_of_its_key(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (examples / "gcp-gpu.yaml").read_text(encoding="utf-8").replace("acceleratorCount: 1", "acceleratorCount: 3")
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["fill", str(path)]) == 2
    lines = text.splitlines()
    line = next(at for at, one in enumerate(lines) if at > lines.index("  t4:") and "guestAccelerators" in one) + 1
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
