"""The rows about Kubernetes: the shipped ones are right, and each wrong cell is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.catalog.files import Source
from accel_scaling.catalog.kubernetes import parse_resources, parse_selectors
from accel_scaling.catalog.schema import KUBERAY_RESOURCES, KUBERAY_SELECTORS
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER

RESOURCES_FILE, SELECTORS_FILE = KUBERAY_RESOURCES.files, KUBERAY_SELECTORS.files


@pytest.mark.parametrize(
    ("name", "right", "wrong", "problem"),
    [
        (
            RESOURCES_FILE,
            "nvidia.com/gpu,nvidia",
            "gpu,nvidia",
            "2: name is gpu; expected a name such as nvidia.com/gpu",
        ),
        (RESOURCES_FILE, "GPU,devices,yes", "GPU,some,yes", "2: counts is some; expected devices, units, slices"),
        (RESOURCES_FILE, "GPU,devices,yes", "GPU,devices,maybe", "2: ray_derives is maybe; expected yes, no"),
        (RESOURCES_FILE, ",Ascend310,", ",Ascend3100,", "13: chips 'Ascend3100' is in no accelerators.yaml"),
        (RESOURCES_FILE, "gpu.intel.com/xe,", "gpu.intel.com/i915,", "7: gpu.intel.com/i915 is already in line 6"),
        (SELECTORS_FILE, "type,machine,", "type,engine,", "2: says is engine; expected machine, series, chip"),
        (
            SELECTORS_FILE,
            "api:gcp",
            "gcp",
            "16: names has gcp; expected how a value names the chip, as api:aws or driver",
        ),
        (
            SELECTORS_FILE,
            "true=spot",
            "true=cheap",
            "27: names has true=cheap; expected how a value names the chip, as api:aws or driver, or VALUE=spot or",
        ),
        (SELECTORS_FILE, "zone,zone,,,", "zone,zone,,driver,", "35: names is driver; expected nothing beside zone"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, name: str, right: str, wrong: str, problem: str) -> None:
    text = (SHIPPED_FOLDER / name).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    (said,) = check_files([tmp_path / name]).problems
    assert said.startswith(f"{tmp_path / name}:{problem}")


@pytest.mark.parametrize("parse", [parse_resources, parse_selectors])
@pytest.mark.parametrize("text", ["", "a,b\n", '"', "\0"])
def test_any_text_is_parsed_or_refused_without_a_traceback(parse, text: str) -> None:
    rules, problems = parse(Source(Path("a.csv"), "a", text))
    assert (rules, bool(problems)) == ([], True)
