"""The stand-in for Google Cloud on this machine: the local Compute Engine, and what a cluster file may have on it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.networks import networks_of
from accel_scaling.providers.gcp.capacity import is_block, reservation_in, with_capacity
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.labels import to_label
from accel_scaling.providers.gcp.node_config import is_tpu, zones_of
from accel_scaling.testing.base_cloud import LocalCloud
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp, hardware_of_tpu, slice_of_topology
from accel_scaling.testing.faults import FaultKind
from accel_scaling.testing.gce.fault_injection import ANY, FaultInjection, Preemptions, injection_file
from accel_scaling.testing.gce.state import PROJECT, ZONES
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.testing.reservations import Reservation, ReservationKind

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.faults import Fault
    from accel_scaling.testing.ray_cluster import RayCluster

DISKS = [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "projects/local/global/images/local"}}]

_QUEUE_ENDS = {FaultKind.QUEUE_FAILS: "FAILED", FaultKind.QUEUE_SUSPENDED: "SUSPENDED"}


class LocalGCE(LocalCloud):
    """A whole Compute Engine and Cloud TPU on this machine; arguments as ``LocalCloud``.

    ``place`` has the zones that exist, all of one region, with commas between them.
    """

    CLOUD = "Compute Engine"
    MODULE = "accel_scaling.testing.gce.cloud"
    PLACE = ",".join(ZONES)
    # Hosts find their metadata server there: isolated ones where Google's is, plain ones where anybody may listen.
    METADATA_PORTS: ClassVar[dict[HostKind, int]] = {HostKind.ISOLATED: 80, HostKind.PROCESSES: 8988}
    FAULTS_BY_ZONE = True
    MACHINES_WAIT = True
    PROVIDER_TYPES = ("external",)
    ACCOUNT_KEYS = (
        "disks",
        "metadata",
        "networkInterfaces",
        "networkConfig",
        "serviceAccounts",
        "serviceAccount",
        "sourceInstanceTemplate",
        "sourceMachineImage",
        "resourcePolicies",
        "tags",
    )
    ACCOUNT_PROVIDER_KEYS = ("gcp_credentials", "api_endpoints", "use_external_head_ip")

    @classmethod
    def reservations_of(cls, config: dict[str, Any]) -> list[Reservation]:
        """Return the reservations that the node types name, with places for all of their machines."""
        cluster, found = read_config(config), dict[str, Reservation]()
        for node_type in cluster.node_types.values():
            if is_tpu(node_type.node_config):
                continue
            entry = config["available_node_types"][node_type.name]
            count = 1 if node_type.is_head else entry.get("max_workers", config.get("max_workers", 1))
            bought = [with_capacity(node_type.location, node_type.node_config, one) for one in node_type.order]
            for node_config in bought or [node_type.node_config]:
                named = reservation_in(node_config)
                if named is None:
                    continue
                kind = ReservationKind.BLOCK if is_block(node_config) else None
                new = Reservation(named.name, 0, cls.machine_name(node_config), kind=kind, owner=named.project)
                known = found.get(named.name, new)
                found[named.name] = replace(known, count=known.count + count)
        return list(found.values())

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self._injection = FaultInjection()

    @staticmethod
    def place_of(config: dict[str, Any]) -> str:
        """Return the cluster's zones."""
        return ",".join(zones_of(config["provider"]))

    @staticmethod
    def machine_name(node_config: dict[str, Any]) -> str:
        """Return the machine type, or a slice's accelerator type."""
        if is_tpu(node_config):
            config = node_config.get("acceleratorConfig") or {}
            accelerator_type = node_config.get("acceleratorType")
            name: str = accelerator_type or slice_of_topology(config["type"], config["topology"]).accelerator_type
            return name
        return str(node_config["machineType"]).strip().rpartition("/")[2]

    @staticmethod
    def tag_of(node_type: str) -> str:
        """Return a node type's name as a label's value."""
        return to_label(node_type)

    @classmethod
    def check(cls, node_config: dict[str, Any]) -> None:
        """Refuse a machine type or a slice that Google's tables here lack."""
        name = cls.machine_name(node_config)
        if is_tpu(node_config):
            hardware_of_tpu(name)
            return
        accelerators = [
            (str(row["acceleratorType"]).rpartition("/")[2], int(row["acceleratorCount"]))
            for row in node_config.get("guestAccelerators") or []
        ]
        hardware_of_gcp(name, accelerators)

    @classmethod
    def point_at(cls, config: dict[str, Any], original: dict[str, Any], endpoint_url: str) -> None:
        """Name the endpoint of the local Compute Engine, and a disk where the file names one."""
        config["provider"] |= {
            "project_id": PROJECT,
            "api_endpoints": endpoint_url,
            "gcp_credentials": {"type": "anonymous"},
        }
        for name, node_type in config["available_node_types"].items():
            before = original["available_node_types"][name].get("node_config") or {}
            if any(before.get(key) for key in ("disks", "sourceMachineImage", "sourceInstanceTemplate")):
                node_type["node_config"]["disks"] = copy.deepcopy(DISKS)  # else the default image, which is here too

    def set_faults(self, *faults: Fault | str) -> None:
        """As in any cloud; a type that is sold out may be followed by ``@`` and its zone, and by ``/spot``."""
        super().set_faults(*faults)
        sold_out: dict[str, list[str]] = {}
        for fault in self.faults:
            if fault.kind is FaultKind.NO_CAPACITY:
                place, slash, pool = fault.machine_type.partition("/")
                machine_type, _, zone = place.partition("@")
                sold_out.setdefault(zone or ANY, []).append(f"{machine_type}{slash}{pool}")
        limits = {fault.machine_type: fault.count or 0 for fault in self.faults if fault.kind is FaultKind.CAPACITY}
        self._injection.dry_zones, self._injection.capacity = sold_out, limits
        waits = {fault.machine_type: fault.after_s or 0.0 for fault in self.faults if fault.kind is FaultKind.WAITS}
        ends = {fault.machine_type: _QUEUE_ENDS[fault.kind] for fault in self.faults if fault.kind in _QUEUE_ENDS}
        self._injection.waits_s, self._injection.queue_ends = waits, ends
        self.inject(self._injection)

    def write_cluster(self, config: dict[str, Any]) -> tuple[RayCluster, list[str]]:
        """Write a cluster file for this cloud, whose region gets the subnetworks that ``provider.network`` names."""
        networks = networks_of(config.get("provider") or {}, CLOUD).values()
        names = dict.fromkeys(name for network in networks for name in network.names if "/" not in name)
        self._injection.subnetworks = list(names)
        self.inject(self._injection)
        return super().write_cluster(config)

    def inject(self, injection: FaultInjection) -> None:
        """Make Google's API behave so from now on: its latencies, and the calls that go wrong."""
        self._injection = injection
        injection.write(injection_file(self.settings.directory))

    def preempt(self, name: str) -> None:
        """Make Google take a spot machine or slice back, within a second."""
        Preemptions(self.settings.directory).ask(name)

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """Return nothing: a cluster file names the endpoints, and Google's clients know no variable for them."""
        del endpoint_url
        return {}


LOCAL_CLOUD = LocalGCE
