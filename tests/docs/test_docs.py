"""What the documents show is what happens: commands are run or parsed, outputs compared, files and links there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import COMMANDS, main
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.shape import check_shape
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from accel_scaling.fill.promise import promise_for
from accel_scaling.testing.faults import WORDS
from tests.support.contributing import GUIDE, ROOT
from tests.support.document_commands import CHECKS
from tests.support.documents import (
    BLOCKS,
    CONSOLE,
    DOCUMENTS,
    README,
    SHELL,
    Block,
    blocks_of,
    normal,
    pattern_of,
    words_of,
    write_files,
)
from tests.support.plugins import install_example

MODULES = [cloud.module for cloud in known_clouds().values()]
README_LINES = 120
OF_STOCK = {"from-type-aws.md", "from-type-gcp.md"}  # they show files for Ray's own providers
WITH_THE_EXAMPLE = {"families-of-your-own.md"}  # its reader has installed docs/ferrum-n1

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)")
# A path in backticks that begins with a folder of the repository.
PATH = re.compile(r"`((?:accel_scaling|providers|catalogs|example_clusters|tests|benchmarks|docs)/[\w./-]*)`")


@pytest.fixture(name="desk")
def desk_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder as the reader has it: the examples are there, and `accel-scaling` is a command."""
    guided = request.node.callspec.params["block"].document == GUIDE
    desk, programs = tmp_path / "desk", tmp_path / "programs"
    desk.mkdir()
    programs.mkdir()
    for name in ("example_clusters", "docs"):
        (desk / name).symlink_to(ROOT / name)
    command = programs / "accel-scaling"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m accel_scaling "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(request.getfixturevalue("contributed") if guided else ROOT))
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES", raising=False)
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_a_command_prints_what_the_document_shows(block: Block, desk: Path, boot, plugged, monkeypatch) -> None:
    write_files(block.document, desk)
    if block.document.name in WITH_THE_EXAMPLE:
        plugged(install_example(desk.parent / "site"))
    if block.key == "machine":
        machine, _, fault = block.value.partition(" ")
        boot(machine, fault or None)
        promised = promise_for(load_catalog().machine_type("aws", machine)).resources
        monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps(promised))
    for command, shown in block.steps:
        assert {words[0] for words in words_of(command)} <= {"accel-scaling", "echo"}, f"{block}: {command}"
        # The environment as Python knows it: readline, which pytest may import, sets COLUMNS behind its back.
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ},
        )
        assert re.fullmatch(pattern_of(shown), normal(done.stdout)), f"{block}: {command}\n{done.stdout}"


@pytest.mark.parametrize(("block", "command"), SHELL, ids=lambda value: str(value)[:60])
def test_a_command_in_a_document_exists_and_takes_these_arguments(block: Block, command: str, desk: Path) -> None:
    write_files(block.document, desk)
    for block_of_document in blocks_of(block.document):  # earlier commands may have made the files of later ones
        for made in re.findall(r"accel-scaling (?:(?:kuberay )?fill|migrate) \S+ -o (\S+)", block_of_document.body):
            (desk / made).touch()
    for words in words_of(command):
        CHECKS[Path(words[0]).name](words, desk)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.key == "source"], ids=str)
def test_a_block_that_is_a_file_of_the_repository_is_that_file(block: Block) -> None:
    assert block.body == (ROOT / block.value).read_text(encoding="utf-8")


def test_each_file_of_the_example_is_shown_whole() -> None:
    shown = {block.value for block in BLOCKS if block.key == "source"}
    files = [path for path in (ROOT / "docs" / "ferrum-n1").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert shown == {str(path.relative_to(ROOT)) for path in files}


def cluster_blocks() -> list[Block]:
    return [
        block
        for block in BLOCKS
        if block.language == "yaml"
        and re.search(r"^cluster_name:", block.body, re.MULTILINE)
        and block.document.name not in OF_STOCK
        and block.document != GUIDE  # its machine type is in a copy only: test_contributing.py
    ]


@pytest.mark.parametrize("block", cluster_blocks(), ids=str)
def test_a_cluster_file_in_a_document_can_be_filled(block: Block) -> None:
    filled, notes = fill(check_shape(yaml.safe_load(block.body)), shipped_catalog())
    assert notes == []
    assert all(node_type["resources"] for node_type in filled["available_node_types"].values())


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "yaml" and block.document.name not in OF_STOCK], ids=str
)
def test_a_yaml_block_is_yaml_and_names_our_module_rightly(block: Block) -> None:
    content = yaml.safe_load(block.body)
    provider = content.get("provider") or {}
    assert provider.get("module", MODULES[0]) in MODULES
    assert provider.get("type", "external") == "external"


def test_the_filled_node_type_of_the_quickstart_is_what_the_fill_makes() -> None:
    blocks = [block for block in blocks_of(ROOT / "docs" / "quickstart-aws.md") if block.language == "yaml"]
    cluster, shown = (yaml.safe_load(block.body) for block in blocks)
    filled, _ = fill(cluster, shipped_catalog())
    assert shown["a10g"] == filled["available_node_types"]["a10g"]


@pytest.mark.parametrize("key", NEEDED_BY_RAY)
def test_the_error_that_ray_gives_for_a_missing_key_is_the_one_in_the_quickstart(key: str, examples: Path) -> None:
    from ray.autoscaler._private.util import prepare_config

    config = with_keys_needed_by_ray(yaml.safe_load((examples / "aws-gpu.yaml").read_text(encoding="utf-8")))
    prepare_config(config)
    with pytest.raises((KeyError, AssertionError)) as raised:
        prepare_config({name: value for name, value in config.items() if name != key})
    output = f"{raised.type.__name__}: {raised.value}"
    assert f"| `{key}` | `{output}` |" in (ROOT / "docs" / "quickstart-aws.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_and_paths_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    output = capsys.readouterr().out
    assert re.search(rf"^\s*accel-scaling {command} ", output.split("options:", 1)[1], re.MULTILINE), output


def test_the_readme_is_short_and_gives_the_two_commands_to_set_up() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES
    assert "`tests/run`" in text
    assert ".venv/bin/accel-scaling rehearse example_clusters/aws-gpu.yaml" in text


@pytest.mark.parametrize("word", VerdictWord)
def test_each_verdict_is_shown_with_a_sentence(word: VerdictWord) -> None:
    shown = "\n".join(block.body for block in CONSOLE if block.document.name == "verdicts.md")
    assert f"\n{word.value}: promised" in shown


def test_each_fault_of_a_rehearsal_is_in_its_document() -> None:
    text = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
    assert [word for word in WORDS if f"| `{word}:TYPE" not in text] == []


def test_every_document_is_reached_from_the_readme_by_links() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        if page.suffix == ".md":
            links = {(page.parent / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))}
            waiting += [link for link in links if link.exists()]
    assert [path.name for path in (ROOT / "docs").rglob("*.md") if path not in reached] == []
