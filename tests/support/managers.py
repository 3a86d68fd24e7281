"""Ray's own managers of accelerators, by the families that they are for."""

from __future__ import annotations

import importlib
from typing import Any

# The module below ray._private.accelerators, and the class.
MANAGERS = {
    "nvidia": ("nvidia_gpu", "NvidiaGPUAcceleratorManager"),
    "neuron": ("neuron", "NeuronAcceleratorManager"),
    "tpu": ("tpu", "TPUAcceleratorManager"),
    "amd": ("amd_gpu", "AMDGPUAcceleratorManager"),
    "intel": ("intel_gpu", "IntelGPUAcceleratorManager"),
    "gaudi": ("hpu", "HPUAcceleratorManager"),
    "ascend": ("npu", "NPUAcceleratorManager"),
    "rbln": ("rbln", "RBLNAcceleratorManager"),
    "metax": ("metax_gpu", "MetaxGPUAcceleratorManager"),
    "furiosa": ("furiosa", "FuriosaAcceleratorManager"),
    "mobilint": ("mblt", "MBLTAcceleratorManager"),
    "tenstorrent": ("ttnpu", "TTNPUAcceleratorManager"),
    "apple": ("apple_gpu", "AppleGPUAcceleratorManager"),
}


def manager_of(family: str) -> Any:
    """Return Ray's manager of a family."""
    module, name = MANAGERS[family]
    return getattr(importlib.import_module(f"ray._private.accelerators.{module}"), name)
