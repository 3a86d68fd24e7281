"""A cloud as the watch over machines asks it: nothing here raises, and what the cloud does not answer is logged.

A machine that has just ended, and a cloud that is down, are asked again in the next round.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from accel_scaling import _ray

if TYPE_CHECKING:
    from accel_scaling.providers.base.machine_end import MachineEnd
    from accel_scaling.quarantine.gate import Gate

logger = logging.getLogger(__name__)


class Cloud(Protocol):
    """What the watch asks of a provider."""

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return a node's tags."""

    def zone_of(self, node_id: str) -> str:
        """Return a node's zone."""

    def end_for_good(self, node_id: str) -> None:
        """Terminate or delete a node."""

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd]:
        """Return why nodes ended; those that have not are left out."""

    def addresses_of(self, node_id: str) -> list[str]:
        """Return the addresses of a node's hosts within the network."""

    def is_waiting(self, node_id: str) -> bool:
        """Return whether a node waits in a queue of its cloud's."""


class MachineCloud:
    """What is known of machines here, and what their cloud says of them where it is not known."""

    def __init__(self, gate: Gate, cloud: Cloud) -> None:
        self._gate = gate
        self._cloud = cloud

    def node_type(self, node_id: str) -> str:
        """Return a machine's node type, from its record, from the last listing, or from its tags."""
        record = self._gate.machines.get(node_id)
        known = record.node_type if record else self._gate.workers().get(node_id)
        if known:
            return known
        return _ray.node_type_of(self.tags(node_id))

    def tags(self, node_id: str) -> dict[str, str]:
        """Return a machine's tags; none where the cloud does not answer."""
        try:
            return self._cloud.node_tags(node_id)
        except Exception as error:  # noqa: BLE001 - a cloud's client raises what it likes
            logger.warning("the tags of %s are not known: %s", node_id, error)
            return {}

    def zone(self, node_id: str) -> str:
        """Return a machine's zone, as it was launched, or as its cloud says; empty where neither knows it."""
        record = self._gate.machines.get(node_id)
        if record and record.zone:
            return record.zone
        try:
            return self._cloud.zone_of(node_id)
        except Exception as error:  # noqa: BLE001
            logger.warning("the zone of %s is not known: %s", node_id, error)
            return ""

    def addresses_of(self, node_id: str) -> list[str]:
        """Return the addresses of a machine's hosts within the network; none where they are not known."""
        try:
            return self._cloud.addresses_of(node_id)
        except Exception as error:  # noqa: BLE001
            logger.warning("the address of %s is not known: %s", node_id, error)
            return []

    def is_waiting(self, node_id: str) -> bool:
        """Return whether a machine waits in a queue of its cloud's; False where that is not known."""
        try:
            return self._cloud.is_waiting(node_id)
        except Exception as error:  # noqa: BLE001
            logger.warning("it is not known whether %s waits: %s", node_id, error)
            return False

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd] | None:
        """Return why machines ended, without those that have not; None where the cloud does not say it."""
        try:
            return self._cloud.ends_of(node_ids)
        except Exception as error:  # noqa: BLE001
            logger.warning("it is not known whether and why %s ended: %s", ", ".join(node_ids), error)
            return None

    def end(self, node_id: str) -> bool:
        """Ask for the end of a machine, once; return whether the cloud has accepted it."""
        try:
            self._cloud.end_for_good(node_id)
        except Exception as error:  # noqa: BLE001
            logger.warning("node %s could not be terminated, the next round tries again: %s", node_id, error)
            return False
        return True
