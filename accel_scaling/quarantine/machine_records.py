"""The records of all machines in the state file: how each step is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.quarantine.machine import Machine, Reason, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.store import FallbackStore


class MachineRecords:
    """The machines of one cluster, each with the steps of its life.

    The methods that take a ledger return the changed one: the gate writes it together with the strike that it causes.
    """

    def __init__(self, store: FallbackStore, clock: Callable[[], float], *, active: bool) -> None:
        """Keep the records in the store's file; outside of an autoscaler, none."""
        self._store = store
        self._clock = clock
        self._active = active

    def all(self) -> Mapping[str, Machine]:
        """Return all records, oldest first."""
        return self._store.read().machines if self._active else {}

    def get(self, node_id: str) -> Machine | None:
        """Return the record of a machine; None where there is none."""
        return self.all().get(node_id)

    def step(self, node_id: str, node_type: str, step: Step, reason: str = "") -> None:
        """Report a step of a machine; one that it has taken already changes nothing."""
        self._change(lambda current: self.with_step(current, node_id, node_type, step, reason))

    def failing(self, node_id: str, node_type: str, reason: Reason) -> None:
        """Report what is wrong with a machine that is not given up yet."""
        self._change(lambda current: self.with_failure(current, node_id, node_type, reason, given_up=False))

    def ended(self, node_id: str, reason: str) -> None:
        """Report the end of a machine; nothing where it has no record."""

        def end(current: Ledger) -> Ledger:
            machine = current.machines.get(node_id)
            if machine is None:
                return current
            return current.with_machine(node_id, machine.with_step(Step.ENDED, self._clock(), reason))

        self._change(end)

    def _change(self, change: Callable[[Ledger], Ledger]) -> None:
        if self._active:
            self._store.change(change)

    # Changes of a ledger.

    def with_launched(
        self, current: Ledger, node_type: str, place: str, nodes: Collection[str], asked_s: float
    ) -> Ledger:
        """Return the ledger with machines that the cloud gave in a place, asked for at ``asked_s``."""
        new, changed = set(), {}
        for node_id in nodes:
            before = current.machines.get(node_id)
            # A stopped machine that is started begins a new life. One that was checked before the call that launched it
            # returned is in its first.
            if before is None or (before.finished and before.steps[-1].time_s < asked_s):
                new.add(node_id)
                machine = Machine(node_type).with_request(place, asked_s)
            else:
                machine = before.with_request(place, asked_s)
            changed[node_id] = machine.with_step(Step.LAUNCHED, self._clock())
        return current.launched_again(new).with_machines(changed)

    def with_step(
        self, current: Ledger, node_id: str, node_type: str, step: Step, reason: str = "", *, zone: str = ""
    ) -> Ledger:
        """Return the ledger with a step of a machine."""
        machine = current.machines.get(node_id, Machine(node_type, zone))
        return current.with_machine(node_id, machine.with_step(step, self._clock(), reason))

    def with_failure(
        self, current: Ledger, node_id: str, node_type: str, reason: Reason, *, zone: str = "", given_up: bool = True
    ) -> Ledger:
        """Return the ledger with what is wrong with a machine."""
        machine = current.machines.get(node_id, Machine(node_type, zone))
        return current.with_machine(node_id, machine.with_failure(reason, given_up=given_up))
