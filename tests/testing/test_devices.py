"""The emulated devices: independent of the catalog, and seen by Ray's own detection exactly as real ones are."""

from __future__ import annotations

import csv
import ctypes
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.devices import drivers, ec2_machines
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.drivers import DRIVERS
from accel_scaling.testing.devices.ec2_machines import ec2_api_record, hardware_of
from tests.support.devices import neuron, nvidia

REHEARSE = Path(ec2_machines.__file__).parent
SOURCE = REHEARSE / "nvml.c"
PREBUILT = REHEARSE / f"libnvidia-ml-{platform.machine()}.so"

RAY_SEES = """
import json
from ray._private.accelerators import NvidiaGPUAcceleratorManager as manager
print(json.dumps([manager.get_current_node_num_accelerators(), manager.get_current_node_accelerator_type()]))
"""
RAY_DASHBOARD_SEES = """
import json
from ray.dashboard.modules.reporter.gpu_providers import NvidiaGpuProvider
shown = NvidiaGpuProvider().get_gpu_utilization()
print(json.dumps([[gpu["name"], gpu["memory_total"], gpu["uuid"]] for gpu in shown]))
"""


@pytest.mark.parametrize("count", [1, 8, 16])
def test_ray_itself_sees_exactly_the_devices_that_were_installed(boot, count):
    assert boot(nvidia(count)).answer(RAY_SEES) == [count, "A100"]


def test_ray_itself_reads_a_slice_of_an_l4_as_l4(boot):
    assert boot("g6f.large").answer(RAY_SEES) == [1, "L4"]


@pytest.mark.parametrize("fault", ["no-driver", "no-device"])
def test_ray_itself_sees_nothing_where_the_driver_is_gone(boot, fault):
    assert boot("p4d.24xlarge", fault).answer(RAY_SEES) == [0, None]


def test_rays_dashboard_shows_the_emulated_devices_without_an_error(boot):
    shown = boot("g6.12xlarge").answer(RAY_DASHBOARD_SEES)
    assert [(name, mib) for name, mib, _ in shown] == [("NVIDIA L4", 22888)] * 4
    assert len({uuid for _, _, uuid in shown}) == 4


def test_rays_dashboard_shows_emulated_amd_gpus_too(boot):
    shown = boot("g4ad.16xlarge").answer(RAY_DASHBOARD_SEES.replace("NvidiaGpuProvider", "AmdGpuProvider"))
    assert [(name, mib) for name, mib, _ in shown] == [("Radeon Pro V520", 8192)] * 4


def test_every_recorded_accelerated_type_has_hardware_with_the_recorded_count():
    for name in ec2_machines._recording():
        record = ec2_api_record(name)
        kinds = [key for key in ("GpuInfo", "NeuronInfo", "FpgaInfo", "MediaAcceleratorInfo") if key in record]
        found = hardware_of(name)
        # trn2u is the one type whose accelerators EC2's API does not list.
        assert (found.kind != "none") == (bool(kinds) or "InferenceAcceleratorInfo" in record or "trn2u" in name), name
        if found.kind != "none":
            assert found.count >= 1, name
            assert found.driver_name, name


@pytest.mark.parametrize(
    ("instance_type", "kind", "count", "driver_name"),
    [
        ("p4d.24xlarge", "nvml", 8, "NVIDIA A100-SXM4-40GB"),
        ("p4de.24xlarge", "nvml", 8, "NVIDIA A100-SXM4-80GB"),
        ("g5.12xlarge", "nvml", 4, "NVIDIA A10G"),
        ("g5.16xlarge", "nvml", 1, "NVIDIA A10G"),
        ("g6f.large", "nvml", 1, "NVIDIA L4-3Q"),
        ("p2.16xlarge", "nvml", 16, "Tesla K80"),
        ("p6e-gb200.36xlarge", "nvml", 4, "NVIDIA GB200"),
        ("trn2u.48xlarge", "neuron", 16, "Trainium2"),
        ("inf2.24xlarge", "neuron", 6, "Inferentia2"),
        ("g4ad.16xlarge", "amd", 4, "Radeon Pro V520"),
        ("dl1.24xlarge", "gaudi", 8, "HL-205"),
        ("m5.large", "none", 0, ""),
    ],
)
def test_a_type_has_the_devices_that_amazon_puts_in_it(instance_type, kind, count, driver_name):
    found = hardware_of(instance_type)
    assert (found.kind, found.count, found.driver_name) == (kind, count, driver_name)


def test_an_unknown_type_is_an_error_that_names_near_ones():
    with pytest.raises(RehearsalError, match=r"'p4d\.24xlrge'.*p4d\.24xlarge"):
        hardware_of("p4d.24xlrge")


def test_each_row_of_the_hardware_table_has_a_source_and_a_known_kind():
    with ec2_machines.TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["instance"] for row in rows}) == len(rows)
    for row in rows:
        assert row["source"], row
        assert row["kind"] in {"nvml", "neuron", *DRIVERS, "fpga"}, row


def test_the_emulated_hardware_is_made_without_the_catalog():
    code = """
import sys
from accel_scaling.testing.devices.ec2_machines import hardware_of
hardware_of("p4d.24xlarge")
print([name for name in sys.modules if "catalog" in name or name in ("moto", "ray", "boto3")])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fault", "bus", "driver"),
    [
        ("fewer", 7, 7),
        ("fewer:3", 3, 3),
        ("driver-fewer", 8, 7),
        ("driver-fewer:0", 8, 0),
        ("other-type:g6.xlarge", 8, 8),
    ],
)
def test_a_fault_changes_what_the_bus_and_the_driver_show(fault, bus, driver):
    faulty = with_fault(hardware_of("p4d.24xlarge"), fault)
    assert (faulty.count, faulty.seen_by_driver) == (bus, driver)


@pytest.mark.parametrize("fault", ["melted", "fewer:many", "no-driver:1", "other-type", "other-type:m5.large"])
def test_a_fault_that_makes_no_sense_is_one_clear_error(fault):
    with pytest.raises(RehearsalError, match=fault.split(":")[0]):
        with_fault(hardware_of("p4d.24xlarge"), fault)


@pytest.mark.parametrize(
    ("instance_type", "fault"),
    [
        ("f2.6xlarge", "no-driver"),
        ("f2.6xlarge", "driver-fewer"),
        ("dl2q.24xlarge", "unhealthy"),
        ("vt1.3xlarge", "not-yet"),
    ],
)
def test_a_fault_that_these_devices_cannot_have_is_one_clear_error(instance_type, fault):
    with pytest.raises(RehearsalError, match=f"'{fault}': an? "):
        with_fault(hardware_of(instance_type), fault)


@pytest.mark.parametrize("instance_type", ["p4d.24xlarge", "trn2.48xlarge", "g4ad.16xlarge", "dl1.24xlarge"])
def test_a_host_boots_again_on_the_same_disk(tmp_path, instance_type):
    assert install(tmp_path, hardware_of(instance_type)) == install(tmp_path, hardware_of(instance_type))


def test_a_processor_without_a_prebuilt_library_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(drivers.platform, "machine", lambda: "riscv64")
    with pytest.raises(RehearsalError, match=r"riscv64.*nvml\.c"):
        install(tmp_path, nvidia(1))


def test_the_prebuilt_driver_libraries_were_built_from_the_source_beside_them():
    recorded = (REHEARSE / "nvml.sha256").read_text(encoding="ascii").split()[0]
    assert hashlib.sha256(SOURCE.read_bytes()).hexdigest() == recorded, (
        "nvml.c has changed since the two libraries were built: rebuild them with the commands at the head of nvml.c"
    )


@pytest.mark.parametrize(("machine", "elf_machine"), [("x86_64", 62), ("aarch64", 183)])
def test_each_prebuilt_library_is_small_and_for_its_processor(machine, elf_machine):
    content = (REHEARSE / f"libnvidia-ml-{machine}.so").read_bytes()
    assert content.startswith(b"\x7fELF")
    assert int.from_bytes(content[18:20], "little") == elf_machine
    assert len(content) < 40_000
    assert [name for name in sorted(_source_names()) if name.encode() + b"\0" not in content] == []


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here: nothing to compare the prebuilt library with")
def test_a_fresh_build_exports_and_answers_what_the_prebuilt_library_does(tmp_path, monkeypatch):
    built = tmp_path / "built.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(built), str(SOURCE)], check=True)
    assert _exports(built) == _exports(PREBUILT)
    for lines in ("3 40960 NVIDIA A100-SXM4-40GB", "8 1 X\nlost 3", "1 2 NVIDIA L4\ninit 18", None):
        config = tmp_path / "config"
        config.unlink(missing_ok=True)
        if lines is not None:
            config.write_text(lines + "\n", encoding="ascii")
        monkeypatch.setenv("ACCEL_EMULATED_NVML", str(config))
        assert _answers(built) == _answers(PREBUILT)


def _exports(library: Path) -> set[str]:
    loaded = ctypes.CDLL(str(library))
    return {name for name in _source_names() if hasattr(loaded, name)}


def _source_names() -> set[str]:
    """Every NVML function that the source defines."""
    found = set(
        re.findall(r"^(?:nvml_return |const char \*)(nvml\w+)\(", SOURCE.read_text(encoding="ascii"), re.MULTILINE)
    )
    assert {"nvmlInitWithFlags", "nvmlDeviceGetMemoryInfo_v2", "nvmlErrorString"} <= found
    return found


def _answers(library: Path) -> list[object]:
    """Everything that the library says, as one value."""
    nvml = ctypes.CDLL(str(library))
    nvml.nvmlErrorString.restype = ctypes.c_char_p
    count, handle = ctypes.c_uint(), ctypes.c_void_p()
    text, memory = ctypes.create_string_buffer(96), (ctypes.c_ulonglong * 5)()
    said: list[object] = [nvml.nvmlErrorString(code) for code in range(20)]
    said += [nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)), nvml.nvmlInitWithFlags(0)]
    said += [nvml.nvmlDeviceGetCount(ctypes.byref(count)), count.value]
    for index in range(9):
        said.append(nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)))
        said += [nvml.nvmlDeviceGetName(handle, text, 96), text.value, nvml.nvmlDeviceGetName(handle, text, 2)]
        said += [nvml.nvmlDeviceGetUUID(handle, text, 96), text.value]
        said += [nvml.nvmlDeviceGetMemoryInfo(handle, memory), list(memory)]
        said += [nvml.nvmlDeviceGetMemoryInfo_v2(handle, memory), list(memory)]
    said += [nvml.nvmlSystemGetDriverVersion(text, 96), text.value, nvml.nvmlShutdown()]
    return json.loads(json.dumps(said, default=str))


def test_a_neuron_machine_answers_neuron_ls_as_the_real_tool_does(boot):
    machine = boot(neuron(2))
    tool = machine.root / "opt/aws/neuron/bin/neuron-ls"
    printed = json.loads(subprocess.run([str(tool), "--json-output"], capture_output=True, check=True).stdout)
    assert [(device["neuron_device"], device["nc_count"]) for device in printed] == [(0, 4), (1, 4)]


def test_a_device_whose_pci_id_nobody_publishes_is_not_invented_on_the_bus(tmp_path):
    install(tmp_path, replace(hardware_of("f2.6xlarge"), pci_id=""))
    assert list((tmp_path / "sys/bus/pci/devices").iterdir()) == []
