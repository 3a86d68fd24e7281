"""Intel GPUs: the driver's render nodes, and dpctl, the package that Ray asks."""

from accel_scaling._ray.versions import has
from accel_scaling.families.family import RENDER_NODES, Family


def ray_type(name: str) -> str:
    """Return the type that Ray makes of the first device's name: its last two words."""
    return "Intel-GPU-" + "-".join(name.split(" ")[-2:])


FAMILY = Family(
    name="intel",
    resource="GPU",
    visible_devices="ZE_AFFINITY_MASK" if has("ze_affinity_mask") else "ONEAPI_DEVICE_SELECTOR",
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
say(count, dpctl.SyclDevice("level_zero:gpu:0").name if count else None)
""",
    type_of_name=ray_type,
    type_prefix="Intel-GPU-",
    position=50,
)
