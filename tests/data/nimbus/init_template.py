"""The template of new cluster files for Nimbus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.providers.nimbus.cloud import CLOUD

from accel_scaling.init.template import ClusterTemplate

if TYPE_CHECKING:
    from accel_scaling.init.model import Choice, FileRequest, Place


class NimbusTemplate(ClusterTemplate):
    """Cluster files for Nimbus, which has regions and no zones."""

    plain_family = "plain."

    def region_of(self, request: FileRequest) -> str:
        """Return the region that is asked for."""
        return request.region or self.cloud.region_example

    def place_values(self, request: FileRequest, place: Place, note: str) -> dict[str, str]:
        """Return why the region was chosen."""
        del request, place
        return {"region_note": note}

    def worker(self, choice: Choice, request: FileRequest, values: dict[str, str]) -> str:
        """Return a node type with its flavor."""
        del choice
        return self.part("machine", **values, spot="spot: true" if request.spot else "")


TEMPLATE = NimbusTemplate(CLOUD, Path(__file__).parent / "init")
