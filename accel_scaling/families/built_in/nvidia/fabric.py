"""The NVLink domain of a device: which machines its NVLink reaches, by NVML's fabric information.

Names, numbers and structures: NVIDIA's NVML API reference, "nvmlGpuFabricInfo_v2_t" and "nvmlGpuFabricInfo_t". The
name of a domain is that of NVIDIA's GPU Feature Discovery (the label nvidia.com/gpu.clique): CLUSTER_UUID.CLIQUE.
"""

from __future__ import annotations

import ctypes
import threading
import uuid
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Sequence

SUCCESS = 0
COMPLETED = 3  # NVML_GPU_FABRIC_STATE_COMPLETED: any other state, such as in progress, knows no cluster yet
VERSION = 2  # of the structure


class _Fabric(ctypes.Structure):
    """nvmlGpuFabricInfo_t; its second version has a number before it, and the health behind."""

    _fields_ = (
        ("cluster", ctypes.c_ubyte * 16),
        ("status", ctypes.c_int),
        ("clique", ctypes.c_uint),
        ("state", ctypes.c_ubyte),
    )


class _VersionedFabric(ctypes.Structure):
    """nvmlGpuFabricInfo_v2_t."""

    _fields_ = (("version", ctypes.c_uint), ("fabric", _Fabric), ("health", ctypes.c_uint))


def common_domain(library: Any, indexes: Sequence[int]) -> str | None:
    """Return the NVLink domain that all these devices are in; empty where there is none, or several; None if it hangs.

    Args:
        library: the loaded NVML, in a process that ends after its answer.
        indexes: of the devices, as NVML numbers them.
    """
    domains: list[str] = []
    # In a thread, beside which the process can answer: only a label depends on it. A call through ctypes that hangs
    # does not hold the interpreter.
    asking = threading.Thread(target=lambda: domains.extend(_domain(library, index) for index in indexes), daemon=True)
    asking.start()
    asking.join(timeouts.FABRIC_S)
    if asking.is_alive():
        return None
    return domains[0] if len(set(domains)) == 1 else ""


def _domain(library: Any, index: int) -> str:
    """Return the NVLink domain of a device; empty where its NVLink reaches no other machine, or it is not known."""
    handle = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) != SUCCESS:
        return ""
    fabric = _ask(library, handle)
    if fabric is None or fabric.state != COMPLETED or fabric.status != SUCCESS:
        return ""
    # All zero on a machine whose switches connect its own devices only (HGX H100): equal on all such machines.
    cluster = bytes(fabric.cluster)
    return f"{uuid.UUID(bytes=cluster)}.{fabric.clique}" if any(cluster) else ""


def _ask(library: Any, handle: ctypes.c_void_p) -> _Fabric | None:
    # NVML_STRUCT_VERSION: the size in the low bytes.
    versioned = _VersionedFabric(version=ctypes.sizeof(_VersionedFabric) | VERSION << 24)
    if _call(library, "nvmlDeviceGetGpuFabricInfoV", handle, versioned) == SUCCESS:
        found: _Fabric = versioned.fabric
        return found
    # Drivers before 550 have only the first version.
    first = _Fabric()
    return first if _call(library, "nvmlDeviceGetGpuFabricInfo", handle, first) == SUCCESS else None


def _call(library: Any, name: str, handle: ctypes.c_void_p, structure: ctypes.Structure) -> int | None:
    function = getattr(library, name, None)
    return None if function is None else int(function(handle, ctypes.byref(structure)))
