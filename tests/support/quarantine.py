"""The quarantine in a head's autoscaler process, as tests drive it: its config file, its state, its clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from accel_scaling.quarantine.gate import Gate
from accel_scaling.quarantine.metrics import Metrics

A, B = "us-west-2a", "us-west-2b"
CONFIG = {
    "max_workers": 8,
    "provider": {"type": "external"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"max_workers": 0, "resources": {"CPU": 2}},
        "p4d": {"min_workers": 1, "max_workers": 4, "resources": {"GPU": 8}},
        "g5": {"min_workers": 0, "max_workers": 8, "resources": {"GPU": 1}},
        "t4": {"max_workers": 8, "resources": {"GPU": 1}},
        "l4": {"max_workers": 8, "resources": {"GPU": 1}},
    },
}


class Head:
    """A head's autoscaler process, restarted at will; its clock stands still unless it is moved."""

    def __init__(self, folder: Path, **provider: Any) -> None:
        self.now_s = 1_000_000.0
        self.path = folder / "ray_bootstrap_config.yaml"
        self.state = folder / ".accel_scaling" / "quarantine.json"
        self.path.write_text(yaml.safe_dump(CONFIG))
        self.provider = provider
        self.registry = CollectorRegistry()
        self.restart()

    def restart(self) -> None:
        self.gate = Gate(self.provider, self.path, self.state, lambda: self.now_s, Metrics(self.registry))

    def most(self, node_type: str) -> int:
        config = yaml.safe_load(self.path.read_text())
        return int(config["available_node_types"][node_type]["max_workers"])

    def lies(self, node: str, zone: str = A) -> None:
        """A machine of p4d is launched, boots, and is refused."""
        self.gate.check("p4d", [zone])
        with self.gate.launching("p4d", 1):
            self.gate.launched("p4d", zone, [node])
        self.gate.refused(node, "p4d", zone, "DriverMissing", "promised 8; 0 seen")
        self.gate.gone(node)

    def tick(self, **nodes: str) -> None:
        self.gate.listed(lambda: nodes)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture(name="head")
def head_fixture(tmp_path: Path) -> Head:
    return Head(tmp_path)
