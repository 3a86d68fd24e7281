"""A provider in the autoscaler of a head whose rounds are early when the test says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from accel_scaling.providers.base.early_rounds import EarlyRounds
from accel_scaling.quarantine.gate import Gate


class Early(EarlyRounds):
    """Rounds that are early when the test says so."""

    def __init__(self) -> None:
        super().__init__(None)
        self.early, self.told = False, 0

    @property
    def is_early(self) -> bool:
        return self.early

    def came(self) -> None:
        self.told += 1


class EarlyHead:
    """The autoscaler of a head, with a gate that acts, and no node that has joined."""

    def __init__(self, provider: Any, folder: Path, node_types: dict[str, Any]) -> None:
        self.provider = provider
        path = folder / "ray_bootstrap_config.yaml"
        path.write_text(yaml.safe_dump({"max_workers": 9, "provider": {}, "available_node_types": node_types}))
        self.provider.gate = Gate({}, path, folder / "state.json")
        self.provider.joined_nodes = list
        self.early = self.provider._early = Early()

    def round(self, *, early: bool = False) -> list[str]:
        self.early.early = early
        try:
            return sorted(self.provider.non_terminated_nodes({}))
        finally:
            self.early.early = False
