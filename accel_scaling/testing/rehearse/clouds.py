"""What a rehearsal needs to know of each cloud: which local one stands for it, and what its cluster files say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import reader_of
from accel_scaling.providers.aws.node_config import region_of
from accel_scaling.providers.gcp.node_config import is_tpu, zones_of
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp, hardware_of_tpu, slice_of_topology
from accel_scaling.testing.rehearse.cluster_config import for_local_ec2, for_local_gce

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.hosts.local_cloud import LocalCloud
    from accel_scaling.testing.hosts.settings import Kind

USER = "ubuntu"  # the account on the local hosts

Config = dict[str, Any]


class Rehearsed(Protocol):
    """One cloud, as a rehearsal sees it."""

    name: str

    def machine_name(self, node_config: Config) -> str:
        """Return what the local cloud's events call the machines of a node type."""

    def check(self, node_config: Config) -> None:
        """Refuse a node type that cannot be emulated.

        Raises:
            RehearsalError: nobody knows what is in such a machine.
        """

    def local(self, folder: Path, kind: Kind | None, config: Config) -> LocalCloud:
        """Return the local cloud for a cluster file, not yet begun."""

    def aimed(self, config: Config, local: LocalCloud) -> tuple[Config, list[str]]:
        """Return the config to launch on it, and the keys that are not rehearsed."""


class Aws:
    """EC2, on the local one."""

    name = "EC2"

    def machine_name(self, node_config: Config) -> str:
        """Return the instance type."""
        return str(node_config["InstanceType"]).strip()

    def check(self, node_config: Config) -> None:
        """Refuse an instance type that neither moto's recording nor hardware.csv has."""
        hardware_of(self.machine_name(node_config))

    def local(self, folder: Path, kind: Kind | None, config: Config) -> LocalCloud:
        """Return a local EC2 in the cluster's region."""
        from accel_scaling.testing.ec2.local_ec2 import LocalEC2

        return LocalEC2(folder, kind=kind, region=region_of(config), ssh_user=USER)

    def aimed(self, config: Config, local: LocalCloud) -> tuple[Config, list[str]]:
        """Return the config; the laptop's environment says where EC2 is."""
        del local
        return for_local_ec2(config, user=USER)


class Gcp:
    """Compute Engine and Cloud TPU, on the local one."""

    name = "Compute Engine"

    def machine_name(self, node_config: Config) -> str:
        """Return the machine type, or a slice's accelerator type."""
        if is_tpu(node_config):
            config = node_config.get("acceleratorConfig") or {}
            kind = node_config.get("acceleratorType")
            name: str = kind or slice_of_topology(config["type"], config["topology"]).accelerator_type
            return name
        return str(node_config["machineType"]).strip().rpartition("/")[2]

    def check(self, node_config: Config) -> None:
        """Refuse a machine type or a slice that Google's tables here lack."""
        name = self.machine_name(node_config)
        if is_tpu(node_config):
            hardware_of_tpu(name)
            return
        accelerators = [
            (str(one["acceleratorType"]).rpartition("/")[2], int(one["acceleratorCount"]))
            for one in node_config.get("guestAccelerators") or []
        ]
        hardware_of_gcp(name, accelerators)

    def local(self, folder: Path, kind: Kind | None, config: Config) -> LocalCloud:
        """Return a local Compute Engine with the cluster's zones."""
        from accel_scaling.testing.gce.local_gce import LocalGCE

        return LocalGCE(folder, kind=kind, zones=zones_of(config["provider"]), ssh_user=USER)

    def aimed(self, config: Config, local: LocalCloud) -> tuple[Config, list[str]]:
        """Return the config, which says where the local Compute Engine answers."""
        from accel_scaling.testing.gce.local_gce import PROJECT

        return for_local_gce(config, user=USER, project=PROJECT, endpoint_url=local.settings.endpoint_url)


def cloud_of(config: Config) -> Rehearsed:
    """Return the cloud that a cluster file is for.

    Raises:
        ClusterConfigError: it is for none that can be rehearsed.
    """
    known: dict[str, Rehearsed] = {"aws": Aws(), "gcp": Gcp()}
    cloud = reader_of(config["provider"]).CLOUD
    if cloud not in known:
        raise ClusterConfigError(f"a rehearsal knows {', '.join(known)}; this file is for {cloud}")
    return known[cloud]
