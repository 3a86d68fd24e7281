"""Qualcomm's Cloud AI: the nodes of the qaic driver (Linux, Documentation/accel/qaic).

Ray counts none: a plug-in announces them.
"""

from accel_scaling.families.family import Family

FAMILY = Family(
    name="qaic",
    resource="QAIC",
    noun="Cloud AI card",
    vendors=["17cb"],
    known_ids_only=True,
    nodes="accel/accel[0-9]*",
    kernel_class="accel",
    position=160,
)
