"""The machines of an AWS cluster file: InstanceType, market and image in `node_config`, place in `provider`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.model import SoldAs
from accel_scaling.cluster.capacity_notes import capacity_note
from accel_scaling.cluster.cluster import CapacityType, NodeMachine, Placement
from accel_scaling.cluster.node_needs import RESOLVE_SSM, ImageKind, default_image, no_image
from accel_scaling.cluster.offering_checks import check_region
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.aws import request_model
from accel_scaling.providers.aws.cloud import CLOUD

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import Cluster, NodeType

# The values of EC2's MarketType, as botocore's model of EC2 has them; "" is left out.
MARKETS = ("", "spot", "capacity-block", "on-demand", "interruptible-capacity-reservation")

_REMEDIES = {
    SoldAs.ON_DEMAND: "no InstanceMarketOptions",
    SoldAs.SPOT: "InstanceMarketOptions: {MarketType: spot}",
    SoldAs.RESERVED: (
        "InstanceMarketOptions: {MarketType: capacity-block} with CapacityReservationSpecification: "
        "{CapacityReservationTarget: {CapacityReservationId: cr-...}}"
    ),
}

ZONE = re.compile(r"([a-z]+(?:-[a-z]+)+-[0-9]+)[a-z]")  # us-west-2a: a region and a letter


def machine(location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
    """Return the machine of a node type.

    Args:
        location: the node type's place in the cluster file, for the error.
        node_config: the node type's ``node_config``.
        catalog: what is known about machine types.

    Raises:
        ClusterConfigError: there is no ``InstanceType``, or a market that EC2 does not have.
        UnknownInstanceTypeError: the catalog does not have it.
    """
    name = _instance_type(location, node_config)
    market = _market(f"{location}.node_config", node_config)
    try:
        machine_type = catalog.machine_type(CLOUD.name, name)
    except AccelScalingError as error:
        # The same error type, so that callers can tell an unknown type; its text begins with the key.
        raise type(error)(f"{location}: {error}") from None
    note = capacity_note(CLOUD.name, machine_type.name, _bought(market, node_config), _REMEDIES)
    return NodeMachine(
        machine_type,
        capacity_type=CapacityType.SPOT if market == "spot" else CapacityType.ON_DEMAND,
        notes=(note,) if note else (),
    )


def check_node_config(location: str, node_config: dict[str, Any]) -> None:
    """Refuse what boto3 or Ray would refuse at a launch: unknown keys, and values of the wrong kind.

    Raises:
        ClusterConfigError: names the key.
    """
    request_model.check(f"{location}.node_config", node_config)


def placement(provider: dict[str, Any]) -> Placement:
    """Return the region, None where the file does not name it, and the zones that it names.

    Raises:
        ClusterConfigError: the zones are no text, in which form Ray takes them.
    """
    given = provider.get("availability_zone", "")
    if not isinstance(given, str):
        listed = given if isinstance(given, list) and all(isinstance(zone, str) for zone in given) else None
        written = ",".join(listed)[:100] if listed else "us-west-2a,us-west-2b"
        raise ClusterConfigError(f"provider.availability_zone takes zones as one text; write {written}")
    zones = given.split(",")
    return Placement(provider.get("region") or None, tuple(zone.strip() for zone in zones if zone.strip()))


def region_of(config: dict[str, Any]) -> str:
    """Return the cluster's AWS region, without which nothing can be launched.

    Raises:
        ClusterConfigError: there is none, or it is a zone.
    """
    region = (config.get("provider") or {}).get("region")
    if not isinstance(region, str) or not region:
        raise ClusterConfigError("provider.region is missing; name an AWS region there, such as us-west-2")
    if zone := ZONE.fullmatch(region):
        raise ClusterConfigError(
            f"provider.region is {shown(region)}, which is a zone; write region: {zone[1]}, and "
            f"availability_zone: {region} "
            "where it is to be that zone only"
        )
    return region


def check_offered(node_type: NodeType, cluster: Cluster) -> None:
    """Refuse zones of another region, and an instance type that the region does not have, as far as the catalog knows.

    Raises:
        ClusterConfigError: names the zone, or regions that have the type.
    """
    region, machine_type = cluster.placement.region, node_type.machine.machine
    if region is None:
        return
    for zone in cluster.placement.zones:
        zone_region = ZONE.fullmatch(zone)  # a Local Zone's name is another: us-west-2-lax-1a
        if zone_region and zone_region[1] != region:
            raise ClusterConfigError(
                f"provider.region is {shown(region)}, and provider.availability_zone {zone} is in "
                f"{zone_region[1]}; make "
                "them agree"
            )
    key = f"{node_type.location}.node_config.InstanceType"
    check_region(key, machine_type.name, cluster.catalog.where(machine_type), CLOUD.name, region)


def with_image(
    node_type: NodeType, node_config: dict[str, Any], provider: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the node_config with an image, and notes for the user.

    It is written as `ImageId: resolve:ssm:PARAMETER`, EC2's own form of "the newest of these". The provider replaces
    it by the image's id (bootstrap.py): the head that launches workers may not read parameters. A file of `type: aws`
    has Ray's own images: the head of Ray's own provider could not look ours up.
    """
    location, machine_type = node_type.location, node_type.machine.machine
    if node_config.get("ImageId") or provider.get("type") != "external":
        return node_config, ()
    image = default_image(machine_type, system=node_type.system)
    if image is None or image.kind is ImageKind.NONE:
        return node_config, (no_image(location, machine_type, "ImageId"),)
    notes = []
    if "LaunchTemplate" in node_config:
        notes.append(
            f"{location} has a LaunchTemplate and no ImageId; as `ray up` always names an image, that of the template "
            "is not used; write the ImageId that you want"
        )
    return {**node_config, "ImageId": RESOLVE_SSM + image.name}, tuple(notes)


def _instance_type(location: str, node_config: dict[str, Any]) -> str:
    name = node_config.get("InstanceType")
    if name and not isinstance(name, str):
        raise ClusterConfigError(
            f"{location}.node_config.InstanceType is {shown(name)}; it takes one instance type, as text"
        )
    if not name or not name.strip():
        raise ClusterConfigError(
            f"{location}.node_config.InstanceType is missing; name an EC2 instance type there, such as g5.xlarge"
        )
    return name.strip()


def _bought(market: str, node_config: dict[str, Any]) -> SoldAs:
    """Return how a node_config buys its machine; a launch template may name a reservation, or none."""
    if market == "spot":
        return SoldAs.SPOT
    reserved = market in ("capacity-block", "interruptible-capacity-reservation") or any(
        key in node_config for key in ("CapacityReservationSpecification", "LaunchTemplate")
    )
    return SoldAs.RESERVED if reserved else SoldAs.ON_DEMAND


def _market(location: str, node_config: dict[str, Any]) -> str:
    """Return the market on which EC2 sells the machine: "" for on demand.

    The values are those of EC2's InstanceMarketOptionsRequest: see MARKETS.
    """
    options = node_config.get("InstanceMarketOptions") or {}
    if not isinstance(options, dict):
        raise ClusterConfigError(
            f"{location}.InstanceMarketOptions is {shown(options)}; it takes keys, such as {{MarketType: spot}}"
        )
    market = options.get("MarketType") or ""
    if market not in MARKETS:
        known = ", ".join(MARKETS[1:])
        raise ClusterConfigError(f"{location}.InstanceMarketOptions.MarketType is {shown(market)}; it takes {known}")
    return str(market)
