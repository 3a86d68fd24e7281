"""Google TPUs: the bus, then the driver's device nodes, then what the metadata server says of the slice."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import TPU_RESOURCE_PER_CHIP
from accel_scaling.catalog import product_names
from accel_scaling.detect import pci
from accel_scaling.detect.container import hidden_trouble, taken
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import Family
from accel_scaling.families.kinds import kinds_on_bus, with_kinds
from accel_scaling.families.probe import devices_on_bus
from accel_scaling.families.visible import Reading
from accel_scaling.message_text import shown
from accel_scaling.timeouts import METADATA_SERVER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip

VARIABLE = "TPU_VISIBLE_CHIPS"
IOMMU_GROUPS = "sys/kernel/iommu_groups"
VENDOR = "1ae0"  # Google's, of its network and disk devices too

# v2 and v3 have one PCI id and differ in the subsystem's: github.com/google/cloud-accelerator-diagnostics, tpu_info.
_BY_SUBSYSTEM = {"004e": "TPU-V2", "004f": "TPU-V3"}

# Google's own libraries read it: google-auth, google/auth/compute_engine/_metadata.py.
HOST_VARIABLE = "GCE_METADATA_HOST"
HOST = "metadata.google.internal"
ATTRIBUTES = "/computeMetadata/v1/instance/attributes/"

# Attribute and the variable that overrides it: ray/_private/accelerators/tpu.py.
ACCELERATOR_TYPE = ("accelerator-type", "TPU_ACCELERATOR_TYPE")
WORKER_ID = ("agent-worker-number", "TPU_WORKER_ID")

_MOST_DIGITS = 4  # of units for each chip: Ray's own generations have one or two
_POD_TYPE = re.compile(r"(?:v|tpu)\d+[a-zA-Z]*-\d+")


def detect(bus: Sequence[pci.PciDevice], root: Path) -> Detection:
    """Ask the bus, the device nodes and, where there is a TPU, the metadata server."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    nodes = device_nodes(root)
    if not on_bus and not nodes:
        return Detection(
            FAMILY.name, FAMILY.resource, evidence=(pci.sentence(on_bus, FAMILY.noun), _nodes_sentence([]))
        )
    who = identity()
    chips = _chips(on_bus)
    ray_type = who.ray_type if nodes else None
    state, trouble = _state(on_bus, nodes, who, root)
    different = len({(device.id, device.subsystem) for device in on_bus}) > 1
    # A container that was given some of its machine's chips sees them all on the bus.
    given = 0 < len(nodes) < len(on_bus)
    kinds = kinds_on_bus(on_bus, chips, lambda device: _chips([device])) if different and not given else ()
    known = [chip for chip in chips if chip.detected_type == ray_type] or chips
    types = dict.fromkeys((*product_names.types_of(known), *([ray_type] if ray_type and not known else [])))
    detection = Detection(
        family=FAMILY.name,
        resource=FAMILY.resource,
        count=len(nodes),
        units=len(nodes),
        ray_units=len(nodes),
        accelerator_type=ray_type,
        variant=product_names.exact_name(known),
        answers_to=tuple(types),
        devices=_devices(on_bus, nodes, [] if kinds else known),
        bus_count=len(on_bus),
        driver_count=len(nodes),
        state=state,
        trouble=trouble,
        pod_type=who.pod_type,
        worker_id=who.worker_id,
        evidence=(pci.sentence(on_bus, FAMILY.noun), _nodes_sentence(nodes), _who_sentence(who)),
    )
    return with_kinds(detection, kinds)


def _chips(on_bus: Sequence[pci.PciDevice]) -> list[Chip]:
    if not on_bus:
        return []
    candidates = product_names.chips_on_bus(on_bus[0].id, chips_of(FAMILY.name))
    ray_type = _BY_SUBSYSTEM.get(on_bus[0].subsystem)
    return [chip for chip in candidates if chip.detected_type == ray_type] or candidates


def _state(on_bus: Sequence[pci.PciDevice], nodes: Sequence[str], who: Identity, root: Path) -> tuple[DriverState, str]:
    # Only what a driver has taken can lack a node; without any driver the state is MISSING.
    expected = expected_nodes(root, [device for device in on_bus if taken(root, [device])])
    if trouble := hidden_trouble(root, expected, len(nodes), "/dev/accel0, ... or /dev/vfio/0, ..."):
        return DriverState.HIDDEN, trouble
    if len(nodes) < expected:
        missing = expected - len(nodes)
        return DriverState.UNHEALTHY, f"{missing} of the {expected} that the driver has taken have no node below /dev"
    if on_bus and not nodes:
        return DriverState.MISSING, "the TPU driver is not loaded (no /dev/accel* and no /dev/vfio of Google's)"
    if who.silent:
        return DriverState.NOT_YET, who.trouble
    return DriverState.OK, ""


def _devices(on_bus: Sequence[pci.PciDevice], nodes: Sequence[str], chips: Sequence[Chip]) -> tuple[Device, ...]:
    name = chips[0].driver_names[0] if nodes and len(chips) == 1 and chips[0].driver_names else None
    if len(on_bus) != len(nodes):
        return tuple(Device(index, name) for index in range(len(nodes)))  # which one is missing is not known
    return tuple(Device(index, name, item.address, item.id) for index, item in enumerate(on_bus))


def _nodes_sentence(nodes: Sequence[str]) -> str:
    return (
        f"driver: {len(nodes)} of /dev/{nodes[0]}, ..."
        if nodes
        else "driver: no /dev/accel0, no /dev/vfio/0 of Google's"
    )


def _who_sentence(who: Identity) -> str:
    parts = [
        f"host {who.worker_id} of a {who.pod_type}" if who.pod_type and who.worker_id is not None else who.pod_type
    ]
    return "metadata: " + "; ".join(part for part in (*parts, who.trouble) if part)


def device_nodes(root: Path) -> list[str]:
    """Return the driver's nodes as Ray 2.60 counts them: ``accel0``, ... up to v4, ``vfio/0``, ... since v5e.

    NVIDIA's drivers make a directory /dev/accel, and other devices have vfio groups too: those are left out.
    """
    accel = [path for path in sorted((root / "dev").glob("accel*")) if not path.is_dir()]
    if accel:
        return [path.name for path in accel]
    folder = root / "dev" / "vfio"
    # The control node /dev/vfio/vfio is no group. By number, or group 10 would come before group 2.
    groups = sorted((path.name for path in folder.glob("*") if path.name.isdigit()), key=int)
    return [f"vfio/{group}" for group in groups if _is_google(root, group)]


def expected_nodes(root: Path, devices: Sequence[pci.PciDevice]) -> int:
    """Count the nodes that these devices must have: one each, or one for each of their vfio groups."""
    grouped = [
        {path.parent.parent.name for path in (root / IOMMU_GROUPS).glob(f"*/devices/{device.address}")}
        for device in devices
    ]
    groups = set[str]().union(*grouped)
    return len(groups) + sum(not names for names in grouped)


def _is_google(root: Path, group: str) -> bool:
    return any(_read(vendor) == f"0x{VENDOR}" for vendor in (root / IOMMU_GROUPS / group / "devices").glob("*/vendor"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True)
class Identity:
    """The slice that this host is in, by its own word.

    Attributes:
        pod_type: the slice's type as Ray writes it (``v4-16``, ``v7x-8``), empty where nobody says.
        worker_id: this host's number in its slice, None where nobody says.
        trouble: why something is missing, as the middle of a sentence.
        silent: whether that is because the metadata server did not answer: it may, a moment later.
    """

    pod_type: str = ""
    worker_id: int | None = None
    trouble: str = ""
    silent: bool = False

    @property
    def ray_type(self) -> str | None:
        """The accelerator_type that Ray 2.60 announces."""
        return f"TPU-{self.pod_type.split('-')[0].upper()}" if self.pod_type else None


def identity() -> Identity:
    """Ask; never raises."""
    values, trouble = [], []
    for attribute, variable in (ACCELERATOR_TYPE, WORKER_ID):
        value: str | None = os.environ.get(variable)
        if not value:
            try:
                value = ask_metadata_server(attribute)
            except MetadataServerError as error:
                # Not asked for the second attribute: it would wait as long again, and the boot with it.
                return Identity(trouble=str(error), silent=True)
            if value is None:
                trouble.append(f"the metadata server has no {attribute}")
        values.append((value or "").strip())
    name, number = values
    # As Ray's normalize_tpu_accelerator_type: its tables and its resources have v7x-8, and not tpu7x-8.
    pod_type = re.sub(r"^tpu-?v?", "v", name.lower()) if _POD_TYPE.fullmatch(name) else ""
    if name and not pod_type:
        trouble.append(f"{ACCELERATOR_TYPE[0]} is {shown(name)}, which is not a TPU's")
    return Identity(pod_type, int(number) if number.isdecimal() else None, "; ".join(trouble))


class MetadataServerError(Exception):
    """The metadata server does not answer, or with an error of its own."""


def ask_metadata_server(attribute: str) -> str | None:
    """Return an attribute of this instance; None where it has none.

    Raises:
        MetadataServerError: nobody answers.
    """
    import http.client  # here: it would cost the boot of every machine, most of them without TPUs, 15 ms

    host = os.environ.get(HOST_VARIABLE) or HOST
    connection = http.client.HTTPConnection(host, timeout=METADATA_SERVER_S)
    try:
        # Without this header, the server refuses to answer.
        connection.request("GET", ATTRIBUTES + attribute, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise MetadataServerError(f"the metadata server {host} does not answer ({error})") from None
    finally:
        connection.close()
    # 404 is an answer: the instance has no such attribute. An error of the server's own may be gone a moment later.
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise MetadataServerError(f"the metadata server {host} answers with HTTP {answer.status}")
    return text if answer.status == http.HTTPStatus.OK else None


def read_visible(environment: Mapping[str, str]) -> Reading | None:
    """Return what is visible, in units of Ray's ``TPU``."""
    value, per_chip = environment.get(VARIABLE), environment.get(TPU_RESOURCE_PER_CHIP, "1")
    if value is None:
        return None
    units = int(per_chip) if per_chip.isdecimal() and len(per_chip) < _MOST_DIGITS else 0
    chips = value.split(",") if value else []
    if units != 1:
        chips = [chip for chip in chips if chip.strip()]
    if value and (units < 1 or (units > 1 and not all(_is_whole(chip) for chip in chips))):
        return Reading(VARIABLE, value, (), f"Ray cannot read it with {TPU_RESOURCE_PER_CHIP}={shown(per_chip)}")
    return Reading(VARIABLE, value, tuple(chip for chip in chips for _ in range(units)))


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


FAMILY = Family(
    name="tpu",
    resource="TPU",
    visible_devices=VARIABLE,
    noun="TPU",
    vendors=[VENDOR],
    known_ids_only=True,
    ray_since=(2, 0),
    read_visible=read_visible,
    quantities=(1, 2, 4, 8),  # a host's chips are wired in these shapes
    unit="TPU chip",
    common=True,
    position=30,
    detect=detect,
)
