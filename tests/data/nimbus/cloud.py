"""Nimbus as a value of the registry of clouds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from accel_scaling.clouds import Cloud


@dataclass(frozen=True)
class Nimbus(Cloud):
    """A cloud whose machine types are written as ``hopper.8x``."""

    def machine_family(self, machine_type: str) -> str | None:
        """Return what precedes the dot."""
        return machine_type.partition(".")[0] or None


CLOUD = Nimbus(
    name="nimbus",
    title="Nimbus",
    compute="Nimbus",
    provider_class="NimbusAcceleratorNodeProvider",
    region_form=re.compile(r"[a-z]+[0-9]+"),
    region_example="oslo1",
    zone_example="x y",
    sdk_module="json",  # a real cloud names its client here; this one needs none
    sdk_package="pip",
    series_separator=".",
    stock=False,  # Ray has no provider of its own for it
    defaults_of="aws",  # Ray's defaults.yaml that suits it
    data=Path(__file__).parent,
)
