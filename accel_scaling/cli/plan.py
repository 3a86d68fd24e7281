"""`accel-scaling plan`: which nodes Ray's own scheduler would launch, and why a demand would stay pending."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.cluster.cluster_file import at_its_line, read_cluster
from accel_scaling.errors import AccelScalingError, PlanError

if TYPE_CHECKING:
    import argparse

HELP = "which nodes Ray would launch for these demands, and why one would stay pending; no account, no network"
EXAMPLES = """examples:
  accel-scaling plan cluster.yaml --demand A100:8x16          16 tasks with 8 A100 each
  accel-scaling plan cluster.yaml --demand T4:0.5x4 CPU:4x100
  accel-scaling plan cluster.yaml --demand H100,A100-80G:8    the first of these types that can be had
  accel-scaling plan cluster.yaml --gang STRICT_SPREAD A100:8x4 --gang PACK Trainium:2x2
  accel-scaling plan cluster.yaml --demand A100 --label ray.io/market-type=spot --prices prices.csv
  accel-scaling plan cluster.yaml --address 10.0.0.5:6379     what is pending on a running cluster

exit codes: 0 everything would be placed, 3 something would stay pending, 2 bad input
"""

STAYS_PENDING = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=Path, help="a Ray cluster file")
    parser.add_argument(
        "--demand",
        metavar="TYPE[:ACCS][xCOUNT]",
        action="append",
        nargs="+",
        default=[],
        help="tasks or actors, such as A100:8x16 or CPU:4x100; A100:8+CPU:32 asks for more than the usual 1 CPU",
    )
    parser.add_argument(
        "--gang",
        metavar="WORD",
        action="append",
        nargs="*",
        default=[],
        help="a placement group: STRATEGY DEMAND...; without demands of its own, all of --demand are one (PACK)",
    )
    parser.add_argument(
        "--label",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a label selector for every demand, in Ray's form: spot, !spot, in(a,b)",
    )
    parser.add_argument("--address", metavar="HOST:PORT", help="read demands and nodes from this running cluster")
    parser.add_argument("--prices", metavar="FILE", type=Path, help="your CSV: instance_type,price_per_hour")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the plan; return 0 where all is placed, and 3 where something stays pending."""
    from accel_scaling.cli import plan_text
    from accel_scaling.plan.prices import read_prices
    from accel_scaling.plan.run import Words, planned

    words = Words([text for texts in args.demand for text in texts], args.gang, args.label, args.address)
    config = read_cluster(args.cluster)
    try:
        prices = read_prices(args.prices) if args.prices else None
        cluster, answer = planned(config, catalog_of(config), words)
    except PlanError:
        raise
    except AccelScalingError as error:
        raise at_its_line(error, args.cluster) from None
    if args.json:
        sys.stdout.write(json.dumps(plan_text.as_json(cluster, answer, prices), indent=2) + "\n")
    else:
        sys.stdout.write(plan_text.as_text(cluster, answer, prices))
    return STAYS_PENDING if answer.pending else 0
