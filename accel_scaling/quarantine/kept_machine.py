"""The machine that is kept for inspection: the first refused or sick one, where the cluster file says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.store import FallbackStore


class KeptMachine:
    """The machine that one cluster keeps.

    Args:
        store: has it in its file.
        clock: Unix seconds.
        active: this process is an autoscaler, and the cluster file wants one to be kept; otherwise none is.
    """

    def __init__(self, store: FallbackStore, clock: Callable[[], float], *, active: bool) -> None:
        self._store, self._clock, self._active = store, clock, active
        self._missed_since_s: dict[str, float] = {}

    def keeps(self, node_id: str, sentence: str) -> bool:
        """Return whether to keep this machine: the first one."""
        if not self._active:
            return False
        kept: dict[str, str] = {}

        def keep(old: Ledger) -> Ledger:
            # Decided under the store's lock: of several machines that are refused at once, one is kept.
            kept.update(old.kept or {node_id: sentence})
            return replace(old, kept=dict(kept))

        self._store.change(keep)
        return node_id in kept

    def hidden(self) -> Collection[str]:
        """Return the machines that are kept and no longer part of the cluster; `ray down` finds them anyway."""
        return self._store.read().kept if self._active else ()

    def listed(self, nodes: Collection[str]) -> None:
        """Forget one that the cloud lists no more: a person, or the cloud, has ended it, and the next may be kept."""
        now_s, missed = self._clock(), [node for node in self.hidden() if node not in nodes]
        since_s = {node: self._missed_since_s.get(node, now_s) for node in missed}
        gone = {node for node in missed if now_s - since_s[node] >= timeouts.KEPT_GONE_S}
        self._missed_since_s = {node: at_s for node, at_s in since_s.items() if node not in gone}
        if gone:
            self._store.change(
                lambda old: replace(old, kept={node: why for node, why in old.kept.items() if node not in gone})
            )
