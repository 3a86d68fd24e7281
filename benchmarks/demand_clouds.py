"""The clusters of ``demand_to_running``: one of ours and one of stock Ray for each cloud, with three GPU node types."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.providers.gcp.local_cloud import DISKS, LocalGCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.testing.base_cloud import LocalCloud

Config = dict[str, Any]


class DemandCloud(ABC):
    """What the benchmark knows of a cloud.

    Attributes:
        workers: the machine types of the workers, each with the accelerator type that a task asks for.
    """

    local_cloud: type[LocalCloud]
    workers: Mapping[str, str]

    @abstractmethod
    def config(self, side: str, local: LocalCloud) -> Config:
        """Return a cluster config of ``ours`` or ``stock`` with three GPU node types that start with no node."""

    def variables(self, side: str, local: LocalCloud) -> dict[str, str]:  # noqa: ARG002 - a cloud may need them
        """Return the environment variables that `ray` needs on the laptop."""
        return {}


class Aws(DemandCloud):
    """EC2, where stock Ray fills in the resources itself."""

    local_cloud = LocalEC2
    workers = {"g4dn.xlarge": "T4", "g5.xlarge": "A10G", "g6.xlarge": "L4"}  # noqa: RUF012 - never changed

    def config(self, side: str, local: LocalCloud) -> Config:
        """See the base class."""
        ours = {"type": "external", "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"}
        types = {name: {"InstanceType": name} for name in ("m5.large", *self.workers)}
        config = _config({**(ours if side == "ours" else {"type": "aws"}), "region": "us-west-2"}, types)
        return local.adapted(config, local.settings.endpoint_url)[0]


class Gcp(DemandCloud):
    """Compute Engine. Stock Ray promises no GPU there, so its file has the resources, written by hand.

    Stock Ray knows Google's own addresses only: ``REDIRECT`` aims its clients at the local Compute Engine, on the
    laptop and, copied there, on the head. Nothing else of it is changed.
    """

    local_cloud = LocalGCE
    workers = {"n1-standard-4": "T4", "a2-highgpu-1g": "A100", "g2-standard-4": "L4"}  # noqa: RUF012 - never changed

    def config(self, side: str, local: LocalCloud) -> Config:
        """See the base class."""
        provider = {
            "type": "external",
            "module": "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
            "project_id": "rehearsal",
            "region": "us-central1",
            "availability_zone": "us-central1-a",
        }
        types = {name: _gcp_node_config(name) for name in ("n2-standard-2", *self.workers)}
        config = local.adapted(_config(provider, types), local.settings.endpoint_url)[0]
        return config if side == "ours" else self._stock(config, local)

    def variables(self, side: str, local: LocalCloud) -> dict[str, str]:
        """See the base class."""
        return {"PYTHONPATH": str(_redirect_folder(local))} if side == "stock" else {}

    def _stock(self, config: Config, local: LocalCloud) -> Config:
        folder = _redirect_folder(local)
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(REDIRECT.format(url=local.settings.endpoint_url), encoding="utf-8")
        del config["provider"]["module"], config["provider"]["api_endpoints"]
        config["provider"] |= {"type": "gcp", "gcp_credentials": {"type": "credentials_token", "credentials": "x"}}
        for name, node_type in config["available_node_types"].items():
            accelerator = self.workers.get(name)
            accelerators = {"GPU": 1, f"accelerator_type:{accelerator}": 1} if accelerator else {}
            node_type["resources"] = {"CPU": 2, **accelerators}
        config["file_mounts"] = {**config.get("file_mounts", {}), "~/redirect": str(folder)}
        # Ray's own commands (ray/autoscaler/gcp/defaults.yaml), with the folder of the redirection.
        ray = "ray start --head --port=6379 --object-manager-port=8076 --autoscaling-config=~/ray_bootstrap_config.yaml"
        config["head_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; PYTHONPATH=~/redirect {ray}"]
        worker = "ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076"
        config["worker_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; {worker}"]
        return config


CLOUDS: Mapping[str, DemandCloud] = {"aws": Aws(), "gcp": Gcp()}

# Imported by each Python there before anything else; Google's library is patched only where something imports it.
REDIRECT = """
import importlib.abc, importlib.util, sys

class Redirect(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "googleapiclient.discovery":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            build = module.build
            def aimed(api, version, **more):
                path = "/compute/v1/" if api == "compute" else "/"
                options = {{"api_endpoint": "{url}" + path}}
                return build(api, version, **{{**more, "static_discovery": True, "client_options": options}})
            module.build = aimed
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Redirect())
"""


def _redirect_folder(local: LocalCloud) -> Path:
    return Path(local.directory) / "redirect"


def _gcp_node_config(machine_type: str) -> Config:
    config: Config = {"machineType": machine_type, "disks": copy.deepcopy(DISKS)}
    if not machine_type.startswith("n2-"):
        config["scheduling"] = {"onHostMaintenance": "TERMINATE"}
    if machine_type.startswith("n1-"):
        config["guestAccelerators"] = [
            {"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}
        ]
    return config


def _config(provider: Config, node_configs: Mapping[str, Config]) -> Config:
    (head, head_config), *workers = node_configs.items()
    return {
        "cluster_name": "demand",
        "provider": provider,
        "max_workers": len(workers),
        "head_node_type": head,
        "available_node_types": {
            head: {"node_config": head_config},
            **{name: {"max_workers": 1, "node_config": one} for name, one in workers},
        },
    }
