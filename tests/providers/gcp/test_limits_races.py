"""The last of the fourteen limits of Ray's own GCP provider: what two who change the same thing do to each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from googleapiclient.errors import HttpError

from tests.providers.gcp.test_limits import failed
from tests.support.gcp_provider import CLUSTER, Google, google, ours, stock, tags


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def test_14_races_are_made_good(gce: Google) -> None:
    with stock(gce) as (rays, configs):
        (node_id,) = rays.create_node(configs["cpu"], tags(), 1)
        gce.fault("compute.instances.setLabels", status=412, reason="conditionNotMet")
        assert isinstance(failed(rays.set_node_tags, node_id, {"a": "b"}), HttpError)
        gone = f"ray-{CLUSTER}-worker-deadbeef-compute"
        assert isinstance(failed(rays.internal_ip, gone), HttpError)
    provider, _ = ours(gce)
    gce.fault("compute.instances.setLabels", status=412, reason="conditionNotMet", times=2)
    provider.set_node_tags(node_id, {"a": "b"})
    assert provider.flush_tags() == []
    assert gce.machines()[node_id]["labels"]["a"] == "b"
    assert (provider.internal_ip(gone), provider.external_ip(gone), provider.is_terminated(gone)) == (None, None, True)
    assert provider.node_tags(gone) == {}


def test_14_a_policy_that_another_changes_meanwhile_is_changed_after_it() -> None:
    with google() as gce:
        gce.fault("cloudresourcemanager.projects.setIamPolicy", status=409, reason="aborted")
        with pytest.raises(HttpError), stock(gce):
            pass
    with google() as gce:
        gce.fault("cloudresourcemanager.projects.setIamPolicy", status=409, reason="aborted", times=2)
        ours(gce)
        assert gce.count("cloudresourcemanager.projects.setIamPolicy") == 3
