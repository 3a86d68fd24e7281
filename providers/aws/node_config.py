"""How an AWS node type names its machine: InstanceType, market and place in `node_config` and `provider`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import LABEL_MARKET_TYPE, LABEL_REGION, LABEL_ZONE
from accel_scaling.cluster.machine import Machine
from accel_scaling.cluster.offering_checks import check_region
from accel_scaling.errors import AccelScalingError, ClusterConfigError

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog

CLOUD = "aws"
# The values of EC2's MarketType, as botocore's model of EC2 has them; "" is left out.
MARKETS = ("", "spot", "capacity-block", "on-demand", "interruptible-capacity-reservation")

ZONE = re.compile(r"([a-z]+(?:-[a-z]+)+-[0-9]+)[a-z]")  # us-west-2a: a region and a letter


def machine(where: str, node_config: dict[str, Any], catalog: Catalog) -> Machine:
    """Return the machine of a node type.

    Args:
        where: the node type's place in the cluster file, for the error.
        node_config: the node type's ``node_config``.
        catalog: what is known about machine types.

    Raises:
        ClusterConfigError: there is no ``InstanceType``, or a market that EC2 does not have.
        UnknownInstanceTypeError: the catalog does not have it.
    """
    name = machine_type_name(where, node_config)
    _market(f"{where}.node_config", node_config)
    try:
        return Machine(catalog.machine_type(CLOUD, name))
    except AccelScalingError as error:
        raise type(error)(f"{where}: {error}") from None


def machine_type_name(where: str, node_config: dict[str, Any]) -> str:
    """Return the EC2 instance type of a node type.

    Args:
        where: the key's place in the cluster file, for the error.
        node_config: the node type's ``node_config``.

    Raises:
        ClusterConfigError: there is no ``InstanceType``.
    """
    name = node_config.get("InstanceType")
    if name and not isinstance(name, str):
        raise ClusterConfigError(f"{where}.node_config.InstanceType is {name!r}; it takes one instance type, as text")
    if not name or not name.strip():
        raise ClusterConfigError(
            f"{where}.node_config.InstanceType is missing; name an EC2 instance type there, such as g5.xlarge"
        )
    return name.strip()


def region_of(config: dict[str, Any]) -> str:
    """Return the cluster's AWS region.

    Raises:
        ClusterConfigError: there is none, or it is a zone.
    """
    region = (config.get("provider") or {}).get("region")
    if not isinstance(region, str) or not region:
        raise ClusterConfigError("provider.region is missing; name an AWS region there, such as us-west-2")
    if zone := ZONE.fullmatch(region):
        raise ClusterConfigError(
            f"provider.region is {region!r}, which is a zone; write region: {zone[1]}, and availability_zone: {region} "
            "where it is to be that zone only"
        )
    return region


def check_place(
    where: str,
    provider: dict[str, Any],
    node_config: dict[str, Any],  # noqa: ARG001 - as fill.gcp, whose GPUs are named there
    found: Machine,
    catalog: Catalog,
) -> None:
    """Refuse zones of another region, and an instance type that the region does not have, as far as the catalog knows.

    Raises:
        ClusterConfigError: names the zone, or regions that have the type.
    """
    region = provider.get("region")
    if isinstance(region, str):
        _check_zones(provider, region)
        key = f"{where}.node_config.InstanceType"
        check_region(key, found.name, catalog.where(found.machine), CLOUD, region)


def _check_zones(provider: dict[str, Any], region: str) -> None:
    for zone in _zones(provider):
        of = ZONE.fullmatch(zone)  # a Local Zone's name is another: us-west-2-lax-1a
        if of and of[1] != region:
            raise ClusterConfigError(
                f"provider.region is {region!r}, and provider.availability_zone {zone} is in {of[1]}; make them agree"
            )


def _zones(provider: dict[str, Any]) -> list[str]:
    return [zone.strip() for zone in str(provider.get("availability_zone") or "").split(",") if zone.strip()]


def _market(at: str, node_config: dict[str, Any]) -> str:
    """Return the market on which EC2 sells the machine: "" for on demand.

    The values are those of EC2's InstanceMarketOptionsRequest: see MARKETS.
    """
    options = node_config.get("InstanceMarketOptions") or {}
    if not isinstance(options, dict):
        raise ClusterConfigError(
            f"{at}.InstanceMarketOptions is {options!r}; it takes keys, such as {{MarketType: spot}}"
        )
    market = options.get("MarketType") or ""
    if market not in MARKETS:
        known = ", ".join(MARKETS[1:])
        raise ClusterConfigError(f"{at}.InstanceMarketOptions.MarketType is {market!r}; it takes {known}")
    return str(market)


def place_labels(provider: dict[str, Any], node_config: dict[str, Any]) -> dict[str, str]:
    """Return the labels that the config fixes: market type, region, and the zone where there is only one."""
    market = _market("node_config", node_config)
    labels = {LABEL_MARKET_TYPE: "spot" if market == "spot" else "on-demand"}
    region = provider.get("region")
    if region:
        labels[LABEL_REGION] = str(region)
    zones = _zones(provider)
    if len(zones) == 1:
        labels[LABEL_ZONE] = zones[0]
    return labels
