"""The text of a new cluster file: the templates, filled with the machines that were chosen and comments on them."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import DEFAULT_MAX_WORKERS
from accel_scaling.catalog.capacity_types import sold_as
from accel_scaling.catalog.tpu_generations import is_tpu_type
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.cluster.capacity_notes import ways
from accel_scaling.cluster.capacity_text import sold_as_of
from accel_scaling.cluster.node_needs import ImageKind, default_image, needs_of
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.init.capacity import ON_DEMAND, Bought, capacity_key
from accel_scaling.init.choice import ALTERNATIVES, choose, plain, template_of
from accel_scaling.init.model import Choice, check
from accel_scaling.init.regions import requested_place, usual_place, with_all
from accel_scaling.init.template import comment, scalar, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.clouds import Cloud
    from accel_scaling.init.model import AcceleratorRequest, FileRequest
    from accel_scaling.init.template import ClusterTemplate

YOURS = "<- "  # begins the comment of a value that the user has to put in
NOT_SOLD = "Not sold "  # begins the comment on a machine that is bought in another way than was asked for
MORE = "More than asked: "  # begins the comment on a machine with more devices than were asked for
FEWER = "Fewer: "  # begins the comment on one with fewer that was not taken

_MIB_PER_GIB = 1024


def cluster_file(request: FileRequest, catalog: Catalog) -> str:
    """Return a complete, commented cluster file.

    Raises:
        InitError: something that cannot be: it names the option.
        UnknownAcceleratorError, UnknownTpuError: nothing has that name.
    """
    check(request)
    cloud = known_clouds()[request.cloud]
    template = template_of(cloud)
    template.check(request)
    requested = requested_place(request, template)
    region = requested.region if requested else None
    choices = [choose(accelerator, template, catalog, region) for accelerator in request.accelerators]
    choices += [plain(vcpus, template, catalog) for vcpus in request.cpus]
    request = replace(request, max_workers=request.max_workers or max(DEFAULT_MAX_WORKERS, len(choices)))
    place = requested or usual_place(template, choices, catalog)
    place = with_all(place, template, [choice.machine for choice in choices if not choice.slice], catalog)
    names = _names(choices)
    workers = (_worker(name, choice, request, template, catalog) for name, choice in zip(names, choices, strict=True))
    return template.part(
        "cluster",
        title=words(_title(cloud, choices)),
        commands=_commands(request, template),
        name=scalar(request.name or f"{request.cloud}-{names[0]}"[:35]),  # as long as request.check() allows
        region=scalar(place.region),
        head=scalar(place.head),
        max_workers=scalar(request.max_workers or DEFAULT_MAX_WORKERS),
        workers="\n".join(workers),
        capacity=_capacity(names, choices, request, template),
        catalog=f"catalog: [{', '.join(map(scalar, request.catalogs))}]" if request.catalogs else "",
        **template.place_values(request, place, place.note),
    )


def to_fill_in(text: str) -> list[str]:
    """Return the lines of a starter file in which the user has to put something of their own."""
    return [f"line {number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if YOURS in line]


def not_as_asked(text: str) -> list[str]:
    """Return the comments of a starter file on machines that are larger, or bought in another way, than was asked."""
    begins = tuple(f"# {words_}" for words_ in (MORE, FEWER, NOT_SOLD))
    return [line.strip().removeprefix("# ") for line in text.splitlines() if line.strip().startswith(begins)]


def _title(cloud: Cloud, choices: Sequence[Choice]) -> str:
    kinds = ", ".join(f"{choice.count} x {choice.chip.name}" if choice.chip else "plain" for choice in choices)
    return f"Workers on {cloud.title}: {kinds}. Written by `accel-scaling init`; yours to change."


def _commands(request: FileRequest, template: ClusterTemplate) -> str:
    file = shlex.quote(request.file) if request.file.isprintable() else "FILE"
    cloud = template.cloud
    commands = [
        (f"accel-scaling fill {file}", "what each node will announce; no network"),
        (f"accel-scaling rehearse {file}", f"the whole loop on this machine, {cloud.compute} emulated, free"),
        (f"ray up {file}", f"on {cloud.title}, with your credentials{template.login}"),
        (f"ray down {file}", "terminates all machines and ends the costs"),
    ]
    width = max(len(command) for command, _ in commands)
    return "\n".join(f"#   {command:<{width}}   {purpose}" for command, purpose in commands)


def _names(choices: Sequence[Choice]) -> list[str]:
    """Return the node types' names: what the accelerator is called, with its count where there are several."""
    names: list[str] = []
    for choice in choices:
        base = _slug(choice.slice.accelerator_type if choice.slice else choice.chip.name if choice.chip else "cpu")
        name = f"{base}-x{choice.count}" if choice.chip and not choice.slice and choice.count > 1 else base
        # Two node types must not have one name: YAML would keep the last of them.
        same = sum(1 for other in names if other == name or other.startswith(f"{name}-n"))
        names.append(f"{name}-n{same + 1}" if same else name)
    return names


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "worker"


def _worker(name: str, choice: Choice, request: FileRequest, template: ClusterTemplate, catalog: Catalog) -> str:
    nowhere = None if choice.slice else catalog.nowhere(choice.machine)
    values = {
        "name": scalar(name),
        "comments": comment(
            *_comments(choice),
            *_not_sold(choice, request, template),
            *([f"No region is known to have it{nowhere}."] if nowhere else []),
        ),
        "max_workers": scalar(request.max_workers or DEFAULT_MAX_WORKERS),
        "machine": scalar(choice.name),
        "has": words(_has(choice)),
        "image": "" if choice.slice else _image(choice.machine, template),
    }
    return template.worker(choice, request, values)


def _image(machine: MachineType, template: ClusterTemplate) -> str:
    """Return the keys of an image of the user's own, where the cloud has none with the driver."""
    image = default_image(machine)
    if image is not None and image.kind is not ImageKind.NONE:
        return ""
    needs = needs_of(machine.chip.family) if machine.chip else None
    must = image.note if image else needs.driver if needs else "the accelerator's driver"
    company = template.cloud.title
    needed = comment(f"{company} has no image with its driver. Yours must contain Python, ssh, and {must}.")
    return template.part("image", needs=needed, image=scalar(template.image_placeholder))


def _has(choice: Choice) -> str:
    machine = choice.machine
    size = f"{machine.vcpus} vCPUs, {machine.memory_mib / _MIB_PER_GIB:g} GiB"
    if choice.slice is not None:
        hosts = "1 host" if choice.slice.hosts == 1 else f"{choice.slice.hosts} hosts"
        chips = "1 chip" if choice.slice.chips == 1 else f"{choice.slice.chips} chips"
        return f"{chips}, {choice.slice.topology}, in {hosts} of {size}"
    if choice.chip is None:
        return size
    memory = f" of {choice.chip.memory_mib / _MIB_PER_GIB:.0f} GiB" if choice.chip.memory_mib else ""
    return f"{choice.count} x {choice.chip.name}{memory}, {size}"


def _comments(choice: Choice) -> list[str]:
    chip, request = choice.chip, choice.request
    if chip is None or request is None:
        return [f"Each node announces CPU {choice.machine.vcpus}; a task that asks for num_cpus only may run here."]
    sentences = []
    if not is_tpu_type(request.name):
        sentences += _more_than_asked(choice, request)
    units = choice.machine.count * chip.units_per_device
    types = accelerator_types(chip)
    announced_types = f" and accelerator_type {' and '.join(types)}" if types else ", and no accelerator_type"
    node = "Each host is a Ray node that" if choice.slice and choice.slice.hosts > 1 else "Each node"
    sentences.append(f"{node} announces {chip.resource} {units}{announced_types}. A task asks:")
    sentences.append(f"  @ray.remote({_request(choice, units, types)})")
    if choice.slice is not None and choice.slice.hosts > 1:
        sentences += _whole_slice(choice.slice)
    if choice.also:
        sentences.append(f"also: {', '.join(_alternative(other, choice) for other in choice.also)}")
    return sentences


def _more_than_asked(choice: Choice, request: AcceleratorRequest) -> list[str]:
    """Return the comments on a machine with more devices than were asked for: one, where no number was."""
    asked, chip = request.count or 1, choice.chip
    if chip is None or choice.count <= asked:
        return []
    # Where smaller ones follow, each has its own reason.
    why = "" if choice.fewer else f"; {known_clouds()[choice.machine.cloud].title} sells none with {asked}"
    were = "1 was" if asked == 1 else f"{asked} were"
    sentences = [f"{MORE}{choice.name} has {choice.count} x {chip.name}, and {were} asked for{why}."]
    if choice.fewer:
        named = {other.count: (other, why) for other, why in reversed(choice.fewer)}
        sentences += [
            f"{FEWER}{other.name} has {other.count} x {other.chip.name if other.chip else ''}, but {why}."
            for _, (other, why) in sorted(named.items())[:ALTERNATIVES]
        ]
    return sentences


def _capacity(names: Sequence[str], choices: Sequence[Choice], request: FileRequest, template: ClusterTemplate) -> str:
    """Return the key of the provider section with the node types' orders of capacity types."""
    if not template.cloud.has_part(CAPACITY):
        return ""
    bought = []
    for name, choice in zip(names, choices, strict=True):
        order = template.order(choice, request)
        named = any(entry.name == template.reservation[0] for entry in order)
        bought.append(Bought(name, order, template.reservation[1] if named else ""))
    return capacity_key(bought, template.capacity_notes)


def _not_sold(choice: Choice, request: FileRequest, template: ClusterTemplate) -> list[str]:
    """Return the comment on a machine that the cloud does not sell as it was asked for."""
    sold = None if choice.slice else sold_as(template.cloud.name, choice.machine.name)
    asked = dict.fromkeys(sold_as_of(entry.type) for entry in request.order or ON_DEMAND)
    lacking = [way for way in asked if sold and way not in sold.sold_as]
    if sold is None or not lacking:
        return []
    here = dict.fromkeys(sold_as_of(entry.type) for entry in template.order(choice, request))
    sells = f"{template.cloud.title} sells {choice.name} {ways(sold.sold_as)}"
    return [f"{NOT_SOLD}{ways(lacking)}: {sells}. Here: {ways(here)}."]


def _request(choice: Choice, units: int, types: Sequence[str]) -> str:
    """Return the arguments of `ray.remote` for all of one node's devices."""
    chip: Chip | None = choice.chip
    resource = chip.resource if chip else ""
    amount = f"num_gpus={units}" if resource == "GPU" else f'resources={{"{resource}": {units}}}'
    # The type that the user asked for, where the node announces it; else the exact one, which is the last.
    requested = (choice.request.name if choice.request else "").casefold()
    name = next((type_name for type_name in types if type_name.casefold() == requested), types[-1] if types else None)
    return f'{amount}, accelerator_type="{name}"' if name else amount


def _whole_slice(tpu_slice: TpuSlice) -> list[str]:
    which = f'topology="{tpu_slice.topology}", accelerator_version="{tpu_slice.generation}"'
    return [
        "or for the whole slice, so Ray creates one, not one for each host (ray.util.tpu):",
        f"  slice_placement_group({which}, head_reservation_timeout_s=1200)",
    ]


def _alternative(other: Choice, choice: Choice) -> str:
    chip_name = other.chip.name if other.chip and other.chip != choice.chip else ""
    if chip_name or other.count != choice.count:
        return f"{other.name} ({other.count} x {chip_name or choice.chip.name})" if choice.chip else other.name
    return other.name if other.slice else f"{other.name} ({other.machine.vcpus} vCPUs)"
