"""What ``accel-scaling catalog`` says about a machine type or a TPU slice: as JSON, and to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID, tpu_head_resource
from accel_scaling.cli.catalog_needs import describe_needs, shown_needs
from accel_scaling.cli.catalog_offerings import describe_places, shown_places
from accel_scaling.text_table import bold, render

if TYPE_CHECKING:
    from typing import Any

    from accel_scaling.catalog.guest_accelerators import AttachRule
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.fill.promise import Promise

_MIB_PER_GIB = 1024
_NOT_IN_RAY = "Ray's own table lacks this topology: ray.util.tpu refuses placement groups by topology"


def describe(machine: MachineType) -> dict[str, Any]:
    """Return what a machine type has and is promised, as ``--json`` prints it; the keys are documented and stay.

    Null or empty stands for what a machine does not have. ``resources`` and ``labels`` are what Ray is
    promised for a worker of this type.
    """
    from accel_scaling.fill.promise import promise_for

    return _described(machine, promise_for(machine))


def describe_whole(machine: MachineType, catalog: Catalog) -> dict[str, Any]:
    """Return a machine type as ``--json`` prints it: besides describe(), its row's line, weaker rows, regions."""
    return {**describe(machine), **describe_places(machine, catalog)}


def describe_slice(found: TpuSlice) -> dict[str, Any]:
    """Return a TPU slice as ``--json`` prints it: the keys of a machine type, for one host, and the slice's own."""
    return {
        **_described(found.machine, _promise_of(found)),
        "dependencies": describe_needs(found.machine, of_slice=True),
        "instance_type": found.accelerator_type,
        "machine_type": found.machine.name,
        "hosts": found.hosts,
        "chips": found.chips,
        "topology": found.topology,
        "pod_type": found.pod_type,
    }


def shown(machine: MachineType, catalog: Catalog, own_chip: str = "") -> str:
    """Return what ``show`` prints of a machine type.

    Args:
        machine: what is shown.
        catalog: where it comes from.
        own_chip: the place of its accelerator's entry in a file of the user's; empty where there is none.
    """
    chip = machine.chip
    has = [
        ("cloud", machine.cloud),
        *_size(machine),
        ("accelerator", f"{machine.count} x {chip.name}" + _part(chip) if chip else "none"),
        *([("by", own_chip)] if own_chip else []),
        *shown_places(machine, catalog),
    ]
    needs = shown_needs(machine)
    return _blocks(machine.name, has, describe(machine), _detected(machine, chip), needs)


def shown_slice(found: TpuSlice, catalog: Catalog) -> str:
    """Return what ``show`` prints of a TPU slice."""
    several = found.hosts > 1
    has = [
        ("cloud", found.machine.cloud),
        ("topology", f"{found.topology}, {_many(found.chips, 'chip')}"),
        ("hosts", f"{found.hosts}, each a Ray node" if several else "1"),
        ("host type", "" if found.machine.name == found.accelerator_type else found.machine.name),
        *((f"{what} of a host" if several else what, value) for what, value in _size(found.machine)),
        ("accelerator", f"{found.chips_per_host} x {found.chip.name}" + (" a host" if several else "")),
        ("from", f"gcp_tpu.csv, {found.machine.layer} (catalog {catalog.version})"),
    ]
    detected = [*_detected(found.machine, found.chip), ("pod type", found.pod_type)]
    if not found.in_ray:
        detected.append(("note", _NOT_IN_RAY))
    told = describe_slice(found)
    if several:
        told["resources"] = _with(told["resources"], tpu_head_resource(found.pod_type), "1 (host 0 only)")
        told["labels"] = _with(told["labels"], LABEL_TPU_WORKER_ID, "0 (on each host its own)")
    needs = shown_needs(found.machine, of_slice=True)
    return _blocks(found.accelerator_type, [pair for pair in has if pair[1]], told, detected, needs, several=several)


def listed(machines: list[MachineType], catalog: Catalog, region: str | None = None, unknown: int = 0) -> str:
    """Return the table that ``find`` prints of machine types, with its closing line.

    Args:
        machines: what to list.
        catalog: where they come from.
        region: which region has them, where it was asked for.
        unknown: how many more there are of which nobody knows whether it does.
    """
    headers = ("TYPE", "VCPUS", "GIB", "ARCH", "ACCELERATOR", "COUNT", "RAY IS PROMISED")
    rows = [
        (
            machine.name,
            str(machine.vcpus),
            _gib(machine.memory_mib),
            machine.arch,
            machine.chip.name if machine.chip else "-",
            str(machine.count) if machine.chip else "-",
            _promised(describe(machine)),
        )
        for machine in machines
    ]
    where = f" in {region}" if region else ""
    where += f"; {unknown} more may be, no places file has them" if unknown else ""
    closing = f"{_many(len(machines), 'machine type')}{where} (catalog {catalog.version})"
    return f"{render(headers, rows, right={1, 2, 5})}\n{closing}"


def listed_slices(slices: list[TpuSlice], more: int, catalog: Catalog) -> str:
    """Return the table that ``find`` prints of TPU slices; ``more`` is how many larger ones it leaves out."""
    headers = ("TPU SLICE", "TOPOLOGY", "CHIPS", "HOSTS", "VCPUS", "GIB", "EACH HOST PROMISES RAY")
    rows = [
        (
            each.accelerator_type,
            each.topology,
            str(each.chips),
            str(each.hosts),
            str(each.machine.vcpus),
            _gib(each.machine.memory_mib),
            _promised(describe_slice(each)),
        )
        for each in slices
    ]
    rest = f"; {more} larger ones with --all" if more else ""
    closing = f"{_many(len(slices), 'TPU slice')} in default topology{rest} (catalog {catalog.version})"
    return f"{render(headers, rows, right={2, 3, 4, 5})}\n{closing}"


def attached(
    catalog: Catalog, cloud: str, accelerator: str | None, min_count: int, region: str | None = None
) -> list[str]:
    """Return what ``find`` says of an accelerator that is no part of a machine type: N1 machines take it."""
    from accel_scaling.catalog.guest_accelerators import api_names, attach_rules

    if accelerator is None or cloud not in catalog.clouds:
        return []
    wanted = {chip.name for chip in catalog.chips_named(accelerator)}
    lines: list[tuple[str, ...]] = [
        (f"{rule.count} x {name}", f"{rule.max_vcpus} vCPUs", f"{_gib(rule.max_memory_mib)} GiB", _where(rule))
        for name, chip in sorted(api_names(catalog.chips.values(), cloud).items())
        if chip.name in wanted and not name.endswith("-vws")
        for rule in attach_rules(cloud).get(name, [])
        if rule.count >= min_count
    ]
    if not lines:
        return []
    headers: tuple[str, ...] = ("GUEST ACCELERATORS", "UP TO", "AND", "WHERE")
    if not any(line[-1] for line in lines):
        headers, lines = headers[:-1], [line[:-1] for line in lines]
    table = render(headers, lines, right={1, 2})
    unknown = f"; whether {region} has them is in no places file" if region else ""
    return [f"{table}\nany N1 machine of {cloud} up to these sizes takes them (guestAccelerators){unknown}"]


def _where(rule: AttachRule) -> str:
    if rule.only_in:
        return f"in {', '.join(rule.only_in)}"
    return f"not in {', '.join(rule.not_in)}" if rule.not_in else ""


def _promise_of(found: TpuSlice) -> Promise:
    from accel_scaling.fill.promise import of_slice, promise_for

    return of_slice(promise_for(found.machine), found)


def _described(machine: MachineType, promise: Promise) -> dict[str, Any]:
    chip = machine.chip
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
        "layer": machine.layer,
        "dependencies": describe_needs(machine),
    }


def _promised(told: dict[str, Any]) -> str:
    """Return the accelerator part of the promise on one line: every machine has CPU and memory."""
    parts = [f"{key}: {value:g}" for key, value in told["resources"].items() if key not in {"CPU", "memory"}]
    return ", ".join(parts) or "-"


def _size(machine: MachineType) -> list[tuple[str, str]]:
    return [("vCPUs", str(machine.vcpus)), ("memory", f"{_gib(machine.memory_mib)} GiB"), ("arch", machine.arch)]


def _blocks(
    name: str,
    has: list[tuple[str, str]],
    told: dict[str, Any],
    detected: list[tuple[str, str]],
    needs: list[tuple[str, str]],
    *,
    several: bool = False,
) -> str:
    resources = [(key, str(value)) for key, value in told["resources"].items()]
    labels = [(f"label {key}", str(value)) for key, value in told["labels"].items()]
    worker = "each host of a worker" if several else "a worker"
    blocks = [
        (f"{name} has", has),
        (f"Ray will be promised, for {worker}", resources + labels),
        ("each host will detect" if several else "a node will detect", detected),
        ("on the node", needs),
    ]
    return "\n\n".join(f"{bold(title)}\n{_lines(pairs)}" for title, pairs in blocks)


def _with(told: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    return {**told, key: text} if key in told else told


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
    return "\n".join(f"  {key.ljust(width)}  {value}" for key, value in pairs)


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _gib(mib: int) -> str:
    return f"{mib / _MIB_PER_GIB:.1f}".removesuffix(".0")
