"""NVML, NVIDIA's management library, through ctypes. Names and codes: NVIDIA's NVML API reference.

It is called in a child process: on a broken machine it hangs, or takes its process along.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from accel_scaling import timeouts
from accel_scaling.detect import forked_call
from accel_scaling.detect.model import Device, DriverState
from accel_scaling.families.built_in.nvidia.health import Health, health_of

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


@dataclass(frozen=True)
class Answer:
    """The answer of NVML.

    Attributes:
        state: how the driver answered.
        trouble: why not OK, as the middle of a sentence.
        note: the same as evidence, e.g. ``NVML: libnvidia-ml.so.1 not found``.
        devices: the devices that it answers for.
        counted: how many it says there are, the lost ones too: Ray's number.
        health: of each of ``devices``.
        denied: devices that it counts and does not let this process use; no others are lost.
    """

    state: DriverState
    trouble: str = ""
    note: str = ""
    devices: tuple[Device, ...] = ()
    counted: int = 0
    health: tuple[Health, ...] = ()
    denied: int = 0


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def ask(root: Path) -> Answer:
    """Load the library under ``root`` and ask it for its devices; whatever it does becomes an answer."""
    path = _path(root)
    if path is None:
        return _not_found()
    try:
        return forked_call.asked(lambda: _asked(path), timeouts.DRIVER_LIBRARY_TIMEOUT_S)
    except forked_call.SilentError as silence:
        return Answer(DriverState.NOT_YET, f"NVML gave {silence}", f"NVML: {silence}")
    except forked_call.CrashedError as crash:
        return Answer(DriverState.UNHEALTHY, f"NVML failed: {crash}", f"NVML: {crash}")


def _asked(path: str) -> Answer:
    try:
        library = ctypes.CDLL(path)
        library.nvmlErrorString.restype = ctypes.c_char_p
    except OSError as error:
        if "No such file" in str(error):  # dlopen sets no errno
            return _not_found()
        return Answer(DriverState.UNHEALTHY, f"{LIBRARY} cannot be loaded ({error})", f"NVML: {error}")
    except AttributeError:
        return Answer(DriverState.UNHEALTHY, f"{LIBRARY} is not NVML", f"NVML: {LIBRARY} is not NVML")
    code = library.nvmlInit_v2()
    if code != SUCCESS:
        return _failed(library, code)
    try:
        return _devices(library)
    finally:
        library.nvmlShutdown()


def _path(root: Path) -> str | None:
    if root == Path("/"):
        return LIBRARY  # the dynamic linker's own search, as Ray's
    found = (path for folder in LIBRARY_FOLDERS for path in sorted(root.glob(f"{folder}/{LIBRARY}")))
    return next((str(path) for path in found), None)


def _not_found() -> Answer:
    return Answer(
        DriverState.MISSING,
        f"the NVIDIA driver is not loaded ({LIBRARY} not found)",
        f"NVML: {LIBRARY} not found",
    )


def _failed(library: ctypes.CDLL, code: int) -> Answer:
    words = _words(library, code)
    note = f"NVML: nvmlInit failed: {words}"
    if code == DRIVER_NOT_LOADED:
        return Answer(DriverState.MISSING, "the NVIDIA driver is not loaded", note)
    if code in NOT_YET:
        return Answer(DriverState.NOT_YET, f"NVML does not answer yet: {words}", note)
    return Answer(DriverState.UNHEALTHY, f"NVML says: {words}", note)


def _words(library: ctypes.CDLL, code: int) -> str:
    return f"{(library.nvmlErrorString(code) or b'').decode(errors='replace')} (NVML error {code})"


def _devices(library: ctypes.CDLL) -> Answer:
    count = ctypes.c_uint()
    code = library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    if code != SUCCESS:
        return _failed(library, code)
    if count.value > timeouts.MOST_DEVICES:
        words = f"counts {count.value} devices, more than any machine has"
        return Answer(DriverState.UNHEALTHY, f"NVML {words}", f"NVML: {words}")
    devices: list[Device] = []
    health: list[Health] = []
    lost: dict[int, int] = {}
    for index in range(count.value):
        answer = _device(library, index)
        if isinstance(answer, int):
            lost[index] = answer
        else:
            devices.append(answer[0])
            health.append(answer[1])
    wrong = [f"device {index}: {_words(library, code)}" for index, code in lost.items()]
    wrong += [f"device {d.index} {h.unusable}" for d, h in zip(devices, health, strict=True) if h.unusable]
    notes = [f"device {d.index}: {', '.join(h.notes)}" for d, h in zip(devices, health, strict=True) if h.notes]
    soon = len(wrong) == len(lost) and set(lost.values()) <= set(NOT_YET)
    return Answer(
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
