"""The private names of Ray that this package uses, one file a seam; tests/_ray/ holds each to its meaning.

Nothing of Ray is imported before it is asked for: nodes have no boto3, and commands without need of Ray do not load it.
Nor is a file of this package: all of them take 15 ms, and `detect` needs `facts` and `versions`. `facts` has the
numbers and names that are copied from Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray._private.worker import RemoteDecorator as RemoteDecorator

    from accel_scaling._ray.auth import CannotReadTokenError as CannotReadTokenError
    from accel_scaling._ray.auth import FoundToken as FoundToken
    from accel_scaling._ray.auth import TokenRefusedError as TokenRefusedError
    from accel_scaling._ray.auth import asks_for_token as asks_for_token
    from accel_scaling._ray.auth import find_token as find_token
    from accel_scaling._ray.auth import set_auth_mode as set_auth_mode
    from accel_scaling._ray.autoscaler import autoscaler_config_path as autoscaler_config_path
    from accel_scaling._ray.autoscaler import autoscaler_kv_put as autoscaler_kv_put
    from accel_scaling._ray.autoscaler import autoscaler_metrics_registry as autoscaler_metrics_registry
    from accel_scaling._ray.autoscaler import autoscaler_version as autoscaler_version
    from accel_scaling._ray.autoscaler import tell_drivers as tell_drivers
    from accel_scaling._ray.autoscaler import tpu_workers_joined as tpu_workers_joined
    from accel_scaling._ray.autoscaler_pause import DEMAND_PERIOD_VARIABLE as DEMAND_PERIOD_VARIABLE
    from accel_scaling._ray.autoscaler_pause import demand_reader as demand_reader
    from accel_scaling._ray.autoscaler_pause import replace_pause as replace_pause
    from accel_scaling._ray.clouds import aws_client as aws_client
    from accel_scaling._ray.clouds import aws_node_provider as aws_node_provider
    from accel_scaling._ray.clouds import aws_reuse_tags as aws_reuse_tags
    from accel_scaling._ray.clouds import aws_tags as aws_tags
    from accel_scaling._ray.clouds import aws_template_content as aws_template_content
    from accel_scaling._ray.clouds import aws_tries_each_subnet_once as aws_tries_each_subnet_once
    from accel_scaling._ray.clouds import check_legacy_fields as check_legacy_fields
    from accel_scaling._ray.clouds import ec2_client as ec2_client
    from accel_scaling._ray.clouds import gcp_bootstrap as gcp_bootstrap
    from accel_scaling._ray.clouds import gcp_node_kinds as gcp_node_kinds
    from accel_scaling._ray.clouds import gcp_node_provider as gcp_node_provider
    from accel_scaling._ray.clouds import gcp_nodes as gcp_nodes
    from accel_scaling._ray.clouds import gcp_private_keys as gcp_private_keys
    from accel_scaling._ray.clouds import gcp_resources as gcp_resources
    from accel_scaling._ray.clouds import gcp_reuse_tags as gcp_reuse_tags
    from accel_scaling._ray.clouds import gcp_tags as gcp_tags
    from accel_scaling._ray.cloudwatch import CLOUDWATCH_PARTS as CLOUDWATCH_PARTS
    from accel_scaling._ray.cloudwatch import update_cloudwatch as update_cloudwatch
    from accel_scaling._ray.cloudwatch import updates_head as updates_head
    from accel_scaling._ray.demands import Selector as Selector
    from accel_scaling._ray.demands import gang_request as gang_request
    from accel_scaling._ray.demands import key_of as key_of
    from accel_scaling._ray.demands import label_selector_error as label_selector_error
    from accel_scaling._ray.demands import read_request as read_request
    from accel_scaling._ray.demands import requests_of_gang as requests_of_gang
    from accel_scaling._ray.demands import resource_request as resource_request
    from accel_scaling._ray.facts import PRELOADED_MODULES as PRELOADED_MODULES
    from accel_scaling._ray.facts import PRESTARTED_WORKERS as PRESTARTED_WORKERS
    from accel_scaling._ray.facts import UNIT_RESOURCES as UNIT_RESOURCES
    from accel_scaling._ray.kuberay import HEAD_GROUP as HEAD_GROUP
    from accel_scaling._ray.kuberay import UnreadableGroupError as UnreadableGroupError
    from accel_scaling._ray.kuberay import kuberay_config as kuberay_config
    from accel_scaling._ray.launcher import called_by_ray_up as called_by_ray_up
    from accel_scaling._ray.launcher import cli_logger as cli_logger
    from accel_scaling._ray.launcher import cluster_name_tag as cluster_name_tag
    from accel_scaling._ray.launcher import collected_panics as collected_panics
    from accel_scaling._ray.launcher import command_failed as command_failed
    from accel_scaling._ray.launcher import command_in_container as command_in_container
    from accel_scaling._ray.launcher import config_cache_path as config_cache_path
    from accel_scaling._ray.launcher import connections_of as connections_of
    from accel_scaling._ray.launcher import ends_cluster as ends_cluster
    from accel_scaling._ray.launcher import ends_workers_only as ends_workers_only
    from accel_scaling._ray.launcher import file_of_ray_up as file_of_ray_up
    from accel_scaling._ray.launcher import hosts_of as hosts_of
    from accel_scaling._ray.launcher import is_head as is_head
    from accel_scaling._ray.launcher import launched_by_ray_up as launched_by_ray_up
    from accel_scaling._ray.launcher import leaves_ray_running as leaves_ray_running
    from accel_scaling._ray.launcher import lists_to_end as lists_to_end
    from accel_scaling._ray.launcher import may_launch_head as may_launch_head
    from accel_scaling._ray.launcher import name_config_cache as name_config_cache
    from accel_scaling._ray.launcher import node_launch_exception as node_launch_exception
    from accel_scaling._ray.launcher import node_type_of as node_type_of
    from accel_scaling._ray.launcher import quick_probe as quick_probe
    from accel_scaling._ray.launcher import reads_only as reads_only
    from accel_scaling._ray.launcher import ssh_runner_of as ssh_runner_of
    from accel_scaling._ray.machine_type_names import name_machine_types as name_machine_types
    from accel_scaling._ray.managers import accelerator_manager as accelerator_manager
    from accel_scaling._ray.managers import add_accelerator_managers as add_accelerator_managers
    from accel_scaling._ray.managers import announce_accelerator_type as announce_accelerator_type
    from accel_scaling._ray.managers import nvidia_type_reader as nvidia_type_reader
    from accel_scaling._ray.managers import reads_otherwise as reads_otherwise
    from accel_scaling._ray.node_drain import Raylet as Raylet
    from accel_scaling._ray.node_drain import drain as drain
    from accel_scaling._ray.node_drain import drain_nodes as drain_nodes
    from accel_scaling._ray.node_drain import find_raylet as find_raylet
    from accel_scaling._ray.node_drain import forget_event as forget_event
    from accel_scaling._ray.node_drain import node_events as node_events
    from accel_scaling._ray.node_drain import node_of as node_of
    from accel_scaling._ray.node_drain import stop_nodes as stop_nodes
    from accel_scaling._ray.node_drain import tell_event as tell_event
    from accel_scaling._ray.node_life import ALLOCATE_TIMEOUT as ALLOCATE_TIMEOUT
    from accel_scaling._ray.node_life import PROBE_COMMAND as PROBE_COMMAND
    from accel_scaling._ray.node_life import SETTING_UP as SETTING_UP
    from accel_scaling._ray.node_life import SSH_TIMEOUT_S as SSH_TIMEOUT_S
    from accel_scaling._ray.node_life import SYNCING_FILES as SYNCING_FILES
    from accel_scaling._ray.node_life import UP_TO_DATE as UP_TO_DATE
    from accel_scaling._ray.node_life import UPDATE_FAILED as UPDATE_FAILED
    from accel_scaling._ray.node_life import WAITING_FOR_SSH as WAITING_FOR_SSH
    from accel_scaling._ray.node_life import JoinedNode as JoinedNode
    from accel_scaling._ray.node_life import is_passing as is_passing
    from accel_scaling._ray.node_life import joined_nodes as joined_nodes
    from accel_scaling._ray.node_life import set_up_timeout_s as set_up_timeout_s
    from accel_scaling._ray.node_life import start_attempts as start_attempts
    from accel_scaling._ray.node_life import status_of as status_of
    from accel_scaling._ray.node_life import stop_where_ray_runs as stop_where_ray_runs
    from accel_scaling._ray.node_life import tell_launch_failed as tell_launch_failed
    from accel_scaling._ray.node_scores import asks_for_none as asks_for_none
    from accel_scaling._ray.node_scores import spare_accelerators as spare_accelerators
    from accel_scaling._ray.node_types import node_type_config as node_type_config
    from accel_scaling._ray.node_types import node_type_configs as node_type_configs
    from accel_scaling._ray.node_types import with_most as with_most
    from accel_scaling._ray.node_types import with_real as with_real
    from accel_scaling._ray.node_types import without_launches as without_launches
    from accel_scaling._ray.programs import KV_NAMESPACE as KV_NAMESPACE
    from accel_scaling._ray.programs import connect as connect
    from accel_scaling._ray.programs import is_connected as is_connected
    from accel_scaling._ray.programs import kv_get as kv_get
    from accel_scaling._ray.programs import nodes_resources as nodes_resources
    from accel_scaling._ray.programs import worker as worker
    from accel_scaling._ray.recent_failures import BlockedType as BlockedType
    from accel_scaling._ray.recent_failures import RecentFailures as RecentFailures
    from accel_scaling._ray.recent_failures import shown_failures as shown_failures
    from accel_scaling._ray.scheduler import NodeOfPlan as NodeOfPlan
    from accel_scaling._ray.scheduler import Scheduled as Scheduled
    from accel_scaling._ray.scheduler import fits as fits
    from accel_scaling._ray.scheduler import schedule as schedule
    from accel_scaling._ray.scheduler import scheduling_request as scheduling_request
    from accel_scaling._ray.state import ClusterState as ClusterState
    from accel_scaling._ray.state import LivingNode as LivingNode
    from accel_scaling._ray.state import cluster_state as cluster_state
    from accel_scaling._ray.state import running_instance as running_instance
    from accel_scaling._ray.versions import has as has

# The same names, for programs; tests/_ray/test_names.py compares.
_NAMES = {
    "auth": "CannotReadTokenError FoundToken TokenRefusedError asks_for_token find_token set_auth_mode",
    "autoscaler": (
        "autoscaler_config_path autoscaler_kv_put autoscaler_metrics_registry autoscaler_version tell_drivers "
        "tpu_workers_joined"
    ),
    "autoscaler_pause": "DEMAND_PERIOD_VARIABLE demand_reader replace_pause",
    "clouds": (
        "aws_client aws_node_provider aws_reuse_tags aws_tags aws_template_content aws_tries_each_subnet_once "
        "check_legacy_fields ec2_client gcp_bootstrap gcp_node_kinds gcp_node_provider gcp_nodes gcp_private_keys "
        "gcp_resources gcp_reuse_tags gcp_tags"
    ),
    "cloudwatch": "CLOUDWATCH_PARTS update_cloudwatch updates_head",
    "demands": "Selector gang_request key_of label_selector_error read_request requests_of_gang resource_request",
    "facts": "PRELOADED_MODULES PRESTARTED_WORKERS UNIT_RESOURCES",
    "kuberay": "HEAD_GROUP UnreadableGroupError kuberay_config",
    "launcher": (
        "called_by_ray_up cli_logger cluster_name_tag collected_panics command_failed command_in_container "
        "config_cache_path connections_of ends_cluster ends_workers_only file_of_ray_up hosts_of is_head "
        "launched_by_ray_up leaves_ray_running lists_to_end may_launch_head name_config_cache node_launch_exception "
        "node_type_of quick_probe reads_only ssh_runner_of"
    ),
    "machine_type_names": "name_machine_types",
    "managers": (
        "accelerator_manager add_accelerator_managers announce_accelerator_type nvidia_type_reader reads_otherwise"
    ),
    "node_drain": "Raylet drain drain_nodes find_raylet forget_event node_events node_of stop_nodes tell_event",
    "node_life": (
        "ALLOCATE_TIMEOUT PROBE_COMMAND SETTING_UP SSH_TIMEOUT_S SYNCING_FILES UP_TO_DATE UPDATE_FAILED "
        "WAITING_FOR_SSH JoinedNode is_passing joined_nodes set_up_timeout_s start_attempts status_of "
        "stop_where_ray_runs tell_launch_failed"
    ),
    "node_scores": "asks_for_none spare_accelerators",
    "node_types": "node_type_config node_type_configs with_most with_real without_launches",
    "programs": "KV_NAMESPACE connect is_connected kv_get nodes_resources worker",
    "recent_failures": "BlockedType RecentFailures shown_failures",
    "scheduler": "NodeOfPlan Scheduled fits schedule scheduling_request",
    "state": "ClusterState LivingNode cluster_state running_instance",
    "versions": "has",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # else mypy would take any name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # the next time nobody asks here: a plan of 50,000 demands calls `key_of` as often
        return found
