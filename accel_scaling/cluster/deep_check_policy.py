"""``provider.confirmation.deep``: an active check of the devices at the boot, for which the user asks; its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

DCGM = "dcgmi diag -r 1"
"""The check where the user names none: NVIDIA's own, level 1, which takes seconds."""

WITHIN_S = 120.0
_MOST_S = 3600.0
MEASURED = ("host_gb_s", "memory_gb_s", "peer_gb_s")
"""Numbers of the memory test, as ``at_least`` names them; the end of each is the word of ``bandwidth_floors.csv``."""
_KEYS = ("command", "memory", "within_s", "at_least")


@dataclass(frozen=True)
class DeepCheck:
    """An active check of one node type's machines.

    Attributes:
        command: what runs on the machine, in a shell; exit code 0: the devices work; empty for none.
        memory: whether the memory of NVIDIA's devices is then tried, and how fast they copy.
        within_s: for how many seconds at most; a machine that takes longer has the verdict TooSlow.
        at_least: numbers that the command prints or the memory test finds, and the least that each must be.
    """

    command: str = DCGM
    memory: bool = True
    within_s: float = WITHIN_S
    at_least: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DeepCheckPolicy:
    """The checks of a cluster file.

    Attributes:
        check: of all node types that ``node_types`` does not name; None where there is none.
        node_types: those of single node types; None for one that has none.
    """

    check: DeepCheck | None = None
    node_types: Mapping[str, DeepCheck | None] = field(default_factory=dict)

    def of(self, node_type: str) -> DeepCheck | None:
        """Return the check of a node type; None where there is none."""
        return self.node_types.get(node_type, self.check)


def deep_check_policy(given: Any, key: str) -> DeepCheckPolicy:
    """Return the policy that is written at ``key``.

    Args:
        given: true; or a mapping with ``command``, ``memory``, ``within_s``, ``at_least`` and ``node_types``.
        key: its place in the file.

    Raises:
        ClusterConfigError: a key or a value that does not exist.
    """
    check = _check(given, key, DeepCheck(), ("node_types",))
    single = given.get("node_types") or {} if isinstance(given, dict) else {}
    if not isinstance(single, dict):
        raise ClusterConfigError(f"{key}.node_types is {shown(single)}: write a mapping, such as {{my_type: false}}")
    names = {name: _check(one, f"{key}.node_types.{name}", check or DeepCheck()) for name, one in single.items()}
    return DeepCheckPolicy(check, names)


def _check(given: Any, key: str, before: DeepCheck, more: tuple[str, ...] = ()) -> DeepCheck | None:
    if given is None or given is False:
        return None
    if given is True:
        return before
    keys = (*_KEYS, *more)
    if not isinstance(given, dict):
        raise ClusterConfigError(f"{key} is {shown(given)}: write true, false or a mapping with {', '.join(keys)}")
    for name in given:
        if name not in keys:
            raise ClusterConfigError(
                f"{key}.{name} is a key that nothing reads{hint(str(name), keys)}; the keys there are {', '.join(keys)}"
            )
    changes = {name: given[name] for name in _KEYS if name in given}
    if changes.get("command") is False:
        changes["command"] = ""
    elif not isinstance(changes.get("command", DCGM), str) or changes.get("command") == "":
        raise ClusterConfigError(f"{key}.command is {shown(changes['command'])}: write a command line, or false")
    if not isinstance(changes.get("memory", True), bool):
        raise ClusterConfigError(f"{key}.memory is {shown(changes['memory'])}: write true or false")
    _refuse_a_wrong_number(changes.get("within_s", WITHIN_S), f"{key}.within_s", 1.0, _MOST_S)
    check = replace(before, **changes)
    if not check.command and not check.memory:
        raise ClusterConfigError(f"{key} has neither a command nor the memory test: write {key}: false instead")
    _refuse_wrong_limits(check, key)
    return check


def _refuse_wrong_limits(check: DeepCheck, key: str) -> None:
    if not isinstance(check.at_least, dict):
        raise ClusterConfigError(f"{key}.at_least is {shown(check.at_least)}: write a mapping, such as {{gib_s: 10}}")
    for name, number in check.at_least.items():
        _refuse_a_wrong_number(number, f"{key}.at_least.{name}", 0.0, math.inf)
        if not check.command and name not in MEASURED:
            raise ClusterConfigError(
                f"{key}.at_least.{name} is a number that nothing finds{hint(str(name), MEASURED)}; the memory test"
                f" finds {', '.join(MEASURED)}"
            )


def _refuse_a_wrong_number(value: Any, key: str, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        upper = f" and at most {most:g}" if math.isfinite(most) else ""
        raise ClusterConfigError(f"{key} is {shown(value)}: write a number of at least {least:g}{upper}")
