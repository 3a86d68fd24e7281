"""The gate of this process: it acts where the process is the autoscaler of a cluster's head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.quarantine import store
from accel_scaling.quarantine.driver_messages import DriverMessages
from accel_scaling.quarantine.gate import Gate
from accel_scaling.quarantine.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def gate_of(provider_config: Mapping[str, Any]) -> Gate:
    """Return the gate of this process for a provider section; it acts where the process is an autoscaler."""
    path = _ray.autoscaler_config_path()
    metrics = Metrics(_ray.autoscaler_metrics_registry()) if path else Metrics(None)
    drivers = DriverMessages(_ray.shown_failures() if path else None)
    # Elsewhere no policy is needed, and a wrong one must not keep `ray down` from ending machines.
    return Gate(provider_config if path else {}, path, store.default_path(), metrics=metrics, drivers=drivers)
