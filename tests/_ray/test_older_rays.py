"""What an older Ray lacks, on the newest one: promises, detection and announcement take its place or say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private.accelerators import NvidiaGPUAcceleratorManager

from accel_scaling import _ray, options
from accel_scaling._ray import versions
from accel_scaling.boot.start_hook import announce_promised_type
from accel_scaling.errors import AskingError, ClusterConfigError
from accel_scaling.families.inventory import detect
from accel_scaling.families.registration import rays_unit_resources
from accel_scaling.families.registry import family_of_name
from accel_scaling.testing.devices.device_files import install
from tests.support.cluster import gcp_config_of
from tests.support.families import devices
from tests.support.plan import cluster

OLDEST = versions.minor_text(versions.FLOOR)


@pytest.mark.parametrize("name", ["tpu7x-8", "v7x-16"])
def test_a_slice_that_this_ray_does_not_detect_is_refused_with_the_version_to_install(
    with_ray: Callable[[str], None], name: str
) -> None:
    pod = {"acceleratorType": name, "runtimeVersion": "v2-alpha-tpuv7"}
    config = gcp_config_of({"pod": pod})
    with_ray("2.53.0")
    sentence = (
        rf"acceleratorType: Ray 2\.53\.0 does not detect the chips of a {name}; that needs Ray 2\.54 or newer: `pip"
    )
    with pytest.raises(ClusterConfigError, match=sentence):
        cluster(config)
    with_ray("2.54.0")
    assert cluster(config)


def test_slices_of_older_generations_are_in_every_ray(with_ray: Callable[[str], None]) -> None:
    with_ray(f"{OLDEST}.0")
    for name in ("v2-8", "v4-16", "v5litepod-8", "v5p-8", "v6e-8"):
        assert versions.minor_for_tpu(name) is None


@pytest.mark.parametrize("case", [("mobilint", "2.58.1", "2.59"), ("furiosa", "2.55.1", "2.56")])
def test_a_family_of_a_newer_ray_is_seen_and_said_to_be_announced_by_none(
    with_ray: Callable[[str], None], tmp_path: Path, monkeypatch: Any, case: tuple[str, str, str]
) -> None:
    family, before, since = case
    for name, value in install(tmp_path, devices(family, 2)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ACCEL_SCALING_SYSROOT", str(tmp_path))
    with_ray(before)
    (found,) = detect()
    assert (found.bus_count, found.ray_units, found.accelerator_type) == (2, 0, None)
    assert f"Ray, {before}, does not detect it, and gives tasks no ids of it; Ray {since} and" in found.evidence[-1]
    assert found.resource not in rays_unit_resources()
    assert not family_of_name(family).registered, "a manager of ours would be another than Ray's own, one minor later"
    with_ray(f"{since}.0")
    assert detect()[0].ray_units == 2


def test_every_built_in_family_of_ray_says_since_when() -> None:
    newest = {"mobilint": (2, 59), "apple": (2, 58), "tenstorrent": (2, 58), "furiosa": (2, 56), "metax": (2, 53)}
    assert {name: family_of_name(name).ray_since for name in newest} == newest
    assert family_of_name("nvidia").in_ray
    assert family_of_name("fpga").ray_since is None


@pytest.fixture(name="announced")
def announced_fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], str]:
    """Return what the node announces after the start hook, under a Ray that reads all RTX PRO as RTX."""
    manager = NvidiaGPUAcceleratorManager
    monkeypatch.setattr(manager, "get_current_node_accelerator_type", staticmethod(lambda: "as Ray reads it"))
    monkeypatch.setattr(
        manager,
        "_gpu_name_to_accelerator_type",
        staticmethod(lambda name: "RTX" if "RTX" in name else name.split()[-1]),
    )

    def announced(promised: dict[str, float]) -> str:
        announce_promised_type(promised)
        return manager.get_current_node_accelerator_type()

    return announced


@pytest.mark.parametrize("name", ["RTX-PRO-6000", "RTX-PRO-4500", "RTX-PRO-6000-24Q", "L4-3Q"])
def test_a_promised_name_that_this_ray_does_not_read_is_announced(announced: Any, name: str) -> None:
    assert announced({"GPU": 1, f"accelerator_type:{name}": 1}) == name


def test_a_name_that_this_ray_reads_is_left_to_it(announced: Any) -> None:
    assert announced({"GPU": 1, "accelerator_type:T4": 1}) == "as Ray reads it"
    assert announced({"CPU": 1}) == "as Ray reads it"


def test_an_older_ray_is_asked_for_amd_gpus_by_its_library(with_ray: Callable[[str], None], tmp_path: Path) -> None:
    from accel_scaling.detect.model import Detection
    from accel_scaling.families.built_in import amd

    seen = Detection("amd", "GPU", count=2, units=2, ray_units=2, accelerator_type="AMD-Instinct-MI300X-OAM")
    assert amd._by_library(seen, tmp_path).ray_units == 0
    (tmp_path / "opt/rocm/lib").mkdir(parents=True)
    (tmp_path / "opt/rocm/lib/librocm_smi64.so").touch()
    assert amd._by_library(seen, tmp_path).ray_units == 2


def test_an_older_ray_down_lists_nodes_by_the_only_question_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its question comes from within `teardown_cluster`, and what is listed for the answer is no question of Ray's."""
    monkeypatch.setattr(versions, "installed_version", lambda: "2.55.0")
    from ray.autoscaler._private import commands

    seen = []

    def nodes_for_teardown() -> None:
        seen.append(_ray.lists_to_end())

    def remaining_nodes() -> None:
        seen.append(_ray.lists_to_end())
        nodes_for_teardown()

    def teardown_cluster() -> None:
        seen.append(_ray.lists_to_end())
        remaining_nodes()

    monkeypatch.setattr(commands, "teardown_cluster", teardown_cluster)
    commands.teardown_cluster()
    remaining_nodes()
    assert seen == [False, True, False, False, False]


def test_an_older_ray_reads_a_gang_from_its_older_field(with_ray: Callable[[str], None]) -> None:
    request = _ray.resource_request({"GPU": 1})
    with_ray("2.50.1")
    gang = _ray.gang_request([request])
    assert list(gang.requests) == [request]
    assert _ray.requests_of_gang(gang) == [request]
    with_ray("2.51.0")
    assert not _ray.gang_request([request]).requests


def test_a_key_of_a_newer_ray_is_refused_with_the_version_to_install(
    with_ray: Callable[[str], None], monkeypatch: Any
) -> None:
    from accel_scaling.cluster import ray_keys

    node_types = {"patternProperties": {".*": {"additionalProperties": False, "properties": {"max_workers": {}}}}}
    schema = {"properties": {"available_node_types": node_types}}
    monkeypatch.setattr(ray_keys, "cluster_schema", lambda: schema)
    with_ray("2.55.1")
    sentence = r"available_node_types\.g\.priority needs Ray 2\.56 or newer, and this is Ray 2\.55\.1: `pip install"
    with pytest.raises(ClusterConfigError, match=sentence):
        ray_keys.check_keys({"available_node_types": {"g": {"priority": 1}}})
    with pytest.raises(ClusterConfigError, match="prioritty is a key that Ray's cluster files do not have"):
        ray_keys.check_keys({"available_node_types": {"g": {"prioritty": 1}}})


def test_a_list_of_types_needs_a_ray_with_fallbacks(with_ray: Callable[[str], None]) -> None:
    with_ray("2.50.1")
    with pytest.raises(AskingError, match=r"a list of accelerator types needs Ray 2\.51 or newer.*, or name one"):
        options(num_accs=1, accelerator_type=["T4", "A10G"])
    assert options(num_accs=1, accelerator_type=["T4"])
    with_ray("2.51.0")
    assert options(num_accs=1, accelerator_type=["T4", "A10G"])["fallback_strategy"]


def test_the_cache_of_an_older_ray_is_named_by_us(with_ray: Callable[[str], None], monkeypatch: Any) -> None:
    from accel_scaling._ray import launcher

    monkeypatch.setattr(launcher, "config_cache_path", lambda: "/tmp/ray-config-1")
    for version, named in (("2.50.1", {"_config_cache_path": "/tmp/ray-config-1"}), ("2.51.0", {})):
        with_ray(version)
        provider = SimpleNamespace(config={})
        _ray.name_config_cache(provider.config)
        assert provider.config == named
