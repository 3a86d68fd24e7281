"""A key of a provider section that nothing reads: refused with the nearest key and its line, or noted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling._ray.cluster_schema import cluster_schema
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.provider_keys import check_names, unread_notes
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import config_of, gcp_config_of
from tests.support.doors import of_fill, of_plan, of_ray_up
from tests.support.hostile_input import READERS

NEEDED_BY_RAY = {key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")}


def cluster(*, of_gcp: bool = False, **provider: Any) -> dict[str, Any]:
    config: dict[str, Any] = gcp_config_of({"t4": "g2-standard-4"}) if of_gcp else config_of({"t4": "g4dn.xlarge"})
    return {**config, **NEEDED_BY_RAY, "provider": {**config["provider"], **copy.deepcopy(provider)}}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cache_stopped_node", "cache_stopped_nodes"),
        ("use_internal_ip", "use_internal_ips"),
        ("use_private_ips", "use_internal_ips"),
        ("disable_node_updater", "disable_node_updaters"),
        ("availability_zones", "availability_zone"),
        ("Region", "region"),
        ("quarantin", "quarantine"),
    ],
)
@pytest.mark.parametrize("of_gcp", [False, True])
def test_a_key_near_one_that_is_read_is_refused_at_every_door(name: str, meant: str, *, of_gcp: bool) -> None:
    config = cluster(of_gcp=of_gcp, **{name: True})
    sentence = f"provider.{name} is a key that nothing reads; nearest: {meant}"
    assert [of_fill(config), of_plan(config)] == [sentence] * 2
    assert of_ray_up(config) == sentence


@pytest.mark.parametrize(
    ("name", "meant"), [("security_grup", "security_group"), ("keypair", "key_pair"), ("aws_credential", "aws_cred")]
)
def test_a_key_of_the_cloud_too(name: str, meant: str) -> None:
    assert f"nearest: {meant}" in str(of_fill(cluster(**{name: {}})))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"key_pair": {"keyname": "mine"}}, "provider.key_pair.keyname is a key that nothing reads; nearest: key_name"),
        ({"aws_credentials": {"aws_access_key": "x"}}, "nearest: aws_access_key_id"),
        ({"aws_credentials": ["x"]}, "provider.aws_credentials is ['x']; expected keys"),
        ({"security_group": {"GroupNam": "x"}}, "provider.security_group.GroupNam is a key"),
        ({"quarantine": {"first": 1}}, "provider.quarantine.first is a key that nothing reads; nearest: first_s"),
        ({"confirmation": {"on_mismach": "join"}}, "nearest: on_mismatch"),
        ({"confirmation": {5: "join"}}, "provider.confirmation.5 is a key that nothing reads"),
        ({"authentication": {"mode": "token"}}, "write token or disabled"),
    ],
)
def test_a_key_within_a_section_is_refused_with_the_keys_that_there_are(section: dict[str, Any], says: str) -> None:
    config = cluster(**section)
    assert says in str(of_fill(config))
    assert of_plan(config) == of_ray_up(config) == of_fill(config)


@pytest.mark.parametrize("command", READERS)
def test_the_sentence_has_the_line(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(cluster(cache_stopped_node=False)), encoding="utf-8")
    line = 1 + path.read_text(encoding="utf-8").splitlines().index("  cache_stopped_node: false")
    assert main([command[0], str(path), *command[1:]]) == 2
    assert f"{path}:{line}: provider.cache_stopped_node is a key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (
            {"zone": "us-west-2a"},
            "provider.zone is a key that nothing reads on AWS; perhaps availability_zone is meant",
        ),
        ({"tags": {"team": "a"}}, "provider.tags is a key that nothing reads on AWS; leave it out"),
        ({"project_id": "x"}, "provider.project_id is a key that nothing reads on AWS; leave it out"),
        ({"idle_timeout_minutes": 5}, "on AWS; it belongs to the top level of the file"),
    ],
)
def test_a_key_like_no_other_is_noted(key: dict[str, Any], says: str) -> None:
    notes = fill(cluster(**key), shipped_catalog())[1]
    assert [note for note in notes if says in note]


def test_our_own_keys_are_noted_where_rays_own_provider_runs_as_it_does_not_read_them() -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    config["provider"] = {"type": "aws", "region": "us-west-2", "quarantine": {"first_s": 60}}
    (note,) = [note for note in fill(config, shipped_catalog())[1] if "nothing reads" in note]
    assert note.startswith("provider.quarantine is a key that nothing reads on AWS; it belongs to `type: external`")


@pytest.mark.parametrize("cloud", known_clouds().values(), ids=lambda cloud: cloud.name)
def test_every_key_of_rays_schema_and_what_programs_write_is_let_through(cloud: Any) -> None:
    of_ray = cluster_schema()["properties"]["provider"]["properties"]
    written = {"accel_scaling_limits": {}, "accel_scaling_read_by": "x", "_has_tpus": True, "_config_cache_path": "x"}
    check_names({**of_ray, "confirmation": {}, "quarantine": {}, "catalog": [], **written}, cloud)
    assert not [note for note in unread_notes({"type": "external", **written}, cloud) if "nothing reads" in note]


def test_a_key_of_any_length_has_a_short_sentence() -> None:
    config = cluster(**{"k" * 100_000: 1}, **{f"quarantine{'x' * n}": 1 for n in range(2)})
    with pytest.raises(ClusterConfigError) as refused:
        fill(config, shipped_catalog())
    assert len(str(refused.value)) < 300
    (note,) = unread_notes({"type": "external", "k" * 100_000: 1}, known_clouds()["aws"])
    assert len(note) < 300


@pytest.mark.parametrize(
    ("place", "key", "says"),
    [
        ("", "region", "it belongs to the provider section: provider.region"),
        ("", "quarantine", "it belongs to the provider section: provider.quarantine"),
        ("", "cache_stopped_nodes", "it belongs to the provider section: provider.cache_stopped_nodes"),
        ("", "min_workers", "it belongs to a node type: available_node_types.NAME.min_workers"),
        ("", "resources", "it belongs to a node type: available_node_types.NAME.resources"),
        ("t4", "upscaling_speed", "it belongs to the top level of the file, for all node types: upscaling_speed"),
        ("t4", "use_internal_ips", "it belongs to the provider section: provider.use_internal_ips"),
        ("t4", "InstanceType", "belongs to its node_config: available_node_types.t4.node_config.InstanceType"),
        ("t4", "machineType", "belongs to its node_config: available_node_types.t4.node_config.machineType"),
    ],
)
def test_a_key_in_a_wrong_place_is_told_its_place(place: str, key: str, says: str) -> None:
    config = cluster()
    (config["available_node_types"][place] if place else config)[key] = "x"
    assert says in str(of_fill(config))
    assert of_plan(config) == of_fill(config)


@pytest.mark.parametrize(
    ("of_gcp", "written"),
    [(False, "instanceType"), (False, "Instance_type"), (True, "machinetype"), (True, "acceleratortype")],
)
def test_a_machine_type_under_a_misspelt_key_is_missing_and_the_key_is_named(written: str, *, of_gcp: bool) -> None:
    config = cluster(of_gcp=of_gcp)
    config["available_node_types"]["t4"]["node_config"] = {written: "x"}
    assert f"(there is {written}, which nothing reads)" in str(of_fill(config))


@pytest.mark.parametrize(
    ("node_config", "says"),
    [
        (
            {"schedulingConfig": {"reservd": True}},
            "schedulingConfig.reservd is not a key that Google knows; nearest: reserved",
        ),
        (
            {"schedulingConfg": {"reserved": True}},
            "schedulingConfg is not a key that Google knows; nearest: schedulingConfig",
        ),
        ({"networkConfig": {"subnetwrk": "x"}}, "networkConfig.subnetwrk is not a key that Google knows"),
        ({"schedulingConfig": {"reserved": "yes"}}, "schedulingConfig.reserved is 'yes'; expected true or false"),
        ({"somethingOfNextYear": {"a": 1}}, ""),
    ],
)
def test_a_misspelt_key_of_a_tpu_slice_is_refused_and_one_that_may_be_new_waits_for_ray_up(
    node_config: dict[str, Any], says: str
) -> None:
    config = gcp_config_of({"tpu": {"acceleratorType": "v5litepod-8", **node_config}})
    found = of_fill(config)
    assert says in str(found) if says else found is None
