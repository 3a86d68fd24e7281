"""Emulated programs of the makers: the Python packages by which Ray counts devices, and the tools of macOS."""

from __future__ import annotations

import shlex
import sysconfig
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

MAC_TOOLS = "usr/sbin"

_ALL = """\
# The emulated package of a rehearsed host.
import time
COUNT, NAME, PCI_IDS, MEMORY_MIB = {count!r}, {name!r}, {pci_ids!r}, {memory_mib!r}
NAMES = {names!r}
SICK, HANGS = {sick!r}, {hangs!r}
def answer(good):
    if HANGS:
        time.sleep(3600)
    if SICK:
        raise RuntimeError(SICK)
    return good
"""

_AMDSMI = """
class AmdSmiInitFlags: INIT_AMD_GPUS = 2
class AmdSmiMemoryType: VRAM = 0
class AmdSmiLibraryException(Exception): pass
def amdsmi_init(flags): answer(None)
def amdsmi_get_processor_handles(): return list(range(COUNT))
def amdsmi_get_gpu_id(handle): return int(PCI_IDS[handle].split(":")[1], 16)
def amdsmi_shut_down(): pass
# What Ray's dashboard reads beside.
def amdsmi_get_gpu_asic_info(handle): return {"market_name": NAMES[handle]}
def amdsmi_get_gpu_device_uuid(handle): return "GPU-emulated-" + str(handle)
def amdsmi_get_gpu_busy_percent(handle): return 0
def amdsmi_get_gpu_memory_usage(handle, kind): return 0
def amdsmi_get_gpu_memory_total(handle, kind): return MEMORY_MIB * 1024 * 1024
def amdsmi_get_gpu_compute_process_info(): return []
def amdsmi_get_gpu_process_list(handle): return []
"""
_DPCTL = """
class SyclContext:
    def __init__(self, selector): self.device_count = answer(COUNT)
class SyclDevice:
    def __init__(self, selector): self.name = NAMES[int(selector.rpartition(":")[2])]
def get_devices(backend, device_type):
    return [SyclDevice(f"{backend}:{device_type}:{number}") for number in range(COUNT)]
"""
# Of a process that does not compute, is_initialized() is False: habana_frameworks/torch/hpu/__init__.py.
_HPU = """
def is_available(): return answer(COUNT) > 0
def device_count(): return answer(COUNT)
def is_initialized(): return False
def get_device_name(): return NAME
"""
_ACL = """
class rt:
    @staticmethod
    def get_device_count():
        time.sleep(3600 if HANGS else 0)
        return (0, 507033) if SICK else (COUNT, 0)
def get_soc_name(): return NAME
"""
_REBEL = """
def device_count(): return answer(COUNT)
def get_npu_name(): return NAME
"""
_MXSML = """
class MXSMLEXError(Exception): pass
def mxSmlExInit(): answer(None)
def mxSmlExShutdown(): pass
def mxSmlExDeviceGetCount(): return COUNT
def mxSmlExDeviceGetHandleByIndex(index): return index
def mxSmlExDeviceGetName(handle): return NAMES[handle] and NAMES[handle].encode()
"""
_FURIOSA = """
class _Device:
    def __init__(self, name): self.name = name
    def device_info(self): return self
    def arch(self): return "Arch." + self.name if self.name else None
def init(): answer(None)
def list_devices(): return [_Device(name) for name in NAMES]
"""
_QBRUNTIME = """
def get_available_device_numbers(): return answer(list(range(COUNT)))
"""

# By kind of hardware: the module's file, and what is in it.
_PACKAGES = {
    "amd": ("amdsmi/__init__.py", _AMDSMI),
    "intel": ("dpctl/__init__.py", _DPCTL),
    "gaudi": ("habana_frameworks/torch/hpu.py", _HPU),
    "ascend": ("acl.py", _ACL),
    "rbln": ("rebel/__init__.py", _REBEL),
    "metax": ("pymxsml/mxsml_extension.py", _MXSML),
    "furiosa": ("furiosa_smi_py/__init__.py", _FURIOSA),
    "mobilint": ("qbruntime/__init__.py", _QBRUNTIME),
}


def write_package(root: Path, hardware: Hardware) -> Path | None:
    """Write the package where this Python has its packages, below the root; return the folder, None without one.

    Args:
        root: the folder used as ``/``.
        hardware: what the machine has; a sick device makes the package fail, unless the driver itself says so.
    """
    if hardware.kind not in _PACKAGES:
        return None
    file, answers = _PACKAGES[hardware.kind]
    site = root / sysconfig.get_path("purelib").lstrip("/")
    module = site / file
    module.parent.mkdir(parents=True, exist_ok=True)
    sick = hardware.lost_index is not None and hardware.kind != "gaudi"
    values = {
        "count": hardware.seen_by_driver,
        "name": hardware.names[0] if hardware.names else hardware.driver_name,
        "names": hardware.names,
        "pci_ids": [hardware.product(index)[1] for index in range(hardware.seen_by_driver)],
        "memory_mib": hardware.memory_mib,
        "sick": f"device {hardware.lost_index} does not respond" if sick else "",
        "hangs": hardware.hangs,
    }
    module.write_text(_ALL.format(**values) + answers, encoding="utf-8")
    # Without the file a folder is a namespace package, and Python prefers a real package later on its path.
    for folder in module.relative_to(site).parents[:-1]:
        (site / folder / "__init__.py").touch()
    return site


def write_mac(root: Path, hardware: Hardware) -> Path:
    """Write the two tools of macOS that name its GPU; return their folder. The system's name is not emulated.

    Args:
        root: the folder used as ``/``.
        hardware: of kind ``apple``; without devices in the driver, macOS lists no GPU with Metal.
    """
    graphics = f"Chipset Model: {hardware.driver_name}\nMetal Support: Metal 3" if hardware.seen_by_driver else ""
    answers = {"SPDisplaysDataType": graphics, "SPHardwareDataType": f"Chip: {hardware.driver_name}"}
    cases = "".join(f"{name}) printf '%s\\n' {shlex.quote(text)} ;;\n" for name, text in answers.items())
    hang = "exec sleep 3600\n" if hardware.hangs else ""
    _tool(root / MAC_TOOLS / "system_profiler", f'{hang}case "$1" in\n{cases}esac\n')
    _tool(root / MAC_TOOLS / "sysctl", f"printf '%s\\n' {shlex.quote(hardware.driver_name)}\n")
    return root / MAC_TOOLS


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    path.chmod(0o755)
