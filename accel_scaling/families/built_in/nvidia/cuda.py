"""CUDA's driver library, libcuda.so.1, through ctypes: the calls of the memory test, and nothing of CUDA's toolkit.

It is called in a child process: a context takes memory of the device, and a broken driver hangs. Names, signatures and
codes: NVIDIA's CUDA driver API (cuda.h of CUDA 12.9). Every call here is older than CUDA 11.
"""

from __future__ import annotations

import ctypes
from typing import Any

LIBRARY = "libcuda.so.1"

NO_DEVICE = 100
SYSTEM_NOT_READY = 802  # on machines with NVSwitch: nvidia-fabricmanager does not run, or not yet
PEER_ACCESS_ALREADY_ENABLED = 704
IN_USE = (2, 46, 807, 808, 809)
"""Another process has the memory, or the device for itself (exclusive mode), or every place of MPS."""
NO_FAULT = (1, 3, 101, 201, 400, 800, 801)
"""A call that was wrong, is not supported or not permitted: nothing that is known of the device."""

_NAME_BYTES = 128
_UUID_BYTES = 16
_PORTABLE = 1  # CU_MEMHOSTALLOC_PORTABLE: every context may use the host's buffer

_ADDRESS, _SIZE, _HANDLE = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
_ANY = ctypes.c_void_p  # where the library writes its answer
_NUMBER = ctypes.c_int
_ARGUMENTS = {
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGetCount": (_ANY,),
    "cuDeviceGet": (_ANY, _NUMBER),
    "cuDeviceGetName": (_ANY, _NUMBER, _NUMBER),
    "cuDevicePrimaryCtxRetain": (_ANY, _NUMBER),
    "cuDevicePrimaryCtxRelease_v2": (_NUMBER,),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuCtxSynchronize": (),
    "cuCtxEnablePeerAccess": (_HANDLE, ctypes.c_uint),
    "cuDeviceCanAccessPeer": (_ANY, _NUMBER, _NUMBER),
    "cuMemGetInfo_v2": (_ANY, _ANY),
    "cuMemAlloc_v2": (_ANY, _SIZE),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (_ANY, _SIZE, ctypes.c_uint),
    "cuMemFreeHost": (_HANDLE,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, _HANDLE, _SIZE, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (_HANDLE, _ADDRESS, _SIZE, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (_ADDRESS, _ADDRESS, _SIZE, _HANDLE),
    "cuMemcpyPeerAsync": (_ADDRESS, _HANDLE, _ADDRESS, _HANDLE, _SIZE, _HANDLE),
    "cuEventCreate": (_ANY, ctypes.c_uint),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventElapsedTime": (_ANY, _HANDLE, _HANDLE),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuGetErrorName": (_NUMBER, _ANY),
}


class NoCudaError(Exception):
    """The library is not here, or cannot be used; the text says why, as the middle of a sentence."""


class CudaError(Exception):
    """A call has failed; the text says which and with what, as the end of a sentence."""

    def __init__(self, call: str, code: int, name: str) -> None:
        super().__init__(f"{call} failed with {name}")
        self.code = code


class Cuda:
    """The loaded library.

    Args:
        path: its file, or its name for the dynamic linker's own search.

    Raises:
        NoCudaError: it cannot be used.
    """

    def __init__(self, path: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(path)
            for name, arguments in _ARGUMENTS.items():
                # By default, ctypes takes numbers for ints of 32 bits, which cuts addresses and sizes.
                getattr(self._library, name).argtypes = arguments
        except OSError as error:
            absent = "No such file" in str(error)  # dlopen sets no errno
            raise NoCudaError(f"{LIBRARY} not found" if absent else f"{LIBRARY} cannot be loaded ({error})") from None
        except AttributeError:
            raise NoCudaError(f"{LIBRARY} has no {name}: the driver is too old") from None

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library.

        Raises:
            CudaError: it has failed.
        """
        code: int = getattr(self._library, name)(*arguments)
        if code:
            raise CudaError(name, code, self._name_of(code))

    def count(self) -> int:
        """Initialize the library and return how many devices it shows.

        Raises:
            CudaError: it has failed.
        """
        count = ctypes.c_int()
        try:
            self.call("cuInit", 0)
        except CudaError as error:
            if error.code == NO_DEVICE:
                return 0
            raise
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def name(self, number: int) -> str:
        """Return a device's product name."""
        name = ctypes.create_string_buffer(_NAME_BYTES)
        self.call("cuDeviceGetName", name, _NAME_BYTES, number)
        return name.value.decode(errors="replace")

    def uuid(self, number: int, prefix: str) -> str:
        """Return a device's UUID as nvidia-smi writes it.

        Args:
            number: CUDA's number of the device.
            prefix: ``GPU``, or ``MIG`` for a slice.
        """
        raw = ctypes.create_string_buffer(_UUID_BYTES)
        # The older one, before CUDA 11.4, returns the whole device's for a slice.
        newer = getattr(self._library, "cuDeviceGetUuid_v2", None)
        code = (newer or self._library.cuDeviceGetUuid)(raw, ctypes.c_int(number))
        if code:
            raise CudaError("cuDeviceGetUuid", code, self._name_of(code))
        text = raw.raw.hex()
        return f"{prefix}-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def context(self, number: int) -> int:
        """Retain a device's primary context, make it the current one, and return its handle."""
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self.call("cuCtxSetCurrent", context)
        return context.value or 0

    def memory(self) -> tuple[int, int]:
        """Return the free and all bytes of the current context's device."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """Return the address of so many bytes of the device's memory."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), size)
        return address.value

    def allocate_on_host(self, size: int) -> int:
        """Return the address of so many bytes of the host's memory that the device copies at full speed."""
        address = ctypes.c_void_p()
        self.call("cuMemHostAlloc", ctypes.byref(address), size, _PORTABLE)
        return address.value or 0

    def event(self) -> int:
        """Return a new event's handle."""
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), 0)
        return event.value or 0

    def elapsed_s(self, start: int, end: int) -> float:
        """Wait for an event and return the device's time between two of them."""
        elapsed_ms = ctypes.c_float()
        self.call("cuEventSynchronize", end)
        self.call("cuEventElapsedTime", ctypes.byref(elapsed_ms), start, end)
        return float(elapsed_ms.value) / 1000

    def can_access(self, number: int, peer: int) -> bool:
        """Return whether a device can access the memory of another."""
        can = ctypes.c_int()
        self.call("cuDeviceCanAccessPeer", ctypes.byref(can), number, peer)
        return bool(can.value)

    def _name_of(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(code, ctypes.byref(text))
        return (text.value or b"").decode(errors="replace") or f"CUDA error {code}"
