"""The end of machines on Google Cloud: what `ray down` deletes, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gcp_provider import Google, google, ours, tags, wait_until


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


@pytest.mark.parametrize("status", ["SUSPENDED", "SUSPENDING", "PENDING_STOP", "STOPPING", "STOPPED", "TERMINATED"])
def test_ray_down_deletes_a_machine_that_a_user_has_suspended_or_stopped(gce: Google, status: str) -> None:
    provider, configs = ours(gce)
    (node_id,) = provider.create_node(configs["cpu"], tags(), 1)
    gce.engine.set_status(node_id, status)
    assert provider.non_terminated_nodes({}) == []
    assert provider.nodes_for_teardown({}) == [node_id]
    provider.terminate_nodes([node_id])
    wait_until("its end", lambda: not gce.machines())


def test_no_call_makes_googles_client_again(gce: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 15 ms of CPU for each: a hundred deletes would take 1.5 s of it."""
    from googleapiclient import discovery

    provider, configs = ours(gce, slices=True)

    def anew(*_: Any, **__: Any) -> None:
        raise AssertionError("a collection of the API is made for one call")

    provider.non_terminated_nodes({})
    provider.create_node(configs["v4"], tags("v4"), 1)  # the collections that a provider needs are there now
    provider.create_node(configs["cpu"], tags(), 1)
    monkeypatch.setattr(discovery, "createMethod", anew)
    made = [*provider.create_node(configs["cpu"], tags(), 2), *provider.create_node(configs["v4"], tags("v4"), 1)]
    assert len(provider.non_terminated_nodes({})) == 5
    provider.set_node_tags(made[0], {"a": "b"})
    assert provider.flush_tags() == []
    provider.terminate_nodes(made)


def test_ray_down_does_not_delete_again_what_it_has_deleted(gce: Google) -> None:
    provider, configs = ours(gce)
    made = list(provider.create_node(configs["cpu"], tags(), 2))
    gce.injection.operation_latency_s["delete"] = 60
    provider.terminate_nodes(made[:1])
    assert gce.machines()[made[0]]["status"] == "STOPPING"
    assert provider.nodes_for_teardown({}) == made[1:]
