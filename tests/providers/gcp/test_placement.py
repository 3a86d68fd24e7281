"""The fill for GCP: market, zones and region, and what an instance template adds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AttachError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.gcp.node_config import placement, region_of, with_template, zones_of
from tests.providers.gcp.test_node_config import OURS, T4, cluster, filled, refused


@pytest.mark.parametrize(
    ("scheduling", "market"),
    [
        (None, "on-demand"),
        ({"provisioningModel": "SPOT"}, "spot"),
        ({"provisioningModel": "STANDARD"}, "on-demand"),
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
    labels = filled("n2-standard-2")["labels"]
    assert {name: value for name, value in labels.items() if name.startswith(("ray.io/avail", "ray.io/market"))} == {
        "ray.io/market-type": "on-demand",
        "ray.io/availability-region": "us-central1",
        "ray.io/availability-zone": "us-central1-a",
    }
    config = cluster({"machineType": "n2-standard-2"}, several)
    labels = fill(config, shipped_catalog())[0]["available_node_types"]["w0"]["labels"]
    assert "ray.io/availability-zone" not in labels
    assert labels["ray.io/availability-region"] == "us-central1"
    assert placement(several).zones == ("us-central1-a", "us-central1-b")


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
        ({"availability_zone": "us-central1-a,b"}, "names 'b', which is not a zone"),
        ({"availability_zone": "us-central1"}, "names 'us-central1', which is not a zone"),
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
    provider = {
        "sourceInstanceTemplate": "global/instanceTemplates/t",
        "machineType": "n1-standard-8",
        "scheduling": [{"preemptible": False}],
        "labels": {"b": "2"},
        "minCpuPlatform": None,
    }
    before = copy.deepcopy((provider, properties))
    assert with_template(provider, properties) == {
        "machineType": "n1-standard-8",
        "guestAccelerators": T4,
        "scheduling": {"preemptible": False, "onHostMaintenance": "TERMINATE"},
        "labels": {"a": "1", "b": "2"},
    }
    assert (provider, properties) == before
    assert with_template({"guestAccelerators": []}, properties)["guestAccelerators"] == []


def test_a_template_with_a_machine_type_over_it_is_filled_and_what_it_may_attach_is_said() -> None:
    template = {"sourceInstanceTemplate": "global/instanceTemplates/t"}
    config, notes = fill(cluster({**template, "machineType": "n1-standard-8"}), shipped_catalog())
    assert "GPU" not in config["available_node_types"]["w0"]["resources"]
    assert len(notes) == 1
    assert notes[0].startswith("available_node_types.w0: GPUs that the sourceInstanceTemplate attaches")
    for silent in ({"machineType": "g2-standard-4"}, {"machineType": "n1-standard-8", "guestAccelerators": T4}):
        assert fill(cluster({**template, **silent}), shipped_catalog())[1] == []


P100, K80 = "nvidia-tesla-p100", "nvidia-tesla-k80"


@pytest.mark.parametrize(
    ("machine", "kind", "count", "zones", "words"),
    [
        (
            "n1-standard-96",
            P100,
            4,
            "us-east1-c",
            "us-east1-c: this count needs 1 to 64 vCPUs and 1 to 208 GiB there",
        ),
        ("n1-highmem-64", P100, 4, "europe-west1-c,europe-west1-d", "zone europe-west1-d: this count needs 1 to 64"),
        ("n1-standard-32", K80, 8, "asia-east1-a", "are not offered in zone asia-east1-a; choose"),
        ("n1-standard-32", K80, 8, "us-east1-c,us-east1-d", "are not offered in zone us-east1-d"),
    ],
)
def test_gpus_that_one_of_the_zones_does_not_attach_to_this_machine_are_refused(
    machine: str, kind: str, count: int, zones: str, words: str
) -> None:
    guests = [{"acceleratorType": kind, "acceleratorCount": count}]
    config = cluster({"machineType": machine, "guestAccelerators": guests})
    config["provider"] = {**OURS, "region": zones.partition(",")[0].rpartition("-")[0], "availability_zone": zones}
    with pytest.raises(AttachError, match=words) as error:
        fill(config, shipped_catalog())
    assert str(error.value).startswith("available_node_types.")


@pytest.mark.parametrize(
    ("machine", "kind", "count", "zone"),
    [
        ("n1-standard-96", P100, 4, "us-east1-b"),
        ("n1-highcpu-64", P100, 4, "us-east1-c"),
        ("n1-standard-32", K80, 8, "asia-east1-b"),
        ("n1-standard-32", K80, 4, "asia-east1-a"),
    ],
)
def test_gpus_fill_where_their_zone_attaches_them(machine: str, kind: str, count: int, zone: str) -> None:
    guests = [{"acceleratorType": kind, "acceleratorCount": count}]
    config = cluster({"machineType": machine, "guestAccelerators": guests})
    config["provider"] = {**OURS, "region": zone.rpartition("-")[0], "availability_zone": zone}
    node_types = fill(config, shipped_catalog())[0]["available_node_types"]
    assert {one["resources"].get("GPU") for one in node_types.values()} >= {count}
