"""The policies of a cluster file: for a machine that breaks its promise, and for a quarantine; with their defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.suggest import hint
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.cluster.deep_check_policy import DeepCheckPolicy, deep_check_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SPARE = "spare_accelerators"
AUTHENTICATION = "authentication"

OURS = ("confirmation", "quarantine", "watcher", "catalog", CAPACITY, "network", "placement", SPARE, AUTHENTICATION)
"""The keys of a provider section that this package reads, and Ray does not."""

_LONGEST_DRAIN_S = 7 * 24 * 3600.0


class OnMismatch(Enum):
    """The fate of a machine that does not hold what was promised."""

    REFUSE = "refuse"  # it never joins and is terminated
    JOIN = "join"  # with what is really there, where that is of the promised type
    REPORT = "report"  # it joins with its whole promise, and the log has the verdict
    SKIP = "skip"  # nobody looks at its devices: it joins with its whole promise

    @property
    def always_joins(self) -> bool:
        """A machine joins whatever the boot check finds, and is a good boot of its node type."""
        return self in (OnMismatch.REPORT, OnMismatch.SKIP)


@dataclass(frozen=True)
class ConfirmationPolicy:
    """``provider.confirmation``.

    Attributes:
        on_mismatch: of all node types that ``node_types`` does not name.
        keep_for_inspection: whether the first refused machine of a cluster is kept, outside of the cluster, until
            ``ray down``. It is paid for.
        node_types: the same as ``on_mismatch`` for single node types, by their names.
        deep: active checks of devices, which the user asks for.
    """

    on_mismatch: OnMismatch = OnMismatch.REFUSE
    keep_for_inspection: bool = False
    node_types: Mapping[str, OnMismatch] = field(default_factory=dict)
    deep: DeepCheckPolicy = field(default_factory=DeepCheckPolicy)

    def of(self, node_type: str) -> OnMismatch:
        """Return what becomes of the machines of a node type."""
        return self.node_types.get(node_type, self.on_mismatch)


@dataclass(frozen=True)
class QuarantinePolicy:
    """``provider.quarantine``. The reasons for these numbers are in docs/quarantine.md.

    Attributes:
        strikes: so many failed confirmations ...
        of_boots: ... among so many of the last boots of a node type in a zone, and it is quarantined there.
        first_s: for how many seconds, the first time.
        sold_out_first_s: the same for a node type that the cloud does not have; once is enough there.
        growth: how many times longer each further time is.
        longest_s: never longer than this.
    """

    strikes: int = 2
    of_boots: int = 4
    first_s: float = 300.0
    sold_out_first_s: float = 60.0
    growth: float = 2.0
    longest_s: float = 3600.0

    def duration_s(self, times: int, *, sold_out: bool) -> float:
        """Return how long a node type is quarantined, the ``times``-th time in a row, counted from 1."""
        first_s = self.sold_out_first_s if sold_out else self.first_s
        # Before the power: a number of a thousand digits is no float.
        if self.growth > 1 and (times - 1) * math.log(self.growth) > math.log(max(self.longest_s / first_s, 1)):
            return self.longest_s
        return float(min(first_s * self.growth ** (times - 1), self.longest_s))


class OnEvent(Enum):
    """What becomes of a node whose watcher has found something."""

    ACT = "act"  # it is drained, terminated and replaced
    REPORT = "report"  # the autoscaler's log says it
    IGNORE = "ignore"


@dataclass(frozen=True)
class WatcherPolicy:
    """``provider.watcher``. The reasons for these values are in docs/watcher.md.

    Attributes:
        interruption: the cloud takes a spot machine back, and has said when.
        rebalance: EC2 says that it may take a spot machine back soon.
        maintenance: the cloud will stop, reboot or retire the machine, or terminate it for maintenance of its host.
        sick: an accelerator does not hold the promise any more that it held at the boot.
        drain_s: for so many seconds at most, a node's tasks may continue before it is terminated.
        driver_events: whether a driver is listened to for errors of its devices, beside the looks at them.
        node_types: the policies of single node types, by their names.
    """

    interruption: OnEvent = OnEvent.ACT
    rebalance: OnEvent = OnEvent.REPORT
    maintenance: OnEvent = OnEvent.ACT
    sick: OnEvent = OnEvent.ACT
    drain_s: float = 300.0
    driver_events: bool = True
    node_types: Mapping[str, WatcherPolicy] = field(default_factory=dict)

    def of(self, node_type: str) -> WatcherPolicy:
        """Return the policy of a node type."""
        return self.node_types.get(node_type, self)


def confirmation_policy(provider: Mapping[str, Any]) -> ConfirmationPolicy:
    """Return the policy of a provider section.

    Raises:
        ClusterConfigError: a key or a value that does not exist; the sentence names it and what is possible.
    """
    key = "provider.confirmation"
    given = _section(provider, "confirmation", ConfirmationPolicy)
    keep, single = given.get("keep_for_inspection", False), given.get("node_types") or {}
    if not isinstance(keep, bool):
        raise ClusterConfigError(f"{key}.keep_for_inspection is {shown(keep)}: write true or false")
    if not isinstance(single, dict):
        raise ClusterConfigError(f"{key}.node_types is {shown(single)}: write a mapping, such as {{my_type: skip}}")
    node_types = {name: _on_mismatch(f"{key}.node_types.{name}", word) for name, word in single.items()}
    return ConfirmationPolicy(
        _on_mismatch(f"{key}.on_mismatch", given.get("on_mismatch", OnMismatch.REFUSE.value)),
        keep,
        node_types,
        deep_check_policy(given.get("deep"), f"{key}.deep"),
    )


def check_node_types(
    policy: ConfirmationPolicy | WatcherPolicy | DeepCheckPolicy,
    node_types: Collection[str],
    section: str = "confirmation",
) -> None:
    """Refuse a policy for a node type that the cluster file does not have.

    Raises:
        ClusterConfigError: it names the nearest node type.
    """
    for name in policy.node_types:
        if name not in node_types:
            raise ClusterConfigError(
                f"provider.{section}.node_types names {shown(name)}, which available_node_types does not have"
                + (hint(str(name), map(str, node_types)) or f": it has {', '.join(map(str, node_types))}")
            )


def _on_mismatch(key: str, word: Any) -> OnMismatch:
    words = [value.value for value in OnMismatch]
    if word not in words:
        raise ClusterConfigError(f"{key} is {shown(word)}: write {', '.join(words[:-1])} or {words[-1]}")
    return OnMismatch(word)


def quarantine_policy(provider: Mapping[str, Any]) -> QuarantinePolicy:
    """Return the policy of a provider section.

    Raises:
        ClusterConfigError: a key or a value that does not exist, or numbers that contradict each other.
    """
    key = "provider.quarantine"
    given = _section(provider, "quarantine", QuarantinePolicy)
    for name, value in given.items():
        whole = name in ("strikes", "of_boots")
        # bool is a kind of int in Python: `strikes: true` must not be 1. YAML has .inf and .nan, too.
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 1:
            expected = "a whole number" if whole else "a number"
            raise ClusterConfigError(f"{key}.{name} is {shown(value)}: write {expected} of at least 1")
    policy = QuarantinePolicy(**given)
    if policy.strikes > policy.of_boots:
        raise ClusterConfigError(
            f"{key}: {policy.strikes} strikes of {policy.of_boots} boots can never be counted:"
            " write strikes that are not more than of_boots"
        )
    longest_first_s = max(policy.first_s, policy.sold_out_first_s)
    if policy.longest_s < longest_first_s:
        raise ClusterConfigError(
            f"{key}: longest_s ({policy.longest_s:g}) is shorter than the first time ({longest_first_s:g} s):"
            " write a longer one"
        )
    return policy


def watcher_policy(provider: Mapping[str, Any]) -> WatcherPolicy:
    """Return the policy of a provider section.

    Raises:
        ClusterConfigError: a key or a value that does not exist.
    """
    key, given = "provider.watcher", dict(_section(provider, "watcher", WatcherPolicy))
    single = given.pop("node_types", None) or {}
    if not isinstance(single, dict):
        raise ClusterConfigError(
            f"{key}.node_types is {shown(single)}: write a mapping, such as {{my_type: {{sick: report}}}}"
        )
    policy = _with_watcher_keys(WatcherPolicy(), given, key)
    names = [one.name for one in fields(WatcherPolicy) if one.name != "node_types"]
    node_types = {}
    for name, words in single.items():
        place = f"{key}.node_types.{name}"
        node_types[name] = _with_watcher_keys(policy, _known_keys(words, place, names), place)
    return replace(policy, node_types=node_types)


def _with_watcher_keys(policy: WatcherPolicy, given: Mapping[str, Any], key: str) -> WatcherPolicy:
    """Return the policy with what is written at this place of the file."""
    words, changes = [value.value for value in OnEvent], dict(given)
    drain_s = changes.setdefault("drain_s", policy.drain_s)
    if not isinstance(drain_s, int | float) or isinstance(drain_s, bool) or not 0 <= drain_s <= _LONGEST_DRAIN_S:
        raise ClusterConfigError(f"{key}.drain_s is {shown(drain_s)}: write seconds, from 0 to {_LONGEST_DRAIN_S:g}")
    listens = changes.setdefault("driver_events", policy.driver_events)
    if not isinstance(listens, bool):
        raise ClusterConfigError(f"{key}.driver_events is {shown(listens)}: write true or false")
    for name in changes.keys() - {"drain_s", "driver_events"}:
        if changes[name] not in words:
            expected = f"{', '.join(words[:-1])} or {words[-1]}"
            raise ClusterConfigError(f"{key}.{name} is {shown(changes[name])}: write {expected}")
        changes[name] = OnEvent(changes[name])
    return replace(policy, **{**changes, "drain_s": float(drain_s)})


def spares_accelerators(provider: Mapping[str, Any]) -> bool:
    """Return whether nodes with accelerators are launched last for demands without them: ``spare_accelerators``.

    Raises:
        ClusterConfigError: it is neither true nor false.
    """
    given = provider.get(SPARE, True)
    if not isinstance(given, bool):
        raise ClusterConfigError(f"provider.{SPARE} is {shown(given)}: write true or false")
    return given


def authentication_policy(provider: Mapping[str, Any]) -> str:
    """Return whether the cluster's Ray asks for a token, of ``authentication``: ``token``, ``disabled``, or empty.

    Raises:
        ClusterConfigError: another value.
    """
    given = provider.get(AUTHENTICATION)
    if given is None:
        return ""
    if given not in ("token", "disabled"):
        raise ClusterConfigError(f"provider.{AUTHENTICATION} is {shown(given)}: write token or disabled")
    return str(given)


def _section(provider: Mapping[str, Any], key: str, policy: type) -> dict[str, Any]:
    given = provider.get(key)
    if given is None:
        return {}
    return _known_keys(given, f"provider.{key}", [field.name for field in fields(policy)])


def _known_keys(given: Any, key: str, names: list[str]) -> dict[str, Any]:
    """Return a mapping all of whose keys are read."""
    if not isinstance(given, dict):
        raise ClusterConfigError(f"{key} is {shown(given)}: write a mapping with {', '.join(names)}")
    for name in given:
        if name not in names:
            written = name if isinstance(name, str) and name.isidentifier() else shown(name)
            raise ClusterConfigError(
                f"{key}.{written} is a key that nothing reads{hint(str(name), names)}; the keys there are "
                f"{', '.join(names)}"
            )
    return given
