"""The permissions that are written down are those of the calls that a cluster's whole life makes, and of no others."""

from __future__ import annotations

import re
from pathlib import Path

from tests.provider_gcp_fixture import google, ours, tags, wait_until

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "quickstart-gcp.md"


def written_down() -> set[str]:
    """Every call in the table; `.get` alone goes on from the call before it."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Permissions")[2]
    found: set[str] = set()
    for row in section.splitlines():
        cells = row.split("|")
        last = ""
        for call in re.findall(r"`([^`]+)`", cells[2]) if len(cells) > 3 else []:
            last = f"{last.rpartition('.')[0]}{call}" if call.startswith(".") else call
            found.add(last)
    return found


def test_each_call_of_a_clusters_life_is_written_down_and_no_other() -> None:
    with google() as at:
        at.knobs.operation_latency_s = dict.fromkeys(
            ("insert", "bulkInsert", "start", "setLabels", "tpu"), 0.2
        )  # so that it waits
        own, configs = ours(at, slices=True, cache_stopped_nodes=True)
        made = [
            *own.create_node(configs["cpu"], tags(), 2),
            *own.create_node({**configs["cpu"], "deletionProtection": False}, tags(), 1),
        ]
        (slice_,) = own.create_node(configs["v4"], tags("v4"), 1)
        for node_id in (*made, slice_):
            own.set_node_tags(node_id, {"a": "b"})
        assert own.flush_tags() == []
        own.non_terminated_nodes({})
        own.internal_ip(made[0])
        own.terminate_nodes(made[:1])
        wait_until("the stop", lambda: at.machines()[made[0]]["status"] == "TERMINATED")
        assert list(own.create_node(configs["cpu"], tags(), 1)) == made[:1], "it is started again"
        for node_id in made:
            own.refuse(node_id, "DriverMissing", "a sentence")
        own.refuse(slice_, "DriverMissing", "a sentence")
        wait_until("the end", lambda: not at.machines() and not at.slices())
        called = {call.method for call in at.engine.calls}
    # A template is read while a config with one is filled: tests/test_provider_gcp_up.py.
    called |= {"compute.instanceTemplates.get"}
    assert called == written_down()
