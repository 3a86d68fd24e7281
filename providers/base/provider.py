"""The provider class of all clouds: it watches the boot check of nodes, and ends a node that the check refuses."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.boot.verdicts import holds_promise
from accel_scaling.providers.base import cluster_config
from accel_scaling.providers.base.command_runner import RefusingCommandRunner
from accel_scaling.providers.base.tpu_slice_start import Rounds, wait_until_seen
from accel_scaling.quarantine.gate import Gate, gate_of
from accel_scaling.quarantine.messages import NO_VERDICT

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


class BootCheckedProvider:
    """A provider whose nodes are checked before they join. Put it before Ray's provider in a class's bases."""

    # Of Ray's provider, which ships no types.
    node_tags: Any
    provider_config: dict[str, Any]

    def listed_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return what Ray's provider lists."""
        nodes: list[str] = super().non_terminated_nodes(tag_filters)  # type: ignore[misc]
        return nodes

    def zone_of(self, node_id: str) -> str:
        """Return the zone of a node; empty where it is not known."""
        raise NotImplementedError

    def end_for_good(self, node_id: str) -> None:
        """Terminate or delete a node; never stop it to use it again."""
        raise NotImplementedError

    def _set_gate(self, provider_config: Mapping[str, Any]) -> None:
        self.gate: Gate = gate_of(provider_config)
        # `ray up` and `ray down` make a provider too; only the autoscaler has a config to publish, and schedules.
        cluster_config.publish(_ray.autoscaler_config_path())
        cluster_config.spare_accelerators(provider_config, _ray.autoscaler_config_path())
        self._rounds = Rounds()

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the names of the cluster's nodes with these tags; without a machine that is kept for inspection."""
        # Only a listing without filters is a round of an autoscaler, v1's and v2's; `ray up` filters by kind of node.
        if not tag_filters:
            self._rounds.began()
        nodes = self.listed_nodes(tag_filters)
        # In the list, a kept machine would count as a worker, and the autoscaler ends workers that do not join.
        hidden = self.gate.hidden()
        nodes = [node for node in nodes if node not in hidden]
        if not tag_filters:
            self.gate.listed(lambda: self._workers(nodes))
        return nodes

    def get_command_runner(self, log_prefix: str, node_id: str, *args: Any, **kwargs: Any) -> Any:
        """Return Ray's command runner for a node or for all hosts of a slice, watching its boot check."""
        runner = super().get_command_runner(log_prefix, node_id, *args, **kwargs)  # type: ignore[misc]
        return RefusingCommandRunner(
            runner,
            lambda word, sentence: self.refuse(node_id, word, sentence),
            lambda word, sentence: self._joined(node_id, word, sentence),
            lambda: wait_until_seen(node_id, self._rounds),
        )

    def refuse(self, node_id: str, word: str, sentence: str) -> bool:
        """Terminate a machine or slice that does not hold what was promised, and remember it of its node type.

        Returns:
            Whether it is given up; a head whose check came to no verdict is left to the person at `ray up`.
        """
        tags = self.node_tags(node_id)
        node_type, head = _ray.node_type_of(tags), _ray.is_head(tags)
        # `ray up` shows Ray's own error then, and the machine is there to look at.
        if head and word == NO_VERDICT:
            return False
        role = "head node" if head else "node"
        logger.error("%s %s of type %s refused: %s", role, node_id, node_type, sentence)
        # Asked before the end: a machine that is gone has no zone, and the quarantine is kept by zones.
        zone = self.zone_of(node_id)
        if not head and self.gate.keeps(node_id, sentence):
            logger.error("node %s is kept for inspection, outside of the cluster; `ray down` ends it", node_id)
        else:
            self.end_for_good(node_id)
            logger.error("%s %s is terminated; nothing was scheduled on it", role, node_id)
        # A head is launched by `ray up`, at which a person sees the reason: it counts for no quarantine.
        if not head:
            self.gate.refused(node_id, node_type, zone, word, sentence.replace(f"{word}: ", "", 1))
            self.gate.gone(node_id)
        return True

    def _joined(self, node_id: str, word: str, sentence: str) -> None:
        tags = self.node_tags(node_id)
        if _ray.is_head(tags):
            return
        node_type, zone = _ray.node_type_of(tags), self.zone_of(node_id)
        if holds_promise(word):
            self.gate.confirmed(node_id, node_type, zone, word)
        else:  # it may join with less; but its type is no better for that
            logger.error("node %s of type %s joins with what it has: %s: %s", node_id, node_type, word, sentence)
            self.gate.refused(node_id, node_type, zone, word, sentence)

    def _workers(self, nodes: list[str]) -> dict[str, str]:
        tags = ((node, self.node_tags(node)) for node in nodes)
        return {node: _ray.node_type_of(node_tags) for node, node_tags in tags if not _ray.is_head(node_tags)}
