"""``accel-scaling catalog``: ask the catalog, and check the files that it is made of."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import one_of_both, whole_number
from accel_scaling.cli.catalog_series import cloud_with, means_accelerator, series, series_text, unknown_name
from accel_scaling.cli.common import add_command
from accel_scaling.clouds import cloud_of_region, known_clouds
from accel_scaling.errors import UnknownInstanceTypeError, UnknownRegionError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice

HELP = "show and find machine types, check and refresh catalog files"
EXAMPLES = """\
examples:
  accel-scaling catalog show p4d.24xlarge
  accel-scaling catalog find A100 --min-count 8
  accel-scaling catalog show v5litepod-16
  accel-scaling catalog find TPU-V4 --min-count 16
  accel-scaling catalog find --cloud gcp --json
  accel-scaling catalog find H100 --region us-east-2
  accel-scaling catalog check my_machines.csv
  accel-scaling catalog refresh aws --region us-west-2

exit codes: 0 done, 2 an unknown name, or a file that cannot be used
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
    find.add_argument(
        "name", metavar="NAME", nargs="?", help="an accelerator, e.g. A100, A100-80G, Trainium2, nvidia-l4"
    )
    find.add_argument("--accelerator", metavar="NAME", help="the same as an option")
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
        user_catalog = "a user catalog, as in provider.catalog; may be given more than once, the first one wins"
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

    if args.catalog_command == "find":
        args.accelerator = one_of_both(args.name, args.accelerator, "--accelerator")
    catalog = load_catalog(args.catalog)
    if args.catalog_command == "show":
        return _show(catalog, args)
    return _find(catalog, args)


def _count(text: str) -> int:
    return whole_number(text, least=0)


def _show(catalog: Catalog, args: argparse.Namespace) -> int:
    from accel_scaling.cli import catalog_text as text

    name, cloud, as_json = args.type, args.cloud, args.json
    if _is_slice(catalog, name, cloud):
        from accel_scaling.catalog.tpu_slices import slice_of_type

        tpu_slice = slice_of_type(catalog, name)
        shown = text.shown_slice(tpu_slice, catalog)
        print(json.dumps(text.describe_slice(tpu_slice), indent=2) if as_json else shown)
        return 0
    of = cloud_with(catalog, name, cloud)
    if of is None:
        members = series(catalog, name, cloud)
        if members and not as_json:
            print(series_text(name, members, catalog))
            return 0
        if not members and means_accelerator(catalog, name) and not as_json:
            args.accelerator, args.min_count, args.region, args.all = name, 1, None, False
            print(f"{name} is an accelerator; these machine types and TPU slices have it:\n")
            return _find(catalog, args)
        raise UnknownInstanceTypeError(unknown_name(catalog, name, members))
    machine = catalog.machine_type(of, name)
    if as_json:
        print(json.dumps(text.describe_whole(machine, catalog), indent=2))
    else:
        print(text.shown(machine, catalog, _entry_of_user(machine, args.catalog)))
    return 0


def _is_slice(catalog: Catalog, name: str, cloud: str | None) -> bool:
    """Return whether a name is a TPU slice's (``v4-16``) and no machine type's."""
    from accel_scaling.catalog.tpu_generations import is_tpu_type

    names = catalog.clouds if cloud is None else (cloud,)
    with_tpus = any(name in names for name, known in known_clouds().items() if known.has_tpus)
    return with_tpus and is_tpu_type(name) and not any(name in catalog.machine_types(of) for of in names)


def _find(catalog: Catalog, args: argparse.Namespace) -> int:
    from accel_scaling.cli import catalog_text as text

    machines, unknown = catalog.find(args.accelerator, args.min_count, args.cloud), 0
    if args.region is not None:
        machines, unknown = _in_region(machines, catalog, args.region)
    slices = _slices(catalog, args)
    if args.json:
        whole = [text.describe_whole(machine, catalog) for machine in machines]
        print(json.dumps([*whole, *map(text.describe_slice, slices)], indent=2))
        return 0
    few = slices if args.all else _few(slices)
    more = [text.listed_slices(few, len(slices) - len(few), catalog)] if slices else []
    clouds_named = {args.cloud, args.region and cloud_of_region(args.region)} - {None}
    for cloud in known_clouds().values():
        if cloud.attaches_accelerators and clouds_named <= {cloud.name}:
            more += text.attached(catalog, cloud.name, args.accelerator, args.min_count, args.region)
    listed = [text.listed(machines, catalog, args.region, unknown)] if machines or not more else []
    print("\n\n".join([*listed, *more]))
    return 0


def _slices(catalog: Catalog, args: argparse.Namespace) -> list[TpuSlice]:
    """Return the TPU slices with the accelerator; without one, ``find`` lists machine types only."""
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
    for tpu_slice in slices:
        sizes[tpu_slice.generation] = sizes.get(tpu_slice.generation, 0) + 1
        if sizes[tpu_slice.generation] <= FEW:
            few.append(tpu_slice)
    return few


def _entry_of_user(machine: MachineType, files: Sequence[Path]) -> str:
    """Return the place of the user's own entry for a machine's accelerator, and that it replaces a shipped one.

    Args:
        machine: as the catalog has it.
        files: those that the command names; ``~/.accel_scaling`` is searched too.
    """
    from accel_scaling.catalog.chips import lines_of
    from accel_scaling.catalog.files import read, user_catalog_files
    from accel_scaling.catalog.load import shipped_catalog

    if machine.chip is None:
        return ""
    for path in user_catalog_files(files):
        line = lines_of(read(path).text).get(machine.chip.name) if path.suffix.lower() in {".yaml", ".yml"} else None
        if line:
            shipped = machine.chip.name in shipped_catalog().chips
            return f"{path}:{line['']}" + (", which stands for the whole entry of accelerators.yaml" if shipped else "")
    return ""


def _in_region(machines: Iterable[MachineType], catalog: Catalog, region: str) -> tuple[list[MachineType], int]:
    """Return the machine types that a region offers, and the number of those of which it is not known.

    Raises:
        UnknownRegionError: no places file lists the region.
    """
    cloud = cloud_of_region(region) or ""
    regions = [name for of in catalog.clouds for name in catalog.places(of).regions]
    if region not in regions:
        from accel_scaling.catalog.suggest import hint

        raise UnknownRegionError(f"region {shown(region)} is not in the places files{hint(region, regions)}")
    offers = [(machine, catalog.where(machine).in_region(region)) for machine in machines if machine.cloud == cloud]
    return [machine for machine, offered in offers if offered], sum(offered is None for _, offered in offers)
