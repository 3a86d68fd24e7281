"""NVML's events: the errors of devices (XIDs) that the driver reports as they happen, without asking for them.

Sources: NVML API reference, "Event Handling Methods"; numbers and structures as in NVIDIA's bindings, nvidia-ml-py.
To wait needs neither CUDA nor a context, and no work of the device; it keeps the driver's device nodes open.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.families.built_in.nvidia.nvml import LIBRARY, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable

_XID = 0x8  # nvmlEventTypeXidCriticalError
_TIMEOUT = 10


class _EventData(ctypes.Structure):
    """nvmlEventData_t."""

    _fields_ = (
        ("device", ctypes.c_void_p),
        ("type", ctypes.c_ulonglong),
        ("data", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class DriverError(Exception):
    """The driver has stopped reporting; the text says with which of NVML's codes."""


def listen(say: Callable[[int, str], None], path: str = LIBRARY) -> None:
    """Wait for XIDs and say each, with the number of its device; return where no device reports any.

    It is for a process of its own: the library may hang, or take its process along.

    Args:
        say: takes the device's number in NVML's order, and the error, as ``XID 79``.
        path: the library.

    Raises:
        DriverError: it cannot be waited any more.
    """
    try:
        library = ctypes.CDLL(path)
        create, wait = library.nvmlEventSetCreate, library.nvmlEventSetWait_v2
    except (OSError, AttributeError):  # none, or one that is older than events
        return
    _check(library.nvmlInit_v2())
    event_set = ctypes.c_void_p()
    _check(create(ctypes.byref(event_set)))
    indexes = _registered(library, event_set)
    data = _EventData()
    while indexes:
        code = wait(event_set, ctypes.byref(data), ctypes.c_uint(int(timeouts.DRIVER_EVENTS_WAIT_S * 1000)))
        if code == _TIMEOUT:
            continue
        _check(code)
        if data.type == _XID and data.device in indexes:
            say(indexes[data.device], f"XID {data.data}")


def _registered(library: Any, event_set: ctypes.c_void_p) -> dict[int, int]:
    """Register all devices that report XIDs; return the number of each by its handle."""
    count, indexes = ctypes.c_uint(), {}
    _check(library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
    for index in range(min(count.value, timeouts.MOST_DEVICES)):
        handle, types = ctypes.c_void_p(), ctypes.c_ulonglong()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) != SUCCESS:
            continue  # one that is lost already, or another container's
        supported = library.nvmlDeviceGetSupportedEventTypes(handle, ctypes.byref(types)) == SUCCESS
        if not supported or not types.value & _XID or handle.value is None:
            continue
        if library.nvmlDeviceRegisterEvents(handle, ctypes.c_ulonglong(_XID), event_set) == SUCCESS:
            indexes[handle.value] = index
    return indexes


def _check(code: int) -> None:
    if code != SUCCESS:
        raise DriverError(f"NVML error {code}")
