"""`accel-scaling init`: writes a complete, commented cluster file for some accelerators; no network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from accel_scaling.cli.arguments import output_file, whole_number
from accel_scaling.cli.common import give, write_note
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import InitError

if TYPE_CHECKING:
    import argparse

    from accel_scaling.cluster.capacity import CapacityEntry

HELP = "write a complete, commented cluster file for the accelerators that you want; no network"
EXAMPLES = """examples:
  accel-scaling init aws A100-80G:8 T4 --spot -o cluster.yaml
  accel-scaling init aws Trainium2 --cpus 16 --region us-east-2
  accel-scaling init gcp L4 V100:8 --project my-project --zones us-central1-a,us-central1-b
  accel-scaling init aws H100:8 --capacity block:cr-0123,spot
  accel-scaling init gcp v5litepod-16       a TPU slice by its name
  accel-scaling init gcp v6e-16 --capacity spot:6h,on-demand   the first waits in Google's queue, up to 6 hours
  accel-scaling init gcp TPU-V4:8           the slice with 8 chips

An accelerator has its name from `accel-scaling catalog find`. COUNT is the least number of devices in one machine. The
smallest machine type with that many is used, and comments name others.

exit codes: 0 done, 2 no machine type fits, or the output file exists
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cloud", metavar="CLOUD", choices=tuple(known_clouds()), help=" or ".join(known_clouds()))
    what = "what the workers have, e.g. A100-80G:8 or v5litepod-16; a node type for each"
    parser.add_argument("words", metavar="NAME[:COUNT]", nargs="*", help=what)
    same = "the same as an option; may be given more than once"
    parser.add_argument("--accelerator", metavar="NAME[:COUNT]", action="append", default=[], help=same)
    plain = "workers without an accelerator, of N vCPUs or more; may be given more than once"
    parser.add_argument("--cpus", metavar="N", type=_number, action="append", default=[], help=plain)
    spot = "spot workers, and on-demand ones where spot is sold out: --capacity spot,on-demand"
    parser.add_argument("--spot", action="store_true", help=spot)
    ways = "how workers are bought, in this order: spot, on-demand, reserved:NAME, block:NAME, flex-start"
    parser.add_argument("--capacity", metavar="TYPE,...", help=ways)
    most = "machines at once, over all node types (default: 2, or one of each)"
    parser.add_argument("--max-workers", metavar="N", type=_number, help=most)
    parser.add_argument("--name", metavar="NAME", help="the cluster's name (default: CLOUD-ACCELERATOR)")
    parser.add_argument("--region", metavar="REGION", help="the region (default: a usual one, written into the file)")
    zones = "zones to try in turn, each in full; needed with --region on gcp"
    parser.add_argument("--zones", metavar="ZONE,...", help=zones)
    parser.add_argument("--project", metavar="ID", help="gcp: your project (default: a placeholder in the file)")
    user_catalog = "a user catalog, as in provider.catalog; may be given more than once, the first one wins"
    parser.add_argument("--catalog", metavar="FILE", type=Path, action="append", default=[], help=user_catalog)
    parser.add_argument("-o", "--output", metavar="FILE", type=output_file, help="write there instead of printing")
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Print or write the file; name the values that the user must fill in on standard error."""
    from accel_scaling.families.catalog import load_catalog
    from accel_scaling.fill.fill import fill
    from accel_scaling.init.model import FileRequest, parse_accelerator
    from accel_scaling.init.text import cluster_file, not_as_asked, to_fill_in

    request = FileRequest(
        cloud=args.cloud,
        accelerators=tuple(parse_accelerator(text) for text in (*args.words, *args.accelerator)),
        cpus=tuple(args.cpus),
        order=_order(args),
        max_workers=args.max_workers,
        name=args.name,
        region=args.region,
        zones=tuple(zone.strip() for zone in (args.zones or "").split(",") if zone.strip()),
        project=args.project,
        catalogs=tuple(str(path) for path in args.catalog),
        file=str(args.output or "cluster.yaml"),
    )
    catalog = load_catalog(args.catalog)
    text = cluster_file(request, catalog)
    fill(yaml.safe_load(text), catalog)  # refuses what the launch would refuse
    try:
        following = f"; next: accel-scaling fill {shlex.quote(str(args.output))}"
        give(text + "\n", args.output, new=not args.force, then=following)
    except FileExistsError:
        raise InitError(
            f"{args.output} exists already; choose another file with -o, or overwrite it with --force"
        ) from None
    for line in not_as_asked(text):
        write_note(line)
    for line in to_fill_in(text):
        write_note(f"before `ray up`, write your own value into {line}")
    return 0


def _order(args: argparse.Namespace) -> tuple[CapacityEntry, ...]:
    """Return the capacity types that the options name; none where they name none.

    Raises:
        InitError: both options are given, or a word is no capacity type.
    """
    from accel_scaling.init.capacity import SPOT_FIRST, parse_capacity
    from accel_scaling.init.choice import template_of

    if args.capacity is None:
        return SPOT_FIRST if args.spot else ()
    if args.spot:
        raise InitError("--spot is --capacity spot,on-demand; write one of the two")
    return parse_capacity(args.capacity, template_of(known_clouds()[args.cloud]).reservation[0])


def _number(text: str) -> int:
    return whole_number(text, least=1)
