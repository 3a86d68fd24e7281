"""Every private name of Ray that this package uses, in one place; tests/test_ray_contract.py holds each to its meaning.

Nothing is imported before it is asked for: nodes have no boto3, and commands that do not need Ray do not load it.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from ray._private.worker import RemoteDecorator as RemoteDecorator  # noqa: PLC0414 - of `ray.remote(...)`

RAY_MINOR = "2.60"
KV_NAMESPACE = b"accel_scaling"

# The raylet gives ids to the units of these resources beside GPUs; its list, which the first variable replaces, is
# compiled in. The modules of the second are imported by each worker before its first task.
UNIT_RESOURCES = "RAY_custom_unit_instance_resources"
RAYS_UNIT_RESOURCES = "neuron_cores,TPU,NPU,HPU,RBLN,FURIOSA,TTNPU,MBLT"
PRELOADED_MODULES = "RAY_preload_python_modules"


def aws_node_provider() -> Any:
    """Return Ray's own AWS node provider class, which ours extends."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return AWSNodeProvider


def cli_logger() -> Any:
    """Return the logger behind `ray up`'s output and the autoscaler's log."""
    from ray.autoscaler._private.cli_logger import cli_logger as logger

    return logger


def node_launch_exception() -> Any:
    """Return the exception that tells both autoscalers why a launch failed."""
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    return NodeLaunchException


def command_failed() -> tuple[type[Exception], ...]:
    """Return what a command runner raises when a command on a node fails; the others with `--use-normal-shells`.

    The last where Ray asks for the exit code a moment before ssh has ended: it compares None with 0
    (_run_and_process_output in subprocess_output_util.py polls once, when the output has ended).
    """
    import click
    from ray.autoscaler._private.command_runner import ProcessRunnerError

    return click.ClickException, ProcessRunnerError, TypeError


def hosts_of(runner: Any) -> list[Any]:
    """Return the command runners of a node's hosts: several for a TPU slice, else the one given."""
    return list(getattr(runner, "_command_runners", None) or [runner])


def connections_of(runner: Any) -> int:
    """Return to how many hosts of a TPU slice Ray's command runner talks at once."""
    return max(1, int(getattr(runner, "num_connections", 1)))


def tpu_workers_joined(instance_id: str) -> set[str] | None:
    """Return which hosts of a slice have joined this cluster, by their `ray.io/tpu-worker-id`.

    None in any process that is not autoscaler v2: no other takes the first Ray node of an instance for all of it.
    """
    option = "--gcs-address="
    address = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), None)
    if not address or Path(sys.argv[0]).parts[-2:] != ("v2", "monitor.py"):
        return None
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Cython
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.core.generated.autoscaler_pb2 import NodeStatus

    return {
        node.labels.get("ray.io/tpu-worker-id", "")
        for node in get_cluster_resource_state(GcsClient(address=address)).node_states
        if node.instance_id == instance_id and node.status != NodeStatus.DEAD
    }


def is_head(tags: dict[str, str]) -> bool:
    """Say whether these node tags are a head node's."""
    from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

    return bool(tags.get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD)


def called_by_ray_up(above: int = 2) -> bool:
    """Say whether a caller is Ray's `_bootstrap_config`, which swallows what the fill raises.

    It prints a warning, or off a terminal a traceback, and goes on with a config that was not filled.

    Args:
        above: which caller: 1 is the one that asks, 2 the one that called it.
    """
    from ray.autoscaler._private.commands import _bootstrap_config

    return sys._getframe(above).f_code is _bootstrap_config.__code__  # noqa: SLF001 - the caller is the question


def reads_only() -> bool:
    """Say whether the config is being resolved for a command that launches nothing, as `ray down` and `ray exec`."""
    from ray.autoscaler._private import commands

    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the caller is the question
    while frame is not None and frame.f_code is not commands._bootstrap_config.__code__:  # noqa: SLF001
        frame = frame.f_back
    caller = frame.f_back if frame is not None else None
    if caller is None or caller.f_globals is not vars(commands):
        return False
    starts = caller.f_locals.get("start")  # `ray exec --start`
    return caller.f_code is not commands.create_or_update_cluster.__code__ and not starts


def node_type_of(tags: dict[str, str]) -> str:
    """Return the node type's name in the cluster file, from a node's tags."""
    from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

    return str(tags.get(TAG_RAY_USER_NODE_TYPE, "?"))


def autoscaler_config_path() -> Path | None:
    """Return the cluster config that this process's autoscaler reads again before each round.

    None in any process that is not the autoscaler of a head (ray/autoscaler/v2/monitor.py, _private/monitor.py).
    """
    option = "--autoscaling-config="
    if Path(sys.argv[0]).name != "monitor.py":
        return None
    found = next((word.removeprefix(option) for word in sys.argv[1:] if word.startswith(option)), "")
    return Path(found).expanduser() if found else None


def autoscaler_version() -> str:
    """Return which autoscaler this process is: ``v2`` (ray/autoscaler/v2/monitor.py), ``v1`` (_private/monitor.py)."""
    return "v2" if Path(sys.argv[0]).parent.name == "v2" else "v1"


def autoscaler_metrics_registry() -> Any | None:
    """Return the Prometheus registry of the autoscaler that is making its provider just now; None where there is none.

    Ray keeps it in a variable of the monitor that calls us; the monitor serves it at the autoscaler's metrics port.
    """
    return getattr(_of_calling_autoscaler("prom_metrics", "registry"), "registry", None)


def autoscaler_kv_put(key: str, value: str) -> None:
    """Write a value into the cluster's key-value store, in the autoscaler that is making its provider just now.

    Raises:
        RuntimeError: this process is no autoscaler; whatever gRPC raises where the store does not answer.
    """
    client = _of_calling_autoscaler("gcs_client", "internal_kv_put")
    if client is None:
        raise RuntimeError("no client of the cluster's key-value store in the callers of the provider")
    client.internal_kv_put(key.encode(), value.encode(), True, KV_NAMESPACE)  # noqa: FBT003 - Ray's Cython takes no names


def _of_calling_autoscaler(name: str, having: str) -> Any | None:
    """Return a variable, or an attribute of ``self``, of a caller of the provider; the nearest that has ``having``."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to it
    while frame is not None:
        for found in (frame.f_locals.get(name), getattr(frame.f_locals.get("self"), name, None)):
            if hasattr(found, having):
                return found
        frame = frame.f_back
    return None


def tell_drivers(sentence: str) -> None:
    """Have Ray repeat a sentence on every driver's terminal, as ``(autoscaler +5s) ...``.

    v2 keeps a log of events for that; v1 marks lines of its own log.
    """
    from ray._private import ray_constants
    from ray._private.event import event_logger

    text = " ".join(sentence.split())
    events = event_logger._event_logger.get("AUTOSCALER")  # noqa: SLF001 - the one that v2's monitor made
    if events is not None:
        events.error(text)
    else:
        log = logging.getLogger("ray.autoscaler._private.monitor")
        log.info("%s%s", ray_constants.LOG_PREFIX_EVENT_SUMMARY, text)


def aws_tries_each_subnet_once() -> None:
    """Make Ray's EC2 provider try a launch once in each subnet that it is given, not five times in one."""
    from ray.autoscaler._private.aws import node_provider

    node_provider.BOTO_CREATE_MAX_RETRIES = 1


def aws_client(service: str, region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached client of an AWS service that Ray's provider uses for this region."""
    from ray.autoscaler._private.aws.utils import client_cache

    return client_cache(service, region, **(credentials or {}))


def ec2_client(region: str, credentials: dict[str, Any] | None) -> Any:
    """Return the cached EC2 client that Ray's provider uses for this region."""
    return aws_client("ec2", region, credentials)


def cluster_name_tag() -> str:
    """Return the tag of a node that holds its cluster's name."""
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

    return str(TAG_RAY_CLUSTER_NAME)


def announce_accelerator_type(name: str) -> None:
    """Make Ray, in this process, announce ``name`` for the NVIDIA GPUs of this node instead of what it reads.

    For partitions: Ray reads `NVIDIA L4-3Q` as L4, and a task that asks for L4 must not be given an eighth of one.
    """
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    NvidiaGPUAcceleratorManager.get_current_node_accelerator_type = staticmethod(lambda: name)


def nvidia_type_reader() -> Callable[[str], str | None]:
    """Return Ray's own rule from a driver's product name to an accelerator_type."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    reader: Callable[[str], str | None] = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type  # noqa: SLF001
    return reader


def gcp_node_provider() -> Any:
    """Return Ray's own GCP node provider class, which ours extends."""
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    return GCPNodeProvider


def gcp_resources() -> tuple[Any, Any]:
    """Return Ray's classes of Compute Engine and of Cloud TPU, which ours extend."""
    from ray.autoscaler._private.gcp.node import GCPTPU, GCPCompute

    return GCPCompute, GCPTPU


def gcp_nodes() -> tuple[Any, Any]:
    """Return Ray's classes of a Compute Engine instance and of a TPU slice: dicts with addresses and labels."""
    from ray.autoscaler._private.gcp.node import GCPComputeNode, GCPTPUNode

    return GCPComputeNode, GCPTPUNode


def gcp_node_kinds() -> Any:
    """Return Ray's enum of the two kinds of node, whose values end the nodes' names."""
    from ray.autoscaler._private.gcp.node import GCPNodeType

    return GCPNodeType


def gcp_bootstrap() -> Any:
    """Return Ray's module with the steps of `bootstrap_gcp`: project, service account, key pair, subnet."""
    from ray.autoscaler._private.gcp import config

    return config


def check_legacy_fields(config: dict[str, Any]) -> None:
    """Warn of fields that Ray no longer reads, in Ray's words."""
    from ray.autoscaler._private.util import check_legacy_fields as check

    check(config)


def gcp_tags() -> tuple[str, str]:
    """Return the tags of a node that hold its cluster's name and its own."""
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME, TAG_RAY_NODE_NAME

    return TAG_RAY_CLUSTER_NAME, TAG_RAY_NODE_NAME


def gcp_reuse_tags() -> tuple[str, ...]:
    """Return the tags by which Ray's GCP provider knows a stopped node that it may start again."""
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME, TAG_RAY_USER_NODE_TYPE

    return TAG_RAY_NODE_NAME, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE


def connect() -> None:
    """Connect this process to a cluster where it is not, as Ray does at the first `.remote()`."""
    from ray._private.auto_init_hook import auto_init_ray

    auto_init_ray()


def is_connected() -> bool:
    """Whether this process is connected to a cluster; imports Ray only where somebody did."""
    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized())


def worker() -> Any:
    """Return this process's end of its connection; its ``node`` is another object with each `ray.init()`."""
    from ray._private.worker import global_worker

    return global_worker


def nodes_resources() -> list[dict[str, float]]:
    """Return the resources of each living node of the connected cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def kv_get(key: str) -> str | None:
    """Return a value of the cluster's key-value store, None where nobody wrote it."""
    from ray.experimental import internal_kv

    found = internal_kv._internal_kv_get(key, namespace=KV_NAMESPACE)  # noqa: SLF001
    return found.decode() if found is not None else None


def accelerator_manager(
    resource: str, variable: str, *, shared: bool, look: Callable[[], tuple[int, str | None]]
) -> type[Any]:
    """Return the class by which Ray detects a family's devices, gives out their ids and checks what is asked for.

    Args:
        resource: the family's Ray resource.
        variable: the environment variable that tells a process its devices.
        shared: whether a part of a device may be asked for.
        look: returns how many units this node has, and the accelerator type that it announces.
    """
    from ray._private.accelerators.accelerator import AcceleratorManager

    def whole(quantity: float) -> tuple[bool, str | None]:
        if float(quantity).is_integer() or (shared and quantity < 1):
            return True, None
        given = "as parts of one device or as whole devices" if shared else "as whole devices only"
        wrong = "neither" if shared else "not a whole number"
        return False, f"{resource} is given {given}, and {quantity} is {wrong}: ask for {max(round(quantity), 1)}"

    def visible() -> list[str] | None:
        ids = os.environ.get(variable)
        return None if ids is None else [one for one in ids.split(",") if one]

    def show(ids: list[str]) -> None:
        if os.environ.get(f"RAY_EXPERIMENTAL_NOSET_{variable}", "0").lower() not in ("1", "true"):
            os.environ[variable] = ",".join(map(str, ids))

    answers: dict[str, Callable[..., Any]] = {
        "get_resource_name": lambda: resource,
        "get_visible_accelerator_ids_env_var": lambda: variable,
        "get_current_node_num_accelerators": lambda: look()[0],
        "get_current_node_accelerator_type": lambda: look()[1],
        "get_current_node_additional_resources": lambda: None,
        "validate_resource_request_quantity": whole,
        "get_current_process_visible_accelerator_ids": visible,
        "set_current_process_visible_accelerator_ids": show,
    }
    statics = {name: staticmethod(function) for name, function in answers.items()}
    return type(f"{resource}AcceleratorManager", (AcceleratorManager,), statics)


def add_accelerator_managers(managers: Mapping[str, Callable[[], type[Any]]]) -> None:
    """Make Ray, in this process, know managers by their resources; one that it knows stays.

    A worker reads the variables once, when Ray is imported: where that is done, what it would have read is added.

    Args:
        managers: resource -> what makes its manager.
    """
    import ray._private.worker
    from ray._private import accelerators

    all_managers = accelerators.get_all_accelerator_managers
    ours: dict[str, type[Any]] | None = getattr(all_managers, "added_by_accel_scaling", None)
    if ours is None:
        ours = {}

        def with_ours() -> set[Any]:
            return {*all_managers(), *ours.values()}

        with_ours.added_by_accel_scaling = ours  # type: ignore[attr-defined]
        accelerators.get_all_accelerator_managers = with_ours
    for resource in managers.keys() - ours.keys():
        ours[resource] = manager = managers[resource]()
        by_resource = accelerators.get_accelerator_manager_for_resource
        # Made when it is first asked for; what is not there yet will be made with ours.
        getattr(by_resource, "_resource_name_to_accelerator_manager", {})[resource] = manager
        worker = ray._private.worker.global_worker  # noqa: SLF001
        worker.original_visible_accelerator_ids[resource] = manager.get_current_process_visible_accelerator_ids()
