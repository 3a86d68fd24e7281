"""A cluster file that names no head, or no node types: what Ray takes then, and a sentence where it takes nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import GCP_MODULE, MODULE
from tests.support.hostile_input import READERS

AWS = {"type": "aws", "region": "us-west-2"}
GCP = {"type": "gcp", "region": "us-west1", "availability_zone": "us-west1-a", "project_id": "p"}
HEADS = {"aws": {"InstanceType": "m5.large"}, "gcp": {"machineType": "n1-standard-2"}}
PLACES = [
    (AWS, "ray.head.default", HEADS["aws"]),
    (GCP, "ray_head_default", HEADS["gcp"]),
    ({**AWS, "type": "external", "module": MODULE}, "ray.head.default", HEADS["aws"]),
    ({**GCP, "type": "external", "module": GCP_MODULE}, "ray.head.default", HEADS["gcp"]),
]
RAY_1 = """\
cluster_name: a
provider: {type: aws, region: us-west-2}
max_workers: 2
initial_workers: 0
head_node: {InstanceType: m5.large}
worker_nodes: {InstanceType: g4dn.xlarge}
"""


@pytest.mark.parametrize(("provider", "head", "node_config"), PLACES, ids=["aws", "gcp", "our aws", "our gcp"])
def test_a_file_without_a_head_has_the_one_that_ray_takes(
    provider: dict[str, Any], head: str, node_config: dict[str, Any]
) -> None:
    from ray.autoscaler._private.util import fillout_defaults

    types = {"other": {"node_config": node_config}, head: {"node_config": node_config}}
    config = {"cluster_name": "a", "provider": provider, "available_node_types": types}
    filled, _ = fill(copy.deepcopy(config), shipped_catalog())
    assert filled["head_node_type"] == head == fillout_defaults(copy.deepcopy(config))["head_node_type"]
    assert list(filled)[:4] == ["cluster_name", "provider", "head_node_type", "available_node_types"]
    assert "memory" not in filled["available_node_types"][head]["resources"]  # as of a head


def test_a_file_with_a_head_is_returned_as_it_is() -> None:
    config = {
        "cluster_name": "a",
        "provider": AWS,
        "head_node_type": "h",
        "available_node_types": {"h": {"node_config": HEADS["aws"]}},
    }
    assert read_config(config).config is config


def test_a_google_file_that_leant_on_rays_name_is_told_the_key_to_write() -> None:
    types = {"ray_head_default": {"node_config": HEADS["gcp"]}, "w": {"node_config": HEADS["gcp"]}}
    provider = {**GCP, "type": "external", "module": GCP_MODULE}
    with pytest.raises(ClusterConfigError) as refused:
        read_config({"cluster_name": "a", "provider": provider, "available_node_types": types})
    assert str(refused.value) == (
        "head_node_type is 'ray.head.default', the name that Ray takes for `type: external` where a file has no "
        "head_node_type, which is not one of available_node_types; write head_node_type: ray_head_default, which Ray "
        "takes by itself for `type: gcp` only"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["my_head", "w"], "write head_node_type: my_head"),
        (["only"], "write head_node_type: only"),
        (["a", "b"], "write one of a, b there"),
        (["head1", "head2"], "write one of head1, head2 there"),
        ([f"n{number}" for number in range(9)], "write one of n0, n1, n2, n3, n4, n5, ... there"),
    ],
)
def test_a_head_that_does_not_exist_is_told_with_those_that_do(names: list[str], said: str) -> None:
    types = {name: {"node_config": HEADS["aws"]} for name in names}
    with pytest.raises(ClusterConfigError, match=said):
        read_config({"cluster_name": "a", "provider": AWS, "available_node_types": types})


@pytest.mark.parametrize("provider", [AWS, GCP], ids=["aws", "gcp"])
def test_a_stock_file_without_node_types_has_rays_own_and_a_note(provider: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import fillout_defaults

    config = {"cluster_name": "a", "provider": provider}
    of_ray = fillout_defaults(copy.deepcopy(config))
    filled, notes = fill(copy.deepcopy(config), shipped_catalog())
    assert filled["head_node_type"] == of_ray["head_node_type"]
    assert filled["available_node_types"].keys() == of_ray["available_node_types"].keys()
    (note,) = (note for note in notes if note.startswith("available_node_types is missing"))
    assert f"for `type: {provider['type']}`" in note
    assert repr(of_ray["head_node_type"]) in note


@pytest.mark.parametrize("types", [None, {}, {"ray.head.default": {}, "ray.worker.default": {}}])
def test_our_providers_have_no_node_types_of_their_own(types: Any) -> None:
    provider = {**AWS, "type": "external", "module": MODULE}
    with pytest.raises(ClusterConfigError, match="`available_node_types` is missing or empty, and Ray has no machines"):
        read_config({"cluster_name": "a", "provider": provider, "available_node_types": types})


@pytest.mark.parametrize(
    ("was", "written", "said"),
    [
        (
            "head_node_type",
            "head_node_typ",
            "head_node_typ is a key that Ray's cluster files do not have; nearest: head_n",
        ),
        ("available_node_types", "available_node_type", "(there is available_node_type, which nothing reads), and Ray"),
        ("provider", "providers", "`provider` is missing or empty (there is providers, which nothing reads)"),
    ],
)
def test_a_key_that_is_misspelt_is_named_before_what_follows_from_it(was: str, written: str, said: str) -> None:
    types = {"h": {"node_config": HEADS["aws"]}}
    provider = {**AWS, "type": "external", "module": MODULE}
    config = {"cluster_name": "a", "provider": provider, "head_node_type": "h", "available_node_types": types}
    config[written] = config.pop(was)
    with pytest.raises(ClusterConfigError) as refused:
        read_config(config)
    assert said in str(refused.value)


def test_without_ray_a_stock_file_without_a_head_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel_scaling.cluster.node_type_defaults.cluster_defaults", lambda _: None)
    types = {"h": {"node_config": HEADS["aws"]}}
    with pytest.raises(Exception, match="the Python module ray is not installed"):
        read_config({"cluster_name": "a", "provider": AWS, "available_node_types": types})


@pytest.mark.parametrize("command", READERS, ids=lambda words: words[0])
def test_a_file_of_ray_1_is_told_what_its_keys_became_each_with_its_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(RAY_1, encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"accel-scaling: {path}:5: head_node, worker_nodes and initial_workers are keys that Ray's cluster files do "
        "not have any more, as they had in Ray 1: head_node became the node_config of the node type that "
        "head_node_type names, worker_nodes became the node_config of another node type, "
    )
    assert "(worker_nodes is in line 6 and initial_workers is in line 4)" in said


def test_keys_of_ray_1_beside_node_types_are_told_too() -> None:
    types = {"h": {"node_config": HEADS["aws"]}}
    config = {"cluster_name": "a", "provider": AWS, "head_node_type": "h", "available_node_types": types}
    for more, said in (
        ({"worker_default_node_type": "h"}, "the scheduler chooses among the node types; leave it out"),
        ({"head_node": {"a": 1}}, "write them under available_node_types"),
        ({"autoscaling_mode": "default"}, "autoscaling_mode became upscaling_speed; leave it out"),
    ):
        with pytest.raises(ClusterConfigError, match=said):
            read_config({**config, **more})
    read_config({**config, "head_node": {}, "worker_nodes": None})


def test_start_commands_that_are_empty_stay_so_and_are_noted(tmp_path: Path) -> None:
    from accel_scaling.clouds import known_clouds
    from accel_scaling.fill.defaults import with_defaults

    types = {"h": {"node_config": HEADS["aws"]}}
    config: dict[str, Any] = {
        "cluster_name": "a",
        "provider": AWS,
        "head_node_type": "h",
        "available_node_types": types,
    }
    complete = with_defaults(
        {**config, "head_start_ray_commands": [], "idle_timeout_minutes": 0, "auth": {}}, known_clouds()["aws"]
    )
    assert (complete["head_start_ray_commands"], complete["idle_timeout_minutes"]) == ([], 0)
    assert complete["worker_start_ray_commands"]
    assert complete["auth"] == {"ssh_user": "ubuntu"}
    _, notes = fill({**config, "head_start_ray_commands": []}, shipped_catalog())
    assert any(note.startswith("head_start_ray_commands is empty: Ray does not start on these nodes") for note in notes)
    silent = {**config, "provider": {**AWS, "disable_node_updaters": True}, "head_start_ray_commands": []}
    assert not any("is empty" in note for note in fill(silent, shipped_catalog())[1])
    path, output = tmp_path / "c.yaml", tmp_path / "o.yaml"
    path.write_text(yaml.safe_dump(silent), encoding="utf-8")
    assert main(["fill", str(path), "-o", str(output)]) == 0
    assert yaml.safe_load(output.read_text(encoding="utf-8"))["head_start_ray_commands"] == []
