"""The network cards of a machine type, and the network for training that they make: ``CLOUD_networks.csv``.

A refresh writes the cards of types that the shipped file does not have; a row of it has precedence over a shipped one.
"""

from __future__ import annotations

import functools
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accel_scaling.catalog.files import REFRESH_FOLDER, USER_FOLDER, read, shipped
from accel_scaling.catalog.node_schema import NETWORKS
from accel_scaling.catalog.table import read_table
from accel_scaling.inputs.file_text import is_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.files import Problem, Source


class Card(NamedTuple):
    """One network card.

    Attributes:
        kind: ``efa`` and ``ena`` on AWS; on Google Cloud the interface's type in lower case, ``gvnic``, ``mrdma``.
        interfaces: how many network interfaces it takes.
    """

    kind: str
    interfaces: int = 1


class NetworkCards(NamedTuple):
    """The network cards of a machine type; a row of the file.

    Attributes:
        instance_type: the machine type.
        network: the word for its network for training (``efa``, ``rdma``); empty where it has none.
        cards: its cards, in the order of their numbers.
        source: who says so.
    """

    instance_type: str
    network: str
    cards: tuple[Card, ...]
    source: str

    @property
    def interfaces(self) -> int:
        """How many network interfaces the machine takes."""
        return sum(card.interfaces for card in self.cards)

    @property
    def text(self) -> str:
        """The cards as the file has them."""
        return text_of(self.cards)


def parse_networks(source: Source) -> tuple[list[NetworkCards], list[Problem]]:
    """Read the rows, and everything that is wrong with the file."""
    return read_table(
        source,
        NETWORKS,
        lambda row, _: NetworkCards(row["instance_type"], row["network"], _cards(row["cards"]), row["source"]),
    )


def network_cards(cloud: str, machine_type: str) -> NetworkCards | None:
    """Return the network cards of a machine type; None where they are not known.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    return _refreshed_rows(cloud).get(machine_type) or shipped_rows(cloud).get(machine_type)


def text_of(cards: tuple[Card, ...]) -> str:
    """Return cards as the file has them: ``ena:1/4 efa:16/4``."""
    runs = ((card, len(list(same))) for card, same in groupby(cards))
    return " ".join(
        f"{card.kind}:{count}" + (f"/{card.interfaces}" if card.interfaces > 1 else "") for card, count in runs
    )


def _cards(words: tuple[str, ...]) -> tuple[Card, ...]:
    cards: list[Card] = []
    for word in words:
        kind, _, numbers = word.partition(":")
        count, _, interfaces = numbers.partition("/")
        cards += [Card(kind, int(interfaces or 1))] * int(count)
    return tuple(cards)


@functools.cache
def shipped_rows(cloud: str) -> Mapping[str, NetworkCards]:
    """Return the rows that ship, by machine type.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    return _by_type(shipped(NETWORKS, cloud))


def _refreshed_rows(cloud: str) -> Mapping[str, NetworkCards]:
    path = Path.home() / USER_FOLDER / REFRESH_FOLDER / NETWORKS.file_of(cloud)
    return _by_type(read(path)) if is_file(path) else {}


def _by_type(source: Source | None) -> Mapping[str, NetworkCards]:
    return {row.instance_type: row for row in source.accept(parse_networks(source))} if source else {}
