"""The set-up commands of a new file: those that the fill and a migration write too, for one kind of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.fill.defaults import with_keys_needed_by_ray

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("setup_commands", "head_setup_commands")


def own_and_filled(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the commands of a file, and those that the fill writes into the file without them."""
    config = yaml.safe_load(text)
    without = {key: value for key, value in config.items() if key not in COMMANDS}
    filled = with_keys_needed_by_ray(without)
    return {key: config[key] for key in COMMANDS}, {key: filled[key] for key in COMMANDS}


@pytest.mark.parametrize("request_words", ["aws A10G", "aws Trainium", "gcp L4", "gcp v5litepod-8"])
def test_init_writes_the_commands_that_the_fill_writes(request_words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *request_words.split()]) == 0
    own, filled = own_and_filled(capsys.readouterr().out)
    assert own == filled


@pytest.mark.parametrize("path", sorted((ROOT / "example_clusters").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_has_the_commands_that_the_fill_writes(path: Path) -> None:
    own, filled = own_and_filled(path.read_text(encoding="utf-8"))
    # An example with an image of its own knows where its Python is.
    look_for_python = {cloud.image_path_command for cloud in known_clouds().values()}
    filled["setup_commands"] = [one for one in filled["setup_commands"] if one not in look_for_python]
    assert own == filled


@pytest.mark.parametrize(
    ("cloud", "node_config", "own"),
    [
        ("aws", {"InstanceType": "g5.xlarge"}, False),
        ("aws", {"InstanceType": "g5.xlarge", "ImageId": "ami-0a1b2c3d4e5f60718"}, True),
        ("aws", {"InstanceType": "g5.xlarge", "LaunchTemplate": {"LaunchTemplateName": "mine"}}, True),
        ("gcp", {"machineType": "g2-standard-4"}, False),
        ("gcp", {"acceleratorType": "v2-8", "runtimeVersion": "tpu-vm-tf-2.17.0-pjrt"}, True),
        ("gcp", {"machineType": "n2-standard-4", "sourceInstanceTemplate": "global/instanceTemplates/mine"}, True),
    ],
)
def test_the_python_of_an_image_is_looked_for_where_the_user_names_one(
    cloud: str, node_config: dict[str, Any], own: bool
) -> None:
    known = known_clouds()[cloud]
    config = {
        "provider": {"type": "external", "module": known.module},
        "available_node_types": {"worker": {"node_config": node_config}},
    }
    assert (known.image_path_command in with_keys_needed_by_ray(config)["setup_commands"]) is own
