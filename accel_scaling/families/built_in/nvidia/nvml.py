"""NVML, NVIDIA's management library, through ctypes: the devices and their health.

It is called in a child process: on a broken machine it hangs, or takes its process along. Names and codes: NVIDIA's
NVML API reference. Unusable is what NVIDIA calls so, and nothing else: a machine that is refused for nothing costs its
user more than one that is let in with a note. What an old driver's library lacks, or calls not supported, is not known.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.detect import forked_call
from accel_scaling.detect.model import Device, DriverState
from accel_scaling.families.built_in.nvidia.fabric import common_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY = "libnvidia-ml.so.1"
# Where a root that is not this process's own keeps it: Debian's folders, Red Hat's, others'.
LIBRARY_FOLDERS = ("usr/lib/*-linux-gnu", "usr/lib64", "usr/lib")

SUCCESS = 0
NO_PERMISSION = 4  # a container's for a device that it was not given
DRIVER_NOT_LOADED = 9
NOT_YET = (10, 27)  # NVML_ERROR_TIMEOUT, NVML_ERROR_NOT_READY
UNUSABLE = (15, 16)  # NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED: any call may say so
NAME_BYTES = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
BYTES_PER_MIB = 1024 * 1024

# Not the aggregate counts: those are of the device's whole life, and errors that were repaired stay in them.
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
class NvmlAnswer:
    """The answer of NVML.

    Attributes:
        state: how the driver answered.
        trouble: why not OK, as the middle of a sentence.
        note: the same as evidence, e.g. ``NVML: libnvidia-ml.so.1 not found``.
        devices: the devices that it answers for.
        counted: how many it says there are, the lost ones too: Ray's number.
        health: of each of ``devices``.
        denied: devices that it counts and does not let this process use; no others are lost.
        nvlink_domain: the machines that the devices' NVLink reaches; empty where there are no others, or not known.
    """

    state: DriverState
    trouble: str = ""
    note: str = ""
    devices: tuple[Device, ...] = ()
    counted: int = 0
    health: tuple[Health, ...] = ()
    denied: int = 0
    nvlink_domain: str = ""


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def ask(root: Path) -> NvmlAnswer:
    """Load the library under ``root`` and ask it for its devices; whatever it does becomes an answer."""
    path = library_path(root)
    if path is None:
        return _not_found()
    try:
        try:
            return forked_call.call(lambda: _ask_library(path, fabric=True), timeouts.DRIVER_LIBRARY_TIMEOUT_S)
        except forked_call.CrashedError:
            # A library that fails at the fabric alone refuses no node: only a label depends on the fabric.
            return forked_call.call(lambda: _ask_library(path, fabric=False), timeouts.DRIVER_LIBRARY_TIMEOUT_S)
    except forked_call.NoAnswerError as silence:
        return NvmlAnswer(DriverState.NOT_YET, f"NVML gave {silence}", f"NVML: {silence}")
    except forked_call.CrashedError as crash:
        return NvmlAnswer(DriverState.UNHEALTHY, f"NVML failed: {crash}", f"NVML: {crash}")


def _ask_library(path: str, *, fabric: bool) -> NvmlAnswer:
    try:
        library = ctypes.CDLL(path)
        # By default, ctypes takes a result for an int, which cuts a pointer to 32 bits.
        library.nvmlErrorString.restype = ctypes.c_char_p
    except OSError as error:
        if "No such file" in str(error):  # dlopen sets no errno
            return _not_found()
        return NvmlAnswer(DriverState.UNHEALTHY, f"{LIBRARY} cannot be loaded ({error})", f"NVML: {error}")
    except AttributeError:
        return NvmlAnswer(DriverState.UNHEALTHY, f"{LIBRARY} is not NVML", f"NVML: {LIBRARY} is not NVML")
    # _v2: the older nvmlInit sets up all GPUs, so a single broken one hides the others (NVML API reference).
    code = library.nvmlInit_v2()
    if code != SUCCESS:
        return _failed(library, code)
    answer = _devices(library)
    if fabric and answer.devices:
        domain = common_domain(library, [device.index for device in answer.devices])
        if domain is None:
            return answer  # a call has not come back: this process ends, and is not held up by the library's own end
        answer = replace(answer, nvlink_domain=domain)
    library.nvmlShutdown()
    return answer


def library_path(root: Path, name: str = LIBRARY) -> str | None:
    """Return the path of a library of NVIDIA's driver; None where it is not there.

    Args:
        root: the folder used as ``/``.
        name: the library's file.
    """
    if root == Path("/"):
        return name  # the dynamic linker's own search, as Ray's
    paths = (path for folder in LIBRARY_FOLDERS for path in sorted(root.glob(f"{folder}/{name}")))
    return next((str(path) for path in paths), None)


def _not_found() -> NvmlAnswer:
    return NvmlAnswer(
        DriverState.MISSING,
        f"the NVIDIA driver is not loaded ({LIBRARY} not found)",
        f"NVML: {LIBRARY} not found",
    )


def _failed(library: ctypes.CDLL, code: int) -> NvmlAnswer:
    words = _words(library, code)
    note = f"NVML: nvmlInit failed: {words}"
    if code == DRIVER_NOT_LOADED:
        return NvmlAnswer(DriverState.MISSING, "the NVIDIA driver is not loaded", note)
    if code in NOT_YET:
        return NvmlAnswer(DriverState.NOT_YET, f"NVML does not answer yet: {words}", note)
    return NvmlAnswer(DriverState.UNHEALTHY, f"NVML says: {words}", note)


def _words(library: ctypes.CDLL, code: int) -> str:
    return f"{(library.nvmlErrorString(code) or b'').decode(errors='replace')} (NVML error {code})"


def _devices(library: ctypes.CDLL) -> NvmlAnswer:
    count = ctypes.c_uint()
    code = library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    if code != SUCCESS:
        return _failed(library, code)
    # A broken library may count anything, and each device is asked several questions.
    if count.value > timeouts.MOST_DEVICES:
        words = f"counts {count.value} devices, more than any machine has"
        return NvmlAnswer(DriverState.UNHEALTHY, f"NVML {words}", f"NVML: {words}")
    devices: list[Device] = []
    health: list[Health] = []
    lost: dict[int, int] = {}
    for index in range(count.value):
        answer = _device(library, index)
        if isinstance(answer, int):
            # Kept by its index: a device that is lost fails alone, and the others still answer.
            lost[index] = answer
        else:
            devices.append(answer[0])
            health.append(answer[1])
    wrong = [f"device {index}: {_words(library, code)}" for index, code in lost.items()]
    wrong += [f"device {d.index} {h.unusable}" for d, h in zip(devices, health, strict=True) if h.unusable]
    notes = [f"device {d.index}: {', '.join(h.notes)}" for d, h in zip(devices, health, strict=True) if h.notes]
    # Worth waiting for only where time is all that each of them lacks: another fault would still be there.
    soon = len(wrong) == len(lost) and set(lost.values()) <= set(NOT_YET)
    return NvmlAnswer(
        DriverState.OK if not wrong else DriverState.NOT_YET if soon else DriverState.UNHEALTHY,
        f"NVML says: {'; '.join(wrong)}" if wrong else "",
        f"NVML: {'; '.join([*wrong, *notes])}" if wrong or notes else "",
        tuple(devices),
        count.value,
        tuple(health),
        len(lost) if set(lost.values()) == {NO_PERMISSION} else 0,
    )


def _device(library: ctypes.CDLL, index: int) -> tuple[Device, Health] | int:
    """Return one device, or NVML's error code for it."""
    # A void pointer: a handle is an address, which ctypes would pass as an int of 32 bits.
    handle = ctypes.c_void_p()
    code: int = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
    if code != SUCCESS:
        return code
    name = ctypes.create_string_buffer(NAME_BYTES)
    code = library.nvmlDeviceGetName(handle, name, ctypes.c_uint(NAME_BYTES))
    if code != SUCCESS:
        return code
    memory = _Memory()
    code = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    if code in UNUSABLE:
        return code
    memory_mib = int(memory.total) // BYTES_PER_MIB if code == SUCCESS else None  # not on every vGPU
    device = Device(index, name.value.decode(errors="replace"), memory_mib=memory_mib)
    return device, health_of(library, handle)


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
        faults.append("is in MIG mode without a single slice, so nothing can run on it")
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
    # A driver that does not know the field says so in the value's own code, while the call succeeds.
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
    # NVML counts the slots that a device may have; an empty one has no handle.
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
