"""Which devices CUDA is to show to a test, by NVML: whole ones together, each MIG slice alone; and which are in use."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.families.built_in.nvidia.nvml import NAME_BYTES, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
_INSUFFICIENT_SIZE = 7  # NVML_ERROR_INSUFFICIENT_SIZE: there are more processes than there is room for


@dataclass(frozen=True)
class CudaDevices:
    """The devices that NVML lists.

    Attributes:
        whole: UUIDs of the devices that are not in MIG mode.
        slices: UUIDs of the MIG slices of the others.
        processes: how many processes compute on a device or slice, by UUID; only where there is one.
    """

    whole: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    processes: Mapping[str, int] = field(default_factory=dict)

    def views(self, environment: Mapping[str, str]) -> list[str | None]:
        """Return the values of CUDA_VISIBLE_DEVICES with which each device is shown once; None for leaving it alone.

        CUDA shows a process one MIG slice at most (MIG User Guide), and none beside whole devices. What the
        environment already says is kept: nothing of this node may use other devices.
        """
        if VISIBLE in environment or not self.slices:
            return [None]
        return [*([",".join(self.whole)] if self.whole else []), *self.slices]


def list_devices(path: str) -> CudaDevices:
    """Ask NVML; what it does not tell is left out: the test itself finds what is wrong.

    Args:
        path: of NVML's library.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return CudaDevices()
    if getattr(library, "nvmlInit_v2", None) is None or library.nvmlInit_v2() != SUCCESS:
        return CudaDevices()
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    whole: list[str] = []
    slices: list[str] = []
    processes: dict[str, int] = {}
    for index in range(min(count.value, timeouts.MOST_DEVICES)):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) != SUCCESS:
            continue
        cut = _slices(library, handle)
        for one in [handle] if cut is None else cut:
            uuid = _uuid(library, one)
            (whole if cut is None else slices).append(uuid)
            if running := _processes(library, one):
                processes[uuid] = running
    library.nvmlShutdown()
    return CudaDevices(tuple(whole), tuple(slices), processes)


def _slices(library: Any, handle: ctypes.c_void_p) -> list[ctypes.c_void_p] | None:
    """Return the handles of a device's MIG slices; None where it is not in MIG mode."""
    mode, pending, slots = ctypes.c_uint(), ctypes.c_uint(), ctypes.c_uint()
    asked = getattr(library, "nvmlDeviceGetMigMode", None)
    if asked is None or asked(handle, ctypes.byref(mode), ctypes.byref(pending)) != SUCCESS or not mode.value:
        return None
    library.nvmlDeviceGetMaxMigDeviceCount(handle, ctypes.byref(slots))
    found = []
    for slot in range(min(slots.value, timeouts.MOST_DEVICES)):
        one = ctypes.c_void_p()
        if library.nvmlDeviceGetMigDeviceHandleByIndex(handle, ctypes.c_uint(slot), ctypes.byref(one)) == SUCCESS:
            found.append(one)
    return found


def _uuid(library: Any, handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(NAME_BYTES)
    library.nvmlDeviceGetUUID(handle, text, ctypes.c_uint(NAME_BYTES))
    return text.value.decode(errors="replace")


def _processes(library: Any, handle: ctypes.c_void_p) -> int:
    name = "nvmlDeviceGetComputeRunningProcesses"
    asked = getattr(library, f"{name}_v3", None) or getattr(library, name, None)
    count = ctypes.c_uint(0)
    # Without room for one, it only says how many there are: so the form of its answer, which has changed, is no matter.
    code = asked(handle, ctypes.byref(count), None) if asked else SUCCESS
    return count.value if code in (SUCCESS, _INSUFFICIENT_SIZE) else 0
