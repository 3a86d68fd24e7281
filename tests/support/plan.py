"""Cluster files for plans, and what is planned for them, in process."""

from __future__ import annotations

from typing import Any

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.plan.cluster import Cluster, cluster_of
from accel_scaling.plan.model import Answer
from accel_scaling.plan.run import Words, planned
from tests.support.cluster import config_of, gcp_config_of

POD = {"acceleratorType": "v4-16", "runtimeVersion": "tpu-ubuntu2204-base"}


def aws(*, most: int = 4, **machines: str) -> dict[str, Any]:
    """A cluster file on AWS with a node type for each machine."""
    config: dict[str, Any] = config_of(machines)
    for name in machines:
        config["available_node_types"][name]["max_workers"] = most
    return config


def gcp(**node_configs: Any) -> dict[str, Any]:
    return gcp_config_of(node_configs)


def cluster(config: dict[str, Any]) -> Cluster:
    read = read_config(config, shipped_catalog())
    return cluster_of(read, *fill_cluster(read))


def plan(config: dict[str, Any], *demands: str, gangs: Any = (), labels: Any = ()) -> Answer:
    return planned(config, shipped_catalog(), Words(demands, gangs, labels))[1]


def uses(answer: Answer) -> dict[str, dict[str, int]]:
    return {row.node_type: dict(row.uses) for row in answer.rows if row.uses}
