"""Huawei Ascend: the driver's nodes, and AscendCL's Python package, which Ray asks."""

from accel_scaling.families.family import Family
from accel_scaling.families.visible import NO_DEVICES

FAMILY = Family(
    name="ascend",
    resource="NPU",
    visible_devices="ASCEND_RT_VISIBLE_DEVICES",
    shared=True,
    noun="Ascend NPU",
    vendors=["19e5"],  # Huawei's, of its network devices too
    device_classes=["1200"],
    nodes="davinci[0-9]*",
    ray_since=(2, 0),
    # The name is said before a failure: where counting fails, Ray counts the nodes and still announces the name.
    # As ray/_private/accelerators/npu.py.
    module="acl",
    question="""
count, error = acl.rt.get_device_count()
say(count, acl.get_soc_name())
if error:
    sys.exit(f"aclrtGetDeviceCount returned {error}")
""",
    ray_counts_nodes=True,
    none_visible=("", NO_DEVICES),
    position=70,
)
