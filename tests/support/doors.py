"""The doors of a cluster file, in process: `fill`, `plan`, the reading of `rehearse`, and the way of `ray up`."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any
from unittest import mock

from accel_scaling.boot import bundle
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster import node_config_reader, read_config
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.plan.run import PlanArguments, plan_cluster
from accel_scaling.providers.aws import AWSAcceleratorNodeProvider
from accel_scaling.providers.base import cluster_config
from accel_scaling.providers.gcp import GCPAcceleratorNodeProvider

CLASSES: dict[str, Any] = {"aws": AWSAcceleratorNodeProvider, "gcp": GCPAcceleratorNodeProvider}
OF_RAY = "(Ray's own words)"


def of_fill(config: dict[str, Any]) -> str | None:
    """The sentence with which `accel-scaling fill` refuses a config; None where it takes it."""
    try:
        cluster = read_config(copy.deepcopy(config), shipped_catalog())
        fill_cluster(cluster, offerings=False)
        cluster.check_launchable()
    except AccelScalingError as error:
        return str(error)
    return None


def of_plan(config: dict[str, Any]) -> str | None:
    """The same of `accel-scaling plan`."""
    try:
        plan_cluster(copy.deepcopy(config), shipped_catalog(), PlanArguments())
    except AccelScalingError as error:
        return str(error)
    return None


def of_ray_up(config: dict[str, Any]) -> str | None:
    """The same of `ray up`, as far as it gets without a cloud; OF_RAY where Ray stops by itself, in its own words."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        prepared = prepare_config(copy.deepcopy(config))
        provider = CLASSES[cloud_of(config["provider"]).name]
    except Exception:  # noqa: BLE001 - Ray checks little before it asks a provider: any kind of error may come
        return OF_RAY
    with mock.patch.object(cluster_config, "_bundle", return_value=_bundle()):
        try:
            filled = provider.fillout_available_node_types_resources(prepared)
        except AccelScalingError as error:
            return str(error)
    validate_config(filled)  # what the fill let through must pass: it raises
    read = read_config(filled)  # what bootstrap_config begins with
    return None if node_config_reader(read.cloud).placement(read.provider).region else "no region"


@functools.cache
def _bundle() -> Path:
    return bundle.build()
