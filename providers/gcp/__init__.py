"""GCP: everything that is this cloud's own.

The provider class is imported when it is asked for: reading a node_config needs neither ray nor a cloud SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accel_scaling.providers.gcp.provider import GCPAcceleratorNodeProvider as GCPAcceleratorNodeProvider

__all__ = ["GCPAcceleratorNodeProvider"]


def __getattr__(name: str) -> Any:
    if name == "GCPAcceleratorNodeProvider":
        from accel_scaling.providers.gcp.provider import GCPAcceleratorNodeProvider

        return GCPAcceleratorNodeProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
