"""The template of new cluster files for AWS."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from accel_scaling.clouds import cloud_of_region
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.shape import AWS_IMAGE, CAPACITY_BLOCK
from accel_scaling.errors import ClusterConfigError, InitError
from accel_scaling.init.template import ClusterTemplate, one_region, scalar
from accel_scaling.message_text import shown
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.node_config import ZONE, region_of

if TYPE_CHECKING:
    from accel_scaling.init.model import Choice, FileRequest, Place


class AWSTemplate(ClusterTemplate):
    """Cluster files for EC2; zones are optional."""

    plain_family = "m5."
    image_placeholder = AWS_IMAGE
    reservation = (CAPACITY_BLOCK, "the id of your Capacity Block")
    capacity_notes = MappingProxyType(
        {
            CapacityType.SPOT: (
                "spot: a fraction of the price, but AWS may take it back at any time. An account's first spot machine",
                "needs a role that AWS makes for it, once:",
                "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
            ),
            CapacityType.BLOCK: ("block: a machine ends with its Capacity Block.",),
        }
    )

    def check(self, request: FileRequest) -> None:
        """Refuse ``--project``."""
        if request.project is not None:
            raise InitError("--project is for gcp; on AWS your credentials say which account it is")

    def region_of(self, request: FileRequest) -> str:
        """Return the region that is asked for, by its name or by zones."""
        if not request.zones:
            return self._region_alone(request)
        regions = []
        for zone in request.zones:
            match = ZONE.fullmatch(zone)
            if match is None:
                raise InitError(f"--zones: {shown(zone)} is not a zone; write each in full, such as us-west-2a")
            regions.append(match[1])
        return one_region(request, regions)

    def place_values(self, request: FileRequest, place: Place, note: str) -> dict[str, str]:
        """Return the region's note, and the zones where some were asked for."""
        del request
        zones = f"availability_zone: {scalar(','.join(place.zones))} # tried in this order" if place.zones else ""
        return {"zones": zones, "region_note": note}

    def worker(self, choice: Choice, request: FileRequest, values: dict[str, str]) -> str:
        """Return a node type with its instance type."""
        del choice, request
        return self.part("machine", **values)

    def _region_alone(self, request: FileRequest) -> str:
        try:
            region = region_of({"provider": {"region": request.region}})
        except ClusterConfigError as error:
            raise InitError(f"--region: {error}") from None
        if cloud_of_region(region) != self.cloud.name:
            raise InitError(
                f"--region: {shown(region)} is not a region of {self.cloud.title}; write one such as "
                f"{self.cloud.region_example}"
            )
        return region


TEMPLATE = AWSTemplate(CLOUD, Path(__file__).parent / "init")
