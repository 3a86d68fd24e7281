"""Bombs and huge numbers in files, and input made at random: one sentence soon, in every command and in `ray up`."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import click
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling.cli.main import main
from accel_scaling.errors import AccelScalingError
from tests.hostile import judge
from tests.hostile.cases import GROUPS, PROMISE, Case
from tests.hostile.judge import judged
from tests.hostile.mutations import BOMB, HUGE, LONG, MERGE_BOMB
from tests.hostile.structures import bomb
from tests.support.contributing import ROOT
from tests.support.hostile_input import CLUSTER, READERS, said

pytestmark = pytest.mark.usefixtures("no_rehearsal_starts")

FOUND = sorted(Path(__file__).with_name("found").glob("*.json"))
MANIFEST = (ROOT / "tests/data/kuberay/gpu.yaml").read_text(encoding="utf-8")
# Where a bomb was once written into the sentence about it.
PLACES = [
    ("region: us-west-2", "region: {}"),
    ("region: us-west-2", "region: us-west-2\n  catalog: {}"),
    ("region: us-west-2", "region: us-west-2\n  quarantine: {}"),
    ("region: us-west-2", "region: us-west-2\n  quarantine: {{strikes: {}}}"),
    ("region: us-west-2", "region: us-west-2\n  confirmation: {{on_mismatch: {}}}"),
    ("type: external", "type: {}"),
    ("module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider", "module: {}"),
    ("head_node_type: head", "head_node_type: {}"),
    ("max_workers: 2\nd", "max_workers: {}\nd"),
    ("docker: {container_name: ray, image: rayproject/ray}", "docker: {}"),
    ("    max_workers: 2\n", "    resources: {}\n"),
    ("    max_workers: 2\n", "    resources: {{GPU: {}}}\n"),
    ("    max_workers: 2\n", "    labels: {}\n"),
    ("    max_workers: 2\n", "    max_workers: {}\n"),
    ("InstanceType: g5.xlarge", "InstanceType: {}"),
    ("InstanceType: g5.xlarge", "InstanceType: g5.xlarge, ImageId: {}"),
]


@pytest.mark.parametrize("command", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize(("was", "place"), PLACES, ids=[place.strip()[:40] for _, place in PLACES])
def test_a_bomb_in_a_cluster_file_is_refused_with_its_line(
    command: list[str], was: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    assert was in CLUSTER
    path.write_text(BOMB + CLUSTER.replace(was, place.format("*a8"), 1), encoding="utf-8")
    sentence = said([command[0], str(path), *command[1:]], capsys)
    assert sentence.startswith(f"accel-scaling: {path}:6:20: it holds more than 150,000 values")


@pytest.mark.parametrize("command", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("max_workers: 2\nd", f"max_workers: {HUGE}\nd"), "has 401 digits; at most 40 are read"),
        (("    max_workers: 2\n", f"    resources: {{GPU: {HUGE}}}\n"), "has 401 digits; at most 40 are read"),
        (
            ("    max_workers: 2\n", f"    resources: {{GPU: {'9' * 18}}}\n"),
            "no machine has more than 1,000,000,000,000",
        ),
        (("    max_workers: 2\n", f"    resources: {{GPU: {'9' * 30}}}\n"), "is 99999"),
        (("setup_commands: []", "setup_commands:\n  - echo a\n    b\tc"), "found character '\\t'"),
        (("  w:", f"  ? {LONG}\n  :"), "a key has at most 1,024 characters"),
        (("  w:", '  "w\\e[2J":'), "with a control character; remove it"),
        (("type: external", f"type: {LONG}"), "(5,0"),
        (("type: external", 'type: "\\e]0;owned\\a"'), "\\x1b]0;owned\\x07"),
        (("region: us-west-2", "region: us-west-2\n  catalog: /dev/zero"), "It has no end within 8.4 MB"),
        (("region: us-west-2", 'region: us-west-2\n  catalog: "a\\0b"'), "No file has such a name"),
        (("region: us-west-2", f"region: us-west-2\n  catalog: {LONG}"), "File name too long"),
        (
            ("region: us-west-2", "region: us-west-2\n  catalog: ~no-such/x.csv"),
            "~no-such/x.csv: cannot be read as a catalog",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_goes_beyond_a_bound_in_a_cluster_file_is_one_sentence(
    command: list[str], change: tuple[str, str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.replace(*change, 1), encoding="utf-8")
    sentence = said([command[0], str(path), *command[1:]], capsys)
    assert expected in sentence
    assert len(sentence) < 1500
    assert sentence.isprintable()


@pytest.mark.parametrize("command", ["fill", "check"])
@pytest.mark.parametrize(
    ("bomb_text", "change"),
    [
        (BOMB, ("apiVersion", "apiVersion")),
        (BOMB, ("limits:", "limits: *a8\n            requests:")),
        (MERGE_BOMB, ("limits:\n", "limits:\n              <<: *b25\n")),
        (MERGE_BOMB, ("rayStartParams: {}", "rayStartParams: {<<: *b25}")),
        (MERGE_BOMB, ("nodeSelector:\n", "nodeSelector:\n          <<: *b25\n")),
    ],
)
def test_a_bomb_in_a_manifest_is_refused_with_its_line(
    command: str, bomb_text: str, change: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(bomb_text + MANIFEST.replace(*change, 1), encoding="utf-8")
    sentence = said(["kuberay", command, str(path)], capsys)
    assert ": it holds more than 150,000 values, with each alias" in sentence


def test_a_promise_with_a_huge_number_is_refused_wherever_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'{{"GPU": {HUGE}}}'
    assert said(["confirm", "--expect", text], capsys).startswith(
        "accel-scaling: --expect is not JSON (the number 1000"
    )
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", text)
    assert "RAY_OVERRIDE_RESOURCES is not JSON (the number 1000" in said(["confirm"], capsys)
    large = said(["confirm", "--expect", f'{{"GPU": {"9" * 20}}}'], capsys)
    assert "GPU is" in large


# --- `ray up`, which has read the file itself ---

PROVIDERS = ["aws.AWSAcceleratorNodeProvider", "gcp.GCPAcceleratorNodeProvider"]


@pytest.mark.parametrize("module", PROVIDERS)
@pytest.mark.parametrize(
    "place", ["cluster_name", "provider.region", "provider.x", "available_node_types.w.node_config.x"]
)
@pytest.mark.parametrize("value", ["bomb", "number", "name"])
def test_our_part_of_ray_up_ends_with_one_sentence(module: str, place: str, value: str) -> None:
    package, name = module.split(".")
    provider = getattr(importlib.import_module(f"accel_scaling.providers.{package}"), name)
    config = yaml.safe_load(CLUSTER)
    config["provider"]["module"] = f"accel_scaling.providers.{module}"
    *parents, last = place.split(".")
    holder = config
    for key in parents:
        holder = holder[key]
    # By name: pytest would write a bomb out to report a failure.
    holder[last] = {"bomb": bomb, "number": lambda: 10**400, "name": lambda: {"k" * 5000: 1}}[value]()
    for step in (provider.fillout_available_node_types_resources, provider.bootstrap_config):
        start = time.process_time()
        with pytest.raises((AccelScalingError, click.ClickException)) as refused:
            step(config)
        assert time.process_time() - start < 3
        assert len(str(refused.value)) < 1000


# --- large, and no attack ---


def test_five_thousand_node_types_and_twenty_thousand_keys_are_filled_soon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    types = "".join(f"  w{n}: {{max_workers: 2, node_config: {{InstanceType: g5.xlarge}}}}\n" for n in range(5000))
    keys = "".join(f"  key{n}: value\n" for n in range(20_000))
    path = tmp_path / "large.yaml"
    for text in (CLUSTER.replace("  w:\n", types + "  w:\n"), CLUSTER.replace("  region:", keys + "  region:")):
        path.write_text(text, encoding="utf-8")
        # The file's time-out is the bound here: with the time growing with the square, each took 9 s and more.
        assert main(["fill", str(path)]) == 0
    assert yaml.load(capsys.readouterr().out.split("cluster_name")[1].partition("\n")[2], Loader=yaml.CSafeLoader)


# --- at random, and what was found at random ---


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
@settings(suppress_health_check=list(HealthCheck), max_examples=8)
@given(seed=st.integers(0, 2**64))
def test_mutated_input_gets_an_answer_or_one_sentence(
    group: Any, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    case = group(Random(seed))
    outcome = judged(case, tmp_path_factory.mktemp("hostile"))
    assert not outcome.trouble, f"{outcome.trouble}\n{case.to_json()}"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_stays_repaired(path: Path, tmp_path: Path) -> None:
    outcome = judged(Case.from_json(path.read_text(encoding="utf-8")), tmp_path)
    assert not outcome.trouble


def test_the_judge_sees_a_traceback_a_silence_and_an_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that finds nothing could be blind."""
    from accel_scaling.cli import confirm

    monkeypatch.setattr(judge, "MOST_S", 0.001)
    case = Case("confirm", ("confirm", "--expect", PROMISE))
    for number, (does, expected) in enumerate(
        (
            (lambda _: json.loads("{"), "JSONDecodeError"),
            (lambda _: 2, "silently"),
            (lambda _: 1, "exit code 1"),
            (lambda _: sum(range(10**6)) and 0, "slow"),
        )
    ):
        monkeypatch.setattr(confirm, "run", does)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert expected in judged(case, folder).trouble
