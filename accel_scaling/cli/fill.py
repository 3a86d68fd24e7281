"""`accel-scaling fill`: prints the cluster file with every node type's resources and labels; no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from accel_scaling.cli.common import give
from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.inputs.yaml_nodes import DUMPER

if TYPE_CHECKING:
    import argparse

HELP = "print a cluster file with the resources and labels of all node types filled; no network"
EXAMPLES = """examples:
  accel-scaling fill cluster.yaml
  accel-scaling fill cluster.yaml -o filled.yaml && ray up filled.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cluster", metavar="CLUSTER.yaml", type=Path, help="a Ray cluster file")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there instead of printing")


def run(args: argparse.Namespace) -> int:
    """Fill the file; print contradictions between it and the catalog to standard error."""
    file = read_cluster(args.cluster)
    try:
        cluster = read_config(file.config)
        filled, notes = fill_cluster(cluster)
        cluster.check_launchable()
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    complete = with_keys_needed_by_ray(filled)
    text = yaml.dump(complete, Dumper=DUMPER, sort_keys=False, width=110, allow_unicode=True)
    give(text, args.output)
    return 0
