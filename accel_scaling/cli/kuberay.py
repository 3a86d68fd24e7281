"""`accel-scaling kuberay`: fill and check the manifests of Ray on Kubernetes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import output_file, write_error
from accel_scaling.cli.common import give, write_beside, write_note
from accel_scaling.cluster.cluster_file import text_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.inputs.file_text import name_of
from accel_scaling.message_text import sentence
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    import argparse

HELP = "fill the promise of each group of a KubeRay manifest, and find contradictions; no network"
EXAMPLES = """examples:
  accel-scaling kuberay fill raycluster.yaml | kubectl apply -f -
  accel-scaling kuberay fill raycluster.yaml -o filled.yaml
  helm template chart | accel-scaling kuberay fill - | kubectl apply -f -
  accel-scaling kuberay fill raycluster.yaml --kuberay-version 1.4
  accel-scaling kuberay check *.yaml

exit codes:
  0  filled; checked, and no contradictions
  2  a file that cannot be used; check: something contradicts itself, each with file:line
"""
NEWEST = "written for KubeRay 1.5 and later; for an earlier one: --kuberay-version 1.4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to the ``kuberay`` command's parser."""
    commands = parser.add_subparsers(dest="kuberay_command", metavar="COMMAND", required=True)
    filling = commands.add_parser(
        "fill", help="print the file with the resources and labels of each group; nothing else changes"
    )
    filling.add_argument(
        "manifest",
        metavar="RAYCLUSTER.yaml",
        type=Path,
        help="RayCluster, RayJob, RayService, RayCronJob; - for standard input",
    )
    filling.add_argument("-o", "--output", metavar="FILE", type=output_file, help="write there instead of printing")
    filling.add_argument(
        "--kuberay-version", metavar="V", help="the operator's version; before 1.5 it reads rayStartParams only"
    )
    check = commands.add_parser("check", help="find contradictions, each with file:line")
    check.add_argument(
        "files", metavar="FILE", type=Path, nargs="+", help="files with Ray manifests; - for standard input"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``kuberay SUBCOMMAND``; return the exit code.

    Raises:
        AccelScalingError: the file cannot be used, or ``--kuberay-version`` is no version.
    """
    return _check(args.files) if args.kuberay_command == "check" else _fill(args)


def _fill(args: argparse.Namespace) -> int:
    from accel_scaling.kuberay.fill import fill

    text, name = text_of(args.manifest), name_of(args.manifest)
    filled = fill(text, name, load_catalog(), args.kuberay_version)
    # Everything but the manifest goes to standard error: standard output is piped to `kubectl apply -f -`.
    for line in filled.added:
        write_beside(line)
    for note in filled.notes:
        write_note(note)
    if args.kuberay_version is None and filled.added:
        write_note(NEWEST)
    if not filled.added:
        write_beside(f"{name}: nothing to add")
    give(filled.text, args.output)
    return 0


def _check(files: list[Path]) -> int:
    from accel_scaling.kuberay.check import findings, notes
    from accel_scaling.kuberay.manifest import groups

    catalog = load_catalog()

    def checked(file: Path) -> tuple[int, list[str]] | None:
        name = name_of(file)
        try:
            file_groups = groups(text_of(file), name)
        # A file that cannot be used does not hide the contradictions in the others.
        except ClusterConfigError as error:
            write_error(str(error))
            return None
        for note in notes(file_groups, catalog):
            write_note(f"{name}:{note.line}: {note.text}")
        return len(file_groups), [
            f"{name}:{finding.line}: {finding.text}" for group in file_groups for finding in findings(group, catalog)
        ]

    results = [checked(file) for file in files]
    used = [result for result in results if result is not None]
    sentences = "".join(f"{line}\n" for _, file_sentences in used for line in file_sentences)
    if used:
        sys.stdout.write(wrapped(sentence(sentences)) or f"ok: {sum(n for n, _ in used)} groups, no contradictions\n")
    return 2 if sentences or len(used) < len(files) else 0
