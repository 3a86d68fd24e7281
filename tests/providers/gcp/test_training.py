"""Networks for RDMA and GPUDirect, and compact placement, on Google Cloud: written, checked, made and deleted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.networks import DEVICES
from accel_scaling.fill.fill import fill
from accel_scaling.providers.gcp import placement, placement_policies
from accel_scaling.providers.gcp.client import client
from tests.cluster.test_networks import SUBNETS, on_gcp
from tests.cluster.test_networks import refusal as refused_by_the_fill
from tests.support.gcp_provider import CLUSTER, DISKS, PROJECT, ZONES, Google, config_of, google, provider_of, tags
from tests.support.resolved import refusal, resolved

A, B, _ = ZONES
H200 = {"machineType": "a3-ultragpu-8g", "disks": DISKS, "scheduling": {"provisioningModel": "SPOT"}}


def with_h200(at: Google, **provider: Any) -> dict[str, Any]:
    at.injection.subnetworks = SUBNETS
    config = config_of(at.url, **provider)
    config["available_node_types"] = {
        "head": config["available_node_types"]["head"],
        "h200": {"node_config": dict(H200)},
    }
    return config


def test_a_network_for_rdma_is_an_interface_in_each_subnetwork() -> None:
    with google() as at:
        config = resolved(with_h200(at, network={"h200": {"rdma": SUBNETS}}))
        h200 = config["available_node_types"]["h200"]["node_config"]
        made = provider_of(config).create_node(h200, tags("h200"), 2)
        (machine, _) = (at.machines()[name] for name in made)
    interfaces = h200["networkInterfaces"]
    assert [one["nicType"] for one in interfaces] == ["GVNIC"] * 2 + ["MRDMA"] * 8
    region = f"projects/{PROJECT}/regions/us-central1/subnetworks/"
    assert [one["subnetwork"].removeprefix(region) for one in interfaces] == SUBNETS
    assert [bool(one.get("accessConfigs")) for one in interfaces] == [True] + [False] * 9
    # How many devices the boot check must find; and the machine has what was asked for.
    assert config["provider"][DEVICES] == {"h200": 8}
    assert len(machine["networkInterfaces"]) == 10


def test_a_private_cluster_has_no_public_address_and_a_path_is_another_projects() -> None:
    shared = "projects/net-host/regions/us-central1/subnetworks/net-0"
    with google() as at:
        words = {"network": {"h200": {"rdma": [shared, *SUBNETS[1:]]}}, "use_internal_ips": True}
        config = resolved(with_h200(at, **words))
    first = config["available_node_types"]["h200"]["node_config"]["networkInterfaces"][0]
    assert first == {"subnetwork": shared, "nicType": "GVNIC"}


def test_a_subnetwork_that_is_not_there_is_refused_before_the_head_is_paid_for() -> None:
    with google() as at:
        sentence = refusal(with_h200(at, network={"h200": {"rdma": [*SUBNETS[:9], "net-x"]}}))
        assert at.machines() == {}
    assert sentence.startswith("provider.network.h200.rdma names 'net-x', and us-central1 has no such subnetwork in")
    assert "nearest: net-" in sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            on_gcp(provider={"network": {"h200": {"rdma": SUBNETS[:3]}}}),
            "provider.network.h200.rdma names 3 subnetworks, and a3-ultragpu-8g has 10 interfaces: name one for each",
        ),
        (
            on_gcp(provider={"network": {"h200": {"gpudirect": SUBNETS}}}),
            "provider.network.h200 is gpudirect, and a3-ultragpu-8g has rdma: write {rdma: [...]} with 10 subnetworks",
        ),
        (
            on_gcp("a2-highgpu-1g", provider={"network": {"h200": {"rdma": SUBNETS}}}),
            "provider.network.h200 is rdma, and no network for training of a2-highgpu-1g is known (gcp_networks.csv)",
        ),
        (
            on_gcp(provider={"network": {"h200": {"rdma": [*SUBNETS[:9], "net-0"]}}}),
            "provider.network.h200.rdma names net-0 twice: each interface needs a subnetwork of its own",
        ),
        (
            on_gcp(provider={"network": {"h200": {"rdma": SUBNETS}}}, networkInterfaces=[{"nicType": "GVNIC"}]),
            "provider.network.h200 is rdma and available_node_types.h200.node_config has networkInterfaces",
        ),
        (
            on_gcp("a3-megagpu-8g", networkInterfaces=[{"nicType": "MRDMA"}]),
            "available_node_types.h200.node_config.networkInterfaces has 1 of nicType MRDMA, and a3-megagpu-8g has 0",
        ),
        (
            on_gcp("a3-highgpu-8g", networkInterfaces=[{"nicType": "GVNIC"}] * 6),
            "available_node_types.h200.node_config.networkInterfaces has 6 interfaces, and a3-highgpu-8g takes 5:",
        ),
        (
            on_gcp(provider={"placement": {"h200": "compact"}}, resourcePolicies=["projects/p/regions/r/x/mine"]),
            "provider.placement.h200 is compact and available_node_types.h200.node_config has resourcePolicies",
        ),
    ],
)
def test_what_a_machine_cannot_have_is_one_sentence(config: dict[str, Any], sentence: str) -> None:
    assert refused_by_the_fill(config).startswith(sentence)


def test_a_network_of_one_zone_beside_several_zones_is_noted() -> None:
    place = {"availability_zone": "europe-west1-b,europe-west1-c"}
    _, notes = fill(on_gcp(provider={"network": {"h200": {"rdma": SUBNETS}}, **place}), shipped_catalog())
    (note,) = [note for note in notes if "RDMA belongs to one zone" in note]
    assert note.startswith("available_node_types.h200 (a3-ultragpu-8g): a network for RDMA")


def ray_down(config: dict[str, Any], tmp_path: Path) -> None:
    from ray.autoscaler._private import commands

    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    given = {"workers_only": False, "override_cluster_name": None, "keep_min_workers": False}
    commands.teardown_cluster(str(tmp_path / "cluster.yaml"), yes=True, **given)


def test_compact_policies_are_made_used_zone_by_zone_and_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ray.autoscaler._private.commands.POLL_INTERVAL", 0.01)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(timeouts, "PLACEMENT_GROUP_POLL_S", 0.02)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    with google(dry_zones={A: ["a3-ultragpu-8g"]}) as at:
        words = {"placement": {"h200": "compact"}, "availability_zone": f"{A},{B}"}
        config = resolved(with_h200(at, **words))
        resolved(with_h200(at, **words))  # a second `ray up` uses the same
        assert at.count("compute.resourcePolicies.insert") == 2
        names = [placement.policy_name(CLUSTER, "h200", zone) for zone in (A, B)]
        h200 = config["available_node_types"]["h200"]["node_config"]
        assert h200["resourcePolicies"] == [f"projects/{PROJECT}/regions/us-central1/resourcePolicies/{names[0]}"]
        provider = provider_of(config)
        # The first zone is sold out; bulk creation takes a name, one machine its URL.
        made = [*provider.create_node(h200, tags("h200"), 2), *provider.create_node(h200, tags("h200"), 1)]
        used = [policy.rpartition("/")[2] for name in made for policy in at.machines()[name]["resourcePolicies"]]
        assert used == [names[1]] * 3
        # What a machine still uses is left, and costs nothing.
        clock = iter(range(0, 10_000, 100))
        compute = client(config["provider"], "compute")
        left = placement_policies.delete(
            compute, config["provider"], CLUSTER, names, clock=lambda: float(next(clock)), sleep=lambda _: None
        )
        assert [sentence.partition(" is not deleted")[0] for sentence in left] == [f"the placement policy {names[1]}"]
        ray_down(with_h200(at, **words), tmp_path)
        assert at.machines() == {}
        assert at.engine.placement_policies() == []


def test_a_policy_of_the_user_stays_in_each_zone_and_is_never_deleted() -> None:
    mine = {"resourcePolicies": ["training", f"team-{A}"]}
    assert placement.in_zone(mine, B) == mine
    with google() as at:
        config = with_h200(at, placement={"h200": "compact"})
        name = placement.policy_name(CLUSTER, "h200", A)
        body = {"name": name, "groupPlacementPolicy": {"collocation": "COLLOCATED"}}
        compute = client(config["provider"], "compute")
        compute.resourcePolicies().insert(project=PROJECT, region="us-central1", body=body).execute()
        assert "and one of that name is there that this cluster has not made" in refusal(config)
        assert placement_policies.delete(compute, config["provider"], CLUSTER, [name]) == []
        assert at.engine.placement_policies() == [name]


def test_names_of_policies_fit_and_differ_whatever_was_cut_off() -> None:
    long = [placement.policy_name("c" * 40, f"{'t' * 40}{end}", "northamerica-northeast1-b") for end in "ab"]
    assert all(len(name) <= 63 and name[0].isalpha() for name in long)
    assert len(set(long)) == 2
    assert placement.policy_name("Mine_1", "H200", A).startswith("accel-mine-1-h200-")
