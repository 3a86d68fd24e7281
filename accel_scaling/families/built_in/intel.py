"""Intel GPUs: the driver's render nodes, and dpctl, the package that Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.versions import has
from accel_scaling.families.family import RENDER_NODES, Family
from accel_scaling.families.visible import NO_DEVICES, Reading, list_in

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE, SELECTOR = "ZE_AFFINITY_MASK", "ONEAPI_DEVICE_SELECTOR"
BACKEND = "level_zero:"


def ray_type(name: str) -> str:
    """Return the type that Ray makes of the first device's name: its last two words."""
    return "Intel-GPU-" + "-".join(name.split(" ")[-2:])


def read_visible(environment: Mapping[str, str]) -> Reading | None:
    """Return what is visible by Level Zero's mask; without one, by oneAPI's selector (``level_zero:0,1``)."""
    mask, selector = environment.get(VARIABLE), environment.get(SELECTOR)
    if mask is not None and has("ze_affinity_mask"):
        return list_in(VARIABLE, mask)
    if selector is None:
        return None
    # As Ray: what is between the backend's first name and its next, whatever that is.
    listed = selector.split(BACKEND)[1] if BACKEND in selector else selector
    return Reading(SELECTOR, selector, () if selector in ("", NO_DEVICES) else tuple(listed.split(",")))


FAMILY = Family(
    name="intel",
    resource="GPU",
    visible_devices=VARIABLE if has("ze_affinity_mask") else SELECTOR,
    shared=True,
    noun="Intel GPU",
    vendors=["8086"],
    device_classes=["03"],
    known_ids_only=True,  # the graphics of an Intel processor are no accelerator
    nodes="dri/renderD[0-9]*",
    kernel_class=RENDER_NODES,
    ray_since=(2, 0),
    # As ray/_private/accelerators/intel_gpu.py.
    module="dpctl",
    question="""
count = dpctl.SyclContext("level_zero:gpu").device_count
first = dpctl.SyclDevice("level_zero:gpu:0").name if count else None
try:
    names = [device.name for device in dpctl.get_devices(backend="level_zero", device_type="gpu")]
except Exception:  # Ray does not ask so, and the bus tells products apart, too
    names = []
say(count, first, names)
""",
    type_of_name=ray_type,
    type_prefix="Intel-GPU-",
    narrowed_by=[SELECTOR],
    read_visible=read_visible,
    position=50,
)
