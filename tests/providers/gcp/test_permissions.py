"""The permissions that are written down are those of the calls that a cluster's whole life makes, and of no others.

The roles of docs/iam are the table's; which permission Google asks for which call is from its documentation.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support.gcp_provider import config_of, google, ours, tags, wait_until
from tests.support.resolved import resolved

DOCS = Path(__file__).resolve().parents[3] / "docs"
HEAD = {"machines", "waiting", "why a machine ended before it joined", "slices"}  # the rows that a head needs
HEAD |= {"slices that wait in Google's queue", "reservations that node types name"}
MAKES = {"the head's service account, where Ray makes it"}


def rows() -> dict[str, tuple[set[str], set[str]]]:
    """What each row of the table is for -> its calls, and their permissions; `.get` continues the call before it."""
    section = (DOCS / "security.md").read_text(encoding="utf-8").partition("### What Google asks for")[2]
    found: dict[str, tuple[set[str], set[str]]] = {}
    name = ""
    for line in section.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        calls: list[str] = []
        for call in re.findall(r"`([^`]+)`", cells[2]) if len(cells) > 3 else []:
            calls.append(f"{calls[-1].rpartition('.')[0]}{call}" if call.startswith(".") else call)
        if calls:
            name = cells[1] or name
            permissions = set(re.findall(r"`([^`]+)`", cells[3]))
            permissions |= set(calls) if "the same name" in cells[3] else set()
            found.setdefault(name, (set(), set()))
            found[name][0].update(calls)
            found[name][1].update(permissions)
    return found


def calls_of(names: set[str]) -> set[str]:
    return {call for name in names for call in rows()[name][0]}


@pytest.mark.parametrize("role", ["gcp-launcher", "gcp-head", "gcp-ray-makes-the-account"])
def test_a_role_is_the_permissions_of_its_rows(role: str) -> None:
    permissions = yaml.safe_load((DOCS / "iam" / f"{role}.yaml").read_text(encoding="utf-8"))["includedPermissions"]
    for_rows = {"gcp-launcher": set(rows()) - MAKES, "gcp-head": HEAD, "gcp-ray-makes-the-account": MAKES}[role]
    assert permissions == sorted({one for name in for_rows for one in rows()[name][1]})


def test_machines_need_the_scope_of_compute_engine_alone() -> None:
    from accel_scaling.providers.gcp.client import client

    methods = client({"gcp_credentials": {"type": "anonymous"}}, "compute")._rootDesc["resources"]
    for call in calls_of({"machines", "waiting"}):
        _, resource, method = call.split(".")
        assert "https://www.googleapis.com/auth/compute" in methods[resource]["methods"][method]["scopes"]


def test_a_head_with_a_service_account_of_its_own_needs_no_say_over_the_projects_roles() -> None:
    with google() as at:
        config = config_of(at.url)
        account = {"email": "ray-head@rehearsal.iam.gserviceaccount.com", "scopes": ["cloud-platform"]}
        config["available_node_types"]["head"]["node_config"]["serviceAccounts"] = [account]
        made = resolved(config)
        called = {call.method for call in at.engine.calls}
    assert made["available_node_types"]["head"]["node_config"]["serviceAccounts"] == [account]
    assert called & calls_of(MAKES) == set()
    assert called <= calls_of(set(rows()) - MAKES)


def test_each_call_of_a_clusters_life_is_written_down_and_no_other() -> None:
    with google() as at:
        at.injection.operation_latency_s = dict.fromkeys(
            ("insert", "bulkInsert", "start", "setLabels", "tpu", "policy"), 0.2
        )  # so that it waits
        provider, configs = ours(at, slices=True, cache_stopped_nodes=True, placement={"cpu": "compact"})
        by_ray_up = {call.method for call in at.engine.calls}
        at.engine.calls.clear()
        made = [
            *provider.create_node(configs["cpu"], tags(), 2),
            *provider.create_node({**configs["cpu"], "deletionProtection": False}, tags(), 1),
        ]
        (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
        flex, waits = {"run_for": "1h", "wait_for": "1h"}, {"spot": {"wait_for": "1h"}}
        provider.provider_config["capacity"] = {"v4": [waits], "gpu": [{"reserved": "mine"}, {"flex-start": flex}]}
        at.injection.waits_s = {"n1-standard-4": 0.1}
        at.fault("compute.instances.get", status=404, reason="notFound")  # its operation is asked until it is there
        made += provider.create_node(configs["cpu"], tags("gpu"), 1)
        (queued,) = provider.create_node(configs["v4"], tags("v4"), 1)
        for node_id in (*made, slice_):
            provider.set_node_tags(node_id, {"a": "b"})
        assert provider.flush_tags() == []
        provider.non_terminated_nodes({})
        provider.internal_ip(made[0])
        provider.terminate_nodes(made[:1])
        wait_until("the stop", lambda: at.machines()[made[0]]["status"] == "TERMINATED")
        assert list(provider.create_node(configs["cpu"], tags(), 1)) == made[:1], "it is started again"
        for node_id in made:
            provider.refuse(node_id, "DriverMissing", "a sentence")
        provider.refuse(slice_, "DriverMissing", "a sentence")
        provider.refuse(queued, "DriverMissing", "a sentence")
        wait_until("the end", lambda: not at.machines() and not at.slices() and not at.queued())
        assert provider.ends_of(made).keys() == set(made)
        by_the_head = {call.method for call in at.engine.calls}
        at.engine.calls.clear()
        assert provider.cleared() == []
        by_ray_down = {call.method for call in at.engine.calls}
    assert by_the_head == calls_of(HEAD)
    # A template is read while a config with one is filled: tests/providers/gcp/test_up.py.
    assert by_ray_up | by_the_head | by_ray_down | {"compute.instanceTemplates.get"} == calls_of(set(rows()))
