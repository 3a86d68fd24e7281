"""Every copied name and number of Ray's, held equal to the installed Ray's."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray._raylet
from ray._private import ray_constants

from accel_scaling._ray import facts
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.node_type_defaults import ray_defaults

RAY = Path(ray.__file__).parent
OF_LABELS = {
    "LABEL_ACCELERATOR_TYPE": "RAY_NODE_ACCELERATOR_TYPE_KEY",
    "LABEL_MARKET_TYPE": "RAY_NODE_MARKET_TYPE_KEY",
    "LABEL_REGION": "RAY_NODE_REGION_KEY",
    "LABEL_ZONE": "RAY_NODE_ZONE_KEY",
    "LABEL_TPU_TOPOLOGY": "RAY_NODE_TPU_TOPOLOGY_KEY",
    "LABEL_TPU_POD_TYPE": "RAY_NODE_TPU_POD_TYPE_KEY",
    "LABEL_TPU_WORKER_ID": "RAY_NODE_TPU_WORKER_ID_KEY",
}


def test_every_fact_has_its_contract_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    names = [name for name in vars(facts) if not name.startswith("_")]
    untested = [name for name in names if f"facts.{name}" not in here and name not in OF_LABELS]
    assert untested == [], f"_ray/facts.py copies from Ray what no contract test holds: {untested}"


def test_facts_import_nothing() -> None:
    assert "import" not in [line.split()[0] for line in inspect.getsource(facts).splitlines() if line.split()]


def test_the_raylet_reads_our_variables() -> None:
    raylet = (RAY / "core/src/ray/raylet/raylet").read_bytes()
    for variable in (facts.UNIT_RESOURCES, facts.PRELOADED_MODULES, facts.PRESTARTED_WORKERS):
        assert variable.encode() in raylet, f"the raylet no longer reads {variable}"


@pytest.mark.since(2, 57)
def test_placement_groups_name_the_gpu_domain_by_our_label() -> None:
    from ray._private.label_utils import validate_label_key
    from ray.util.placement_group import placement_group, validate_placement_group

    assert facts.LABEL_GPU_DOMAIN in (placement_group.__doc__ or ""), "Ray writes of another label of GPU domains"
    assert validate_label_key(facts.LABEL_GPU_DOMAIN) is None
    validate_placement_group([{"GPU": 1}], topology_strategy={facts.LABEL_GPU_DOMAIN: "STRICT_PACK"})


@pytest.mark.since(2, 60)
def test_rays_managers_of_gpus_and_tpus_have_our_names() -> None:
    from ray._private.accelerators import NvidiaGPUAcceleratorManager, get_accelerator_manager_for_resource, tpu

    assert NvidiaGPUAcceleratorManager.get_resource_name() == facts.GPU
    chosen = inspect.getsource(get_accelerator_manager_for_resource).lower()
    # In test_contract_visible.py Ray itself chooses, on machines with GPUs of each maker.
    places = [chosen.index(f'["gpu"] = {family}') for family in facts.GPU_FAMILIES]
    assert places == sorted(places), "Ray looks for the managers of GPUs in another order"
    assert tpu.RAY_TPU_RESOURCE_PER_CHIP_ENV_VAR == facts.TPU_RESOURCE_PER_CHIP


@pytest.mark.since(2, 52)
def test_a_ray_with_our_token_refuses_whoever_has_another() -> None:
    from ray._private.authentication import authentication_token_setup as setup

    # A name that Ray has since 2.59; before, its core alone reads the variable, as below.
    assert getattr(setup, "AUTH_MODE_ENV_VAR", facts.AUTH_MODE) == facts.AUTH_MODE
    code = "from ray._raylet import AuthenticationTokenLoader as l; print(l.instance().get_raw_token())"
    environment = {**os.environ, facts.AUTH_MODE: "token", facts.AUTH_TOKEN: "a" * 32}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "a" * 32 in done.stdout, "Ray takes its token from another variable"


def test_rays_token_is_in_our_places() -> None:
    """Each place, and what Ray's default is, is looked at in test_contract_auth.py."""
    assert (facts.AUTH_TOKEN_PATH, facts.AUTH_TOKEN_FILE) == ("RAY_AUTH_TOKEN_PATH", ".ray/auth_token")


def test_a_file_that_names_no_node_types_has_those_of_ray() -> None:
    from ray.autoscaler._private.providers import MINIMAL_EXTERNAL_CONFIG as OF_EXTERNAL
    from ray.autoscaler.tags import NODE_TYPE_LEGACY_HEAD, NODE_TYPE_LEGACY_WORKER

    assert tuple(OF_EXTERNAL["available_node_types"]) == facts.EXTERNAL_NODE_TYPES
    assert OF_EXTERNAL["head_node_type"] == facts.EXTERNAL_NODE_TYPES[0]
    assert not any(OF_EXTERNAL["available_node_types"].values()), "Ray has machines of its own for `type: external` now"
    assert (NODE_TYPE_LEGACY_HEAD, NODE_TYPE_LEGACY_WORKER) == facts.FIRST_NODE_TYPES


def test_a_machine_has_its_node_type_in_our_tag() -> None:
    from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

    assert facts.NODE_TYPE_TAG == TAG_RAY_USER_NODE_TYPE


def test_rays_servers_in_python_are_in_our_folders() -> None:
    servers = (
        "dashboard/agent.py",
        "dashboard/dashboard.py",
        "autoscaler/v2/monitor.py",
        "autoscaler/_private/monitor.py",
    )
    for server in servers:
        assert (RAY / server).is_file(), f"Ray's {server} has moved"
        assert any(folder in f"/ray/{server}" for folder in facts.PYTHON_SERVERS)


def test_an_accelerator_type_is_a_resource_with_our_prefix() -> None:
    from ray._common.utils import RESOURCE_CONSTRAINT_PREFIX

    assert facts.ACCELERATOR_TYPE_PREFIX == RESOURCE_CONSTRAINT_PREFIX, (
        "`accelerator_type=` asks for a resource with another prefix"
    )


def test_a_type_is_asked_as_rays_share_of_its_resource() -> None:
    from ray._common.utils import resources_from_ray_options

    asked = resources_from_ray_options({"accelerator_type": "T4"})
    assert asked == {"accelerator_type:T4": facts.ACCELERATOR_TYPE_AMOUNT}, "Ray asks for a type in another way"


@pytest.mark.parametrize(("ours", "rays"), OF_LABELS.items())
def test_our_labels_have_the_keys_that_rays_label_selectors_use(ours: str, rays: str) -> None:
    assert getattr(facts, ours) == getattr(ray._raylet, rays), (
        f"ray._raylet.{rays} has another value: nodes get a label that no selector finds"
    )


def test_the_head_of_a_slice_has_a_resource_of_its_pod_type() -> None:
    from ray._private.accelerators import tpu

    assert 'f"TPU-{tpu_pod_type}-head"' in inspect.getsource(tpu), "host 0 of a slice announces another resource"
    assert facts.tpu_head_resource("v4-16") == "TPU-v4-16-head"
    assert facts.tpu_head_pod_type("TPU-v4-16-head") == "v4-16"
    for other in ("TPU", "TPU-v4-16", "TPU--head", "head", "accelerator_type:TPU-V4"):
        assert facts.tpu_head_pod_type(other) is None


def test_the_promise_reaches_the_node_in_the_variables_that_we_read() -> None:
    from ray.autoscaler._private import updater

    names = (ray_constants.RESOURCES_ENVIRONMENT_VARIABLE, updater.RESOURCES_ENVIRONMENT_VARIABLE)
    assert names == (facts.OVERRIDE_RESOURCES,) * 2, f"Ray exports promises as {names}: no boot check would read them"
    labels = (ray_constants.LABELS_ENVIRONMENT_VARIABLE, updater.LABELS_ENVIRONMENT_VARIABLE)
    assert labels == (facts.OVERRIDE_LABELS,) * 2, f"Ray exports labels as {labels}: docs/ and the node scripts name it"


def test_ray_keeps_the_share_of_memory_for_objects_that_our_promise_leaves_out() -> None:
    assert facts.OBJECT_STORE_PROPORTION == ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION, (
        "Ray's object store takes another share of a node's memory: fill/promise.py promises the wrong `memory`"
    )


def test_the_port_of_a_head_is_rays() -> None:
    assert ray_constants.DEFAULT_PORT == facts.GCS_PORT


def test_a_task_asks_for_one_cpu_by_default() -> None:
    from ray._common.ray_option_utils import task_options

    assert task_options["num_cpus"].default_value == facts.TASK_CPUS, "a task's usual CPUs are another number"


def test_rounds_and_launches_at_once_are_rays() -> None:
    from ray.autoscaler._private import constants

    assert (constants.AUTOSCALER_UPDATE_INTERVAL_S, constants.AUTOSCALER_MAX_CONCURRENT_LAUNCHES) == (
        facts.UPDATE_INTERVAL_S,
        facts.MAX_CONCURRENT_LAUNCHES,
    ), "the note on rounds has other numbers than Ray"
    assert "upscaling_speed * max(len(running_instances_for_type), 1)" in (
        RAY / "autoscaler/v2/instance_manager/reconciler.py"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_ray_launches_so_many_workers_where_a_file_names_no_number(cloud: str) -> None:
    assert ray_defaults(known_clouds()[cloud])["max_workers"] == facts.DEFAULT_MAX_WORKERS, (
        "Ray's defaults.yaml has another number"
    )


def test_ray_names_workers_and_heads_as_our_length_check_expects() -> None:
    from ray.autoscaler._private import commands, node_launcher
    from ray.autoscaler.v2.instance_manager import node_provider

    worker, head = facts.NODE_NAMES
    assert f'"{worker}"' in inspect.getsource(node_launcher)
    assert f'"{worker}"' in inspect.getsource(node_provider)
    assert f'"{head}"' in inspect.getsource(commands)


@pytest.mark.since(2, 51)
def test_a_group_may_say_its_resources_and_labels_itself_and_ray_start_reads_its_labels() -> None:
    from ray._private.label_utils import parse_node_labels_json, parse_node_labels_string
    from ray.autoscaler._private.kuberay.autoscaling_config import _node_type_from_group_spec

    group = {
        "groupName": "g",
        "minReplicas": 0,
        "maxReplicas": 1,
        "resources": {"CPU": "1", "accelerator_type:L4": "1"},
        "labels": {"ray.io/accelerator-type": "L4"},
        "template": {"spec": {"containers": [{}]}},
    }
    node_type = _node_type_from_group_spec(group, is_head=False)
    installed = tuple(int(part) for part in ray.__version__.split(".")[:2])
    assert installed >= facts.FIRST_WITH_GROUP_FIELDS >= facts.FIRST_WITH_LABEL_PAIRS
    assert (node_type["resources"]["accelerator_type:L4"], node_type["labels"]) == (1, group["labels"])
    assert parse_node_labels_string("ray.io/accelerator-type=L4") == group["labels"]
    # What older ones read is read still, but not with a label of Ray's own.
    assert parse_node_labels_json('{"team": "a"}') == {"team": "a"}


def test_v2_exports_a_nodes_machine_type_by_this_name() -> None:
    from ray.autoscaler.v2.instance_manager import ray_installer

    assert f'"{facts.INSTANCE_TYPE_NAME}"' in inspect.getsource(ray_installer)


def test_the_head_has_its_config_under_our_name() -> None:
    from ray.autoscaler._private import commands

    assert f'"~/{facts.BOOTSTRAP_CONFIG}"' in inspect.getsource(commands.get_or_create_head_node) + inspect.getsource(
        commands._set_up_config_for_head_node
    )
