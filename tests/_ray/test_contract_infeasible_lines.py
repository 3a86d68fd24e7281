"""v2's line "add suitable node types" has the reason while node types are quarantined, with Ray's own code."""

from __future__ import annotations

from typing import Any

import pytest
from ray.autoscaler.v2 import event_logger
from ray.autoscaler.v2.utils import ResourceRequestUtil

from accel_scaling._ray.infeasible_lines import ADVICE, give_reason

WHY = "quarantined until 12:34:56 UTC, refused: DriverMissing"


class Lines:
    """An event logger that keeps the texts."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def info(self, _text: str) -> None: ...

    def debug(self, _text: str) -> None: ...

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize("gang", [False, True])
def test_the_line_names_the_quarantined_node_types_and_is_rays_own_again_afterwards(gang: bool) -> None:
    own: Any = type("AutoscalerEventLogger", (event_logger.AutoscalerEventLogger,), {})
    blocked = {"a10g": WHY}
    give_reason(own, lambda: blocked)
    give_reason(own, lambda: blocked)  # once is enough
    lines = Lines()
    logger = own(lines)
    request = ResourceRequestUtil.make({"GPU": 1, "accelerator_type:A10G": 0.001})
    if gang:
        from ray.core.generated.autoscaler_pb2 import GangResourceRequest

        waits: dict[str, Any] = {"infeasible_gang_requests": [GangResourceRequest(requests=[request], details="x")]}
    else:
        waits = {"infeasible_requests": [request]}
    logger.log_cluster_scheduling_update({"CPU": 2}, **waits)
    blocked.clear()
    logger.log_cluster_scheduling_update({"CPU": 2}, **waits)
    with_reason, of_ray = lines.warnings
    assert of_ray.startswith("No available node types can fulfill ")
    assert of_ray.endswith(ADVICE)
    assert with_reason == of_ray.replace(
        ADVICE,
        f"These node types are not launched now: a10g ({WHY}). If none of them fits, add suitable node types.",
    )
