"""Manifests from standard input, and files that manifests are made from: charts, kustomizations, Argo CD."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.support.kuberay import manifest

L4 = manifest(limits="nvidia.com/gpu: 1", selector="cloud.google.com/gke-accelerator: nvidia-l4")
HELM = "`helm template CHART | accel-scaling kuberay fill -`"


def run(*words: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accel_scaling", *words], input=text, capture_output=True, text=True, check=False
    )


def test_a_manifest_comes_from_standard_input() -> None:
    filled = run("kuberay", "fill", "-", text=L4)
    assert filled.returncode == 0
    assert '"accelerator_type:L4": "1"' in filled.stdout
    assert filled.stderr.startswith("standard input:14: RayCluster demo, group workers\n")
    assert run("kuberay", "check", "-", text=filled.stdout).stdout == "ok: 2 groups, no contradictions\n"
    again = run("kuberay", "fill", "-", text=filled.stdout)
    assert (again.stdout, again.stderr) == (filled.stdout, "standard input: nothing to add\n")
    wrong = run("kuberay", "check", "-", text=L4.replace("cpu: 8", "cpu: many"))
    assert (wrong.returncode, wrong.stdout[:18]) == (2, "standard input:24:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "image: {repository: rayproject/ray}\nhead: {}\nworker: {}\n",
            f"these are values of a Helm chart; render the chart first, and give what comes out: {HELM}",
        ),
        ("ray-cluster:\n  head: {}\n", "these are values of a Helm chart; "),
        ("image: {tag: a}\nreplicaCount: 1\n", "these are values of a Helm chart; "),
        ("apiVersion: v2\nname: ray\nversion: 1.0.0\n", "this is a chart of Helm; render the chart first"),
        ("resources: [raycluster.yaml]\nnamespace: ray\n", "this is a kustomization; build it first"),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n",
            "this is a kustomization; ",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {}\n",
            "this Application names manifests and has none; render",
        ),
        (
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {}\n",
            "this HelmRelease names manifests and has none;",
        ),
        ("kind_of: nothing\n", "this is not a Kubernetes manifest: it has no `kind`"),
    ],
)
def test_a_file_that_manifests_are_made_from_is_named_with_what_renders_it(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["kuberay", "fill", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"accel-scaling: {path}:1: {said}")
    assert main(["kuberay", "check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"accel-scaling: {path}:1: {said}")


@pytest.mark.parametrize("command", ["fill", "rehearse"])
def test_a_manifest_given_to_a_command_for_cluster_files_names_those_that_take_it(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ray.yaml"
    path.write_text(L4, encoding="utf-8")
    assert main([command, str(path)]) == 2
    said = "not a cluster file of `ray up`; give it to `accel-scaling kuberay fill`, or to `accel-scaling plan`\n"
    assert capsys.readouterr().err.endswith(said)
