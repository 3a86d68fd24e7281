"""The network cards of a refresh: of types that the shipped file lacks, or has otherwise, in a file of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.files import read
from accel_scaling.catalog.networks import parse_networks, shipped_rows
from accel_scaling.catalog.node_schema import NETWORKS
from accel_scaling.catalog.table import csv_text

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.refresh.records import CloudAnswer


def networks_text(answer: CloudAnswer, file: Path, month: str) -> str:
    """Return the text of the file of network cards; empty where it has no row.

    Args:
        answer: what the API said.
        file: the file, which may be there from an earlier refresh.
        month: when it was asked, for the source.

    Raises:
        CatalogFileError: the file that is there has a mistake.
    """
    kept = read(file) if file.exists() else None
    before = {row.instance_type: row for row in kept.accept(parse_networks(kept))} if kept else {}
    rows = {name: (row.network, row.text, row.source) for name, row in before.items()}
    shipped = shipped_rows(answer.cloud)
    for name, machine in answer.types.items():
        known = before.get(name) or shipped.get(name)
        if machine.cards and (known is None or (known.network, known.text) != (machine.network, machine.cards)):
            rows[name] = (machine.network, machine.cards, f"{answer.source} {month}")
    return csv_text(NETWORKS.names, ([name, *rows[name]] for name in sorted(rows))) if rows else ""


def networks_file(path: Path, cloud: str) -> Path | None:
    """Return the file that belongs to a refresh's file of machine types; None beside a file of another name.

    By another name it would be one of machine types.
    """
    return path.with_name(NETWORKS.file_of(cloud)) if path.name == f"{cloud}.csv" else None
