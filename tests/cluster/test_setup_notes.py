"""Set-up commands that break the provider on the head, or Ray on a node, are noted with the line and what to write."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling._ray import versions
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster import setup_notes
from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.cluster.installs import Installed, installed_by
from accel_scaling.fill.fill import fill

AWS, GCP = (known_clouds()[name] for name in ("aws", "gcp"))
ROOT = Path(__file__).resolve().parents[2]
NIGHTLY = "https://s3-us-west-2.amazonaws.com/ray-wheels/latest/ray-3.0.0.dev0-cp310-cp310-manylinux2014_x86_64.whl"


@pytest.fixture(autouse=True)
def ray_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed_version", lambda: "2.60.0")


def notes(cloud: Any = GCP, **config: Any) -> list[str]:
    types = config.pop("types", {"head": {}, "w": {}})
    return setup_notes.setup_notes({"head_node_type": "head", "available_node_types": types, **config}, cloud)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("pip install google-api-python-client==1.7.8", [("google-api-python-client", "==", "1.7.8")]),
        ("pip3.10 install -U 'boto3<1.20' \"ray[default]==2.9.3\"", [("boto3", "<", "1.20"), ("ray", "==", "2.9.3")]),
        (f"which ray || pip install -U {NIGHTLY}", [("ray", "==", "3.0.0.dev0")]),
        (f"pip install 'ray[default] @ {NIGHTLY}'", [("ray", "==", "3.0.0.dev0")]),
        ("conda install -y -c conda-forge ray-default=2.9", [("ray-default", "=", "2.9")]),
        ("mamba create -n x python=3.9 && pip install ray", [("python", "=", "3.9"), ("ray", "", "")]),
        ("sudo apt-get install -y python3.8-dev git", [("python", "==", "3.8.*")]),
        ("sudo -H bash -c 'python3 -m pip install ray==2.9.3'", [("ray", "==", "2.9.3")]),
        ("uv pip install --system ray==2.8", [("ray", "==", "2.8")]),
        ("uv venv --python 3.8 venv", [("python", "==", "3.8.*")]),
        ("pyenv install 3.8.10", [("python", "==", "3.8.10")]),
        ("pip install -i https://x/simple -r requirements.txt .", []),
        ("pip install git+https://github.com/someone/ray", []),
        ("echo pip; apt-get install -y python3-pip", []),
        ("pip install 'not closed", []),
        (
            "pip install PyYAML~=5.4 google_auth_httplib2==0.1",
            [("pyyaml", "~=", "5.4"), ("google-auth-httplib2", "==", "0.1")],
        ),
    ],
)
def test_what_a_command_installs_is_read_in_each_spelling(command: str, found: list[tuple[str, str, str]]) -> None:
    assert [(one.name, one.operator, one.version) for one in installed_by(command)] == found


@pytest.mark.parametrize("key", ["setup_commands", "head_setup_commands", "initialization_commands"])
def test_an_old_client_on_the_head_is_noted_with_its_line_and_what_to_write(key: str) -> None:
    (note,) = notes(**{key: ["echo", "pip install google-api-python-client==1.7.8"]})
    assert note.startswith(f"{key}[1] ('pip install google-api-python-client==1.7.8'): the provider on the head needs")
    assert "write 'google-api-python-client>=2.150'" in note
    # Nobody calls it on a worker, nor on another cloud.
    assert notes(worker_setup_commands=["pip install google-api-python-client==1.7.8"]) == []
    assert notes(AWS, **{key: ["pip install google-api-python-client==1.7.8"]}) == []


@pytest.mark.parametrize(
    ("cloud", "package", "noted"),
    [
        (AWS, "boto3==1.26.*", True),
        (AWS, "boto3==1.34.1", False),
        (AWS, "boto3==1.*", False),
        (AWS, "boto3>=1.20", False),
        (AWS, "botocore<1.34", True),
        (AWS, "urllib3<2", False),
        (AWS, "urllib3==1.24.3", True),
        (AWS, "urllib3<=1.25", True),
        (GCP, "google-api-python-client~=1.12", True),
        (GCP, "google-api-python-client~=2.150", False),
        (GCP, "httplib2==0.18", True),
        (GCP, "protobuf==3.19.6", True),
        (AWS, "protobuf<3.20", True),
        (AWS, "PyYAML==5.4.1", True),
        (AWS, "PyYAML==6.0", False),
    ],
)
def test_only_what_is_surely_too_old_is_noted(cloud: Any, package: str, noted: bool) -> None:
    assert bool(notes(cloud, head_setup_commands=[f"pip install '{package}'"])) is noted


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"which ray || pip install -U {NIGHTLY}", "nodes would run Ray 3.0.0.dev0, and this machine has 2.60.0"),
        ("pip install ray==2.9.3", "nodes would run Ray 2.9.3"),
        ("pip install 'ray<2.10'", "nodes would run a Ray <2.10"),
        ("pip install -U --pre 'ray[default]'", "nodes would run the newest Ray"),
        ("pip install -U 'ray[default]'", ""),  # `ray up` writes its own version there
        ("pip install ray", ""),
        ("conda install -y ray-default", "where the image has no Ray"),
        ("conda create -y -n x python=3.8", "the boot check needs Python 3.10 to 3.14"),
        ("pip install 'ray[default]==2.60.0'", ""),
        ("pip install ray==2.60.*", ""),
        ("command -v ray || pip install ray", ""),
        ("pip install 'ray>=2.9'", "where the image has no Ray"),
        ("conda create -y -n x python=3.11", ""),
    ],
)
@pytest.mark.parametrize("key", ["setup_commands", "worker_setup_commands"])
def test_another_ray_or_a_python_without_the_boot_check_is_noted_on_all_nodes(
    key: str, command: str, said: str
) -> None:
    found = notes(**{key: [command]})
    assert (said in found[0]) if said else found == []
    if "Ray" in said and "Python" not in said:
        assert "write 'ray[default]==2.60.0'" in found[0]


def test_a_command_that_ray_up_merges_into_other_lists_is_noted_once() -> None:
    old = ["pip install ray==2.9.3"]
    (note,) = notes(setup_commands=old, head_setup_commands=old, worker_setup_commands=old)
    assert note.startswith("setup_commands[0] (")


def test_commands_and_images_of_node_types_count_and_those_of_a_host_with_containers_do_not() -> None:
    old = ["pip install ray==2.9.3"]
    types = {"head": {}, "w": {"worker_setup_commands": old, "docker": {"worker_image": "rayproject/ray:2.9.3-gpu"}}}
    found = notes(types=types)
    assert found[0].startswith("available_node_types.w.worker_setup_commands[0] (")
    assert found[1].startswith(
        "available_node_types.w.docker.worker_image ('rayproject/ray:2.9.3-gpu'): nodes would run Ray 2.9.3"
    )
    containers = {"container_name": "c", "image": "rayproject/ray-ml:nightly-py310-gpu"}
    (image,) = notes(docker=containers, initialization_commands=old)
    assert image.startswith("docker.image (")
    assert "write an image of Ray 2.60.0" in image
    assert notes(docker={**containers, "image": "rayproject/ray:2.60.0-py310-gpu"}) == []
    assert notes(docker={**containers, "image": "my.registry/ray:old"}) == []


def test_the_fill_has_these_notes_and_a_file_of_rays_own_provider_has_none() -> None:
    config = yaml.safe_load((ROOT / "example_clusters" / "gcp-gpu.yaml").read_text())
    config["provider"]["project_id"] = "p"
    assert [note for note in fill(config, catalog_of(config))[1] if "_commands[" in note] == []
    config["head_setup_commands"] = ["pip install google-api-python-client==1.7.8"]
    assert [note for note in fill(config, catalog_of(config))[1] if note.startswith("head_setup_commands[0]")]
    config["provider"]["type"] = "gcp"
    assert [note for note in fill(config, catalog_of(config))[1] if note.startswith("head_setup_commands[0]")] == []


def test_the_floors_are_those_of_our_own_package_and_of_ray() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for cloud in (AWS, GCP):
        section = project[project.index(f"\n{cloud.name} = [") :].partition("]\n")[0]
        named = dict(re.findall(r'"([a-z0-9-]+)>=([0-9.]+)"', section))
        assert named == {name: floor for name, floor in cloud.sdk_floors if name in named}
        assert cloud.sdk_package in named
    assert f'"pyyaml>={dict(setup_notes.FLOORS)["pyyaml"]}"' in project
    assert f"protobuf>={dict(setup_notes.FLOORS)['protobuf']}" in (importlib.metadata.requires("ray") or [])
    assert Installed("ray").operator == ""
