"""The starter file itself: the parts, filled with what was chosen and what there is to say about it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import DEFAULT_MAX_WORKERS
from accel_scaling.cluster.default_image import default_image
from accel_scaling.cluster.node_needs import ImageKind, needs_of
from accel_scaling.cluster.placeholders import AWS_IMAGE, GCP_IMAGE, PROJECT
from accel_scaling.fill.defaults import ray_requirement
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.init.choose import Choice, choose, plain
from accel_scaling.init.regions import place, with_all
from accel_scaling.init.request import check
from accel_scaling.init.template import comment, part, scalar, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import Slice
    from accel_scaling.init.regions import Place
    from accel_scaling.init.request import Wanted

_YOURS = "<- "  # begins the comment of a value that the user has to put in

_CLOUD_NAMES = {"aws": ("AWS", "EC2"), "gcp": ("Google Cloud", "Google Cloud")}
_MIB_PER_GIB = 1024


def starter(wanted: Wanted, catalog: Catalog) -> str:
    """Return a complete, commented cluster file.

    Raises:
        StarterError: something that cannot be: it names the option.
        UnknownAcceleratorError, UnknownTpuError: nothing has that name.
    """
    check(wanted)
    asked = place(wanted, ()) if wanted.zones or wanted.region is not None else None
    choices = [choose(each, wanted.cloud, catalog, asked.region if asked else None) for each in wanted.accelerators]
    choices += [plain(vcpus, wanted.cloud, catalog) for vcpus in wanted.cpus]
    wanted = replace(wanted, max_workers=wanted.max_workers or max(DEFAULT_MAX_WORKERS, len(choices)))
    usual = asked or place(wanted, [each.chip for each in choices if each.chip])
    where = with_all(usual, wanted.cloud, [each.machine for each in choices if not each.slice], catalog)
    names = _names(choices)
    workers = "\n".join(_worker(name, each, wanted) for name, each in zip(names, choices, strict=True))
    return part(
        wanted.cloud,
        title=words(_title(wanted.cloud, choices)),
        commands=_commands(wanted),
        name=scalar(wanted.name or f"{wanted.cloud}-{names[0]}"[:35]),
        region=scalar(where.region),
        head=scalar(where.head),
        max_workers=scalar(wanted.max_workers or DEFAULT_MAX_WORKERS),
        workers=workers,
        ray=ray_requirement(),
        catalog=f"catalog: [{', '.join(map(scalar, wanted.catalogs))}]" if wanted.catalogs else "",
        **_of_cloud(wanted, where),
    )


def to_fill_in(text: str) -> list[str]:
    """Return the lines of a starter file in which the user has to put something of their own."""
    return [f"line {number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if _YOURS in line]


def _region_note(where: Place) -> str:
    if where.instead_of:
        return f"near {where.instead_of}, which does not have all of these machines"
    return "as asked" if where.given else "the usual one; yours may be another"


def _of_cloud(wanted: Wanted, where: Place) -> dict[str, str]:
    """Return what only one cloud's file has."""
    if wanted.cloud == "aws":
        zones = f"availability_zone: {scalar(','.join(where.zones))} # tried in this order" if where.zones else ""
        return {"zones": zones, "region_note": _region_note(where)}
    tried = "tried in this order" if len(where.zones) > 1 else "or several of the region, to try in turn: a,b,c in full"
    return {
        "zones": scalar(",".join(where.zones)),
        "region_note": tried if where.given else f"the usual one; {tried}",
        "project": scalar(wanted.project or PROJECT),
        "project_note": "as asked" if wanted.project else f"{_YOURS}the id of your GCP project",
    }


def _title(cloud: str, choices: Sequence[Choice]) -> str:
    kinds = ", ".join(f"{each.count} x {each.chip.name}" if each.chip else "plain" for each in choices)
    return f"Workers on {_CLOUD_NAMES[cloud][0]}: {kinds}. Written by `accel-scaling init`; yours to change."


def _commands(wanted: Wanted) -> str:
    file = shlex.quote(wanted.file) if wanted.file.isprintable() else "FILE"
    cloud, emulated = _CLOUD_NAMES[wanted.cloud]
    login = " (gcloud auth application-default login)" if wanted.cloud == "gcp" else ""
    said = [
        (f"accel-scaling fill {file}", "what each node will announce; no network"),
        (f"accel-scaling rehearse {file}", f"the whole loop on this machine, {emulated} emulated, free"),
        (f"ray up {file}", f"on {cloud}, with your credentials{login}"),
        (f"ray down {file}", "ends everything, and what it costs"),
    ]
    width = max(len(command) for command, _ in said)
    return "\n".join(f"#   {command:<{width}}   {what}" for command, what in said)


def _names(choices: Sequence[Choice]) -> list[str]:
    """Return the node types' names: what the accelerator is called, with its count where there are several."""
    names: list[str] = []
    for each in choices:
        kind = _slug(each.slice.accelerator_type if each.slice else each.chip.name if each.chip else "cpu")
        name = f"{kind}-x{each.count}" if each.chip and not each.slice and each.count > 1 else kind
        same = sum(1 for other in names if other == name or other.startswith(f"{name}-n"))
        names.append(f"{name}-n{same + 1}" if same else name)
    return names


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "worker"


def _worker(name: str, choice: Choice, wanted: Wanted) -> str:
    common = {
        "name": scalar(name),
        "comments": comment(*_comments(choice)),
        "max_workers": scalar(wanted.max_workers or DEFAULT_MAX_WORKERS),
        "machine": scalar(choice.name),
        "has": words(_has(choice)),
    }
    if choice.slice is not None:
        image = default_image(choice.machine, of_slice=True)
        market = part("gcp_slice_spot") if wanted.spot else ""
        return part("gcp_slice", **common, runtime=scalar(image.name if image else ""), market=market)
    common |= {"image": _image(choice.machine), "market": _market(choice, wanted)}
    if wanted.cloud == "aws":
        return part("aws_machine", **common)
    guests = ""
    if choice.guest:
        guests = part("gcp_guests", accelerator=scalar(choice.guest), count=scalar(choice.count))
    return part("gcp_machine", **common, guests=guests)


def _image(machine: MachineType) -> str:
    """Return the keys of an image of the user's own, where the cloud has none with the driver."""
    image = default_image(machine)
    if image is not None and image.kind is not ImageKind.NONE:
        return ""
    needs = needs_of(machine.chip.family) if machine.chip else None
    must = image.note if image else needs.driver if needs else "the accelerator's driver"
    company = _CLOUD_NAMES[machine.cloud][0]
    said = comment(f"{company} has no image with its driver. Yours must hold Python, ssh, and {must}.")
    theirs = AWS_IMAGE if machine.cloud == "aws" else GCP_IMAGE
    return part(f"{machine.cloud}_image", needs=said, image=scalar(theirs))


def _market(choice: Choice, wanted: Wanted) -> str:
    if wanted.spot:
        return part(f"{wanted.cloud}_spot")
    return part("gcp_on_demand") if wanted.cloud == "gcp" and choice.chip else ""


def _has(choice: Choice) -> str:
    machine = choice.machine
    size = f"{machine.vcpus} vCPUs, {machine.memory_mib / _MIB_PER_GIB:g} GiB"
    if choice.slice is not None:
        hosts = "1 host" if choice.slice.hosts == 1 else f"{choice.slice.hosts} hosts"
        return f"{choice.slice.chips} chips, {choice.slice.topology}, in {hosts} of {size}"
    if choice.chip is None:
        return size
    each = f" of {choice.chip.memory_mib / _MIB_PER_GIB:.0f} GiB" if choice.chip.memory_mib else ""
    return f"{choice.count} x {choice.chip.name}{each}, {size}"


def _comments(choice: Choice) -> list[str]:
    chip, asked = choice.chip, choice.asked
    if chip is None or asked is None:
        return [f"Each node announces CPU {choice.machine.vcpus}; a task that asks for num_cpus only may run here."]
    said = []
    if asked.count is not None and asked.count != choice.count:
        said.append(f"{asked.count} were asked for; {choice.count} is the fewest that there is.")
    units = choice.machine.count * chip.units_per_device
    types = accelerator_types(chip)
    told = f" and accelerator_type {' and '.join(types)}" if types else ", and no accelerator_type"
    node = "Each host is a Ray node that" if choice.slice and choice.slice.hosts > 1 else "Each node"
    said.append(f"{node} announces {chip.resource} {units}{told}. A task asks:")
    said.append(f"  @ray.remote({_request(choice, units, types)})")
    if choice.slice is not None and choice.slice.hosts > 1:
        said += _whole_slice(choice.slice)
    if choice.also:
        said.append(f"also: {', '.join(_alternative(each, choice) for each in choice.also)}")
    return said


def _request(choice: Choice, units: int, types: Sequence[str]) -> str:
    """Return the arguments of `ray.remote` for all of one node's devices."""
    chip: Chip | None = choice.chip
    resource = chip.resource if chip else ""
    amount = f"num_gpus={units}" if resource == "GPU" else f'resources={{"{resource}": {units}}}'
    asked = (choice.asked.name if choice.asked else "").casefold()
    name = next((each for each in types if each.casefold() == asked), types[-1] if types else None)
    return f'{amount}, accelerator_type="{name}"' if name else amount


def _whole_slice(found: Slice) -> list[str]:
    which = f'topology="{found.topology}", accelerator_version="{found.generation}"'
    return [
        "or for the whole slice, so that Ray creates one, not one for each host (ray.util.tpu):",
        f"  slice_placement_group({which}, head_reservation_timeout_s=1200)",
    ]


def _alternative(other: Choice, choice: Choice) -> str:
    kind = other.chip.name if other.chip and other.chip != choice.chip else ""
    if kind or other.count != choice.count:
        return f"{other.name} ({other.count} x {kind or choice.chip.name})" if choice.chip else other.name
    return other.name if other.slice else f"{other.name} ({other.machine.vcpus} vCPUs)"
