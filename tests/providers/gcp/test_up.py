"""What `ray up` does with a cluster file for Google Cloud: the resolved config, and one sentence for each mistake."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.boot.start_prefix import has_boot_check
from accel_scaling.errors import UnknownInstanceTypeError
from tests.support.gcp_provider import (
    DISKS,
    PROJECT,
    ZONES,
    Google,
    config_of,
    google,
    node_configs,
    provider_of,
    resolved,
    tags,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The config with one key changed, or without it where the value is None."""
    config = copy.deepcopy(config)
    *parents, last = path.split("/")
    place = config
    for key in parents:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return config


def test_a_resolved_config_has_promises_project_key_network_and_the_boot_check(gce: Google) -> None:
    config = resolved(config_of(gce.url, slices=True))
    l4 = config["available_node_types"]["l4"]
    assert l4["resources"]["accelerator_type:L4"] == 1
    assert l4["node_config"]["networkInterfaces"][0]["subnetwork"]
    assert Path(config["auth"]["ssh_private_key"]).is_file()
    (account,) = config["head_node"]["serviceAccounts"]
    assert account["email"].endswith(f"@{PROJECT}.iam.gserviceaccount.com")
    (content,) = Path(config["file_mounts"]["~/.accel_scaling_bundle"]).iterdir()
    assert (content / "accel_scaling" / "providers" / "gcp" / "provider.py").is_file()
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (command for command in config[key] if "ray start" in command)
        assert has_boot_check(start)
        assert f"~/.accel_scaling_bundle/{content.name};" in start
    assert config["setup_commands"] == []


def test_a_second_ray_up_finds_what_the_first_made(gce: Google) -> None:
    first, second = (resolved(config_of(gce.url)) for _ in range(2))
    assert first["auth"] == second["auth"]
    assert gce.count("iam.projects.serviceAccounts.create") == 1
    assert gce.count("compute.projects.setCommonInstanceMetadata") == 1


def test_a_config_of_zones_and_credentials_that_rays_schema_refuses_is_taken(gce: Google) -> None:
    config = resolved(config_of(gce.url, availability_zone=list(ZONES)))
    assert config["provider"]["availability_zone"] == ",".join(ZONES)
    assert provider_of(config).non_terminated_nodes({}) == []


def test_machines_get_the_scheduling_that_they_need_before_the_head_knows_them(gce: Google) -> None:
    configs = node_configs(resolved(config_of(gce.url)))
    assert configs["l4"]["scheduling"] == {
        "provisioningModel": "SPOT",
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": False,
        "instanceTerminationAction": "DELETE",
    }
    assert "scheduling" not in configs["cpu"]


def test_a_new_gpu_machine_of_the_users_own_catalog_is_known_as_one(gce: Google, tmp_path: Path) -> None:
    catalog = tmp_path / "gcp-mine.csv"
    catalog.write_text("instance_type,vcpus,memory_mib,arch,accelerator,count\ng9-one,8,65536,x86_64,L4,1\n")
    config = config_of(gce.url, catalog=str(catalog))
    config = changed(config, "available_node_types/l4/node_config", {"machineType": "g9-one", "disks": DISKS})
    made = resolved(config)["available_node_types"]["l4"]
    assert made["resources"]["accelerator_type:L4"] == 1
    assert made["node_config"]["scheduling"] == {"onHostMaintenance": "TERMINATE"}


def test_what_an_instance_template_holds_is_promised_and_its_network_stays(gce: Google) -> None:
    network = [{"network": f"projects/{PROJECT}/global/networks/own"}]
    gce.add_template("gpu", {"machineType": "g2-standard-4", "disks": DISKS, "networkInterfaces": network})
    config = config_of(gce.url)
    for template in ("global/instanceTemplates/gpu", f"projects/{PROJECT}/global/instanceTemplates/gpu"):
        node_config = {"sourceInstanceTemplate": template, "labels": {"a": "b"}}
        made = resolved(changed(config, "available_node_types/l4/node_config", node_config))
        l4 = made["available_node_types"]["l4"]
        assert l4["resources"]["accelerator_type:L4"] == 1
        assert l4["node_config"]["sourceInstanceTemplate"] == template
        assert "networkInterfaces" not in l4["node_config"]
        assert l4["node_config"]["scheduling"] == {"onHostMaintenance": "TERMINATE"}
        for count in (1, 2):
            for node_id in provider_of(made).create_node(l4["node_config"], tags("l4"), count):
                assert gce.machines()[node_id]["machineType"].endswith("/g2-standard-4")


def test_what_a_template_lacks_to_be_sold_is_noted_once(gce: Google, capsys: pytest.CaptureFixture[str]) -> None:
    gce.add_template("h100", {"machineType": "a3-highgpu-1g", "disks": DISKS})
    spot = {"machineType": "a3-highgpu-1g", "disks": DISKS, "scheduling": {"provisioningModel": "SPOT"}}
    gce.add_template("h100-spot", spot)
    for template, times in (("h100", 1), ("h100-spot", 0)):
        node_config = {"sourceInstanceTemplate": f"global/instanceTemplates/{template}"}
        capsys.readouterr()
        resolved(changed(config_of(gce.url), "available_node_types/l4/node_config", node_config))
        said = "".join(capsys.readouterr())
        assert " ".join(said.split()).count("sells a3-highgpu-1g as spot or as flex-start") == times


def test_a_caller_of_the_fill_gets_the_error_itself(gce: Google) -> None:
    from accel_scaling.providers.gcp.provider import GCPAcceleratorNodeProvider

    config = changed(config_of(gce.url), "available_node_types/l4/node_config/machineType", "g2-standrd-4")
    with pytest.raises(UnknownInstanceTypeError):
        GCPAcceleratorNodeProvider.fillout_available_node_types_resources(config)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("available_node_types/l4/node_config/machineType", "g2-standrd-4", "machine"),
        ("available_node_types/l4/node_config", {}, "has no machineType"),
        ("provider/project_id", None, "provider.project_id is missing"),
        ("provider/availability_zone", None, "provider.availability_zone is missing"),
        ("provider/availability_zone", "us-central1-a,us-west1-a", "a cluster runs in one region"),
        ("provider/region", "us-west1", "provider.region is 'us-west1'"),
        ("provider/api_endpoints", {"s3": "http://x"}, "provider.api_endpoints.s3: the APIs are"),
        ("provider/gcp_credentials", {"type": "magic"}, "provider.gcp_credentials must have"),
        ("provider/gcp_credentials", None, "no Google credentials; run `gcloud auth"),
        ("cluster_name", "c" * 60, "is too long for a Google Cloud label, by"),
        ("available_node_types/l4/node_config/labels", {"Team": "x"}, "is not a valid Google Cloud label"),
        ("available_node_types/v4/node_config/scheduling", {}, "write schedulingConfig"),
        ("available_node_types/v4/node_config/acceleratorType", "v4-17", "v4-17"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_launched(
    gce: Google, monkeypatch: pytest.MonkeyPatch, path: str, value: Any, sentence: str
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(click.ClickException) as error:
        resolved(changed(config_of(gce.url, slices=True), path, value))
    assert sentence in error.value.message
    assert "\n" not in error.value.message
    assert gce.machines() == {}


@pytest.mark.parametrize(
    ("method", "fault", "sentence"),
    [
        ("compute.subnetworks.list", {"status": 403, "reason": "forbidden", "message": "no"}, "refused (permission)"),
        ("compute.projects.get", {"status": 404, "reason": "notFound", "message": "gone"}, "Google refused"),
        ("cloudresourcemanager.projects.get", {"kind": "lost_request", "times": 99}, "Google cannot be reached"),
    ],
)
def test_what_google_refuses_while_it_is_prepared_is_one_sentence(
    gce: Google, monkeypatch: pytest.MonkeyPatch, method: str, fault: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    gce.fault(method, **fault)
    with pytest.raises(click.ClickException) as error:
        resolved(config_of(gce.url))
    assert sentence in error.value.message


def test_no_endpoint_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    with pytest.raises(click.ClickException, match="Google cannot be reached"):
        resolved(config_of("http://127.0.0.1:9"))


def test_a_name_of_any_kind_is_taken_or_refused_at_once(gce: Google) -> None:
    for name in ("My.Cluster", "ünï", "c" * 52, "a_b-c"):
        made = resolved(changed(config_of(gce.url), "cluster_name", name))
        provider = provider_of(made)
        (node_id,) = provider.create_node(node_configs(made)["cpu"], tags(cluster=name), 1)
        assert provider.non_terminated_nodes({}) == [node_id]
        assert len(node_id) <= 63


def ray_up(tmp_path: Path, config: dict[str, Any]) -> tuple[int, str]:
    """Run `ray up` as a user does; return its exit code and the last line that it says."""
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    env = {"HOME": str(Path.home()), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    ray = Path(sys.executable).with_name("ray")
    done = subprocess.run(
        [ray, "up", "-y", "--no-config-cache", path], capture_output=True, text=True, env=env, check=False, cwd=ROOT
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.mark.needs("rsync")
def test_ray_up_stops_with_one_sentence_at_an_unknown_machine_and_at_a_sold_out_head(
    gce: Google, tmp_path: Path
) -> None:
    config = changed(config_of(gce.url), "available_node_types/l4/node_config/machineType", "g2-standrd-4")
    code, message = ray_up(tmp_path, config)
    assert (code, message.startswith("Error: available_node_types.l4.node_config.machineType")) == (1, True), message
    gce.injection.dry_zones = {"*": ["*"]}
    code, message = ray_up(tmp_path, config_of(gce.url))
    assert (code, message.startswith("Error: the head node (n2-standard-2) could not be launched")) == (1, True), (
        message
    )
    assert gce.machines() == {}


def test_a_changed_catalog_takes_effect_in_spite_of_rays_config_cache(gce: Google, tmp_path: Path) -> None:
    from ray.autoscaler._private.commands import _bootstrap_config

    catalog = tmp_path / "gcp-mine.csv"
    config = config_of(gce.url, catalog=str(catalog))
    seen = []
    for vcpus in (4, 3):
        catalog.write_text(
            f"instance_type,vcpus,memory_mib,arch,accelerator,count\nn1-standard-4,{vcpus},15360,x86_64,,\n"
        )
        made = _bootstrap_config(copy.deepcopy(config))  # with Ray's cache
        provider_of(made)  # every command makes the provider next
        seen.append(made["available_node_types"]["cpu"]["resources"]["CPU"])
    assert seen == [4, 3]


@pytest.mark.parametrize(
    ("order", "by_hand", "model"),
    [(["spot"], {}, "SPOT"), (["on-demand"], {}, "STANDARD"), (None, {"provisioningModel": "SPOT"}, "SPOT")],
)
def test_the_defaults_that_google_writes_into_a_template_do_not_say_how_its_machines_are_bought(
    order: Any, by_hand: dict[str, Any], model: str, gce: Google
) -> None:
    defaults = {"preemptible": False, "provisioningModel": "STANDARD", "automaticRestart": True}
    machine = {
        "machineType": "n1-standard-4",
        "disks": DISKS,
        "scheduling": {**defaults, "onHostMaintenance": "MIGRATE"},
    }
    gce.add_template("cpu", {**machine, "reservationAffinity": {"consumeReservationType": "ANY_RESERVATION"}})
    node_config = {
        "sourceInstanceTemplate": "global/instanceTemplates/cpu",
        **({"scheduling": by_hand} if by_hand else {}),
    }
    provider = {"capacity": {"cpu": order}} if order else {}
    made = resolved(changed(config_of(gce.url, **provider), "available_node_types/cpu/node_config", node_config))
    (name,) = provider_of(made).create_node(made["available_node_types"]["cpu"]["node_config"], tags("cpu"), 1)
    assert gce.machines()[name]["scheduling"]["provisioningModel"] == model
