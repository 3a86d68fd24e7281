"""`accel-scaling migrate`: forms of YAML, keys of Ray 1, what the catalog contradicts, and files that it refuses."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds

MODULES = {name: cloud.module for name, cloud in known_clouds().items()}
STOCK = """\
cluster_name: demo
provider:
  type: aws
  region: us-west-2
head_node_type: head
available_node_types:
  head:
    node_config:
      InstanceType: m5.large
  w:
    node_config:
      InstanceType: g5.xlarge
"""
KEYS = "max_workers: 2\nsetup_commands: []\nhead_setup_commands: []\nworker_setup_commands: []\n"
SMALL_HEAD = "head_node: {InstanceType: m5.large}\n"
RAY_1 = "cluster_name: demo\nprovider: {type: aws, region: us-west-2}\n" + KEYS


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    return tmp_path / "old.yaml"


def migrated(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return the new text, and what is said."""
    path.write_bytes(text.encode())
    assert main(["migrate", str(path)]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def refused(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    path.write_text(text)
    assert main(["migrate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    return err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("provider:\n  type: aws # ours\n", "provider:\n  type: external # ours\n  module: MODULE\n"),
        ("provider:\n    'type': \"aws\"\n", "provider:\n    'type': external\n    module: MODULE\n"),
        ("provider:\r\n  type: aws\r\n", "provider:\r\n  type: external\r\n  module: MODULE\r\n"),
        ("provider: {type: aws,", "provider: {type: external, module: MODULE,"),
        ('provider: {"type": "aws",', 'provider: {"type": "external", "module": "MODULE",'),
        ("provider:\n  # why\n\n  type:   aws\n", "provider:\n  # why\n\n  type:   external\n  module: MODULE\n"),
    ],
)
def test_the_module_comes_after_the_type_in_the_form_of_the_file(
    path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    end = " region: us-west-2}\n" if "{" in before else "  region: us-west-2\n"
    end = ("    " + end.lstrip() if "    " in before else end) + KEYS
    stock = STOCK.replace("provider:\n  type: aws\n  region: us-west-2\n", before + end)
    new, _ = migrated(path, stock, capsys)
    assert new == stock.replace(before, after.replace("MODULE", MODULES["aws"]))


@pytest.mark.parametrize("shared", ["provider: &p\n  type: aws\n", "provider:\n  type: &t aws\n"])
def test_an_anchor_at_the_provider_does_no_harm(path: Path, capsys: pytest.CaptureFixture[str], shared: str) -> None:
    new, _ = migrated(path, STOCK.replace("provider:\n  type: aws\n", shared) + KEYS, capsys)
    assert yaml.safe_load(new)["provider"]["module"] == MODULES["aws"]
    assert "# " not in new.partition("available_node_types")[0]


def test_a_provider_from_elsewhere_in_the_file_is_printed_again_with_a_note(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "base: &b {type: aws, region: us-west-2}\n" + STOCK
    shared = text.replace("provider:\n  type: aws\n  region: us-west-2\n", "provider: *b\n")
    assert "base is a key that Ray's cluster files do not have" in refused(path, shared, capsys)
    inside = STOCK.replace("  type: aws\n  region: us-west-2\n", "  <<: {type: aws, region: us-west-2}\n")
    new, _ = migrated(path, inside + KEYS, capsys)
    provider = yaml.safe_load(new)["provider"]
    assert provider == {"type": "external", "module": MODULES["aws"], "region": "us-west-2"}


def test_what_is_written_is_the_users_from_then_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, said = migrated(path, STOCK, capsys)
    assert "accel-scaling fill:" not in new
    assert "max_workers: 2  # Ray needs this key\n" in new
    assert f"{path}:3: provider.type: aws became external, with module: {MODULES['aws']}\n" in said
    assert "added setup_commands, head_setup_commands, worker_setup_commands and max_workers: Ray needs them" in said


def test_hand_written_values_that_the_catalog_contradicts_are_named_with_their_lines(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "    resources:\n      CPU: 4\n      GPU: 2\n      accelerator_type:T4: 1\n"
    own += "    labels: {ray.io/accelerator-type: T4}\n"
    path.write_text(STOCK + own)
    new = path.with_name("new.yaml")
    assert main(["migrate", str(path), "-o", str(new)]) == 0
    said = capsys.readouterr().err
    for line, words in (
        (15, "your resources say GPU: 2, the catalog says 1; yours is used, and a node"),
        (16, "your resources promise accelerator_type:T4, the catalog knows accelerator_type:A10G there"),
        (17, "your labels say ray.io/accelerator-type: T4, and its node_config makes it A10G"),
    ):
        assert f"note: {path}:{line} ({new}:{line + 1}): available_node_types.w (g5.xlarge): {words}" in said
    assert "CPU: 4" not in said


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (
            "head_node: {InstanceType: m5.large}\nworker_nodes: {InstanceType: g5.xlarge, resources: {GPU: 1}}\n",
            {"head": "m5.large", "worker": "g5.xlarge"},
        ),
        ("worker_nodes:\n  InstanceType: g5.xlarge\nhead_node:\n  InstanceType: m5.xlarge\n",
         {"head": "m5.xlarge", "worker": "g5.xlarge"}),
        (f"available_node_types:\n{SMALL_HEAD}", {"head": "m5.large", "worker": "m5.large"}),
        ("head_node:\n  InstanceType: m5.xlarge\n", {"head": "m5.xlarge", "worker": "m5.large"}),
        ("worker_nodes:\n  InstanceType: g5.xlarge\nhead_node: {}\n", {"head": "m5.large", "worker": "g5.xlarge"}),
        (
            f"{SMALL_HEAD}worker_nodes: [{{InstanceType: g5.xlarge}},\n  {{InstanceType: m5.xlarge}}]",
            {"head": "m5.large", "worker-1": "g5.xlarge", "worker-2": "m5.xlarge"},
        ),
        (
            SMALL_HEAD
            + "worker_nodes:\n  gpu: {InstanceType: g5.xlarge}\n  cpu: {node_config: {InstanceType: m5.xlarge}}\n",
            {"head": "m5.large", "gpu": "g5.xlarge", "cpu": "m5.xlarge"},
        ),
        ("head_node: {}\nworker_nodes: {}\n", {"ray.head.default": "m5.large", "ray.worker.default": "m5.large"}),
        ("", {"ray.head.default": "m5.large", "ray.worker.default": "m5.large"}),
    ],
)  # fmt: skip
def test_nodes_of_ray_1_become_node_types(
    path: Path, capsys: pytest.CaptureFixture[str], text: str, types: dict[str, str]
) -> None:
    new, _ = migrated(path, RAY_1 + "min_workers: 1\n" + text, capsys)
    config = yaml.safe_load(new)
    found = {name: one["node_config"]["InstanceType"] for name, one in config["available_node_types"].items()}
    assert found == types
    assert config["head_node_type"] == next(iter(types))
    if "_node" in text and "{}\nworker" not in text:
        assert (
            next(one["min_workers"] for name, one in config["available_node_types"].items() if "head" not in name) == 1
        )
    path.write_text(new)
    assert main(["plan", str(path), "--demand", "CPU:1"]) == 0


def test_node_lists_far_from_each_other_come_together_with_their_comments(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "# the workers\nworker_nodes:\n    InstanceType: g5.xlarge # fast\n"
        "    UserData: |\n      #!/bin/sh\n\n      ls\n    # inside\n\nauth: {ssh_user: ubuntu}\n"
        "# the head\nhead_node: # small\n    InstanceType: m5.large\n# end\n"
    )
    new, _ = migrated(path, RAY_1 + text, capsys)
    assert new == RAY_1.replace("type: aws", f"type: external, module: {MODULES['aws']}") + (
        "# the workers\nhead_node_type: head\navailable_node_types:\n    worker:\n        node_config:\n"
        "            InstanceType: g5.xlarge # fast\n"
        "            UserData: |\n              #!/bin/sh\n\n              ls\n"
        "            # inside\n\n    # the head\n    head:\n        node_config: # small\n"
        "            InstanceType: m5.large\n\nauth: {ssh_user: ubuntu}\n# end\n"
    )


def test_what_ray_1_had_beside_node_types_goes_where_ray_puts_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        STOCK + "head_node: {KeyName: k}\nworker_nodes: {KeyName: k, InstanceType: m5.large}\n"
        "worker_default_node_type: w\nautoscaling_mode: aggressive\nmin_workers: 3\n"
    )
    new, said = migrated(path, text, capsys)
    types = yaml.safe_load(new)["available_node_types"]
    assert types["head"]["node_config"] == {"InstanceType": "m5.large", "KeyName": "k"}
    assert types["w"]["node_config"] == {"InstanceType": "g5.xlarge", "KeyName": "k"}
    assert yaml.safe_load(new)["upscaling_speed"] == 99999.0
    assert f"{path}:13: head_node is of Ray 1, and went into the node_config of head (KeyName)" in said
    assert f"{path}:15: worker_default_node_type: 'w' was dropped" in said
    assert f"{path}:17: min_workers: 3 of the whole file was dropped: Ray reads it nowhere; write min_workers" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STOCK.replace("type: aws", "type: azure"), ":3: provider.type is 'azure', and a migration takes"),
        (STOCK.replace("type: aws", "type: local"), "this package has no provider: leave the file as it is"),
        (STOCK.replace("type: aws", "type: asw"), "; nearest: aws"),
        (STOCK.replace("type: aws", "type: ${CLOUD}"), "of a template: render the file first"),
        (STOCK.replace("  type: aws\n", ""), ":2: provider.type is missing"),
        ("{% if x %}\n" + STOCK, "it is a template: render the file first"),
        ("apiVersion: ray.io/v1\nkind: RayCluster\n", "give it to `accel-scaling kuberay fill`"),
        ("- a\n", "is not a cluster config"),
        (STOCK.replace("type: aws", "type: external"), "provider.module is missing"),
        (STOCK.replace("type: aws", "type: external\n  module: my.Provider"), "with module 'my.Provider'"),
        (STOCK.replace("g5.xlarge", "g5.xlrge"), ":10: available_node_types.w: instance type 'g5.xlrge'"),
        (STOCK.replace("InstanceType: g5", "InstanceTyp: g5"), ":11: available_node_types.w.node_config"),
        (RAY_1 + "head_node:\n  InstanceType: m5.lrge\n", ":7: head_node: instance type 'm5.lrge' of aws is not in"),
        (RAY_1 + "head_node: m5.large\n", ":7: head_node is 'm5.large'; it must hold the keys of a node_config"),
        (STOCK.replace("cluster_name: demo\n", ""), "cluster_name is missing"),
        (STOCK.partition("  head:")[0] + "  - head\n", "old.yaml: this is not a cluster config"),
    ],
)
def test_a_file_that_cannot_be_migrated_gets_one_sentence(
    path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert words in refused(path, text, capsys)


def test_a_file_that_is_there_is_not_overwritten_without_being_asked(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(STOCK)
    assert main(["migrate", str(path), "-o", str(path)]) == 2
    assert (
        f"{path} exists already; choose another file with -o, or overwrite it with --force" in capsys.readouterr().err
    )
    assert path.read_text() == STOCK
    assert main(["migrate", str(path), "-o", str(path), "--force"]) == 0
    assert MODULES["aws"] in path.read_text()


def test_standard_input_is_a_dash() -> None:
    command = [sys.executable, "-m", "accel_scaling", "migrate", "-", "-o", "-"]
    done = subprocess.run(command, input=STOCK, capture_output=True, text=True, check=True)
    assert yaml.safe_load(io.StringIO(done.stdout))["provider"]["type"] == "external"


def test_our_own_file_without_rays_keys_gets_these_and_nothing_else(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STOCK.replace("type: aws", f"type: external\n  module: {MODULES['aws']}")
    new, said = migrated(path, text, capsys)
    assert new.startswith(text)
    assert (
        said
        == f"{path}: added setup_commands, head_setup_commands, worker_setup_commands and max_workers: Ray needs them\n"
    )
