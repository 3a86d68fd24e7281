"""The machines of an AWS cluster file: InstanceType, market and image in `node_config`, place in `provider`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.cloudwatch import CLOUDWATCH_PARTS
from accel_scaling.catalog.model import SoldAs
from accel_scaling.catalog.suggest import hint, nearest
from accel_scaling.cluster.capacity_notes import capacity_note
from accel_scaling.cluster.cluster import NodeMachine, Placement
from accel_scaling.cluster.node_needs import RESOLVE_SSM, ImageKind, default_image, no_image
from accel_scaling.cluster.offering_checks import check_region
from accel_scaling.errors import AccelScalingError, ClusterConfigError, MachineInTemplateError
from accel_scaling.message_text import shown
from accel_scaling.providers.aws import network, request_model
from accel_scaling.providers.aws import placement as machine_placement
from accel_scaling.providers.aws.capacity import BLOCK, capacity_type_of, check_placement
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.market_rules import check_market

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

# Sections of `provider` with free keys in Ray's schema: a name of a key pair, and arguments of boto3's clients.
_SECTIONS = {
    "key_pair": ("key_name",),
    "aws_credentials": (
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "endpoint_url",
        "verify",
        "use_ssl",
        "api_version",
    ),
}

ZONE = re.compile(r"([a-z]+(?:-[a-z]+)+-[0-9]+)[a-z]")  # us-west-2a: a region and a letter


def machine(location: str, node_config: dict[str, Any], catalog: Catalog) -> NodeMachine:
    """Return the machine of a node type.

    Args:
        location: the node type's place in the cluster file, for the error.
        node_config: the node type's ``node_config``; without LaunchTemplate where what that holds is in it.
        catalog: what is known about machine types.

    Raises:
        MachineInTemplateError: there is no ``InstanceType`` beside a ``LaunchTemplate``.
        ClusterConfigError: there is no ``InstanceType``, or a market that EC2 does not have.
        UnknownInstanceTypeError: the catalog does not have it.
    """
    name = _instance_type(location, node_config)
    market = _market(f"{location}.node_config", node_config)
    check_market(f"{location}.node_config", node_config, market)
    try:
        machine_type = catalog.machine_type(CLOUD.name, name)
    except AccelScalingError as error:
        # The same error type, so callers can tell an unknown type; its text begins with the key.
        raise type(error)(f"{location}: {error}") from None
    if market == BLOCK:
        check_placement(location, node_config)
    note = capacity_note(CLOUD.name, machine_type.name, _bought(market, node_config), _REMEDIES)
    return NodeMachine(
        machine_type,
        capacity_type=capacity_type_of(node_config),
        notes=(note,) if note else (),
        market_in_template=bool(node_config.get("LaunchTemplate")) and "InstanceMarketOptions" not in node_config,
    )


def check_node_config(location: str, node_config: dict[str, Any]) -> None:
    """Refuse what boto3 or Ray would refuse at a launch: unknown keys, and values of the wrong kind.

    Raises:
        ClusterConfigError: names the key.
    """
    request_model.check(f"{location}.node_config", node_config)
    network.check_interfaces(f"{location}.node_config", node_config)


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
            "to use that zone only"
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


def cluster_notes(cluster: Cluster) -> list[str]:
    """Return the notes about the network and about CloudWatch on workers without a role.

    Raises:
        ClusterConfigError: ``provider.cloudwatch`` is not what Ray's helper reads, another key of the provider
            section has a key that Ray does not read, or a node type cannot have the network or the placement.
    """
    if cluster.is_ours:
        machine_placement.check(cluster)
        return [*network.checked(cluster), *_cloudwatch_notes(cluster)]
    return _cloudwatch_notes(cluster)


def _cloudwatch_notes(cluster: Cluster) -> list[str]:
    for section, keys in _SECTIONS.items():
        _check_section(f"provider.{section}", cluster.provider.get(section), keys)
    given = cluster.provider.get("cloudwatch")
    if given is None:
        return []
    _check_cloudwatch(given)
    if not cluster.is_ours or not given:
        return []
    without = [
        one.location
        for one in cluster.node_types.values()
        if not one.is_head and not {"IamInstanceProfile", "LaunchTemplate"} & set(one.node_config)
    ]
    if not without:
        return []
    note = (
        f"provider.cloudwatch: {', '.join(without)} have no node_config.IamInstanceProfile; without it AWS Systems "
        f"Manager does not reach their machines, and CloudWatch is not set up there; name a profile with AWS's "
        f"policies "
        "CloudWatchAgentServerPolicy and AmazonSSMManagedInstanceCore"
    )
    return [note]


def network_devices(node_type: NodeType, provider: dict[str, Any]) -> int:
    """Return how many EFA devices a machine of a node type has.

    Raises:
        ClusterConfigError: it has no EFA, and the file asks for it.
    """
    return network.devices_of(node_type, provider) if provider.get("type") == "external" else 0


def _check_section(path: str, given: Any, keys: tuple[str, ...]) -> None:
    if given is not None and not isinstance(given, dict):
        raise ClusterConfigError(f"{path} is {shown(given)}; expected keys, such as {{{keys[0]}: ...}}")
    for name in given or {}:
        if name not in keys:
            raise ClusterConfigError(
                f"{path}.{str(name)[:60]} is a key that nothing reads{hint(str(name)[:60], keys)}; the keys there are "
                f"{', '.join(keys)}"
            )


def _check_cloudwatch(given: Any) -> None:
    key = "provider.cloudwatch"
    example = "{agent: {config: agent.json}}"
    if not isinstance(given, dict):
        raise ClusterConfigError(f"{key} is {shown(given)}; expected keys, such as {example}")
    for name, part in given.items():
        if name not in CLOUDWATCH_PARTS:
            raise ClusterConfigError(f"{key}.{str(name)[:60]}: the parts are {', '.join(CLOUDWATCH_PARTS)}")
        if not isinstance(part, dict):
            raise ClusterConfigError(f"{key}.{name} is {shown(part)}; expected keys, such as {example}")
        if not isinstance(part.get("config") or "", str):
            raise ClusterConfigError(
                f"{key}.{name}.config is {shown(part.get('config'))}; expected the path of a JSON file"
            )


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
    # Like Ray, `ray up` asks for the template first (launch_templates.py); whoever has not asked writes no image.
    if node_config.get("LaunchTemplate"):
        note = (
            f"{location}: the image comes from its LaunchTemplate, which `ray up` reads from EC2; if the template "
            f"names no image, `ray up` uses the default image"
        )
        return node_config, (note,)
    image = default_image(machine_type, system=node_type.system)
    if image is None or image.kind is ImageKind.NONE:
        return node_config, (no_image(location, machine_type, "ImageId"),)
    return {**node_config, "ImageId": RESOLVE_SSM + image.name}, ()


def _instance_type(location: str, node_config: dict[str, Any]) -> str:
    name = node_config.get("InstanceType")
    if name and not isinstance(name, str):
        raise ClusterConfigError(
            f"{location}.node_config.InstanceType is {shown(name)}; expected one instance type, as text"
        )
    if not name and node_config.get("LaunchTemplate"):
        raise MachineInTemplateError(
            f"{location}.node_config has a LaunchTemplate and no InstanceType, and only EC2 knows the template: `ray "
            f"up` reads it, and takes the machine type, the image and the promise from it; to see the promise "
            f"earlier, write InstanceType, which is then used in place of the template's"
        )
    if not name or not name.strip():
        raise ClusterConfigError(
            f"{location}.node_config.InstanceType is missing{_written_instead(node_config)}; name an EC2 instance type "
            "there, such as g5.xlarge"
        )
    return name.strip()


def _written_instead(node_config: dict[str, Any]) -> str:
    """Return the key that was written in place of InstanceType, in brackets; empty where there is none."""
    near = next((str(key) for key in node_config if nearest(str(key), ["InstanceType"], cutoff=0.7)), "")
    return f" (there is {near[:60]}, which nothing reads)" if near and near != "InstanceType" else ""


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
            f"{location}.InstanceMarketOptions is {shown(options)}; expected keys, such as {{MarketType: spot}}"
        )
    market = options.get("MarketType") or ""
    if market not in MARKETS:
        known = ", ".join(MARKETS[1:])
        raise ClusterConfigError(f"{location}.InstanceMarketOptions.MarketType is {shown(market)}; it takes {known}")
    return str(market)
