"""`accel-scaling migrate`: turns a cluster file of `type: aws` or `type: gcp` into one for this package; no network."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import output_file
from accel_scaling.cli.common import give, write_beside, write_note
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import sentence
from accel_scaling.migration.migration import migrate_file

if TYPE_CHECKING:
    import argparse

    from accel_scaling.migration.migration import Migration

HELP = (
    "turn a cluster file of `type: aws` or `type: gcp` into one for this package; comments and order stay; no network"
)
EXAMPLES = """examples:
  accel-scaling migrate old.yaml -o cluster.yaml && accel-scaling rehearse cluster.yaml
  accel-scaling migrate old.yaml                      prints the new file; what was done on standard error
  accel-scaling migrate old.yaml -o old.yaml --force  in place
  accel-scaling migrate - < old.yaml > cluster.yaml

A file of `type: external` that lacks one of the four keys without which `ray up` ends in a KeyError gets these.

exit codes: 0 done, 2 the file cannot be migrated, or the output file exists already
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("cluster", metavar="OLD.yaml", type=Path, help="a Ray cluster file; - for standard input")
    parser.add_argument("-o", "--output", metavar="NEW.yaml", type=output_file, help="write there instead of printing")
    parser.add_argument("--force", action="store_true", help="overwrite NEW.yaml if it exists")


def run(args: argparse.Namespace) -> int:
    """Migrate the file; say on standard error what was done, what contradicts the catalog, and what is different."""
    file = read_cluster(args.cluster)
    migration = migrate_file(file, str(args.output or ""))
    try:
        give(migration.text, args.output, new=not args.force)
    except FileExistsError:
        raise ClusterConfigError(
            f"{args.output} exists already; choose another file with -o, or overwrite it with --force"
        ) from None
    sys.stdout.flush()
    _report(migration)
    if args.output:
        # Last, below what may be a screen of sentences.
        write_beside(f"next: accel-scaling rehearse {shlex.quote(str(args.output))}")
    return 0


def _report(migration: Migration) -> None:
    for line in migration.changes:
        write_beside(sentence(line))
    for note in [*migration.contradictions, *migration.notes]:
        write_note(sentence(note))
    if migration.differences:
        write_beside("what is different from now on:")
    for line in migration.differences:
        write_beside(f"- {sentence(line)}")
