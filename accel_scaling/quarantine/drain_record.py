"""The drained machines of a cluster in the state file: which, why, until when; and how many at once for one reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.quarantine.values import strings, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.metrics import Metrics
    from accel_scaling.quarantine.store import FallbackStore

_TEXTS = ("node_type", "kind", "code", "message")


@dataclass(frozen=True)
class DrainRecord:
    """One machine that is drained, waits for its drain, or was drained.

    Attributes:
        node_type: its node type.
        kind: of the event, as a key of ``provider.watcher``.
        code: the cloud's word, or the verdict's.
        message: a sentence.
        told_s: when the head learnt of it.
        since_s: when the drain began; None while it waits for that of another machine.
        until_s: when the machine is terminated at the latest; None while it waits.
        ended_s: when it was terminated, or kept for inspection; None before.
    """

    node_type: str
    kind: str
    code: str
    message: str
    told_s: float
    since_s: float | None = None
    until_s: float | None = None
    ended_s: float | None = None


class DrainRecords:
    """The drains in the state file; outside of an autoscaler there are none."""

    def __init__(self, store: FallbackStore, clock: Callable[[], float], metrics: Metrics, *, active: bool) -> None:
        """Keep them in the store's file, and count those that begin."""
        self._store, self._clock, self._metrics = store, clock, metrics
        self._active = active

    def all(self) -> Mapping[str, DrainRecord]:
        """Return all records, machine -> record, oldest first."""
        return self._store.read().drains if self._active else {}

    def waits(self, node_id: str, record: DrainRecord) -> None:
        """Report a machine that is to be drained later."""
        self._change(lambda drains: {**drains, node_id: record})

    def begins(self, node_id: str, record: DrainRecord) -> None:
        """Report a machine whose drain begins; it is counted once."""
        before = self.all().get(node_id)
        if self._active and (before is None or before.since_s is None):
            self._metrics.drained(record.node_type, record.kind, record.code)
        self._change(lambda drains: {**drains, node_id: record})

    def ended(self, node_id: str) -> None:
        """Report the end of a machine; nothing where it was not drained."""
        now_s = self._clock()

        def end(drains: Mapping[str, DrainRecord]) -> Mapping[str, DrainRecord]:
            record = drains.get(node_id)
            if record is None or record.ended_s is not None:
                return drains
            return {**drains, node_id: replace(record, ended_s=now_s)}

        self._change(end)

    def withdrawn(self, node_id: str) -> None:
        """Report a machine that is well again before its drain has begun."""
        self._change(lambda drains: {name: one for name, one in drains.items() if name != node_id})

    def _change(self, change: Callable[[Mapping[str, DrainRecord]], Mapping[str, DrainRecord]]) -> None:
        def changed(ledger: Ledger) -> Ledger:
            drains = change(ledger.drains)
            ended = [name for name, one in drains.items() if one.ended_s is not None]
            forgotten = set(ended[: -timeouts.DRAINS_REMEMBERED])
            return replace(ledger, drains={name: one for name, one in drains.items() if name not in forgotten})

        if self._active:
            self._store.change(changed)


def may_begin(drains: Mapping[str, DrainRecord], code: str, workers: int, now_s: float, *, sure: bool) -> bool:
    """Return whether one more sick machine may be drained now for the same reason as others.

    A program that replaces the driver of all machines at one hour must not cost the whole cluster at once.

    Args:
        drains: all that are known.
        code: the reason.
        workers: how many workers the cluster has.
        now_s: the time.
        sure: the driver says it of a device. What a driver fails in as a whole, a person may have done: those drains
            are that much apart besides.
    """
    apart_s = 0.0 if sure else timeouts.UNSURE_DRAINS_APART_S
    busy = sum(
        one.kind == "sick"
        and one.code == code
        and one.since_s is not None
        and (one.ended_s is None or now_s - one.since_s < apart_s)
        for one in drains.values()
    )
    return busy < max(1, int(workers * timeouts.SICK_DRAINS_SHARE))


def to_json(record: DrainRecord) -> dict[str, Any]:
    """Return a record as the state file and `status --json` have it."""
    return asdict(record)


def drain_from(content: Any, path: str) -> DrainRecord:
    """Return a record of the state file.

    Raises:
        ValueError: it is none; the text names the place.
    """
    words = strings(content, _TEXTS, path)
    since_s, until_s, ended_s = (
        None if content.get(name) is None else time_of(content[name], f"{path}.{name}")
        for name in ("since_s", "until_s", "ended_s")
    )
    told_s = time_of(content.get("told_s"), f"{path}.told_s")
    return DrainRecord(
        words["node_type"], words["kind"], words["code"], words["message"], told_s, since_s, until_s, ended_s
    )
