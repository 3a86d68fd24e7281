"""What `ray up` asks Google before it makes anything: whether the zones have the file's machines, GPUs and slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from accel_scaling import _ray
from tests.support.gcp_provider import ZONES, Google, config_of, google
from tests.support.resolved import resolved

SLICE = "tpu.projects.locations.acceleratorTypes.get"


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notes that `ray up` prints."""
    said: list[str] = []
    logger = _ray.cli_logger()
    monkeypatch.setattr(type(logger), "warning", lambda _self, text, *words, **_: said.append(text.format(*words)))
    return said


def asked_for(url: str, **node_config: Any) -> dict[str, Any]:
    """A cluster config of three zones with one worker type more, whose disks are its own."""
    config = config_of(url)
    config["provider"]["availability_zone"] = ",".join(ZONES)
    disks = config["available_node_types"]["head"]["node_config"]["disks"]
    more = {} if "acceleratorType" in node_config or "acceleratorConfig" in node_config else {"disks": disks}
    config["available_node_types"]["new"] = {"node_config": {**node_config, **more}, "max_workers": 1}
    return config


@pytest.mark.parametrize(
    ("node_config", "key", "name"),
    [
        ({"machineType": "a3-highgpu-8g"}, "machineType", "a3-highgpu-8g"),
        (
            {
                "machineType": "n1-standard-4",
                "guestAccelerators": [{"acceleratorType": "nvidia-tesla-v100", "acceleratorCount": 1}],
            },
            "guestAccelerators",
            "nvidia-tesla-v100",
        ),
        ({"acceleratorType": "v6e-8"}, "acceleratorType", "v6e-8"),
        ({"acceleratorConfig": {"type": "V4", "topology": "2x2x2"}}, "acceleratorConfig", "v4-16"),
    ],
    ids=["a machine", "an attached GPU", "a slice", "a slice by its topology"],
)
def test_what_none_of_the_zones_has_is_refused_before_anything_is_made(
    gce: Google, node_config: dict[str, Any], key: str, name: str
) -> None:
    gce.injection.lacking = {"*": [name]}
    with pytest.raises(click.ClickException) as error:
        resolved(asked_for(gce.url, **node_config))
    start = f"available_node_types.new.node_config.{key}: Google has no {name} in {', '.join(ZONES)} "
    assert error.value.message.startswith(start)
    assert error.value.message.endswith("choose another zone or type")
    assert not {call.method for call in gce.engine.calls} & {
        "compute.projects.setCommonInstanceMetadata",
        "iam.projects.serviceAccounts.create",
    }
    # One zone that has it is enough: a launch continues to it.
    gce.injection.lacking = {zone: [name] for zone in ZONES[:2]}
    assert resolved(asked_for(gce.url, **node_config))["available_node_types"]["new"]["resources"]


def test_google_has_the_last_word_over_the_list_that_ships(gce: Google, warned: list[str]) -> None:
    # gcp_places.csv has a3-ultragpu in us-central1-b alone, and m4n, x4 and n2-highcpu-128 in no zone of it.
    config = config_of(gce.url)
    config["available_node_types"]["l4"]["node_config"]["machineType"] = "a3-ultragpu-8g"
    assert resolved(config)["available_node_types"]["l4"]["resources"]["accelerator_type:H200"] == 1
    assert [note for note in warned if "known to have" in note] == []


def test_a_file_that_the_users_own_list_refuses_is_asked_about_too(gce: Google, home: Any) -> None:
    rows = "us-central1,*,a b c,mail\nus-central1,n2-standard,a,\n"
    (home / ".accel_scaling" / "gcp_places.csv").write_text("region,types,zones,source\n" + rows)
    assert resolved(config_of(gce.url))["available_node_types"]["l4"]["resources"]["GPU"] == 1


@pytest.mark.parametrize("method", ["compute.machineTypes.get", "compute.acceleratorTypes.get", SLICE])
def test_who_may_not_ask_gets_the_notes_of_the_list_and_is_not_refused(
    gce: Google, warned: list[str], method: str
) -> None:
    gce.fault(method, times=99, status=403, reason="forbidden", message="Required permission")
    config = config_of(gce.url, slices=True)
    config["available_node_types"]["l4"]["node_config"]["machineType"] = "a3-ultragpu-8g"
    assert resolved(config)["available_node_types"]["l4"]["resources"]["GPU"] == 8
    notes = [note for note in warned if "known to have" in note]
    assert ["l4 (a3-ultragpu-8g)" in note for note in notes] == ([True] if method == "compute.machineTypes.get" else [])


def test_each_type_is_asked_for_once_in_each_zone_and_a_custom_one_not_at_all(gce: Google) -> None:
    config = asked_for(gce.url, machineType="n2-custom-8-32768")
    config["available_node_types"]["again"] = config["available_node_types"]["cpu"]
    resolved(config)
    machines = {
        node_type["node_config"].get("machineType") for node_type in config["available_node_types"].values()
    } - {"n2-custom-8-32768"}
    assert gce.count("compute.machineTypes.get") == len(machines) * len(ZONES)


def test_a_slice_that_the_public_api_does_not_have_is_not_asked_about(gce: Google) -> None:
    resolved(asked_for(gce.url, acceleratorType="tpu7x-8", runtimeVersion="of-your-own"))
    assert gce.count(SLICE) == 0
