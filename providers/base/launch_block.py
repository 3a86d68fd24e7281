"""The block before the question of `ray up`: what is used of the account, and what each node type promises.

Ray prints one for `type: aws` alone (`log_to_cli` in ray/autoscaler/_private/aws/config.py), with the same labels. What
the file does not name, and Ray or the fill has chosen, is marked ``[default]``.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_MARKET_TYPE
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import LABEL_CAPACITY, capacity_orders
from accel_scaling.cluster.capacity_text import in_order
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.clouds import Cloud
    from accel_scaling.cluster.capacity import CapacityEntry

_WIDTH = 80
_INDENT = 2  # of each level, as Ray's logger has it
_ALL = "all available node types"  # Ray's words
_GIB = 2**30


@dataclass(frozen=True)
class Fact:
    """One line of the block.

    Attributes:
        label: the thing.
        value: its name in the account.
        default: the file does not name it.
    """

    label: str
    value: str
    default: bool = False


def of_node_types(label: str, head: str, values: Mapping[str, tuple[str, bool]]) -> list[Fact]:
    """Return a line for what node types have: one where all have the same, else one for each, the head's first.

    Args:
        label: the thing.
        head: the head's node type.
        values: node type -> its name in the account, and whether the file does not name it; empty names are left out.
    """
    named = {name: value for name, value in values.items() if value[0]}
    if len(set(named.values())) == 1 and len(named) == len(values):
        value, default = next(iter(named.values()))
        return [Fact(f"{label} ({_ALL})", value, default)]
    ordered = sorted(named, key=lambda name: name != head)
    return [Fact(f"{label} ({name})", *named[name]) for name in ordered]


def say(cloud: Cloud, facts: Sequence[Fact], config: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Print the block, where `ray up` is to launch a head.

    Args:
        cloud: whose account it is.
        facts: what is used of the account.
        config: the cluster config, filled and resolved.
        images: node type -> its image in words.
    """
    if not _ray.launched_by_ray_up():
        return
    logger = _ray.cli_logger()
    with logger.group("{} config", cloud.title):
        for fact in facts:
            _say(fact, level=1)
        provider = config["provider"]
        orders = capacity_orders(provider)
        for name, node_type in config["available_node_types"].items():
            machines = list(machine_lists.machines_of(provider, name, node_type["node_config"], cloud.machine_key))
            words = ", ".join(_machine_words(node_type, machines, orders.get(name, ())))
            _say(Fact(f"Node type {name}", words), level=1)
            with logger.indented():
                _say(Fact("promise", ", ".join(promise_words(node_type.get("resources") or {}))), level=2)
                _say(Fact("image", images.get(name, "")), level=2)
    logger.newline()


def promise_words(resources: Mapping[str, float]) -> Iterator[str]:
    """Yield each promised resource in words: ``CPU 4``, ``memory 11.2 GiB``, ``type A10G``."""
    for name, amount in resources.items():
        if name.startswith(ACCELERATOR_TYPE_PREFIX):
            yield f"type {name.removeprefix(ACCELERATOR_TYPE_PREFIX)}"
        elif name == "memory":
            yield f"memory {amount / _GIB:.1f} GiB"
        else:
            yield f"{name} {amount:g}"


def _machine_words(
    node_type: Mapping[str, Any], machines: Sequence[str], order: Sequence[CapacityEntry]
) -> Iterator[str]:
    """Yield the machine types, and how the machines are bought: ``spot``, ``block cr-0123, then on-demand``."""
    labels = node_type.get("labels") or {}
    bought = labels.get(LABEL_MARKET_TYPE) or labels.get(LABEL_CAPACITY)
    if order:
        bought = in_order([entry.key for entry in order])
    yield from (str(word) for word in (labels.get(LABEL_INSTANCE_TYPE) or in_order(machines), bought) if word)


def _say(fact: Fact, level: int) -> None:
    """Print one line within 80 columns; a longer one continues below it."""
    if not fact.value:
        return
    logger = _ray.cli_logger()
    lines = textwrap.wrap(
        fact.value + (" [default]" if fact.default else ""),
        _WIDTH - _INDENT * level,
        initial_indent=" " * len(f"{fact.label}: "),
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    logger.labeled_value(fact.label, "{}", lines[0].strip())
    for line in lines[1:]:
        logger.print("{}", line)
