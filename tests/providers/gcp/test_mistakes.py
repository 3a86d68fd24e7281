"""Ordinary mistakes in a cluster file for Google Cloud: one sentence each with its key, before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from accel_scaling.providers.gcp.calls import ListingFailedError
from tests.providers.gcp.test_up import changed, ray_up
from tests.support.gcp_provider import (
    DISKS,
    PROJECT,
    ZONES,
    Google,
    config_of,
    google,
    ours,
    provider_of,
    resolved,
    tags,
)

L4 = "available_node_types/l4/node_config"
SPOT = {"provisioningModel": "SPOT"}
NOT_ENABLED = "Cloud TPU API has not been used in project 1 before or it is disabled"


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def sentence_of(gce: Google, *changes: tuple[str, Any], slices: bool = False) -> str:
    """What `ray up` says to a config with these keys changed; nothing was launched."""
    config = config_of(gce.url, slices=slices)
    for path, value in changes:
        config = changed(config, path, value)
    with pytest.raises(click.ClickException) as error:
        resolved(config)
    assert gce.machines() == {}
    assert "\n" not in error.value.message
    return error.value.message


# --- zones and permissions ---


def test_a_zone_that_does_not_exist_is_named_with_its_key(gce: Google) -> None:
    message = sentence_of(gce, ("provider/availability_zone", "us-central1-a,us-central1-z"))
    assert message.startswith("provider.availability_zone us-central1-z: Google refused (")
    assert "does the zone exist" in message


@pytest.mark.needs("rsync")
@pytest.mark.parametrize(
    ("method", "message", "advice"),
    [
        ("compute.instances.list", "Required 'compute.instances.list' permission", "may these credentials list"),
        ("tpu.projects.locations.nodes.list", NOT_ENABLED, "is the Cloud TPU API enabled in the project"),
    ],
)
def test_what_may_not_be_listed_is_said_before_the_head_is_paid_for(
    gce: Google, tmp_path: Path, method: str, message: str, advice: str
) -> None:
    gce.fault(method, times=99, status=403, reason="forbidden", message=message)
    code, said = ray_up(tmp_path, config_of(gce.url, slices=True))
    assert code == 1
    assert said.startswith(f"Error: provider.availability_zone {ZONES[0]}: Google refused (permission): ")
    assert message in said
    assert advice in said
    assert gce.machines() == {}


def test_a_listing_that_fails_later_is_one_sentence_at_the_keyboard_and_an_error_for_the_autoscaler(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_scaling import _ray

    provider, _ = ours(gce, availability_zone=",".join(ZONES))
    gce.fault("compute.instances.list", times=99, status=403, reason="forbidden", message="not any more")
    for asked in (provider.non_terminated_nodes, provider.nodes_for_teardown):
        with pytest.raises(click.ClickException, match=r"provider.availability_zone .*: permission: .*not any more"):
            asked({})
    monkeypatch.setattr(_ray, "autoscaler_config_path", lambda: Path("/x.yaml"))
    with pytest.raises(ListingFailedError, match="not any more"):
        provider.non_terminated_nodes({})


NO_TPU = {"times": 99, "status": 404, "reason": "notFound", "message": "Location us-central1-a is not found"}


def test_a_zone_without_cloud_tpu_has_no_slices_and_its_machines_are_listed(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    gce.fault("tpu.projects.locations.nodes.list", **NO_TPU)
    assert provider.non_terminated_nodes({}) == [node_id]


def test_slices_where_no_zone_has_cloud_tpu_are_refused(gce: Google) -> None:
    gce.fault("tpu.projects.locations.nodes.list", **NO_TPU)
    assert sentence_of(gce, slices=True).startswith(f"provider.availability_zone is {ZONES[0]}, which has no")


# --- the shapes of keys ---


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (f"{L4}/sourceInstanceTemplate", "My_Template", "sourceInstanceTemplate is 'My_Template'; expected the path"),
        (f"{L4}/sourceInstanceTemplate", ["a"], "sourceInstanceTemplate is ['a']; expected the path of an"),
        (f"{L4}/sourceInstanceTemplate", "nothing-there", "l4.node_config.sourceInstanceTemplate: Google refused"),
        (f"{L4}/disks", {"boot": True}, "node_config.disks is {'boot': True}; expected a list"),
        (f"{L4}/disks", ["x"], "node_config.disks[0] is 'x'; expected an object"),
        (f"{L4}/disks", [{"initializeParams": "x"}], "node_config.disks[0].initializeParams is 'x'; expected an"),
        (f"{L4}/networkInterfaces", {"network": "x"}, "node_config.networkInterfaces is {'network': 'x'}; expected"),
        (f"{L4}/networkInterfaces", ["x"], "node_config.networkInterfaces[0] is 'x'; expected an object"),
        (f"{L4}/serviceAccounts", "me@x", "node_config.serviceAccounts is 'me@x'; expected a list"),
        (f"{L4}/metadata", "x", "node_config.metadata is 'x'; expected an object"),
        (f"{L4}/metadata", {"items": {"a": "b"}}, "node_config.metadata.items is {'a': 'b'}; expected a list"),
        (f"{L4}/metadata", [{"items": [{"key": "a", "value": 5}]}], "metadata.items[0].value is 5; expected text"),
        (f"{L4}/gustAccelerators", [], "node_config.gustAccelerators is not a key that Google knows; nearest: guestA"),
        (f"{L4}/name", "hello", "node_config.name is set for each machine by Ray or by Google; leave it out"),
        (f"{L4}/scheduling", {"provisioningModel": "spot"}, "provisioningModel is 'spot', which Google does not know"),
        (f"{L4}/scheduling", [{"preemptable": True}], "scheduling.preemptable is not a key that Google knows; n"),
        (
            "available_node_types/v4/node_config/schedulingConfig",
            {"spots": True},
            "Config.spots is not a key",
        ),
        ("available_node_types/v4/node_config/metadata", {"items": [1]}, "node_config.metadata[items] is [1]; expect"),
        ("provider/project_id", 12345, "provider.project_id is 12345; expected the id"),
        ("provider/project_id", "My_Project", "provider.project_id is 'My_Project'; expected the id of a Google"),
        ("provider/project_id", "another", "provider.project_id another: Google refused"),
        ("cluster_name", "c" * 53, "is too long for a Google Cloud label, by 1 character; shorten it"),
        ("cluster_name", "C" * 30, "upper case, dots and similar ones count three times"),
    ],
)
def test_a_key_of_the_wrong_shape_is_named_with_what_belongs_there(
    gce: Google, path: str, value: Any, sentence: str
) -> None:
    assert sentence in sentence_of(gce, (path, value), slices=True)


def test_what_ray_adds_to_googles_keys_stays_legal(gce: Google) -> None:
    machine = {
        "machineType": "n1-standard-4",
        "disks": DISKS,
        "scheduling": [{"preemptible": True}, {"onHostMaintenance": "TERMINATE"}],
        "networkConfig": {"subnetwork": "projects/p/regions/r/subnetworks/s"},
        "labels": {"a": "b"},
    }
    pod = {
        "acceleratorType": "v4-16",
        "runtimeVersion": "tpu-ubuntu2204-base",
        "metadata": {"startup-script": "true"},
        "networkInterfaces": [{"subnetwork": "s"}],
        "serviceAccounts": [{"email": "me@x", "scopes": ["a"]}],
        "schedulingConfig": {"spot": True},
    }
    for path, node_config in ((L4, machine), ("available_node_types/v4/node_config", pod)):
        resolved(changed(config_of(gce.url, slices=True), path, node_config))


def test_key_files_without_their_halves_in_the_project_are_one_sentence(
    gce: Google,
) -> None:
    from ray.autoscaler._private.gcp.config import generate_ssh_key_name, generate_ssh_key_paths

    (Path.home() / ".ssh").mkdir()
    for number in range(10):  # as many as Ray tries; they are of a project that is gone, and whose name was the same
        name = generate_ssh_key_name("gcp", number, "us-central1", PROJECT, "ubuntu")
        Path(generate_ssh_key_paths(name)[1]).touch()
    message = sentence_of(gce)
    assert message.startswith(
        "auth.ssh_private_key is missing, and Ray could not make a key pair for auth.ssh_user 'ubun"
    )


def test_a_private_key_that_is_not_on_this_machine_is_one_sentence(gce: Google) -> None:
    message = sentence_of(gce, ("auth", {"ssh_user": "me", "ssh_private_key": "~/gone.pem"}))
    assert message.startswith("auth.ssh_private_key is ~/gone.pem, which is not on this machine")


@pytest.mark.parametrize(
    ("step", "error", "sentence"),
    [
        (
            "_configure_project",
            AssertionError("Project status needs to be ACTIVE, got X"),
            "got X; restore the project",
        ),
        (
            "_configure_subnet",
            NotImplementedError("Should be able to create subnet."),
            "subnet; create a subnetwork in",
        ),
        ("_configure_key_pair", KeyError("ssh_user"), "KeyError: ssh_user"),
        ("_configure_iam_role", Exception({"message": "the operation failed"}), "the operation failed"),
    ],
)
def test_what_stops_rays_own_steps_is_one_sentence(
    gce: Google, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, sentence: str
) -> None:
    from ray.autoscaler._private.gcp import config

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(config, step, fail)
    message = sentence_of(gce)
    assert message.startswith("Ray cannot prepare the cluster on Google Cloud: ")
    assert sentence in message


# --- scheduling that contradicts itself ---


@pytest.mark.parametrize(
    ("machine", "scheduling", "sentence"),
    [
        ("g2-standard-4", {"onHostMaintenance": "MIGRATE"}, "a machine with accelerators cannot move to another host"),
        ("n1-standard-4", {**SPOT, "onHostMaintenance": "MIGRATE"}, "a spot machine cannot move to another host"),
        ("n1-standard-4", {**SPOT, "automaticRestart": True}, "scheduling.automaticRestart is true"),
        ("n1-standard-4", [{"preemptible": True}, {"automaticRestart": True}], "Google never restarts a spot machine"),
        ("n1-standard-4", {"instanceTerminationAction": "DELETE"}, "add provisioningModel: SPOT, maxRunDuration or"),
    ],
)
def test_scheduling_that_google_would_refuse_is_refused_before_the_head_is_paid_for(
    gce: Google, machine: str, scheduling: Any, sentence: str
) -> None:
    node_config = {"machineType": machine, "disks": DISKS, "scheduling": scheduling}
    message = sentence_of(gce, (L4, node_config))
    assert message.startswith("available_node_types.l4.node_config.scheduling.")
    assert sentence in message


def test_what_a_template_holds_may_contradict_too(gce: Google) -> None:
    deleted = {**SPOT, "instanceTerminationAction": "DELETE"}
    gce.add_template("gpu", {"machineType": "g2-standard-4", "disks": DISKS, "scheduling": deleted})
    template = f"projects/{PROJECT}/global/instanceTemplates/gpu"
    ours = {"provisioningModel": "STANDARD"}
    message = sentence_of(gce, (L4, {"sourceInstanceTemplate": template, "scheduling": ours}))
    assert "scheduling.instanceTerminationAction is for machines that Google ends" in message


@pytest.mark.parametrize("ends", [{"maxRunDuration": {"seconds": "3600"}}, SPOT])
def test_a_machine_that_google_ends_may_say_what_is_done_with_it(gce: Google, ends: dict[str, Any]) -> None:
    scheduling = {**ends, "instanceTerminationAction": "DELETE"}
    node_config = {"machineType": "n1-standard-4", "disks": DISKS, "scheduling": scheduling}
    config = resolved(changed(config_of(gce.url), L4, node_config))
    made = config["available_node_types"]["l4"]["node_config"]
    (node_id,) = provider_of(config).create_node(made, tags("l4"), 1)
    assert gce.machines()[node_id]["scheduling"].items() >= scheduling.items()
