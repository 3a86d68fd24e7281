"""What `detect` finds of the families beside NVIDIA, Neuron and TPU, on odd machines; and their page in docs/."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.detect import vendor_package
from accel_scaling.detect.model import DriverState
from accel_scaling.families.inventory import detect
from accel_scaling.families.registry import built_in
from tests.support.families import ONE, devices

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
WITH_PACKAGE = ("amd", "intel", "gaudi", "ascend", "rbln", "metax", "furiosa", "mobilint")


@pytest.fixture(name="package")
def package_fixture(tmp_path, monkeypatch):
    """Put a package of a maker's on the path, with this text."""

    def write(text: str) -> None:
        (tmp_path / "maker.py").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return write


def test_the_page_has_a_row_for_each_family_in_their_order():
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    shown = [(row[1].strip(" `"), row[2].strip(" `")) for row in rows]
    assert shown == [(family.name, family.resource) for family in built_in()]


@pytest.mark.parametrize("family", ["amd", "gaudi", "ascend", "rbln", "metax", "furiosa", "mobilint", "tenstorrent"])
def test_the_page_names_each_makers_vendor_id(family):
    (row,) = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{family}` "))
    assert f"`{ONE[family].pci_id[:4]}`" in row


@pytest.mark.parametrize("family", WITH_PACKAGE)
def test_without_the_makers_package_the_nodes_are_counted_and_rays_number_is_told(boot, monkeypatch, family):
    boot(devices(family, 8))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir("/")
    (found,) = detect()
    assert (found.state, found.count, found.units) == (DriverState.OK, 8, 8)
    rays = 8 if family in ("ascend", "mobilint") else 0
    assert found.ray_units == rays
    assert any("not installed in this Python" in sentence for sentence in found.evidence)


@pytest.mark.parametrize("family", sorted(set(ONE) - {"apple", "fpga"}))
def test_without_devices_and_nodes_no_package_is_imported(boot, monkeypatch, family):
    boot(devices(family, 8), "no-driver")
    monkeypatch.setattr(vendor_package, "ask", lambda *_: pytest.fail("asked"))
    (found,) = detect()
    assert (found.state, found.count, found.bus_count) == (
        DriverState.MISSING,
        0,
        8 * ONE[family].functions,
    )


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("import os; os.abort()", DriverState.UNHEALTHY, "maker fails: exit -6"),
        ("import ctypes; ctypes.CDLL('libmaker.so')", DriverState.TOOL_BROKEN, "libmaker.so: cannot open"),
        ("open('/dev/maker0')", DriverState.UNHEALTHY, "No such file or directory: '/dev/maker0'"),
        ("raise RuntimeError('device 0 is lost')", DriverState.UNHEALTHY, "device 0 is lost"),
        ("import not_there", DriverState.TOOL_BROKEN, "No module named 'not_there'"),
        ("from os import not_there", DriverState.TOOL_BROKEN, "cannot import name 'not_there'"),
        ("other = 1", DriverState.TOOL_BROKEN, "has no attribute 'count'"),
        ("count = lambda: 1 +", DriverState.TOOL_BROKEN, "invalid syntax"),
        ("def count(): return 'eight'", DriverState.UNHEALTHY, "counts 'eight' devices"),
        ("count = lambda: -1", DriverState.UNHEALTHY, "counts -1 devices"),
        ("import time; time.sleep(3600)", DriverState.NOT_YET, "no answer within 0.5 s"),
        ("print('loading'); count = lambda: 3", DriverState.OK, ""),
        ("import sys; sys.stdout.close(); count = lambda: 3", DriverState.OK, ""),
        ("import os; count = lambda: os._exit(0)", DriverState.UNHEALTHY, "maker fails: exit 0"),
    ],
)
def test_whatever_a_package_does_becomes_an_answer(package, monkeypatch, text, state, words):
    if state is DriverState.NOT_YET:
        monkeypatch.setattr(timeouts, "DRIVER_PACKAGE_TIMEOUT_S", 0.5)
    package(text)
    reply = vendor_package.ask("maker", "say(maker.count())")
    assert reply.state is state, reply
    assert words in reply.trouble
    assert reply.count == (3 if state is DriverState.OK else 0)


def test_a_package_that_leaves_a_process_behind_is_not_waited_for(package):
    package(
        "import os, time\nif not os.fork():\n    os.closerange(1, 3); time.sleep(3); os._exit(0)\ncount = lambda: 3"
    )
    assert vendor_package.ask("maker", "say(maker.count())").count == 3


def test_a_package_in_the_current_folder_is_none(tmp_path, monkeypatch):
    (tmp_path / "maker.py").write_text("count = lambda: 3", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert vendor_package.ask("maker", "say(maker.count())").absent


def test_an_amd_gpu_without_kfd_cannot_compute(boot):
    machine = boot(devices("amd", 2))
    (machine.root / "dev/kfd").unlink()
    (found,) = detect()
    assert found.state is DriverState.MISSING


def test_render_nodes_of_another_maker_are_not_counted(boot):
    machine = boot(devices("amd", 2))
    link = machine.root / "sys/class/drm/renderD200/device"
    link.mkdir(parents=True)
    for name, value in (("vendor", "0x10de"), ("device", "0x20b0"), ("class", "0x030200")):
        (link / name).write_text(value, encoding="ascii")
    (machine.root / "dev/dri/renderD200").touch()
    (found,) = detect()
    assert any("driver: 2 of" in sentence for sentence in found.evidence)


def test_the_graphics_of_an_intel_processor_are_no_accelerator(boot):
    boot(replace(ONE["intel"], pci_id="8086:a780", pci_class="0x030000"))
    assert detect() == []


def test_huaweis_network_devices_are_no_accelerators(boot):
    boot(replace(ONE["ascend"], kind="pci-only", pci_id="19e5:0222", pci_class="0x020000"))
    assert detect() == []


def test_a_gaudi_of_the_old_driver_is_counted_by_its_old_nodes(boot):
    machine = boot(replace(devices("gaudi", 8), kind="pci-only"))
    for index in range(8):
        status = machine.root / f"sys/class/habanalabs/hl{index}/status"
        status.parent.mkdir(parents=True)
        status.write_text("Operational\n" if index else "Needs reset\n", encoding="ascii")
        for name in (f"hl{index}", f"hl_controlD{index}"):
            (machine.root / "dev").mkdir(exist_ok=True)
            (machine.root / "dev" / name).touch()
    (found,) = detect()
    assert (found.state, found.count) == (DriverState.UNHEALTHY, 7)
    assert "hl0 is Needs reset" in found.trouble


def test_a_folder_beside_the_nodes_of_tenstorrent_is_counted_by_ray_and_not_by_us(boot):
    machine = boot(devices("tenstorrent", 4))
    (machine.root / "dev/tenstorrent/by-id").mkdir()
    (found,) = detect()
    assert (found.count, found.ray_units) == (4, 5)
    assert "Ray counts 5: all that is in /dev/tenstorrent" in found.evidence


def test_virtual_functions_are_not_counted_beside_their_card(boot):
    machine = boot(devices("rbln", 2))
    folder = machine.root / "sys/bus/pci/devices/0000:10:1c.1"
    folder.mkdir()
    for name, value in (("vendor", "0x1eff"), ("device", "0x1251"), ("class", "0x120000")):
        (folder / name).write_text(value, encoding="ascii")
    (folder / "physfn").symlink_to("../0000:10:1c.0")
    (found,) = detect()
    assert found.bus_count == 2


def test_a_gpu_that_counts_as_two_for_its_tiles_is_counted_as_ray_counts_it(boot):
    machine = boot(devices("intel", 2))
    (module,) = machine.root.rglob("dpctl/__init__.py")
    with module.open("a", encoding="utf-8") as file:
        file.write("COUNT = 4  # Level Zero shows each tile as a device\n")
    (found,) = detect()
    assert (found.state, found.count, found.ray_units, found.bus_count) == (DriverState.OK, 4, 4, 2)


def test_an_fpga_whose_image_has_the_id_of_an_example_answers_to_both_products(boot):
    boot(replace(devices("fpga", 1), pci_id="1d0f:f000"))
    (found,) = detect()
    assert found.variant is None
    assert set(found.answers_to) == {"VU9P", "VU47P"}


@pytest.mark.parametrize("family", sorted(set(ONE) - {"apple"}))
def test_the_command_shows_a_block_for_each_family(boot, family):
    done = boot(devices(family, 2)).command("detect")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("2 x ")
    assert rest[0] == f"  PCI bus: {2 * ONE[family].functions} x {ONE[family].pci_id}"
    assert rest[-1].startswith("  Ray: announces ")
    assert "trouble" not in done.stdout


def test_where_there_is_no_accelerator_the_other_families_take_one_sentence(boot):
    shown = boot("m5.large").command("detect").stdout
    assert "\n  neither on the bus nor below /dev: AMD GPU, Intel GPU, Gaudi, " in shown
    assert shown.rstrip().endswith("Cloud AI card")


def test_devices_of_a_users_own_family_are_reported_as_not_asked(boot, tmp_path):
    machine = boot(replace(ONE["qaic"], kind="pci-only", count=2, pci_id="abcd:0001"))
    (tmp_path / ".accel_scaling").mkdir()
    chip = '{family: zed, resource: ZPU, detected_type: Z1, pci_ids: ["abcd:0001"]}'
    (tmp_path / ".accel_scaling/mine.yaml").write_text(f"Z1: {chip}\n", encoding="utf-8")
    (found,) = json.loads(machine.command("detect", "--json", HOME=str(tmp_path)).stdout)
    assert (found["family"], found["count"], found["state"]) == ("zed", 2, "not probed")
    promise = json.dumps({"ZPU": 2, "accelerator_type:Z1": 1})
    done = machine.command("confirm", "--expect", promise, HOME=str(tmp_path))
    assert "NOT checked: this version has no probe for zed" in done.stdout


def test_the_probes_import_no_package_of_a_maker_into_this_process(boot):
    code = """
import json, sys
from accel_scaling.families.inventory import detect
found = detect()
makers = {"amdsmi", "dpctl", "habana_frameworks", "acl", "rebel", "pymxsml", "furiosa_smi_py", "qbruntime", "torch"}
print(json.dumps([len(found), sorted(makers & set(sys.modules))]))
"""
    assert json.loads(boot(devices("amd", 1)).python(code).stdout) == [1, []]
    assert "amdsmi" not in sys.modules


@pytest.mark.parametrize("name", ["None", "''", "' '"])
@pytest.mark.parametrize("family", ["furiosa", "rbln", "metax", "ascend"])
def test_a_package_that_names_no_product_gives_no_type_and_the_bus_tells_the_product(boot, family, name):
    machine = boot(devices(family, 2))
    (package,) = (file for file in machine.root.rglob("*.py") if "COUNT" in file.read_text(encoding="utf-8"))
    with package.open("a", encoding="utf-8") as file:
        file.write(f"NAME = {name}.strip() if {name} else {name}\nNAMES = [NAME] * COUNT\n")
    (found,) = detect()
    assert (found.count, found.ray_units, found.accelerator_type, found.kinds) == (2, 2, None, ())
    assert not any("NONE" in name.upper() for name in found.answers_to)
    printed = machine.command("detect").stdout
    assert printed.endswith(f"Ray: announces {found.resource}: 2, no accelerator_type\n")
    assert compare({found.resource: 2}, [found]).confirmed
    if family in ("furiosa", "rbln"):  # one product has the PCI id
        (answers_to,) = found.answers_to
        assert compare({found.resource: 2, f"accelerator_type:{answers_to}": 1}, [found]).confirmed
