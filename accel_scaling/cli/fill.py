"""`accel-scaling fill`: prints the cluster file with every node type's resources and labels; no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import CLUSTER_HELP, output_file
from accel_scaling.cli.common import give, write_note
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.fill.file_notes import provider_note
from accel_scaling.fill.file_text import fill_file
from accel_scaling.inputs.file_text import STANDARD_INPUT

if TYPE_CHECKING:
    import argparse

HELP = "print a cluster file with the resources and labels of all node types filled; nothing else changes; no network"
EXAMPLES = """examples:
  accel-scaling fill cluster.yaml
  accel-scaling fill cluster.yaml -o filled.yaml && ray up filled.yaml
  accel-scaling fill filled.yaml -o filled.yaml   # again: replaces what it wrote itself
  accel-scaling fill - < cluster.yaml > filled.yaml

exit codes: 0 filled, 2 the file cannot be used
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=Path, help=CLUSTER_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", type=output_file, help="write there instead of printing")


def run(args: argparse.Namespace) -> int:
    """Fill the file; print contradictions between it and the catalog to standard error."""
    file = read_cluster(args.cluster)
    text, notes = fill_file(file)
    for note in [*provider_note(file), *notes]:
        write_note(note)
    short = f"; keep editing {args.cluster}, and fill it again after a change"
    give(text, args.output, then="" if args.cluster in {args.output, STANDARD_INPUT} else short)
    return 0
