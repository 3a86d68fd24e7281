"""Every private name of Ray that this package uses, in one place; tests/_ray/ holds each to its meaning.

Nothing of Ray is imported before it is asked for: nodes have no boto3, and commands without need of Ray do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.autoscaler import (
    autoscaler_config_path,
    autoscaler_kv_put,
    autoscaler_metrics_registry,
    autoscaler_version,
    tell_drivers,
    tpu_workers_joined,
)
from accel_scaling._ray.aws import aws_client, aws_node_provider, aws_tries_each_subnet_once, ec2_client
from accel_scaling._ray.gcp import (
    check_legacy_fields,
    gcp_bootstrap,
    gcp_node_kinds,
    gcp_node_provider,
    gcp_nodes,
    gcp_resources,
    gcp_reuse_tags,
    gcp_tags,
)
from accel_scaling._ray.launcher import (
    called_by_ray_up,
    cli_logger,
    cluster_name_tag,
    command_failed,
    connections_of,
    hosts_of,
    is_head,
    launched_by_ray_up,
    node_launch_exception,
    node_type_of,
    reads_only,
)
from accel_scaling._ray.managers import (
    PRELOADED_MODULES,
    UNIT_RESOURCES,
    accelerator_manager,
    add_accelerator_managers,
    announce_accelerator_type,
    nvidia_type_reader,
)
from accel_scaling._ray.programs import KV_NAMESPACE, connect, is_connected, kv_get, nodes_resources, worker
from accel_scaling._ray.scheduler import (
    ClusterState,
    NodeOfPlan,
    Scheduled,
    Selector,
    cluster_state,
    fits,
    gang_request,
    key_of,
    label_selector_error,
    node_type_config,
    node_type_configs,
    read_request,
    requests_of_gang,
    resource_request,
    running_instance,
    schedule,
    scheduling_request,
    with_most,
)

if TYPE_CHECKING:
    from ray._private.worker import RemoteDecorator as RemoteDecorator

__all__ = [
    "KV_NAMESPACE",
    "PRELOADED_MODULES",
    "RAY_MINOR",
    "UNIT_RESOURCES",
    "ClusterState",
    "NodeOfPlan",
    "Scheduled",
    "Selector",
    "accelerator_manager",
    "add_accelerator_managers",
    "announce_accelerator_type",
    "autoscaler_config_path",
    "autoscaler_kv_put",
    "autoscaler_metrics_registry",
    "autoscaler_version",
    "aws_client",
    "aws_node_provider",
    "aws_tries_each_subnet_once",
    "called_by_ray_up",
    "check_legacy_fields",
    "cli_logger",
    "cluster_name_tag",
    "cluster_state",
    "command_failed",
    "connect",
    "connections_of",
    "ec2_client",
    "fits",
    "gang_request",
    "gcp_bootstrap",
    "gcp_node_kinds",
    "gcp_node_provider",
    "gcp_nodes",
    "gcp_resources",
    "gcp_reuse_tags",
    "gcp_tags",
    "hosts_of",
    "is_connected",
    "is_head",
    "key_of",
    "kv_get",
    "label_selector_error",
    "launched_by_ray_up",
    "node_launch_exception",
    "node_type_config",
    "node_type_configs",
    "node_type_of",
    "nodes_resources",
    "nvidia_type_reader",
    "read_request",
    "reads_only",
    "requests_of_gang",
    "resource_request",
    "running_instance",
    "schedule",
    "scheduling_request",
    "tell_drivers",
    "tpu_workers_joined",
    "with_most",
    "worker",
]

RAY_MINOR = "2.60"
