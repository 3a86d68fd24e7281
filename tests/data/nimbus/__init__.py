"""Nimbus: a made-up cloud in one folder, which CONTRIBUTING.md explains and a test uses."""

from __future__ import annotations

from typing import Any

__all__ = ["NimbusAcceleratorNodeProvider"]


def __getattr__(name: str) -> Any:
    if name == "NimbusAcceleratorNodeProvider":
        from accel_scaling.providers.nimbus.provider import NimbusAcceleratorNodeProvider

        return NimbusAcceleratorNodeProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
