"""``accel-scaling catalog``: ask the catalog, and check the files that it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.table import bold, render

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import Chip, MachineType

HELP = "ask what an instance type has, find instance types, check catalog files"
EXAMPLES = """\
examples:
  accel-scaling catalog show p4d.24xlarge
  accel-scaling catalog find --accelerator A100 --min-count 8
  accel-scaling catalog find --cloud aws --json
  accel-scaling catalog check my_machines.csv
"""

_MIB_PER_GIB = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to the ``catalog`` command's parser."""
    commands = parser.add_subparsers(dest="catalog_command", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="one instance type: what it has, what Ray is promised, what a node detects")
    show.add_argument("type", metavar="TYPE", help="an instance type, e.g. p4d.24xlarge")
    find = commands.add_parser("find", help="instance types that have an accelerator; without one, every type")
    find.add_argument("--accelerator", metavar="NAME", help="e.g. A100, A100-80G, Trainium2, nvidia-l4")
    find.add_argument("--min-count", metavar="N", type=_count, default=1, help="devices at least (default: 1)")
    for command in (show, find):
        command.add_argument("--cloud", metavar="CLOUD", help="aws or gcp (default: every cloud)")
        user_catalog = "a user catalog, as in provider.catalog; may be given more than once, the first is strongest"
        command.add_argument("--catalog", metavar="FILE", type=Path, action="append", default=[], help=user_catalog)
        command.add_argument("--json", action="store_true", help="print JSON: one object (show), a list of them (find)")
    check = commands.add_parser("check", help="validate catalog files: file, line, what is wrong")
    check.add_argument("files", metavar="FILE", type=Path, nargs="*", help="CSV or YAML (default: the files that ship)")


def run(args: argparse.Namespace) -> int:
    """Run ``catalog SUBCOMMAND``; return the exit code."""
    if args.catalog_command == "check":
        return _check(args.files)
    from accel_scaling.catalog.load import load_catalog

    catalog = load_catalog(args.catalog)
    if args.catalog_command == "show":
        return _show(catalog, args.type, args.cloud, as_json=args.json)
    machines = catalog.find(args.accelerator, args.min_count, args.cloud)
    if args.json:
        print(json.dumps([describe(machine) for machine in machines], indent=2))
    else:
        print(_found(machines, catalog))
    return 0


def describe(machine: MachineType) -> dict[str, Any]:
    """Return a machine type as ``--json`` prints it; the keys are documented and stay.

    Null or empty stands for what a machine does not have. ``resources`` and ``labels`` are what Ray is
    promised for a worker of this type.
    """
    from accel_scaling.fill.promise import promise_for

    promise, chip = promise_for(machine), machine.chip
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
    }


def _count(text: str) -> int:
    import argparse

    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")


def _check(files: list[Path]) -> int:
    from accel_scaling.catalog.check import check_files

    report = check_files(files)
    if report.problems:
        print("\n".join(report.problems))
        return 2
    print(f"ok: {report.machine_types} machine types, {report.accelerators} accelerators")
    return 0


def _show(catalog: Catalog, name: str, cloud: str | None, *, as_json: bool) -> int:
    machine = catalog.machine_type(cloud or _cloud_of(catalog, name), name)
    print(json.dumps(describe(machine), indent=2) if as_json else _shown(machine, catalog))
    return 0


def _cloud_of(catalog: Catalog, name: str) -> str:
    """Return the cloud that has the type; else the one whose names look like it, for the error's sake."""
    for cloud in catalog.clouds:
        if name in catalog.machine_types(cloud):
            return cloud
    return "aws" if "." in name or "gcp" not in catalog.clouds else "gcp"


def _found(machines: list[MachineType], catalog: Catalog) -> str:
    headers = ("TYPE", "VCPUS", "GIB", "ARCH", "ACCELERATOR", "COUNT", "RAY IS PROMISED")
    rows = [
        (
            machine.name,
            str(machine.vcpus),
            _gib(machine.memory_mib),
            machine.arch,
            machine.chip.name if machine.chip else "-",
            str(machine.count) if machine.chip else "-",
            _promised(machine),
        )
        for machine in machines
    ]
    word = "machine type" if len(machines) == 1 else "machine types"
    return f"{render(headers, rows, right={1, 2, 5})}\n{len(machines)} {word} (catalog {catalog.version})"


def _promised(machine: MachineType) -> str:
    """Return the accelerator part of the promise on one line: every machine has CPU and memory."""
    resources = describe(machine)["resources"]
    parts = [f"{key}: {value:g}" for key, value in resources.items() if key not in {"CPU", "memory"}]
    return ", ".join(parts) or "-"


def _shown(machine: MachineType, catalog: Catalog) -> str:
    told = describe(machine)
    chip = machine.chip
    has = [
        ("cloud", machine.cloud),
        ("vCPUs", str(machine.vcpus)),
        ("memory", f"{_gib(machine.memory_mib)} GiB"),
        ("arch", machine.arch),
        ("accelerator", f"{machine.count} x {chip.name}" + _part(chip) if chip else "none"),
        ("from", f"{machine.layer} (catalog {catalog.version})"),
    ]
    resources = [(key, f"{value:g}" if key != "memory" else str(value)) for key, value in told["resources"].items()]
    labels = [(f"label {key}", str(value)) for key, value in told["labels"].items()]
    blocks = [
        (f"{machine.name} has", has),
        ("Ray will be promised, for a worker", resources + labels),
        ("a node will detect", _detected(machine, chip)),
    ]
    return "\n\n".join(f"{bold(title)}\n{_lines(pairs)}" for title, pairs in blocks)


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


def _gib(mib: int) -> str:
    return f"{mib / _MIB_PER_GIB:.1f}".removesuffix(".0")
