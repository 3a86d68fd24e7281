"""The keys that Ray reads in a provider section, looked for in its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import ray
from ray.autoscaler._private import constants

from accel_scaling._ray.cluster_schema import PROVIDER_KEYS, cluster_schema
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.policies import OURS

AUTOSCALER = Path(ray.__file__).parent / "autoscaler"
# Forms in which Ray reads a key: provider_config.get("x"), config["provider"]["x"], config["provider"].get("x").
READ = re.compile(r"""(?:provider_config|\["provider"\])(?:\.get\(|\[)\s*"(\w+)\"""")
# Of other launchers (Ray's fake, read-only and KubeRay's), or written by Ray itself.
NOT_OF_A_FILE = {"gcs_address", "head_node_type", "namespace", "_config_cache_path"}
# Read by this package alone: the addresses of a local cloud.
OF_THIS_PACKAGE = {"api_endpoints"}


def keys_in(*folders: str) -> set[str]:
    files = [path for folder in folders for path in (AUTOSCALER / folder).glob("*.py")]
    return {key for path in files for key in READ.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("cloud", [cloud for cloud in known_clouds().values() if cloud.stock], ids=lambda one: one.name)
def test_what_rays_source_reads_is_known_and_what_is_known_is_read(cloud: object) -> None:
    name, keys = cloud.name, set(cloud.provider_keys)  # type: ignore[attr-defined]
    own = keys_in(f"_private/{name}", f"_private/{name}/cloudwatch")
    shared = keys_in("_private", "v2", "v2/instance_manager") - NOT_OF_A_FILE
    assert own | shared <= keys | set(PROVIDER_KEYS)
    assert keys - OF_THIS_PACKAGE <= own | set(cluster_schema()["properties"]["provider"]["properties"])


def test_the_keys_of_rays_constants_are_known() -> None:
    named = {
        constants.DISABLE_NODE_UPDATERS_KEY,
        constants.DISABLE_LAUNCH_CONFIG_CHECK_KEY,
        constants.FOREGROUND_NODE_LAUNCH_KEY,
        constants.WORKER_LIVENESS_CHECK_KEY,
    }
    assert named <= set(PROVIDER_KEYS)
    assert not set(OURS) & set(PROVIDER_KEYS)
