"""What Ray's EC2 provider does with a launch: our launches use parts of it (providers/aws/)."""

from __future__ import annotations

import inspect
import re
from typing import Any

from accel_scaling import _ray
from tests.support.aws_provider import ec2_in_process, node_config, provider_of, tags


def source_of(name: str) -> str:
    return inspect.getsource(getattr(_ray.aws_node_provider(), name))


def test_rays_ec2_provider_knows_a_stopped_machine_by_its_cluster_and_these_tags() -> None:
    from ray.autoscaler import tags as names

    used = re.findall(r"tag:\{\}\"\.format\((TAG_\w+)\)", source_of("create_node"))
    assert {getattr(names, name) for name in used} == {_ray.cluster_name_tag(), *_ray.aws_reuse_tags()}, (
        "Ray starts other stopped machines: providers/aws/stopped_machines.py"
    )
    assert '["stopped", "stopping"]' in source_of("create_node")


def test_rays_ec2_provider_keeps_a_nodes_name_in_the_tag_that_the_console_shows() -> None:
    to_ec2, from_ec2 = _ray.aws_tags()
    assert to_ec2({"ray-node-name": "n", "a": "b"}) == {"Name": "n", "a": "b"}
    assert from_ec2({"Name": "n", "a": "b"}) == {"ray-node-name": "n", "a": "b"}


def test_rays_ec2_provider_passes_a_client_token_on_and_asks_by_its_client_without_retries() -> None:
    asked: dict[str, Any] = {}
    with ec2_in_process() as ec2:
        provider = provider_of()
        create = provider.ec2_fail_fast.create_instances
        provider.ec2_fail_fast.create_instances = lambda **request: asked.update(request) or create(**request)
        try:
            made = provider._create_node({**node_config(ec2), "ClientToken": "t"}, tags(), 2)
        finally:
            del provider.ec2_fail_fast.create_instances
        assert (asked["ClientToken"], asked["MinCount"], asked["MaxCount"]) == ("t", 1, 2)
        assert provider.ec2_fail_fast.meta.client.meta.config.retries["total_max_attempts"] == 1
        (described,) = {one.meta.data["Placement"]["AvailabilityZone"] for one in made.values()}
        assert described == "us-west-2a", "the answer to a launch names the zone"


def test_rays_listing_keeps_what_it_knows_of_a_machines_tags() -> None:
    assert "if node.id in self.tag_cache:\n                continue" in source_of("non_terminated_nodes"), (
        "providers/aws/provider.py writes tag_cache itself where it starts a machine again"
    )
