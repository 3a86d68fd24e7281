"""Files that are no cluster file, and templates of one: each door names what they are and what takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.cluster.other_files import RAY_MANIFESTS
from accel_scaling.kuberay.manifest import CLUSTER_OF
from tests.support.hostile_input import READERS

CLUSTER = """\
cluster_name: a
provider: {type: aws, region: us-west-2}
head_node_type: h
available_node_types: {h: {node_config: {InstanceType: m5.large}}}
"""
MANIFEST = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: a}\nspec: {}\n"


def said_by(words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    assert main([words[0], str(path), *words[1:]]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix(f"accel-scaling: {path}")


@pytest.mark.parametrize("door", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            MANIFEST,
            ": this is a Kubernetes manifest (kind: RayCluster), not a cluster file of `ray up`; give it to `accel",
        ),
        ("apiVersion: v1\nkind: ConfigMap\n---\n" + MANIFEST, ":4: this is a Kubernetes manifest (kind: RayCluster)"),
        (
            "apiVersion: v1\nkind: Pod\n",
            "(kind: Pod), not a cluster file of `ray up`; `accel-scaling kuberay fill` takes",
        ),
        ("resources: {accelerators: 'A100:8'}\nrun: python x.py\n", ": this is a task of SkyPilot, not a cluster"),
        ("setup: pip install x\nrun: python x.py\n", ": this is a task of SkyPilot"),
        ("type: task\ncommands: [x]\nresources: {gpu: 24GB}\n", ": this is a configuration of dstack"),
        ("services: {a: {image: b}}\n", ": this is a file of Docker Compose"),
        ("applications: [{name: a}]\n", ": this is a config of Ray Serve"),
        ("head: {cpu: 1}\nworker: {replicas: 1}\n", ": these are values of a Helm chart"),
        ("", " is not a cluster config: it is empty; let `accel-scaling init` write one"),
        ("# only a comment\n", " is not a cluster config: it is empty"),
        ("- a\n", " is not a cluster config: expected keys and values"),
        ("cluster_name: a\nprovider: {type: azure}\n", ":2: provider.type is 'azure'; accel_scaling knows"),
        ("cluster_name: a\nprovider: {type: vsphere}\n", ":2: provider.type is 'vsphere'; accel_scaling knows"),
        ("cluster_name: a\nprovider: {type: local, head_ip: a}\n", ":2: provider.type is 'local'; accel_scaling"),
        ("cluster_name: a\nprovider: {type: kuberay}\n", "the RayCluster to `accel-scaling kuberay fill`"),
        ("cluster_name: a\nprovider: {region: b}\n", ":2: provider.type is missing; accel_scaling knows"),
    ],
)
def test_another_file_is_named_with_what_takes_it(
    door: list[str], text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if door[0] == "plan" and "RayCluster" in text:
        said = "RayCluster a has no spec.headGroupSpec"  # a plan takes manifests too
    assert said in said_by(door, text, tmp_path, capsys)


def test_the_manifests_that_are_sent_to_kuberay_are_those_that_it_takes() -> None:
    assert set(RAY_MANIFESTS) == set(CLUSTER_OF)


@pytest.mark.parametrize("command", ["fill", "check"])
@pytest.mark.parametrize("text", [CLUSTER, "cluster_name: a\nprovider: {type: aws}\nhead_node: {}\n"])
def test_a_cluster_file_given_to_kuberay_is_named(
    command: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["kuberay", command, str(path)]) == 2
    said = capsys.readouterr()
    assert f"{path}:1: this is a cluster file of `ray up`, not a manifest; give it to `accel-scaling fill`" in (
        said.out + said.err
    )


@pytest.mark.parametrize("door", READERS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("cluster_name: a", "cluster_name: {{ name }}"),
            ":1:16: this is not valid YAML: found unhashable key; it is a",
        ),
        (("cluster_name: a", '{% if x %}\ncluster_name: {{env["A"]}}'), "; it is a template: render the file first"),
        (("region: us-west-2", "region: {{ region }}"), "; it is a template: render the file first"),
        (("region: us-west-2", "region: ${REGION}"), "; it is a template: render the file first"),
        (
            ("region: us-west-2", "region: '${REGION}'"),
            ":2: provider.region is '${REGION}', which is still a pl",
        ),
        (("region: us-west-2", "region: $REGION"), ":2: provider.region is '$REGION', which is still a pl"),
        (
            ("cluster_name: a", "cluster_name: '{{ name }}'"),
            ":1: cluster_name is '{{ name }}', which is still a placeholder",
        ),
        (("cluster_name: a", "cluster_name: a-${USER}"), ":1: cluster_name is 'a-${USER}', which is still a pl"),
        (("InstanceType: m5.large", "InstanceType: '{{ t }}'"), ":4: available_node_types.h.node_config.InstanceType"),
        (("InstanceType: m5.large", "InstanceType: $TYPE"), "InstanceType is '$TYPE', which is still a pl"),
        (
            ("{h: {node", "{'{{ head }}': {node"),
            "the name of a node type is '{{ head }}', which is still a placeholder",
        ),
        (
            ("{h: {node", "{h: {max_workers: '${MOST}', node"),
            ".h.max_workers is '${MOST}', which is still a placeholder",
        ),
    ],
)
def test_a_template_is_told_to_be_rendered_first(
    door: list[str], change: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CLUSTER.replace(*change)
    assert text != CLUSTER
    told = said_by(door, text, tmp_path, capsys)
    assert said in told
    assert "render the file first" in told


def test_what_a_shell_or_docker_fills_in_is_no_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    shells = "setup_commands: ['echo ${HOME} $USER', \"docker ps --format '{{.ID}}'\"]\n"
    own = "{InstanceType: m5.large, UserData: 'export A=${B}', KeyName: a}"
    path.write_text(CLUSTER.replace("{InstanceType: m5.large}", own) + shells, encoding="utf-8")
    assert main(["fill", str(path)]) == 0
    path.write_text(CLUSTER + shells + "a: [\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["fill", str(path)]) == 2
    assert "template" not in capsys.readouterr().err
