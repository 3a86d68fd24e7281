"""The template of new cluster files for Google Cloud."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from accel_scaling.catalog.guest_accelerators import api_names, attach, attach_rules
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.node_needs import default_image
from accel_scaling.cluster.shape import GCP_IMAGE, PROJECT, RESERVATION
from accel_scaling.errors import ClusterConfigError, InitError
from accel_scaling.init.model import Choice
from accel_scaling.init.template import ClusterTemplate, one_region, scalar
from accel_scaling.init.text import YOURS
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.node_config import zones_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.init.model import AcceleratorRequest, FileRequest, Place

_PROJECT_ID = re.compile(r"[a-z0-9][-a-z0-9.:]{1,62}")
_N1 = "n1-standard-"  # what GPUs are attached to
_N1_VCPUS_PER_GPU = 4  # as a G2 has for an L4: a smaller N1 starves its GPU


class GCPTemplate(ClusterTemplate):
    """Cluster files for Compute Engine and Cloud TPU; machines run in the zones that are named."""

    place_option = "--zones"
    moves_to_near_region = False  # a zone of it would be a guess
    login = " (gcloud auth application-default login)"
    plain_family = "n2-standard-"
    image_placeholder = GCP_IMAGE
    reservation = (RESERVATION, "the name of your reservation")
    capacity_notes = MappingProxyType(
        {
            CapacityType.SPOT: ("spot: cheaper, but Google may reclaim it at any time.",),
            CapacityType.BLOCK: ("block: a machine ends with its reservation.",),
            CapacityType.FLEX_START: (
                "flex-start: Google starts a machine when it has one, for at most wait_for, and ends it after run_for.",
            ),
        }
    )

    def check(self, request: FileRequest) -> None:
        """Refuse what is no project's id."""
        if request.project is not None and not _PROJECT_ID.fullmatch(request.project):
            raise InitError(
                f"--project {shown(request.project)} is not a project's id; expected an id such as my-project-123"
            )

    def region_of(self, request: FileRequest) -> str:
        """Return the region of the zones that are asked for."""
        if not request.zones:
            raise InitError(
                f"--region {request.region} is not enough on Google Cloud; name zones of it "
                f"with --zones, such as {request.region}-b"
            )
        try:
            zones = zones_of({"availability_zone": list(request.zones)})
        except ClusterConfigError as error:
            raise InitError(f"--zones: {error}") from None
        return one_region(request, [zone.rpartition("-")[0] for zone in zones])

    def place_values(self, request: FileRequest, place: Place, note: str) -> dict[str, str]:
        """Return the zones and the project, with their notes."""
        del note
        several = "tried in this order"
        order = several if len(place.zones) > 1 else "or several of the region, to try in turn: a,b,c in full"
        return {
            "zones": scalar(",".join(place.zones)),
            "region_note": order if place.given else f"the default; {order}",
            "project": scalar(request.project or PROJECT),
            "project_note": "as asked" if request.project else f"{YOURS}the id of your GCP project",
        }

    def worker(self, choice: Choice, request: FileRequest, values: dict[str, str]) -> str:
        """Return a node type with its machine type, what is attached to it, or its TPU slice."""
        del request
        if choice.slice is not None:
            image = default_image(choice.machine, of_slice=True)
            return self.part("slice", **values, runtime=scalar(image.name if image else ""))
        guests = ""
        if choice.guest:
            guests = self.part("guests", accelerator=scalar(choice.guest), count=scalar(choice.count))
        maintenance = self.part("maintenance") if choice.chip else ""
        return self.part("machine", **values, guests=guests, maintenance=maintenance)

    def attached(self, request: AcceleratorRequest, names: Collection[str], catalog: Catalog) -> list[Choice]:
        """Return N1 machines with GPUs attached: of each count the smallest machine that does not starve them."""
        guests = {
            guest for guest, chip in api_names(catalog.chips.values(), self.cloud.name).items() if chip.name in names
        }
        sizes = sorted(
            (machine for name, machine in catalog.machine_types(self.cloud.name).items() if name.startswith(_N1)),
            key=lambda machine: machine.vcpus,
        )
        choices = []
        for guest in sorted(guest for guest in guests if not guest.endswith("-vws")):
            for rule in attach_rules(self.cloud.name).get(guest, []):
                least_vcpus = _N1_VCPUS_PER_GPU * rule.count
                fitting = [machine for machine in sizes if rule.allows(machine) and machine.vcpus >= least_vcpus]
                # A rule for some zones only is left out: the file may be about other zones, now or later.
                if fitting and not rule.only_in:
                    choices.append(Choice(request, attach(catalog, fitting[0], guest, rule.count), guest))
        return choices


TEMPLATE = GCPTemplate(CLOUD, Path(__file__).parent / "init")
