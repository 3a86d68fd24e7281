"""`ray down` on Google Cloud: each zone is listed by itself, and each failure is noted by itself.

And the config for commands that launch nothing: only what the cluster file and this computer say, nobody is asked.
"""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.networks import PLACEMENT
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.base.teardown import Found, TeardownProvider
from accel_scaling.providers.gcp import checks, placement_policies
from accel_scaling.providers.gcp.calls import reason_of
from accel_scaling.providers.gcp.client import client
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.node_config import is_tpu, zones_of
from accel_scaling.providers.gcp.placement import policy_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel_scaling.providers.gcp.node_cache import NodeCache

    Config = dict[str, Any]


def for_reading(config: Config) -> Config:
    """Return a cluster config with region, zones and private key, for a command that launches nothing.

    Raises:
        ClusterConfigError: the project, the zones, the endpoints or the credentials are missing or wrong.
    """
    config = copy.deepcopy(config)
    with contextlib.suppress(ClusterConfigError, AttributeError, TypeError):  # machines are ended whatever it says
        # The placement policies of each machine type of a list, by their names.
        config["provider"] = machine_lists.separated(config, CLOUD.machine_key)["provider"]
    checks.check_place(config["provider"])
    provider = config["provider"] = checks.for_rays_schema(config["provider"])
    # Read one by one: a node type of any shape must not keep the slices of another one from being listed.
    node_types = config.get("available_node_types")
    parts = node_types.values() if isinstance(node_types, dict) else []
    node_configs = [part.get("node_config") for part in parts if isinstance(part, dict)]
    if any(is_tpu(node_config) for node_config in node_configs if isinstance(node_config, dict)):
        provider[_ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD] = True
    auth = config["auth"]
    if not auth.get("ssh_private_key"):
        paths = _ray.gcp_private_keys(provider["region"], provider["project_id"], str(auth.get("ssh_user")))
        if existing := [path for path in paths if Path(path).exists()]:
            auth["ssh_private_key"] = existing[0]
    return config


class EndedProvider(TeardownProvider):
    """What `ray down` does on Google Cloud."""

    _node_cache: NodeCache
    cluster_name: str

    def find_to_end(self, tag_filters: dict[str, str]) -> Found:
        """Return the nodes with these tags: stopped and preempted ones too, unless stopped ones are to be kept."""
        return Found(*self._node_cache.to_end(tag_filters))

    def end(self, node_ids: Sequence[str], note: Callable[[Sequence[str]], None]) -> dict[str, str]:
        """Delete nodes, many at once; stop them where the config keeps stopped ones."""
        failed = self._node_cache.try_to_terminate(node_ids, lambda node: note([node]))
        return {node: reason_of(error) for node, error in failed.items()}

    def cleared(self) -> list[str]:
        """Delete the cluster's placement policies, where its file asks for them."""
        provider = self.provider_config
        if not provider.get(PLACEMENT):
            return []
        try:
            names = policy_names(provider, self.cluster_name, zones_of(provider))
        except ClusterConfigError:  # `ray down` ends machines whatever the file says; `ray up` refuses it
            return []
        # A machine that is stopped, to be used again, keeps its policy.
        wait = not provider.get("cache_stopped_nodes")
        return placement_policies.delete(client(provider, "compute"), provider, self.cluster_name, names, wait=wait)
