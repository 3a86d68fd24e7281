"""`ray down` on Google Cloud ends what it can, whatever is wrong with the file or in one zone, and says the rest."""

from __future__ import annotations

import copy
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.providers.gcp import client
from tests.support.gcp_provider import CLUSTER, PROJECT, ZONES, Google, config_of, google, ours, tags, wait_until

B = ZONES[1]


@pytest.fixture(autouse=True)
def _no_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing answers by ssh: `ray stop` is waited for a moment only."""
    from ray.autoscaler._private import commands, providers

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(commands, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(timeouts, "RAY_STOP_S", 0.2)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    providers._clear_provider_cache()
    yield
    providers._clear_provider_cache()
    client._built.cache_clear()


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def cluster(gce: Google, *, slices: bool = False) -> None:
    """A head in zone a, and a worker in each zone."""
    provider, configs = ours(gce, slices=slices, availability_zone=",".join(ZONES))
    provider.create_node(configs["head"], tags("head", "head"), 1)
    compute = provider._resource("compute")
    for zone in ZONES:
        provider._node_cache.create(compute, configs["cpu"], tags(), 1, [zone])
    if slices:
        provider.create_node(configs["v4"], tags("v4"), 1)


def down(gce: Google, tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None, **how: Any) -> None:
    from ray.autoscaler._private import commands

    config = copy.deepcopy(config_of(gce.url, availability_zone=",".join(ZONES), **how))
    change(config)
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    options = {"workers_only": False, "override_cluster_name": None, "keep_min_workers": False}
    commands.teardown_cluster(str(tmp_path / "cluster.yaml"), yes=True, **options)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["provider"].update(catalog="gone.csv"),
        lambda config: config["provider"].update(quarantine={"strikes": "many"}, availability_zone=list(ZONES)),
        lambda config: config["provider"].update(quarentine={}),
        lambda config: config["available_node_types"]["cpu"].update(node_config={"machineType": "n1-standrd-4"}),
        lambda config: config["available_node_types"]["cpu"].update(node_config={"sourceInstanceTemplate": "gone"}),
        lambda config: config["available_node_types"]["cpu"].update(node_config={"labels": {"A": 1}}),
        lambda config: config.update(head_node_type="nobody"),
    ],
)
def test_ray_down_ends_all_whatever_is_wrong_with_the_file(
    gce: Google, tmp_path: Path, change: Callable[..., Any]
) -> None:
    cluster(gce, slices=True)
    assert gce.slices()
    down(gce, tmp_path, change, slices=True)
    wait_until("the end of all", lambda: not gce.machines() and not gce.slices())
    assert not list(tmp_path.glob("ray-config-*"))


def test_one_zone_that_cannot_be_listed_keeps_no_machine_of_the_others(gce: Google, tmp_path: Path) -> None:
    cluster(gce)
    gce.fault("compute.instances.list", times=99, status=403, reason="forbidden", message="not here", zone=B)
    with pytest.raises(click.ClickException) as error:
        down(gce, tmp_path)
    wait_until("the end of the others", lambda: len(gce.machines()) == 1)
    (left,) = gce.machines().values()
    assert left["zone"].endswith(B)
    said = error.value.message
    assert said.startswith(
        f"some machines are not terminated, and you still pay for them: provider.availability_zone {B}: "
    )
    assert "permission: Google says: " in said


def test_ray_down_names_the_machines_of_all_zones(
    gce: Google, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(gce)
    down(gce, tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Terminating" in line or "Stopping" in line]
    assert re.search(rf" -- (Terminating|Stopping) {len(ZONES) + 1} machines: cpu ray-.*; head ray-", line)


def test_a_machine_that_google_does_not_delete_keeps_no_other_one(gce: Google, tmp_path: Path) -> None:
    cluster(gce)
    gce.fault("compute.instances.delete", times=99, status=403, reason="forbidden", message="protected", zone=B)
    with pytest.raises(click.ClickException) as error:
        down(gce, tmp_path)
    wait_until("the end of the others", lambda: len(gce.machines()) == 1)
    (left,) = gce.machines()
    assert f"{left} could not be ended: permission: Google says: " in error.value.message


def test_an_endpoint_that_never_answers_is_one_sentence_within_the_deadline(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_url: str
) -> None:
    monkeypatch.setattr(timeouts, "GCP_READ_CALL_S", 0.2)
    began = time.monotonic()
    with pytest.raises(click.ClickException, match=r"could not be listed: Google cannot be reached \("):
        down(gce, tmp_path, lambda config: config["provider"].update(api_endpoints=silent_url))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("key", ["project_id", "availability_zone"])
def test_a_place_that_is_missing_is_one_sentence(gce: Google, tmp_path: Path, key: str) -> None:
    with pytest.raises(click.ClickException, match=f"provider.{key} is missing"):
        down(gce, tmp_path, lambda config: config["provider"].pop(key))


def test_the_key_of_the_first_ray_up_is_used_without_asking_google(gce: Google, tmp_path: Path) -> None:
    from ray.autoscaler._private.commands import _bootstrap_config

    from accel_scaling.providers.gcp.teardown import for_reading

    made = _bootstrap_config(config_of(gce.url), no_config_cache=True)
    config = config_of(gce.url)
    asked = len(gce.engine.calls)
    assert for_reading(config)["auth"]["ssh_private_key"] == made["auth"]["ssh_private_key"]
    assert len(gce.engine.calls) == asked
    assert (config["provider"]["project_id"], CLUSTER) == (PROJECT, config["cluster_name"])
