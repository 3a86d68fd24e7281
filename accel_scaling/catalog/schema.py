"""The one place that says what the columns of a machine type's row and the fields of an accelerator are.

The parsers (rows, chips) read by it, error texts take what is expected from it, and the tables of docs/catalogs.md are
tested against it.
"""

from __future__ import annotations

from typing import NamedTuple

ARCHITECTURES = ("x86_64", "arm64", "i386")
UNKNOWN = "?"  # before the API's own name of an accelerator that the catalog does not know yet; written by a refresh
MIXED = " + "  # between the names of several kinds of accelerator in one machine

# What a kind of value looks like: the end of "expected ...".
KINDS = {
    "name": "letters, digits, '.', '-' and '_'",
    "number": "a whole number of 1 or more",
    "count": "a whole number of 0 or more",
    "arch": ", ".join(ARCHITECTURES),
    "accelerator": f"a key of accelerators.yaml; {UNKNOWN} and the API's name where the catalog does not know it yet",
    "cloud": "a cloud that rows ship for",
    "text": "text",
    "names": "a list of names",
    "pci ids": "a list of vendor:device in lower-case hex, as 10de:27b8",
    "names by cloud": "a mapping of a cloud to a list of names",
}

ALWAYS, NEVER, CORRECTING = "always", "may be left out", "in corrections"


class Column(NamedTuple):
    """A column of a CSV file, or a field of a YAML file.

    Attributes:
        name: as it is written.
        kind: a key of KINDS.
        means: what it says, in a few words.
        needed: ALWAYS, NEVER or CORRECTING.
        unit: of a number.
    """

    name: str
    kind: str
    means: str
    needed: str = ALWAYS
    unit: str = ""

    @property
    def expected(self) -> str:
        """What a value looks like: the end of "expected ..."."""
        return KINDS[self.kind]


ROW = (
    Column("instance_type", "name", "the cloud's name"),
    Column("vcpus", "number", "virtual CPUs by default", unit="vCPUs"),
    Column("memory_mib", "number", "main memory", unit="MiB"),
    Column("arch", "arch", "what its processor runs"),
    Column("accelerator", "accelerator", "what is in it; empty for a plain machine"),
    Column("count", "count", "how many; a slice counts as one; empty for a plain machine", unit="devices"),
    Column("cloud", "cloud", "whose type it is, where the file's name does not begin with the cloud", NEVER),
    Column("because", "text", "why the cloud's API is wrong", CORRECTING),
    Column("source", "text", "who says so, and when", CORRECTING),
)

CHIP = (
    Column("family", "name", "whose driver and probe it has: nvidia, neuron, tpu, ..."),
    Column("resource", "name", "the Ray resource that a node announces for it"),
    Column("detected_type", "name", "the accelerator_type that Ray detects; null where it detects none"),
    Column("variant", "name", "the exact product as a second type, where detected_type is not exact", NEVER),
    Column("units_per_device", "number", "units of the resource in one device; 1 where left out", NEVER, "units"),
    Column("memory_mib", "number", "memory of one device, as the driver reports it", NEVER, "MiB"),
    Column("driver_names", "names", "the product's names as the driver reports them", NEVER),
    Column("pci_ids", "pci ids", "what it is on the bus", NEVER),
    Column("api_names", "names by cloud", "the names that a cloud's API has for it", NEVER),
    Column("partition_of", "name", "for a slice: the whole accelerator", NEVER),
    Column("because", "text", "why a value is not what one would expect", NEVER),
    Column("source", "text", "who says so", NEVER),
)

IN_ROW = {column.name: column for column in ROW}


def needed(columns: tuple[Column, ...], *, correcting: bool = False) -> tuple[str, ...]:
    """Return the names that a file must have; a file of corrections has more."""
    kinds = (ALWAYS, CORRECTING) if correcting else (ALWAYS,)
    return tuple(column.name for column in columns if column.needed in kinds)


def documented(columns: tuple[Column, ...]) -> str:
    """Return the columns as the table that the documents show."""
    lines = ["| name | is | expected | needed |", "|---|---|---|---|"]
    for each in columns:
        unit = f", in {each.unit}" if each.unit else ""
        lines.append(f"| `{each.name}` | {each.means} | {each.expected}{unit} | {each.needed} |")
    return "\n".join(lines)
