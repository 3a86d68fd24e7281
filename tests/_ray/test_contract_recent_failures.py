"""`ray status` shows our node types under "Recent failures", with both autoscalers' own code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling._ray import recent_failures

WHY = "quarantined until 12:34:56 UTC, refused: DriverMissing"
SENTENCE = "t4 is quarantined (refused: DriverMissing in us-west-2a until 12:34:56 UTC)"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    recent_failures._blocked.clear()


def blocked() -> dict[str, _ray.BlockedType]:
    return {"t4": _ray.BlockedType(WHY, SENTENCE, time.time() - 5)}


def text_of_v2(state: Any, *, verbose: bool) -> str:
    from ray.autoscaler.v2.utils import ClusterStatusFormatter, ClusterStatusParser
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    reply = GetClusterStatusReply(autoscaling_state=state)
    reply.cluster_resource_state.cluster_resource_state_version = 1
    status = ClusterStatusParser.from_get_cluster_status_reply(reply, stats=_stats())
    return ClusterStatusFormatter.format(status, verbose=verbose)


def _stats() -> Any:
    from ray.autoscaler.v2.schema import Stats

    return Stats(gcs_request_time_s=0.0, request_ts_s=time.time())


def fill_state(reconciler: Any, manager: Any, state: Any) -> None:
    """Call it as the installed Ray does: only later ones hand it the autoscaling config."""
    import inspect

    from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

    given = {"instance_manager": manager, "autoscaling_state": state, "autoscaling_config": SimpleNamespace()}
    names = inspect.signature(Reconciler._fill_autoscaling_state).parameters
    reconciler._fill_autoscaling_state(**{name: given[name] for name in names})


def test_v2_reports_them_beside_its_own_and_no_longer_when_they_are_gone() -> None:
    from ray.autoscaler.v2.instance_manager import reconciler as v2
    from ray.core.generated.autoscaler_pb2 import AutoscalingState
    from ray.core.generated.instance_manager_pb2 import StatusCode

    own = type("Reconciler", (v2.Reconciler,), {})
    recent_failures.wrap(own)
    recent_failures.wrap(own)  # once is enough
    manager = SimpleNamespace(
        get_instance_manager_state=lambda request: SimpleNamespace(
            status=SimpleNamespace(code=StatusCode.OK), state=SimpleNamespace(instances=[], version=7)
        )
    )
    shown = _ray.RecentFailures(None)
    shown.show(blocked())
    state = AutoscalingState()
    fill_state(own, manager, state)
    assert state.autoscaler_state_version == 7, "Ray's own part was left out"
    assert len(state.failed_instance_requests) == 1
    assert f"\n t4 ({WHY}): LaunchFailed (latest_attempt: " in text_of_v2(state, verbose=False)
    assert SENTENCE in text_of_v2(state, verbose=True)
    shown.show({})
    state = AutoscalingState()
    fill_state(own, manager, state)
    assert not state.failed_instance_requests


def test_v2_calls_the_method_by_its_class_as_it_is_wrapped_there() -> None:
    import inspect

    from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

    assert "Reconciler._fill_autoscaling_state(" in inspect.getsource(Reconciler)
    assert isinstance(inspect.getattr_static(Reconciler, "_fill_autoscaling_state"), staticmethod)


def test_v1_shows_what_its_tracker_has_and_forgets_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.autoscaler import AutoscalerSummary
    from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
    from ray.autoscaler._private.util import LoadMetricsSummary, format_info_string

    class StandardAutoscaler:
        def __init__(self) -> None:
            self.node_provider_availability_tracker = NodeProviderAvailabilityTracker()
            self.shown = self.reset()

        def reset(self) -> Any:
            return _ray.shown_failures()

        def text(self) -> str:
            summary = AutoscalerSummary(
                active_nodes={},
                idle_nodes={},
                pending_nodes=[],
                pending_launches={},
                failed_nodes=[],
                node_availability_summary=self.node_provider_availability_tracker.summary(),
            )
            load = LoadMetricsSummary(usage={}, resource_demand=[], pg_demand=[], request_demand=[], node_types=[])
            return str(format_info_string(load, summary, verbose=True))

    monkeypatch.setattr("sys.argv", ["/x/ray/autoscaler/_private/monitor.py"])
    autoscaler = StandardAutoscaler()
    autoscaler.shown.show(blocked())
    assert f"\n t4: {WHY} (latest_attempt: " in autoscaler.text()
    assert f" - {SENTENCE}" in autoscaler.text()
    autoscaler.shown.show({})
    assert "(no failures)" in autoscaler.text()
    assert not autoscaler.node_provider_availability_tracker.summary().node_availabilities


def test_v1_has_its_tracker_before_it_makes_its_provider() -> None:
    import inspect

    from ray.autoscaler._private.autoscaler import StandardAutoscaler

    source = inspect.getsource(StandardAutoscaler.__init__)
    assert source.index("self.node_provider_availability_tracker =") < source.index("self.reset(")
