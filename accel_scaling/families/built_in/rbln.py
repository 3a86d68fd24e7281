"""Rebellions: the driver's nodes, and the compiler's package, which Ray asks."""

from accel_scaling.families.family import Family

FAMILY = Family(
    name="rbln",
    resource="RBLN",
    visible_devices="RBLN_DEVICES",
    noun="RBLN NPU",
    vendors=["1eff"],  # makes nothing but accelerators
    nodes="rbln[0-9]*",  # Rebellions' container toolkit; /dev/rsd0 beside them is no device
    ray_since=(2, 49),
    # As ray/_private/accelerators/rbln.py.
    module="rebel",
    question="""
count = rebel.device_count()
say(count, rebel.get_npu_name() if count else None)
""",
    position=80,
)
