"""docs/kuberay-pipelines.md: what the renderers print is filled by way of standard input."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main
from tests.support.documents import ROOT, blocks_of

PAGE = ROOT / "docs" / "kuberay-pipelines.md"
MANIFEST = next(block.body for block in blocks_of(ROOT / "docs" / "kuberay.md") if block.value == "raycluster.yaml")


def filled(text: str) -> str:
    """What `accel-scaling kuberay fill -` prints for a text."""
    words = [sys.executable, "-m", "accel_scaling", "kuberay", "fill", "-"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.needs("kubectl")
def test_an_overlay_of_kustomize_is_filled(tmp_path: Path) -> None:
    for block in blocks_of(PAGE):
        if block.key == "file":
            path = tmp_path / block.value.replace("-kustomization", "/kustomization")
            path.parent.mkdir()
            path.write_text(block.body)
    (tmp_path / "base" / "raycluster.yaml").write_text(MANIFEST)
    words = re.findall(r"^(kubectl kustomize .+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[0].split()
    rendered = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (group,) = yaml.safe_load(filled(rendered))["spec"]["workerGroupSpecs"]
    assert group["maxReplicas"] == 8, "of the overlay"
    assert group["resources"]["accelerator_type:A100-80G"] == "1"


def test_a_whole_release_passes_and_rays_part_of_it_is_filled() -> None:
    others = "---\n# Source: ray/templates/sa.yaml\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ray}\n---\n"
    text = filled(others + MANIFEST)
    assert text.startswith(others)
    assert "accelerator_type:A100-80G" in text
    assert filled(text) == text, "Argo CD sees no difference"


@pytest.mark.parametrize("text", ["replicas: 2\nimage: {tag: x}\n", "spec:\n  replicas: {{ .Values.count }}\n"])
def test_values_and_templates_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    assert main(["kuberay", "fill", str(path)]) == 2
    assert capsys.readouterr().err.startswith("accel-scaling: ")
