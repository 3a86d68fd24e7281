"""`accel-scaling fill`: prints the cluster file with every node type's resources and labels; no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.common import give
from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.file_text import changed_note, filled_text, users_values
from accel_scaling.fill.fill import fill

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
    users = users_values(file)
    try:
        filled, notes = fill(users.config, catalog_of(users.config))
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    if not filled.get("cluster_name"):
        raise ClusterConfigError(f"{args.cluster}: cluster_name is missing; `ray up` ends with a KeyError without it")
    text, form_note = filled_text(file, users.config, with_keys_needed_by_ray(filled))
    for note in (*notes, changed_note(file, users.changed), form_note):
        if note:
            sys.stderr.write(f"note: {note}\n")
    give(text, args.output)
    return 0
