"""`accel-scaling fill` on whole files: the examples, in place, and texts that are large or made to be slow."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.inputs.yaml_nodes import FAST
from tests.support.cluster_texts import TOP, filled_text, values

HEAD = "head_node_type: head\navailable_node_types:\n  head:\n    node_config:\n      InstanceType: m5.large\n"
EXAMPLES = sorted(
    path.name
    for path in (Path(__file__).parents[2] / "example_clusters").glob("*.yaml")
    if path.name != "aws-ferrum.yaml"  # its machine is in the catalog of a plug-in
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_each_of_its_lines(name: str, examples: Path, tmp_path: Path) -> None:
    text = (examples / name).read_text(encoding="utf-8")
    filled, _ = filled_text(tmp_path / name, text)
    rest = iter(filled.splitlines())
    assert [line for line in text.splitlines() if line not in rest] == []
    added = [line for line in filled.splitlines() if line not in text.splitlines()]
    assert all("# accel-scaling fill" in line for line in added if not line.lstrip().startswith("- "))
    assert len(filled.splitlines()) == len(text.splitlines()) + len(added)


def test_a_file_is_filled_in_place_and_a_second_time_nothing_is_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(TOP + HEAD)
    assert main(["fill", str(path), "-o", str(path)]) == 0
    assert capsys.readouterr().err == f"wrote {path}\n"
    filled = path.read_bytes()
    assert filled.startswith(TOP.encode())
    assert main(["fill", str(path), "-o", str(path)]) == 0
    assert path.read_bytes() == filled


def test_a_filled_copy_says_which_file_to_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, copy = tmp_path / "cluster.yaml", tmp_path / "filled.yaml"
    path.write_text(TOP + HEAD)
    assert main(["fill", str(path), "-o", str(copy)]) == 0
    assert capsys.readouterr().err == f"wrote {copy}; keep editing {path}, and fill it again after a change\n"


def test_the_marks_are_nothing_to_ray(tmp_path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config

    filled, _ = filled_text(tmp_path / "cluster.yaml", TOP + HEAD)
    config = prepare_config(values(filled))
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 2}
    assert config["setup_commands"][-1].startswith("command -v ray")


WORKERS = "".join(f"  w{number}:\n    node_config:\n      InstanceType: g5.xlarge # c\n" for number in range(400))
LARGE = {
    "a comment of a megabyte": TOP + HEAD + "#" + "x" * 1_000_000 + "\n",
    "lines with nothing in them": TOP + HEAD + "\n" * 200_000,
    "a comment a line, all of one mapping": TOP + HEAD + "    # c\n" * 100_000,
    "marks without an end": TOP + HEAD + "      UserData: x  " + "# accel-scaling fill: " * 50_000 + "\n",
    "blanks behind a mark": TOP + HEAD + "      UserData: x  # accel-scaling fill: x" + " " * 500_000 + "y\n",
    "four hundred node types": TOP + HEAD + WORKERS,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_a_large_text_takes_time_in_proportion_to_its_size(text: str, tmp_path: Path) -> None:
    start = time.process_time()
    filled, _ = filled_text(tmp_path / "cluster.yaml", text)
    assert filled_text(tmp_path / "cluster.yaml", filled)[0] == filled
    # Each takes up to 3 s; with the time growing with the square, minutes.
    assert time.process_time() - start < 30
    assert yaml.load(filled, Loader=FAST)["available_node_types"]["head"]["resources"] == {"CPU": 2}
