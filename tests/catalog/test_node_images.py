"""The rows about drivers, container options and images: checked as the catalog is, whole, and true to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_scaling.catalog.custom_machine_types import custom_rules
from accel_scaling.catalog.files import Source
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.node_images import ImageKind, parse_boot_disks, parse_families, parse_images
from accel_scaling.catalog.node_schema import BOOT_DISKS, NODE_FAMILIES, NODE_IMAGES
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.cluster.docker import run_options
from accel_scaling.cluster.node_needs import boot_disk, common_system, default_image, images, needs, no_image
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.fill import fill
from accel_scaling.testing.ec2.moto_patches import documented_parameters
from accel_scaling.testing.gce.machine_rules import public_images
from tests.support.catalog import HEADER

FAMILIES, IMAGES, DISKS = NODE_FAMILIES.files, NODE_IMAGES.files, BOOT_DISKS.file_of("gcp")
CLOUDS = ("aws", "gcp")
SSM = "resolve:ssm:/aws/service"


def of(cloud: str, name: str):
    return shipped_catalog().machine_type(cloud, name)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (FAMILIES, "--gpus=all", "--gpus all", "run_options has all; expected options without spaces"),
        (FAMILIES, "--gpus=all", "--gpus=$(id)", "expected options without spaces"),
        (FAMILIES, "--gpus=all", "--gpus=all;id", "expected options without spaces"),
        (FAMILIES, "/dev/neuron{n}", "/dev/neuron0", "each_device is --device=/dev/neuron0; expected an option with"),
        (FAMILIES, "\nneuron,", "\nnvidia,", "nvidia is already in line "),
        (IMAGES, "\nneuron,", "\nneurn,", "family 'neurn' is not known; nearest: neuron"),
        (IMAGES, "V100-16G ", "V100-17G ", "chips 'V100-17G' is not in accelerators.yaml; nearest: V100-16G"),
        (IMAGES, "aws,x86_64,ssm", "gcp,x86_64,ssm", "kind is ssm, which gcp does not have"),
        (IMAGES, "/aws/service/neuron", "aws/service/neuron", "expected a parameter's name, as /aws/service/..."),
        (IMAGES, "projects/ubuntu-os-cloud/global", "ubuntu-os-cloud", "expected projects/PROJECT/global/images/fam"),
        (IMAGES, "install-nvidia-driver=True", "install-nvidia-driver", "expected KEY=VALUE"),
        (
            IMAGES,
            ",none,,,,the habana",
            ",none,ami-1,,,the habana",
            "kind is none and image is ami-1; empty one of them",
        ),
        (DISKS, "g4,hyperdisk-balanced", "g4,", "disk_type is empty"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_line(
    tmp_path: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (SHIPPED_FOLDER / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    (found, *_) = check_files([tmp_path / name]).problems
    assert found.startswith(f"{tmp_path}/{name}:")
    assert problem in found


@pytest.mark.parametrize("parse", [parse_families, parse_images, parse_boot_disks])
@pytest.mark.parametrize("text", ["", "a,b\n", '"', "\0", "a" * 10_000])
def test_any_text_is_parsed_or_refused_without_a_traceback(parse, text: str) -> None:
    rules, problems = parse(Source(Path("a.csv"), "a", text))
    assert rules == []
    assert problems


def test_every_family_of_the_catalog_has_its_driver_and_its_source() -> None:
    there = {chip.family for chip in shipped_catalog().chips.values()} | {"none"}
    assert there <= needs().keys()
    assert all(each.driver and each.source for each in needs().values())


def test_every_machine_type_has_an_image_or_a_sentence_that_says_what_to_do() -> None:
    for cloud, key in zip(CLOUDS, ("ImageId", "disks[0].initializeParams.sourceImage"), strict=True):
        for name in shipped_catalog().machine_types(cloud):
            machine = of(cloud, name)
            image = default_image(machine)
            assert image is not None, name
            if image.kind is ImageKind.NONE:
                sentence = no_image("available_node_types.x", machine, key)
                assert f"write node_config.{key} and name one of your own, which must contain {image.note}" in sentence


def test_each_image_is_one_that_the_local_clouds_know_from_their_own_tables() -> None:
    for image in images():
        if image.kind is ImageKind.SSM:
            assert image.name in documented_parameters()
            assert f"/{image.arch}/" in image.name or image.family == "neuron"
        elif image.kind is ImageKind.FAMILY:
            _, project, *_, family = image.name.split("/")
            assert public_images()[project, family].lower() == image.arch


# What the newest Deep Learning AMIs for Ubuntu 22.04 do not support, by their release notes.
@pytest.mark.parametrize(
    "name", ["p3.2xlarge", "p3dn.24xlarge", "p2.xlarge", "g3.4xlarge", "g2.2xlarge", "g6f.large", "inf1.xlarge",
             "g4ad.xlarge", "dl1.24xlarge", "f2.6xlarge", "vt1.3xlarge", "dl2q.24xlarge"],
)  # fmt: skip
def test_a_machine_whose_driver_is_in_no_image_never_gets_one_silently(name: str) -> None:
    image = default_image(of("aws", name))
    assert image is not None
    assert image.kind is ImageKind.NONE
    assert image.note


@pytest.mark.parametrize(
    ("cloud", "name", "words"),
    [
        ("aws", "p4d.24xlarge", "/deeplearning/ami/x86_64/base-oss-nvidia"),
        ("aws", "g5g.xlarge", "/deeplearning/ami/arm64/base-oss-nvidia"),
        ("aws", "trn1.2xlarge", "/neuron/dlami/base/ubuntu-24.04"),
        ("aws", "inf2.xlarge", "/neuron/dlami/base/ubuntu-24.04"),
        ("aws", "m5.large", "/deeplearning/ami/x86_64/base"),
        ("aws", "m7g.large", "/deeplearning/ami/arm64/base"),
        ("gcp", "n2-standard-2", "family/ubuntu-2204-lts"),
        ("gcp", "c4a-standard-4", "family/ubuntu-2204-lts-arm64"),
        ("gcp", "a3-highgpu-8g", "common-cu129-ubuntu-2204-nvidia-580"),
        ("gcp", "a4x-highgpu-4g", "arm64-with-nvidia-580"),
        ("gcp", "ct6e-standard-8t", "tpu-v5e-v5p-v6e"),
    ],
)
def test_an_image_is_of_the_machines_family_and_architecture(cloud: str, name: str, words: str) -> None:
    image = default_image(of(cloud, name))
    assert image is not None
    assert words in image.name


@pytest.mark.parametrize(
    ("machine", "disk"),
    [
        ("n2-standard-2", "pd-balanced"),
        ("g2-standard-4", "pd-balanced"),
        ("a3-highgpu-8g", "pd-balanced"),
        ("a3-ultragpu-8g", "hyperdisk-balanced"),
        ("c4-standard-4", "hyperdisk-balanced"),
        ("g4-standard-48", "hyperdisk-balanced"),
        ("c3-standard-176", "pd-balanced"),
        ("c3-standard-192-metal", "hyperdisk-balanced"),
        ("c3-highmem-192-metal", "hyperdisk-balanced"),
        ("z3-highmem-192-highlssd-metal", "hyperdisk-balanced"),
        ("z3-highmem-88", "pd-balanced"),
        ("x4-480-6t-metal", "hyperdisk-balanced"),
        ("custom-4-8192", "pd-balanced"),
        ("n4-custom-4-8192", "hyperdisk-balanced"),
        ("f1-micro", "pd-balanced"),
    ],
)
def test_a_boot_disk_is_of_a_type_that_the_machine_series_takes(machine: str, disk: str) -> None:
    assert boot_disk("gcp", machine).disk_type == disk


def test_each_series_that_ships_has_its_boot_disk_and_only_others_are_guessed() -> None:
    names = {*shipped_catalog().machine_types("gcp"), *(f"{name}-4-8192" for name in custom_rules("gcp"))}
    assert [name for name in sorted(names) if boot_disk("gcp", name).is_guess] == []
    assert all(boot_disk("gcp", name).is_guess for name in ("u4c-standard-688", "x5-metal-2064", "c33-standard-4"))


def test_a_series_that_no_row_has_gets_the_disk_of_new_series_and_a_note_unless_the_user_wrote_one(
    tmp_path: Path,
) -> None:
    own = tmp_path / "gcp_mine.csv"
    own.write_text(HEADER + "u4c-standard-688,688,2752512,x86_64,,\n")
    node_configs = {
        "new": {"machineType": "u4c-standard-688"},
        "typed": {
            "machineType": "u4c-standard-688",
            "disks": [{"boot": True, "initializeParams": {"diskType": "hyperdisk-extreme"}}],
        },
        "old": {"machineType": "n2-standard-8"},
    }
    filled, notes = fill(
        {
            "provider": {
                "type": "external",
                "module": known_clouds()["gcp"].module,
                "project_id": "p",
                "availability_zone": "us-central1-a",
                "catalog": str(own),
            },
            "head_node_type": "old",
            "available_node_types": {name: {"node_config": node_config} for name, node_config in node_configs.items()},
        },
        load_catalog([own]),
    )
    disks = {
        name: entry["node_config"]["disks"][0]["initializeParams"]["diskType"]
        for name, entry in filled["available_node_types"].items()
    }
    assert disks == {"new": "hyperdisk-balanced", "typed": "hyperdisk-extreme", "old": "pd-balanced"}
    (note,) = [note for note in notes if "gcp_boot_disks.csv" in note]
    assert note == (
        "available_node_types.new (u4c-standard-688): gcp_boot_disks.csv has no row for its series; "
        "hyperdisk-balanced is written, as all new series boot from it; if this one does not, write "
        "disks[0].initializeParams.diskType"
    )


def test_container_options_show_every_device_of_the_node() -> None:
    assert run_options("nvidia", 8) == ("--gpus=all",)
    assert run_options("neuron", 16) == tuple(f"--device=/dev/neuron{number}" for number in range(16))
    assert run_options("tpu", 4) == ("--privileged",)
    assert "--device=/dev/kfd" in run_options("amd", 1)
    assert "--runtime=habana" in run_options("gaudi", 8)
    assert run_options(None, 0) == run_options("none", 0) == run_options("of-a-users-catalog", 3) == ()
    assert run_options("nvidia", 1, podman=True)[0] == "--device=nvidia.com/gpu=all"
    assert run_options("neuron", 1, podman=True) == run_options("neuron", 1)


def test_default_images_of_a_cluster_are_of_one_ubuntu_as_ray_needs_one_python() -> None:
    assert common_system([of("aws", "m5.large"), of("aws", "g5.xlarge")]) == "22.04"
    assert common_system([of("aws", "m5.large"), of("aws", "trn1.2xlarge"), of("aws", "g5g.xlarge")]) == "24.04"
    assert common_system([of("gcp", "n2-standard-2"), of("gcp", "tpu7x-standard-4t")]) == "24.04"
    assert common_system([of("gcp", "g2-standard-4"), of("gcp", "ct6e-standard-4t")]) == "22.04"
    assert common_system([of("gcp", "ct6e-standard-4t"), of("gcp", "tpu7x-standard-4t")]) == ""  # no image is for both
    assert common_system([]) == ""


def neuron_cluster(**head: str) -> dict[str, Any]:
    types = {"head": {"InstanceType": "m5.large", **head}, "trn": {"InstanceType": "trn1.2xlarge"}}
    return {
        "provider": {"type": "external", "module": known_clouds()["aws"].module, "region": "us-west-2"},
        "head_node_type": "head",
        "available_node_types": {name: {"node_config": node_config} for name, node_config in types.items()},
    }


def test_the_head_of_neuron_machines_has_their_ubuntu_silently() -> None:
    filled, notes = fill(neuron_cluster(), shipped_catalog())
    images_of = {name: entry["node_config"]["ImageId"] for name, entry in filled["available_node_types"].items()}
    assert images_of == {
        "head": f"{SSM}/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
        "trn": f"{SSM}/neuron/dlami/base/ubuntu-24.04/latest/image_id",
    }
    assert notes == []


def test_an_image_of_the_users_own_beside_neuron_machines_is_told_which_ubuntu_it_must_be() -> None:
    filled, notes = fill(neuron_cluster(ImageId="ami-1"), shipped_catalog())
    assert filled["available_node_types"]["head"]["node_config"]["ImageId"] == "ami-1"
    (note,) = notes
    assert note.startswith("available_node_types.trn (trn1.2xlarge): its default image: it is Ubuntu 24.04: Ray needs ")
