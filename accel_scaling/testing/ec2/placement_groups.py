"""Placement groups of the local EC2, which moto lacks: made, listed, deleted, and the rules for machines in them.

Codes are those of the EC2 API reference ("Error codes for the Amazon EC2 API"). That EC2 keeps a cluster group in one
zone is in the User Guide ("Placement group rules and limitations"); the words of that answer are not seen at AWS. That
it takes none with a Capacity Block is in `reservations`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_ENDED = ("terminated",)  # a machine that is shutting down holds its group


@dataclass
class PlacementGroup:
    """A placement group; the names of the attributes are EC2's, as moto writes them out."""

    group_name: str
    strategy: str
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "available"

    def described(self) -> dict[str, Any]:
        """Return it as DescribePlacementGroups has it."""
        tags = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return {"GroupName": self.group_name, "State": self.state, "Strategy": self.strategy, "Tags": tags}


def patch_placement_groups() -> None:
    """Make moto answer the calls for placement groups."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses import EC2Response

    def create_placement_group(self: Any) -> Any:
        name = self._get_param("GroupName")
        if name in groups_of(self.ec2_backend):
            raise error("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        tags = self._parse_tag_specification("placement-group").get("placement-group", {})
        group = PlacementGroup(name, self._get_param("Strategy") or "cluster", dict(tags))
        groups_of(self.ec2_backend)[name] = group
        return ActionResult({"PlacementGroup": group.described()})

    def describe_placement_groups(self: Any) -> Any:
        found = list(groups_of(self.ec2_backend).values())
        for name, values in (self._filters_from_querystring() or {}).items():
            if name == "group-name":
                found = [group for group in found if group.group_name in values]
            elif name.startswith("tag:"):
                found = [group for group in found if group.tags.get(name.removeprefix("tag:")) in values]
            else:
                raise error("InvalidParameterValue", f"The filter '{name}' is invalid")
        return ActionResult({"PlacementGroups": [group.described() for group in found]})

    def delete_placement_group(self: Any) -> Any:
        name = self._get_param("GroupName")
        _existing(self.ec2_backend, name)
        if machines_in(self.ec2_backend, name):
            raise error("InvalidPlacementGroup.InUse", f"The placement group {name} is in use and may not be deleted.")
        del groups_of(self.ec2_backend)[name]
        return ActionResult({"Return": True})

    for call in (create_placement_group, describe_placement_groups, delete_placement_group):
        setattr(EC2Response, call.__name__, call)


def groups_of(backend: Any) -> dict[str, PlacementGroup]:
    """Return the groups of a region by their names."""
    groups: dict[str, PlacementGroup] = backend.__dict__.setdefault("rehearsal_placement_groups", {})
    return groups


def check_group(backend: Any, name: str, zone: str) -> None:
    """Refuse a launch into a group as EC2 does.

    Args:
        backend: moto's, of the region.
        name: the group's; empty for none.
        zone: where the machines are to be.

    Raises:
        EC2ClientError: there is no such group, or EC2 places no such machine there.
    """
    if not name:
        return
    _existing(backend, name)
    if any(machine.placement.zone != zone for machine in machines_in(backend, name)):
        raise error(
            "InvalidParameterCombination", f"The placement group {name} is in another Availability Zone than {zone}."
        )


def machines_in(backend: Any, name: str) -> list[Any]:
    """Return the machines that hold a group."""
    every = backend.all_instances()
    return [one for one in every if getattr(one, "rehearsal_group", "") == name and one.state not in _ENDED]


def error(code: str, text: str) -> Exception:
    """Return what makes moto answer with a code of EC2's."""
    from moto.ec2.exceptions import EC2ClientError

    refused: Exception = EC2ClientError(code, text)
    return refused


def _existing(backend: Any, name: str) -> None:
    if name not in groups_of(backend):
        raise error("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
