"""What a rehearsal emulates of a machine type that only the user's catalog knows, and what it says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.testing.devices import hardware as devices
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.gcp_machines import built_in, hardware_of_gcp
from accel_scaling.testing.gce.api_errors import ApiError
from accel_scaling.testing.gce.machine_rules import checked
from accel_scaling.testing.local_clouds import local_cloud_of
from accel_scaling.testing.ray_cluster import bring_catalog
from accel_scaling.testing.rehearse.user_hardware import introduced, user_machines
from tests.support.catalog import HEADER
from tests.support.cluster import GCP_MODULE, MODULE

CHIPS = """\
Z1: {family: nvidia, resource: GPU, detected_type: Z1, memory_mib: 81920, driver_names: [NVIDIA Z1 80GB]}
T9: {family: neuron, resource: neuron_cores, detected_type: aws-neuron-core, variant: T9, units_per_device: 4,
     driver_names: [Trainium9], pci_ids: ["1d0f:9999"], memory_mib: 1024}
"""
HARDWARE = "instance,driver_name,count,pci_id\n"


@pytest.fixture
def types(tmp_path: Path, home: Path):
    """The types of the user's own of a cluster file with this machine, with a catalog and a hardware file."""

    def of(machine: str, rows: str, hardware: str = "", file: str = "mine", **provider: Any) -> dict[str, Any]:
        files = [tmp_path / f"{file}.csv"]
        files[0].write_text(HEADER + rows)
        files[0].with_suffix(".yaml").write_text(CHIPS)
        if hardware:
            (tmp_path / f"{file}_hardware.csv").write_text(HARDWARE + hardware)
        at = {"type": "external", "module": MODULE, "region": "us-west-2", **provider}
        key = "machineType" if provider else "InstanceType"
        config = {
            "provider": {**at, "catalog": [str(file) for file in files]},
            "head_node_type": "head",
            "available_node_types": {"head": {"node_config": {key: machine}}},
        }
        return user_machines(config, load_catalog(files, home=home), local_cloud_of(config), home=home)

    return of


@pytest.fixture
def known():
    """What this process knows of the user's own; forgotten after the test."""
    yield devices.set_user_hardware
    devices.set_user_hardware({})


def test_without_a_hardware_file_the_row_is_emulated_and_the_rehearsal_says_what_that_proves(types, tmp_path) -> None:
    found = types("z1.xlarge", "z1.xlarge,4,16384,x86_64,Z1,2\n")
    has = found["z1.xlarge"].hardware
    assert (has.kind, has.family, has.count, has.driver_name) == ("nvml", "nvidia", 2, "NVIDIA Z1 80GB")
    assert (has.pci_id, has.pci_class, has.memory_mib) == ("10de:ffff", "0x030200", 81920)
    said = f"z1.xlarge: emulated as {tmp_path}/mine.csv:2 says, the row itself: its boot check proves the path"
    assert introduced(found) == [f"{said}, not the row"]


def test_a_hardware_file_beside_says_what_is_there_whatever_the_row_says(types, tmp_path) -> None:
    found = types("z1.xlarge", "z1.xlarge,4,16384,x86_64,Z1,2\n", "z1.xlarge,NVIDIA Z1 PCIe,1,10de:1234\n")
    has = found["z1.xlarge"].hardware
    assert (has.count, has.driver_name, has.pci_id, has.memory_mib) == (1, "NVIDIA Z1 PCIe", "10de:1234", 81920)
    assert introduced(found) == [f"z1.xlarge: emulated as {tmp_path}/mine_hardware.csv:2 says"]


def test_a_family_brings_what_its_driver_shows(types) -> None:
    has = types("t9.large", "t9.large,4,16384,x86_64,T9,2\n")["t9.large"].hardware
    assert (has.kind, has.cores_per_device, has.pci_id) == ("neuron", 4, "1d0f:9999")


def test_a_plain_machine_of_ones_own_has_no_device(types) -> None:
    assert types("z1.plain", "z1.plain,4,16384,x86_64,,\n")["z1.plain"].hardware.kind == "none"


def test_what_ships_is_emulated_by_its_own_table_though_the_users_row_says_otherwise(types) -> None:
    assert types("g4dn.xlarge", "g4dn.xlarge,4,16384,x86_64,Z1,8\n") == {}


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ("g4dn.xlarge,NVIDIA L4,1,\n", "mine_hardware.csv:2: rehearsals know what is in g4dn.xlarge already"),
        ("z1.xlarge,NVIDIA Z1,none,\n", "mine_hardware.csv:2: count is none; expected how many devices"),
        ("z1.xlarge,NVIDIA Z1\n", "mine_hardware.csv:2: has more or fewer cells than the columns"),
    ],
)
def test_a_hardware_file_that_makes_no_sense_is_refused_with_its_line(types, hardware: str, said: str) -> None:
    with pytest.raises(RehearsalError, match=said):
        types("g4dn.xlarge", "z1.xlarge,4,16384,x86_64,Z1,2\n", hardware)


def test_the_clouds_process_is_told_and_knows_no_more_than_that(types, tmp_path: Path, known) -> None:
    found = types("z1.xlarge", "z1.xlarge,4,16384,x86_64,Z1,2\n")
    devices.write_user_hardware(tmp_path, {name: each.hardware for name, each in found.items()})
    with pytest.raises(RehearsalError, match=r"z1\.xlarge"):
        hardware_of("z1.xlarge")
    devices.read_user_hardware(tmp_path)
    assert hardware_of("z1.xlarge") == found["z1.xlarge"].hardware
    assert hardware_of("g4dn.xlarge").driver_name == "Tesla T4"
    with pytest.raises(RehearsalError, match=r"z1\.2xlarge"):
        hardware_of("z1.2xlarge")


def test_a_compute_engine_type_of_ones_own_is_made_by_the_local_one(types, known) -> None:
    zone = "us-central1-a"
    provider = {"module": GCP_MODULE, "project_id": "p", "availability_zone": zone, "region": "us-central1"}
    body = {
        "machineType": "z1-standard-4",
        "disks": [{"initializeParams": {"sourceImage": "projects/local/global/images/local"}}],
        "networkInterfaces": [{}],
        "scheduling": {"onHostMaintenance": "TERMINATE"},
    }
    with pytest.raises(ApiError, match="z1-standard-4"):
        checked(body, zone, bulk=True)
    found = types("z1-standard-4", "z1-standard-4,4,16384,x86_64,Z1,2\n", file="gcp_mine", **provider)
    has = found["z1-standard-4"].hardware
    known({"z1-standard-4": has})
    made = checked(body, zone, bulk=True)
    assert hardware_of_gcp(made.machine_type, made.accelerators) == has
    assert built_in("z1-standard-4").count == has.count == 2


def test_the_one_who_runs_ray_up_has_the_users_whole_catalog_and_no_path_of_this_home(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    refreshed = home / ".accel_scaling" / "refresh" / "aws.csv"
    for path, name in ((Path("mine.csv"), "m9.a"), (home / ".accel_scaling" / "own.csv", "m9.b"), (refreshed, "m9.c")):
        path.write_text(f"{HEADER}{name},1,1,x86_64,,\n")
    config = {"provider": {"region": "us-west-2", "catalog": "mine.csv"}}
    bring_catalog(config, tmp_path / "laptop")
    assert config == {"provider": {"region": "us-west-2"}}
    there = load_catalog(home=tmp_path / "laptop").machine_types("aws")
    assert {"m9.a", "m9.b", "m9.c"} <= set(there)
