"""A machine with emulated devices of each family beside NVIDIA, Neuron and TPU, for tests."""

from __future__ import annotations

from dataclasses import replace

from accel_scaling.testing.devices.hardware import Hardware

ACCELERATOR = "0x120000"

# One device of each family: what its driver calls it, and its ids.
ONE = {
    "amd": Hardware("amd", "amd", 1, "Instinct MI300X", "1002:74a1", ACCELERATOR),
    "intel": Hardware("intel", "intel", 1, "Intel(R) Data Center GPU Max 1550", "8086:0bd5", "0x038000"),
    "gaudi": Hardware("gaudi", "gaudi", 1, "GAUDI2", "1da3:1020", ACCELERATOR),
    "ascend": Hardware("ascend", "ascend", 1, "Ascend910B3", "19e5:d802", ACCELERATOR),
    "rbln": Hardware("rbln", "rbln", 1, "RBLN-CA25", "1eff:1250", ACCELERATOR),
    "metax": Hardware("metax", "metax", 1, "MXC500", "9999:4000", "0x038000"),
    "furiosa": Hardware("furiosa", "furiosa", 1, "Rngd", "1ed2:0001", ACCELERATOR),
    "mobilint": Hardware("mobilint", "mobilint", 1, "ARIES", "209f:0000", ACCELERATOR),
    "tenstorrent": Hardware("tenstorrent", "tenstorrent", 1, "Blackhole", "1e52:b140", ACCELERATOR),
    "apple": Hardware("apple", "apple", 1, "Apple M2 Pro"),
    "fpga": Hardware("fpga", "fpga", 1, "Virtex UltraScale+ (VU47P)", "1d0f:9048", ACCELERATOR),
    "media": Hardware("media", "media", 1, "U30", "10ee:503d", ACCELERATOR, functions=2),
    "qaic": Hardware("qaic", "qaic", 1, "AIC100", "17cb:a100", ACCELERATOR),
}

# The same, of another product of the family, where it has several.
OTHER = {
    "amd": replace(ONE["amd"], driver_name="Instinct MI210", pci_id="1002:740f"),
    "intel": replace(ONE["intel"], driver_name="Intel(R) Data Center GPU Flex 170", pci_id="8086:56c0"),
    "gaudi": replace(ONE["gaudi"], driver_name="GAUDI", pci_id="1da3:1000"),
    "ascend": replace(ONE["ascend"], driver_name="Ascend910B4"),  # the bus does not tell it from a 910B3
    "rbln": replace(ONE["rbln"], driver_name="RBLN-CA22", pci_id="1eff:1220"),
    "metax": replace(ONE["metax"], driver_name="MXC550"),
    "furiosa": replace(ONE["furiosa"], driver_name="RngdPlus"),
    "mobilint": replace(ONE["mobilint"], driver_name="REGULUS"),
    "tenstorrent": replace(ONE["tenstorrent"], driver_name="Wormhole", pci_id="1e52:401e"),
    "apple": replace(ONE["apple"], driver_name="Apple M1"),
    "fpga": replace(ONE["fpga"], driver_name="Virtex UltraScale (VU9P)", pci_id="1d0f:1042"),
}


def devices(family: str, count: int) -> Hardware:
    """Return a machine with so many devices of a family."""
    return replace(ONE[family], count=count)
