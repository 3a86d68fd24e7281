"""``accel-scaling catalog``: ask the catalog, and check the files that it is made of."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.help import add_command
from accel_scaling.clouds import cloud_of_region, known_clouds

if TYPE_CHECKING:
    from types import ModuleType

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.tpu_slices import TpuSlice

HELP = "show and find machine types, check and refresh catalog files"
EXAMPLES = """\
examples:
  accel-scaling catalog show p4d.24xlarge
  accel-scaling catalog find --accelerator A100 --min-count 8
  accel-scaling catalog show v5litepod-16
  accel-scaling catalog find --accelerator TPU-V4 --min-count 16
  accel-scaling catalog find --cloud gcp --json
  accel-scaling catalog find --accelerator H100 --region us-east-2
  accel-scaling catalog check my_machines.csv
  accel-scaling catalog refresh aws --region us-west-2
"""

SUBCOMMANDS = ("check", "refresh")  # each with a module of its own

FEW = 12  # TPU slices of a generation that `find` lists without --all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to the ``catalog`` command's parser."""
    commands = parser.add_subparsers(dest="catalog_command", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show", help="show one machine type or TPU slice: what it has, what Ray is promised, what a node detects"
    )
    show.add_argument("type", metavar="TYPE", help="e.g. p4d.24xlarge, a2-highgpu-8g, n2-custom-8-32768, v4-16")
    find = commands.add_parser(
        "find", help="find the machine types with an accelerator; without a name, all machine types"
    )
    find.add_argument("--accelerator", metavar="NAME", help="e.g. A100, A100-80G, Trainium2, nvidia-l4")
    find.add_argument(
        "--min-count", metavar="N", type=_count, default=1, help="the least number of devices (default: 1)"
    )
    find.add_argument(
        "--all", action="store_true", help=f"all TPU slices, not only the {FEW} smallest of each generation"
    )
    find.add_argument(
        "--region", metavar="REGION", help="only what this region offers, e.g. us-west-2 (aws), us-west4 (gcp)"
    )
    for command in (show, find):
        command.add_argument("--cloud", metavar="CLOUD", help=f"{' or '.join(known_clouds())} (default: all clouds)")
        user_catalog = "a user catalog, as in provider.catalog; may be given more than once, the first is strongest"
        command.add_argument("--catalog", metavar="FILE", type=Path, action="append", default=[], help=user_catalog)
        command.add_argument(
            "--json", action="store_true", help="print JSON: one object (show), a list of objects (find)"
        )
    for name in SUBCOMMANDS:
        add_command(commands, name, _module(name))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"accel_scaling.cli.catalog_{name}")


def run(args: argparse.Namespace) -> int:
    """Run ``catalog SUBCOMMAND``; return the exit code."""
    if args.catalog_command in SUBCOMMANDS:
        return int(_module(args.catalog_command).run(args))
    from accel_scaling.families.catalog import load_catalog

    catalog = load_catalog(args.catalog)
    if args.catalog_command == "show":
        return _show(catalog, args)
    return _find(catalog, args)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")


def _show(catalog: Catalog, args: argparse.Namespace) -> int:
    from accel_scaling.cli import catalog_text as text
    from accel_scaling.cli.catalog_offerings import own_chip

    name, cloud, as_json = args.type, args.cloud, args.json
    if _is_slice(catalog, name, cloud):
        from accel_scaling.catalog.tpu_slices import slice_of_type

        found = slice_of_type(catalog, name)
        print(json.dumps(text.describe_slice(found), indent=2) if as_json else text.shown_slice(found, catalog))
        return 0
    machine = catalog.machine_type(cloud or _cloud_of(catalog, name), name)
    if as_json:
        print(json.dumps(text.describe_whole(machine, catalog), indent=2))
    else:
        print(text.shown(machine, catalog, own_chip(machine, args.catalog)))
    return 0


def _is_slice(catalog: Catalog, name: str, cloud: str | None) -> bool:
    """Return whether a name is a TPU slice's (``v4-16``) and no machine type's."""
    from accel_scaling.catalog.tpu_generations import is_tpu_type

    names = catalog.clouds if cloud is None else (cloud,)
    with_tpus = any(name in names for name, known in known_clouds().items() if known.has_tpus)
    return with_tpus and is_tpu_type(name) and not any(name in catalog.machine_types(of) for of in names)


def _cloud_of(catalog: Catalog, name: str) -> str:
    """Return the cloud that has the type; else the one whose names look like it, for the error's sake."""
    for cloud in catalog.clouds:
        if name in catalog.machine_types(cloud):
            return cloud
    like = [cloud.name for cloud in known_clouds().values() if cloud.names_like(name)]
    return next((cloud for cloud in like if cloud in catalog.clouds), catalog.clouds[0])


def _find(catalog: Catalog, args: argparse.Namespace) -> int:
    from accel_scaling.cli import catalog_text as text

    machines, unknown = catalog.find(args.accelerator, args.min_count, args.cloud), 0
    if args.region is not None:
        from accel_scaling.cli.catalog_offerings import in_region

        machines, unknown = in_region(machines, catalog, args.region)
    slices = _slices(catalog, args)
    if args.json:
        whole = [text.describe_whole(machine, catalog) for machine in machines]
        found = [*whole, *map(text.describe_slice, slices)]
        print(json.dumps(found, indent=2))
        return 0
    few = slices if args.all else _few(slices)
    more = [text.listed_slices(few, len(slices) - len(few), catalog)] if slices else []
    asked = {args.cloud, args.region and cloud_of_region(args.region)} - {None}
    for cloud in known_clouds().values():
        if cloud.attaches_accelerators and asked <= {cloud.name}:
            more += text.attached(catalog, cloud.name, args.accelerator, args.min_count, args.region)
    listed = [text.listed(machines, catalog, args.region, unknown)] if machines or not more else []
    print("\n\n".join([*listed, *more]))
    return 0


def _slices(catalog: Catalog, args: argparse.Namespace) -> list[TpuSlice]:
    """Return the TPU slices that were asked for; without an accelerator, ``find`` lists machine types only."""
    with_tpus = {name for name, cloud in known_clouds().items() if cloud.has_tpus and name in catalog.clouds}
    if args.accelerator is None or not with_tpus or args.cloud not in {None, *with_tpus}:
        return []
    if args.region is not None:
        return []  # Cloud TPU has zones of its own, which no places file lists
    from accel_scaling.catalog.tpu_slices import slices_with

    return slices_with(catalog, args.accelerator, max(args.min_count, 1))


def _few(slices: list[TpuSlice]) -> list[TpuSlice]:
    """Return the smallest slices of each generation: some have over a hundred sizes."""
    sizes: dict[str, int] = {}
    few = []
    for each in slices:
        sizes[each.generation] = sizes.get(each.generation, 0) + 1
        if sizes[each.generation] <= FEW:
            few.append(each)
    return few
