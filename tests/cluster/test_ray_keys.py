"""A key that Ray's schema does not have is one sentence, with its line, in every command."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import ROOT, config_of, gcp_config_of
from tests.support.hostile_input import READERS
from tests.support.plan import plan


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"idle_timeout": 60}, "available_node_types.t4.idle_timeout is a key that Ray's cluster files do not have; "),
        ({"idle_timeout_minutes": 5}, "nearest: idle_timeout_s"),
        ({"max_worker": 1}, "nearest: max_workers"),
        ({"docker": {"run_options": ["--gpus all"]}}, "available_node_types.t4.docker.run_options is a key"),
        ({"setup_commands": []}, "available_node_types.t4.setup_commands is a key"),
    ],
)
@pytest.mark.parametrize("of_gcp", [False, True])
def test_a_misspelt_key_of_a_node_type_is_refused_by_fill_and_plan(
    changed: dict[str, Any], says: str, *, of_gcp: bool
) -> None:
    config = gcp_config_of({"t4": "g2-standard-4"}) if of_gcp else config_of({"t4": "g4dn.xlarge"})
    config["available_node_types"]["t4"] |= changed
    for door in (lambda: fill(copy.deepcopy(config), shipped_catalog()), lambda: plan(copy.deepcopy(config), "GPU:1")):
        with pytest.raises(ClusterConfigError) as refused:
            door()
        assert says in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"max_workers": "2"}, "available_node_types.t4.max_workers is '2'; Ray's cluster files take a whole number"),
        ({"max_workers": True}, "max_workers is True; Ray's cluster files take a whole number"),
        ({"min_workers": 1.5}, "min_workers is 1.5; Ray's cluster files take a whole number"),
        ({"idle_timeout_s": "soon"}, "idle_timeout_s is 'soon'; Ray's cluster files take a number"),
    ],
)
def test_a_number_of_the_wrong_kind_is_refused_by_fill_and_plan(changed: dict[str, Any], says: str) -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    config["available_node_types"]["t4"] |= changed
    for door in (lambda: fill(copy.deepcopy(config), shipped_catalog()), lambda: plan(copy.deepcopy(config), "GPU:1")):
        with pytest.raises(ClusterConfigError) as refused:
            door()
        assert says in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("idle_timeout_minutes", "5", "idle_timeout_minutes is '5'; Ray's cluster files take"),
        ("upscaling_speed", [], "upscaling_speed is []; Ray's cluster files take a number"),
        ("max_workers", -1, "max_workers: -1 is less than the minimum of 0"),
    ],
)
def test_a_number_of_the_file_too(key: str, value: Any, says: str) -> None:
    with pytest.raises(ClusterConfigError) as refused:
        check_shape({**config_of({"t4": "g4dn.xlarge"}), key: value})
    assert says in str(refused.value)


@pytest.mark.parametrize("key", ["worker_default_node_type", "max_worker", "min_workers", "head_node"])
def test_a_key_of_the_file_that_ray_does_not_have_is_refused(key: str) -> None:
    config = {**config_of({"t4": "g4dn.xlarge"}), key: {"a": 1}}
    with pytest.raises(ClusterConfigError, match=f"{key} is a key that Ray's cluster files do not have"):
        check_shape(config)


def test_keys_that_ray_drops_where_they_are_empty_and_keys_of_a_provider_pass() -> None:
    config = {**config_of({"t4": "g4dn.xlarge"}), "head_node": {}, "worker_nodes": None}
    config["provider"] |= {"cache_stopped_nodes": False, "something_of_its_own": 1}
    assert check_shape(config) is config


@pytest.mark.parametrize("path", sorted((ROOT / "example_clusters").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_pass(path: Path) -> None:
    check_shape(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("command", READERS)
def test_the_sentence_has_the_line(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    config["available_node_types"]["t4"]["idle_timeout"] = 60
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    line = 1 + path.read_text(encoding="utf-8").splitlines().index("    idle_timeout: 60")
    assert main([command[0], str(path), *command[1:]]) == 2
    err = capsys.readouterr().err
    assert f"{path}:{line}: available_node_types.t4.idle_timeout is a key" in err
    assert "nearest: idle_timeout_s" in err


def test_ray_up_ends_with_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from accel_scaling.providers.base import cluster_config

    monkeypatch.setattr("accel_scaling._ray.called_by_ray_up", lambda: True)
    from accel_scaling.providers.aws import AWSAcceleratorNodeProvider

    config = config_of({"t4": "g4dn.xlarge"})
    config["available_node_types"]["t4"]["idle_timeout"] = 60
    filled = AWSAcceleratorNodeProvider.fillout_available_node_types_resources(config)
    assert "available_node_types.t4.idle_timeout is a key" in (cluster_config.refusal_of(filled) or "")


def test_what_rays_validation_refuses_for_a_key_is_refused_and_what_it_takes_passes() -> None:
    """The check, compared with Ray's own: the same keys, one at a time, at each level."""
    import jsonschema

    from accel_scaling._ray.cluster_schema import cluster_schema

    schema = cluster_schema()
    node_types = schema["properties"]["available_node_types"]["patternProperties"][".*"]
    for key in (*node_types["properties"], "priorities", "resource", "label"):
        config = config_of({"t4": "g4dn.xlarge"})
        config["available_node_types"]["t4"].setdefault(key, {})
        errors = list(jsonschema.Draft7Validator(schema).iter_errors(config))
        refused_by_ray = any(error.validator == "additionalProperties" for error in errors)
        try:
            check_shape(config)
            refused = False
        except ClusterConfigError as error:
            refused = "is a key that Ray's cluster files do not have" in str(error)
        assert refused == refused_by_ray, key
