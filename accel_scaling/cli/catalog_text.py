"""Describes machine types and TPU slices for ``accel-scaling catalog``: as JSON, and as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_TPU_WORKER_ID, tpu_head_resource
from accel_scaling.catalog.capacity_types import sold_as
from accel_scaling.catalog.model import SoldAs
from accel_scaling.cli.needs_text import describe_needs, shown_needs
from accel_scaling.cli.place_text import ages, describe_places, files_of_slice, shown_places
from accel_scaling.cluster.capacity_notes import ways
from accel_scaling.cluster.capacity_text import entries
from accel_scaling.message_text import listed as list_of
from accel_scaling.tables import render
from accel_scaling.terminal import bold, wrapped

if TYPE_CHECKING:
    from typing import Any

    from accel_scaling.catalog.guest_accelerators import AttachRule
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.fill.promise import Promise

_MIB_PER_GIB = 1024
_NOT_IN_RAY = "Ray's own table lacks this topology: ray.util.tpu refuses placement groups by topology"
_COLUMNS = ("VCPUS", "GIB", "ARCH", "ACCELERATOR", "COUNT", "RAY IS PROMISED")


def describe(machine: MachineType) -> dict[str, Any]:
    """Return a machine type and its promise as ``--json`` prints them; the keys are documented and stay.

    Null or empty stands for what a machine does not have. ``resources`` and ``labels`` are those of a worker.
    """
    from accel_scaling.fill.promise import promise_for

    return _described(machine, promise_for(machine))


def describe_whole(machine: MachineType, catalog: Catalog) -> dict[str, Any]:
    """Return a machine type as ``--json`` prints it: besides describe(), its row's line, weaker rows, regions."""
    return {**describe(machine), **describe_places(machine, catalog)}


def describe_slice(tpu_slice: TpuSlice) -> dict[str, Any]:
    """Return a TPU slice as ``--json`` prints it: the keys of a machine type, for one host, and the slice's own."""
    return {
        **_described(tpu_slice.machine, _promise_of(tpu_slice)),
        "dependencies": describe_needs(tpu_slice.machine, of_slice=True),
        "instance_type": tpu_slice.accelerator_type,
        "machine_type": tpu_slice.machine.name,
        "hosts": tpu_slice.hosts,
        "chips": tpu_slice.chips,
        "topology": tpu_slice.topology,
        "pod_type": tpu_slice.pod_type,
    }


def shown(machine: MachineType, catalog: Catalog, entry_of_user: str = "") -> str:
    """Return the text that ``show`` prints of a machine type.

    Args:
        machine: the machine type.
        catalog: its catalog.
        entry_of_user: the place of its accelerator's entry in a file of the user's; empty where there is none.
    """
    chip = machine.chip
    has = [
        ("cloud", machine.cloud),
        *_size(machine),
        ("accelerator", f"{machine.count} x {chip.name}" + _part(chip) if chip else "none"),
        *([("by", entry_of_user)] if entry_of_user else []),
        *_sold(machine),
        *shown_places(machine, catalog),
    ]
    needs = shown_needs(machine)
    return _blocks(machine.name, has, describe(machine), _detected(machine, chip), needs)


def shown_slice(tpu_slice: TpuSlice, catalog: Catalog) -> str:
    """Return the text that ``show`` prints of a TPU slice."""
    several = tpu_slice.hosts > 1
    has = [
        ("cloud", tpu_slice.machine.cloud),
        ("topology", f"{tpu_slice.topology}, {_many(tpu_slice.chips, 'chip')}"),
        ("hosts", f"{tpu_slice.hosts}, each a Ray node" if several else "1"),
        ("host type", "" if tpu_slice.machine.name == tpu_slice.accelerator_type else tpu_slice.machine.name),
        *((f"{what} of a host" if several else what, value) for what, value in _size(tpu_slice.machine)),
        ("accelerator", f"{tpu_slice.chips_per_host} x {tpu_slice.chip.name}" + (" a host" if several else "")),
        ("from", f"gcp_tpu.csv, {tpu_slice.machine.layer} (catalog {catalog.version})"),
        ("as of", ", ".join(f"{as_of} ({name})" for name, as_of in ages(files_of_slice(tpu_slice)).items())),
    ]
    detected = [*_detected(tpu_slice.machine, tpu_slice.chip), ("pod type", tpu_slice.pod_type)]
    if not tpu_slice.in_ray:
        detected.append(("note", _NOT_IN_RAY))
    description = describe_slice(tpu_slice)
    if several:
        description["resources"] = _with(
            description["resources"], tpu_head_resource(tpu_slice.pod_type), "1 (host 0 only)"
        )
        description["labels"] = _with(description["labels"], LABEL_TPU_WORKER_ID, "0 (on each host its own)")
    needs = shown_needs(tpu_slice.machine, of_slice=True)
    return _blocks(
        tpu_slice.accelerator_type, [pair for pair in has if pair[1]], description, detected, needs, several=several
    )


def listed(machines: list[MachineType], catalog: Catalog, region: str | None = None, unknown: int = 0) -> str:
    """Return the table that ``find`` prints of machine types, with its closing line.

    Args:
        machines: the machine types.
        catalog: their catalog.
        region: the region that offers them; None for any.
        unknown: the number of others of which it is not known whether the region offers them.
    """
    several = len({machine.cloud for machine in machines}) > 1
    headers = ("TYPE", *(["CLOUD"] if several else []), *_COLUMNS)
    rows = [
        (
            machine.name,
            *([machine.cloud] if several else []),
            str(machine.vcpus),
            _gib(machine.memory_mib),
            machine.arch,
            machine.chip.name if machine.chip else "-",
            str(machine.count) if machine.chip else "-",
            _promised(describe(machine)),
        )
        for machine in machines
    ]
    note = f" in {region}" if region else ""
    note += f"; {unknown} more types: regions unknown" if unknown else ""
    closing = f"{_many(len(machines), 'machine type')}{note} (catalog {catalog.version})"
    at = headers.index
    drop = [at(name) for name in ("ARCH", "GIB", "COUNT", "VCPUS")]
    table = render(headers, rows, right={at("VCPUS"), at("GIB"), at("COUNT")}, drop=drop, others="--json")
    return f"{table}\n{wrapped(closing)}"


def listed_slices(slices: list[TpuSlice], more: int, catalog: Catalog) -> str:
    """Return the table that ``find`` prints of TPU slices; ``more`` is how many larger ones it leaves out."""
    headers = ("TPU SLICE", "TOPOLOGY", "CHIPS", "HOSTS", "VCPUS", "GIB", "EACH HOST PROMISES RAY")
    rows = [
        (
            tpu_slice.accelerator_type,
            tpu_slice.topology,
            str(tpu_slice.chips),
            str(tpu_slice.hosts),
            str(tpu_slice.machine.vcpus),
            _gib(tpu_slice.machine.memory_mib),
            _promised_by_hosts(tpu_slice),
        )
        for tpu_slice in slices
    ]
    rest = f"; {more} larger ones with --all" if more else ""
    closing = f"{_many(len(slices), 'TPU slice')} in default topology{rest} (catalog {catalog.version})"
    table = render(headers, rows, right={2, 3, 4, 5}, drop=(5, 4, 1, 3), others="--json")
    return f"{table}\n{wrapped(closing)}"


def attached(
    catalog: Catalog, cloud: str, accelerator: str | None, min_count: int, region: str | None = None
) -> list[str]:
    """Return the table that ``find`` prints of an accelerator that N1 machines take; empty for any other."""
    from accel_scaling.catalog.guest_accelerators import api_names, attach_rules

    if accelerator is None or cloud not in catalog.clouds:
        return []
    chip_names = {chip.name for chip in catalog.chips_named(accelerator)}
    lines: list[tuple[str, ...]] = [
        (f"{rule.count} x {name}", f"{rule.max_vcpus} vCPUs", f"{_gib(rule.max_memory_mib)} GiB", _zones_text(rule))
        for name, chip in sorted(api_names(catalog.chips.values(), cloud).items())
        # A name with -vws is the same GPU with a licence for virtual workstations.
        if chip.name in chip_names and not name.endswith("-vws")
        for rule in attach_rules(cloud).get(name, [])
        if rule.count >= min_count
    ]
    if not lines:
        return []
    headers: tuple[str, ...] = ("GUEST ACCELERATORS", "UP TO", "AND", "WHERE")
    if not any(line[-1] for line in lines):
        headers, lines = headers[:-1], [line[:-1] for line in lines]
    table = render(headers, lines, right={1, 2})
    unknown = f"; unknown whether {region} has them" if region else ""
    closing = f"any N1 machine of {cloud} up to these sizes takes them (guestAccelerators){unknown}"
    return [f"{table}\n{wrapped(closing)}"]


def _zones_text(rule: AttachRule) -> str:
    if rule.only_in:
        return f"in {', '.join(rule.only_in)}"
    return f"not in {', '.join(rule.not_in)}" if rule.not_in else ""


def _promise_of(tpu_slice: TpuSlice) -> Promise:
    from accel_scaling.fill.promise import of_slice, promise_for

    return of_slice(promise_for(tpu_slice.machine), tpu_slice)


def _described(machine: MachineType, promise: Promise) -> dict[str, Any]:
    chip, sold = machine.chip, sold_as(machine.cloud, machine.name)
    return {
        "instance_type": machine.name,
        "cloud": machine.cloud,
        "vcpus": machine.vcpus,
        "memory_mib": machine.memory_mib,
        "arch": machine.arch,
        "accelerator": chip.name if chip else None,
        "accelerator_count": machine.count,
        "accelerator_variant": chip.variant if chip else None,
        "family": chip.family if chip else None,
        "resources": dict(promise.resources),
        "labels": dict(promise.labels),
        "sold_as": [way.value for way in sold.sold_as] if sold else None,
        "layer": machine.layer,
        "dependencies": describe_needs(machine),
    }


def _promised(description: dict[str, Any]) -> str:
    """Return the accelerator part of the promise on one line, its types by name: every machine has CPU and memory."""
    parts = [
        key.removeprefix(ACCELERATOR_TYPE_PREFIX) if key.startswith(ACCELERATOR_TYPE_PREFIX) else f"{key}: {value:g}"
        for key, value in description["resources"].items()
        if key not in {"CPU", "memory"}
    ]
    return ", ".join(parts) or "-"


def _sold(machine: MachineType) -> list[tuple[str, str]]:
    """Return how the cloud sells it, where that is not in every way."""
    sold = sold_as(machine.cloud, machine.name)
    if sold is None:
        return []
    not_so = "" if SoldAs.ON_DEMAND in sold.sold_as else ", not on demand"
    return [
        ("sold", f"{ways(sold.sold_as)}{not_so}"),
        ("write", f"provider.capacity: {{NODE_TYPE: [...]}}, with {list_of(entries(sold.sold_as), 'or')}"),
    ]


def _promised_by_hosts(tpu_slice: TpuSlice) -> str:
    """Return the same of a slice, and which part of it host 0 alone promises."""
    description, head = describe_slice(tpu_slice), tpu_head_resource(tpu_slice.pod_type)
    if tpu_slice.hosts == 1 or head not in description["resources"]:
        return _promised(description)
    every_host = {key: value for key, value in description["resources"].items() if key != head}
    return f"{_promised({'resources': every_host})}; host 0 also {head}: 1"


def _size(machine: MachineType) -> list[tuple[str, str]]:
    return [("vCPUs", str(machine.vcpus)), ("memory", f"{_gib(machine.memory_mib)} GiB"), ("arch", machine.arch)]


def _blocks(
    name: str,
    has: list[tuple[str, str]],
    description: dict[str, Any],
    detected: list[tuple[str, str]],
    needs: list[tuple[str, str]],
    *,
    several: bool = False,
) -> str:
    resources = [(key, str(value)) for key, value in description["resources"].items()]
    labels = [(f"label {key}", str(value)) for key, value in description["labels"].items()]
    worker = "each host of a worker" if several else "a worker"
    blocks = [
        (f"{name} has", has),
        (f"Ray will be promised, for {worker}", resources + labels),
        ("each host will detect" if several else "a node will detect", detected),
        ("on the node", needs),
    ]
    return "\n\n".join(f"{bold(title)}\n{_lines(pairs)}" for title, pairs in blocks)


def _with(entries: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    return {**entries, key: text} if key in entries else entries


def _part(chip: Chip) -> str:
    return f" (a slice of one {chip.partition_of})" if chip.partition_of else ""


def _detected(machine: MachineType, chip: Chip | None) -> list[tuple[str, str]]:
    if chip is None:
        return [("accelerator", "none")]
    memory = f"{chip.memory_mib} MiB each" if chip.memory_mib else "not known"
    pairs = [
        ("driver says", " or ".join(chip.driver_names) or "not known"),
        ("PCI ids", ", ".join(chip.pci_ids) or "not known"),
        ("device memory", memory),
        ("units", f"{machine.count * chip.units_per_device} {chip.resource}"),
        ("Ray's type", chip.detected_type or f"none; announced as {chip.variant}"),
    ]
    if chip.because:
        pairs.append(("note", chip.because))
    return pairs


def _lines(pairs: list[tuple[str, str]]) -> str:
    width = max(len(key) for key, _ in pairs)
    hang = " " * (width + 2)
    return "\n".join(wrapped(f"  {key.ljust(width)}  {value}", hang=hang) for key, value in pairs)


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _gib(mib: int) -> str:
    return f"{mib / _MIB_PER_GIB:.1f}".removesuffix(".0")
