"""The health of an NVIDIA device, by NVML.

Unusable is what NVIDIA calls so, and nothing else: a machine that is refused for nothing costs its user more than one
that is let in with a note. What an old driver's library lacks, or calls not supported, is not known.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Sequence

SUCCESS = 0
UNCORRECTED, VOLATILE = 1, 0  # nvmlMemoryErrorType_t, nvmlEccCounterType_t: since the driver was loaded
FIELD_RECOVERY_ACTION = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION

# nvmlDeviceGpuRecoveryAction_t: what must be done before new work may start. NVIDIA GPU Memory Error Management,
# "Error Recovery and Response Flags". NVIDIA's own bindings differ on 5 (recover the IMEX domain, which is about other
# machines' memory, or reset the bus): it is only noted.
_RECOVERY = {
    1: "must be reset",
    2: "needs a reboot of the machine",
    3: "must be drained of peer-to-peer traffic",
    4: "must be drained and reset",
    6: "needs a reset of its PCIe bus",
    7: "needs a reboot of the machine",
}


@dataclass(frozen=True)
class Health:
    """The health of one device.

    Attributes:
        unusable: why NVIDIA says that it cannot be used, as the middle of a sentence; empty where it can.
        notes: what is worth knowing and no reason to refuse it.
        slices: MIG slices that it is cut into; None where MIG is off.
        minor: the number of its device node, /dev/nvidia0; None where the driver does not say.
    """

    unusable: str = ""
    notes: tuple[str, ...] = ()
    slices: int | None = None
    minor: int | None = None


class _FieldValue(ctypes.Structure):
    """nvmlFieldValue_t; the value is a union, of which all that is asked here is its first four bytes."""

    _fields_ = (
        ("field", ctypes.c_uint),
        ("scope", ctypes.c_uint),
        ("timestamp_us", ctypes.c_longlong),
        ("latency_us", ctypes.c_longlong),
        ("value_type", ctypes.c_int),
        ("code", ctypes.c_int),
        ("number", ctypes.c_uint),
        ("rest", ctypes.c_uint),
    )


def health_of(library: Any, handle: ctypes.c_void_p) -> Health:
    """Ask for one device.

    Args:
        library: the loaded NVML.
        handle: the device's.
    """
    slices = _slices(library, handle)
    faults, notes = _memory_faults(library, handle, cut=slices is not None)
    if slices == 0:
        # MIG User Guide, "Creating GPU Instances": without them no CUDA work can run on the device.
        faults.append("is in MIG mode without a single slice, so that nothing can run on it")
    minor = _numbers(library, "nvmlDeviceGetMinorNumber", handle)
    return Health("; ".join(faults), tuple(notes), slices, minor[0] if minor else None)


def _memory_faults(library: Any, handle: ctypes.c_void_p, *, cut: bool) -> tuple[list[str], list[str]]:
    """Return what makes the device unusable, and what does not.

    NVIDIA GPU Memory Error Management: with a remapping pending, "new workloads can be launched"; after one has failed
    the device is due for replacement. DCGM (dcgm_errors.h) says of errors since the driver was loaded "drain the GPU
    and reset it or reboot the node", of a failed remapping the same severity (isolate), and of pages that wait for
    their retirement "this GPU can still perform workload". Devices that remap rows (from Ampere on) contain such
    errors, and say by their recovery action whether they must be reset: their count alone is no fault.
    """
    faults, notes = [], []
    action = _recovery_action(library, handle)
    if action in _RECOVERY:
        faults.append(_RECOVERY[action])
    elif action:
        notes.append(f"its driver recommends recovery action {action}")
    rows = _numbers(library, "nvmlDeviceGetRemappedRows", handle, 4)
    if rows and rows[3]:
        faults.append("has failed to remap a row of its memory")
    if rows and rows[2]:
        notes.append("a row of its memory will be remapped at its next reset")
    if errors := _uncorrected_errors(library, handle):
        words = f"{errors} uncorrected memory errors since the driver was loaded"
        # A device in MIG mode, too, is from Ampere on; its rows cannot be asked for.
        (notes if rows or cut or action is not None else faults).append(f"has {words}")
    pending = _numbers(library, "nvmlDeviceGetRetiredPagesPendingStatus", handle)
    if pending and pending[0]:
        notes.append("a page of its memory will be retired at the next boot")
    return faults, notes


def _recovery_action(library: Any, handle: ctypes.c_void_p) -> int | None:
    value = _FieldValue(field=FIELD_RECOVERY_ACTION)
    code = _call(library, "nvmlDeviceGetFieldValues", handle, ctypes.c_int(1), ctypes.byref(value))
    return int(value.number) if code == SUCCESS and value.code == SUCCESS else None


def _uncorrected_errors(library: Any, handle: ctypes.c_void_p) -> int:
    errors = ctypes.c_ulonglong()
    kinds = (ctypes.c_int(UNCORRECTED), ctypes.c_int(VOLATILE))
    code = _call(library, "nvmlDeviceGetTotalEccErrors", handle, *kinds, ctypes.byref(errors))
    return int(errors.value) if code == SUCCESS else 0


def _slices(library: Any, handle: ctypes.c_void_p) -> int | None:
    mode = _numbers(library, "nvmlDeviceGetMigMode", handle, 2)
    slots = _numbers(library, "nvmlDeviceGetMaxMigDeviceCount", handle)
    if not mode or not mode[0] or not slots:
        return None
    slice_handle = ctypes.c_void_p()
    codes = (
        _call(library, "nvmlDeviceGetMigDeviceHandleByIndex", handle, ctypes.c_uint(slot), ctypes.byref(slice_handle))
        for slot in range(min(slots[0], timeouts.MOST_DEVICES))
    )
    return sum(code == SUCCESS for code in codes)


def _numbers(library: Any, name: str, handle: ctypes.c_void_p, count: int = 1) -> Sequence[int]:
    """Call a function that writes so many unsigned numbers; empty where it is not there or fails."""
    numbers = [ctypes.c_uint() for _ in range(count)]
    code = _call(library, name, handle, *map(ctypes.byref, numbers))
    return [int(number.value) for number in numbers] if code == SUCCESS else []


def _call(library: Any, name: str, *arguments: Any) -> int | None:
    """Return NVML's code; None where this library has no such function."""
    function = getattr(library, name, None)
    return None if function is None else int(function(*arguments))
