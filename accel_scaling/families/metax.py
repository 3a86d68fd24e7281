"""MetaX GPUs: the bus, the driver's nodes, and its management library's package, which Ray asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes, vendor_package
from accel_scaling.detect.evidence import Witnesses, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FAMILY = "metax"
RESOURCE = "GPU"
VENDOR = "9999"  # PCI-SIG's list of members; gpustack-runtime finds them by it, too

# As ray/_private/accelerators/metax_gpu.py.
PACKAGE = "pymxsml"
MODULE = "pymxsml.mxsml_extension"
QUESTION = """
mxsml = sys.modules["pymxsml.mxsml_extension"]
mxsml.mxSmlExInit()
count = mxsml.mxSmlExDeviceGetCount()
name = mxsml.mxSmlExDeviceGetName(mxsml.mxSmlExDeviceGetHandleByIndex(0)) if count else None
mxsml.mxSmlExShutdown()
say(count, name.decode() if isinstance(name, bytes) else name)
"""


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, the package.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR), root)
    # /dev/mxcd is the driver's one control node; each GPU has a render node beside it (vLLM-MetaX documentation).
    loaded = bool(ours) and (root / "dev/mxcd").exists()
    there = device_nodes.of_class(root, "dri/renderD*", "drm", device_nodes.ids_of(ours)) if loaded else []
    seen = Witnesses(FAMILY, RESOURCE, "MetaX GPU", ours, there, "/dev/mxcd and /dev/dri/renderD128, ...", PACKAGE)
    return found(replace(seen, reply=vendor_package.ask(MODULE, QUESTION)) if there else seen, root)
