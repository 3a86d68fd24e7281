"""What the GCP provider takes for granted about Ray's private parts, one test per assumption."""

from __future__ import annotations

import inspect

import pytest
from ray.autoscaler.node_provider import NodeProvider

from accel_scaling import _ray
from accel_scaling.providers.gcp import launch


def test_rays_gcp_provider_makes_its_clients_in_one_overridable_place():
    provider = _ray.gcp_node_provider()
    assert "self._construct_clients()" in inspect.getsource(provider.__init__), "our clients are no longer used"
    assert "name_to_type" in inspect.getsource(provider._get_resource_depending_on_node_name)
    runner = inspect.getsource(provider.get_command_runner)
    assert "resource.get_instance(node_id)" in runner, "our resources no longer give the node to a command runner"
    assert "self.resources[GCPNodeType.TPU]" in runner
    assert "super().get_command_runner(**common_args)" in runner, "a machine's runner is no longer that of all clouds"
    assert "self." not in inspect.getsource(NodeProvider.get_command_runner), "it asks for the node, too"


def test_every_method_of_rays_gcp_provider_that_takes_its_lock_is_replaced():
    from accel_scaling.providers.gcp.provider import GCPAcceleratorNodeProvider

    rays = _ray.gcp_node_provider()
    locking = {name for name, held in vars(rays).items() if "self.lock" in _source(held)} - {"__init__"}
    unused = {"_thread_unsafe_terminate_node"}  # nothing calls it
    ours = set(vars(GCPAcceleratorNodeProvider)) | {"non_terminated_nodes"}  # by listed_nodes, in BootCheckedProvider
    assert locking - unused <= ours, "a call to Google is made under Ray's lock"


def _source(held: object) -> str:
    try:
        return inspect.getsource(inspect.unwrap(held))  # type: ignore[arg-type]
    except TypeError:
        return ""


def test_resources_are_made_from_a_client_a_project_a_zone_and_a_cluster():
    for resource in _ray.gcp_resources():
        made = inspect.signature(resource.__init__).parameters
        assert list(made)[1:] == ["resource", "project_id", "availability_zone", "cluster_name"]


def test_a_nodes_kind_ends_its_name():
    kinds = _ray.gcp_node_kinds()
    assert kinds.name_to_type("ray-mine-worker-1a2b3c4d-compute") is kinds("compute")
    assert kinds.name_to_type("projects/p/locations/z/nodes/ray-mine-worker-1a2b3c4d-tpu") is kinds("tpu")


def test_nodes_are_dicts_that_judge_by_their_statuses():
    for node_class, field in zip(_ray.gcp_nodes(), ("status", "state"), strict=True):
        assert field == node_class.STATUS_FIELD
        assert "NON_TERMINATED_STATUSES" in inspect.getsource(node_class.is_terminated)
        assert "RUNNING_STATUSES" in inspect.getsource(node_class.is_running)


def test_the_steps_of_bootstrap_gcp_are_those_that_we_take():
    steps = _ray.gcp_bootstrap()
    source = inspect.getsource(steps.bootstrap_gcp)
    for line in (
        "check_legacy_fields(config)",
        'config["head_node"] = {}',
        "_configure_project(config, crm)",
        "_configure_iam_role(config, crm, iam)",
        "_configure_key_pair(config, compute)",
        "_configure_subnet(config, compute)",
    ):
        assert line in source
    assert source.count("_configure_") == 4, "Ray prepares something more in a project than we do"
    assert steps.HAS_TPU_PROVIDER_FIELD == "_has_tpus"
    assert 'response["items"]' in inspect.getsource(steps._list_subnets), (
        "a region without subnetworks raises otherwise"
    )


def test_ray_warns_of_fields_that_it_no_longer_reads(capsys: pytest.CaptureFixture[str]):
    config = {"head_node_type": "h", "available_node_types": {}, "worker_nodes": {"machineType": "n1-standard-2"}}
    _ray.check_legacy_fields(config)
    assert "`worker_nodes` field is deprecated" in "".join(capsys.readouterr())


def test_the_tags_of_a_node_have_these_names():
    assert _ray.gcp_tags() == ("ray-cluster-name", "ray-node-name")
    source = inspect.getsource(inspect.unwrap(_ray.gcp_node_provider().create_node))
    for tag in _ray.gcp_reuse_tags():
        assert f'"{tag}"' in source, "Ray chooses the stopped nodes that it starts again by other tags"


def test_the_size_of_a_batch_comes_from_the_environment():
    from ray.autoscaler._private import constants

    source = inspect.getsource(constants)
    for name in ("AUTOSCALER_MAX_LAUNCH_BATCH", "AUTOSCALER_MAX_CONCURRENT_LAUNCHES"):
        assert f'env_integer("{name}"' in source.replace("\n    ", "")
        assert name in launch._EXPORT


@pytest.mark.since(2, 60)
def test_v2_counts_nodes_that_came_before_it_fails_those_that_did_not():
    """A short launch raises, and what came is kept: v2 must give listed nodes to requests before it fails requests."""
    from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

    source = inspect.getsource(Reconciler._try_resolve_pending_allocation)
    assert source.index("unassigned_cloud_instance:") < source.index("remaining_launch_failures.get(")
    assert "new_instance_status=IMInstance.ALLOCATED" in inspect.getsource(
        Reconciler._handle_extra_cloud_instances_from_cloud_provider
    ), "a node that is listed after its launch failed is no longer taken in"


@pytest.mark.since(2, 56)
def test_ray_up_asks_what_to_tear_down_with_its_own_question():
    from ray.autoscaler._private import commands

    assert "provider.nodes_for_teardown(" in inspect.getsource(commands.teardown_cluster)


def test_rays_schema_takes_no_anonymous_credentials_and_no_list_of_zones():
    """If it does, checks.for_rays_schema() can go."""
    import json
    from pathlib import Path

    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    provider = schema["properties"]["provider"]["properties"]
    assert provider["gcp_credentials"]["properties"]["type"]["enum"] == ["credentials_token", "service_account"]
    assert provider["availability_zone"]["type"] == "string"


def test_ray_refuses_an_accelerator_config_of_the_generations_whose_row_says_so():
    from ray.autoscaler._private.gcp.config import get_node_type

    from accel_scaling.catalog.tpu_generations import generations

    for generation in generations().values():
        if not generation.config_type:
            continue
        node = {"acceleratorConfig": {"type": generation.config_type, "topology": generation.topologies[-1]}}
        try:
            get_node_type(node)
        except ValueError:
            assert generation.config_refused, generation.name
        else:
            assert not generation.config_refused, (
                f"Ray takes {generation.config_type}: empty gcp_tpu.csv's config_refused"
            )
