"""The rules of Compute Engine and of Kubernetes are checked as the rows are: every problem, in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.catalog.custom_machine_types import parse_custom_rules
from accel_scaling.catalog.files import Source
from accel_scaling.catalog.guest_accelerators import parse_attach_rules
from accel_scaling.catalog.kubernetes import parse_resources, parse_selectors
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.node_schema import KUBERAY_RESOURCES, KUBERAY_SELECTORS
from accel_scaling.catalog.schema import CUSTOM_MACHINE_TYPES, GUEST_ACCELERATORS, TPU_GENERATIONS, TPU_HOSTS
from accel_scaling.catalog.tpu_generations import parse_generations, parse_hosts
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.catalog import load_catalog

TABLES = (GUEST_ACCELERATORS, CUSTOM_MACHINE_TYPES, TPU_GENERATIONS, TPU_HOSTS)
RULE_FILES = ATTACH, CUSTOM, TPU, HOSTS = [table.file_of("gcp") for table in TABLES]

RESOURCES_FILE, SELECTORS_FILE = KUBERAY_RESOURCES.files, KUBERAY_SELECTORS.files


@pytest.fixture(name="edited")
def edited_fixture(tmp_path):
    """Write a rule file with one thing replaced, check it, and return what is wrong without the folder."""

    def editing(name, old, new):
        text = (SHIPPED_FOLDER / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1))
        return [problem.removeprefix(f"{tmp_path}/") for problem in check_files([tmp_path / name]).problems]

    return editing


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (ATTACH, "nvidia-tesla-t4,1,", "nvidia-tesla-t5,1,", "accelerator 'nvidia-tesla-t5' is not known; nearest: "),
        (ATTACH, ",1,48,", ",49,48,", "min_vcpus is 49, above max_vcpus, which is 48"),
        (ATTACH, ",1,48,", ",one,48,", "min_vcpus is one; expected a whole number of 1 or more"),
        (
            ATTACH,
            "nvidia-tesla-t4,2,",
            "nvidia-tesla-t4,1,",
            "nvidia-tesla-t4 1 is already in line 2; keep one of the two",
        ),
        (
            ATTACH,
            ",asia-east1-a us-east1-d,",
            ",asia-east1a us-east1-d,",
            "not_in has asia-east1a; expected full names of zones",
        ),
        (
            ATTACH,
            ",212992,,asia-east1-a",
            ",212992,us-east1-c,asia-east1-a",
            "only_in and not_in are both filled",
        ),
        (CUSTOM, "custom,1 2-96/2,", "custom,1 2-96/,", "vcpus has 2-96/; expected counts and spans, as 1 2-96/2"),
        (CUSTOM, ",0.9,6.5,1,624", ",,6.5,1,624", "belong together; fill both, or empty both"),
        (CUSTOM, ",0.9,6.5,1,624", ",0.9,6.5,700,624", "min_gib is 700, above max_gib, which is 624"),
        (CUSTOM, ",0.9,", ",nan,", "min_gib_per_vcpu is nan; expected a number above 0"),
        (CUSTOM, "x86_64", "amd64", "arch is amd64; expected x86_64, arm64, i386"),
        (CUSTOM, ",L4,1,", ",L44,1,", "accelerator 'L44' is not in accelerators.yaml; nearest: L4"),
        (TPU, ",TPU-V4,", ",TPU-V44,", "chip 'TPU-V44' is not in accelerators.yaml; nearest: TPU-V4"),
        (TPU, "2x2x4", "2x2y4", "topologies has 2x2y4; expected edges, as 2x2x4"),
        (TPU, ",any,", ",some,", "cube_order is some; expected any, rising"),
        (TPU, "xpk system_characteristics.py 2026\n", "\n", None),
        (HOSTS, "v4,one,", "v44,one,", "generation 'v44' is not known; nearest: v4"),
        (HOSTS, "ct4p-hightpu-4t", "ct4p-hightpu-5t", "machine_type 'ct4p-hightpu-5t' is not known; nearest: ct4p"),
        (
            HOSTS,
            "ct4p-hightpu-4t,,,",
            "ct4p-hightpu-4t,240,,",
            "vcpus is 240, beside a machine_type, which says it; empty one",
        ),
        (HOSTS, ",96,342016,", ",96,,", "memory_mib is empty; expected a whole number of 1 or more"),
        (HOSTS, "v6e,many,4", "v6e,one,2", "no row says what slices of many hosts are made of for v6e"),
        (HOSTS, "generation,slice", "generation,slices", "column 'slices' is not known; nearest: slice"),
    ],
)
def test_a_wrong_rule_is_named_with_its_file_and_line(edited, name, old, new, problem):
    found = edited(name, old, new)
    if problem is None:
        assert found == []
        return
    lines = (SHIPPED_FOLDER / name).read_text().partition(old)[0].count("\n") + 1
    assert len(found) == 1
    assert found[0].startswith(f"{name}:{1 if 'no row says' in problem else lines}: ")
    assert problem in found[0]


def test_a_rule_without_a_source_is_refused(edited):
    last = (SHIPPED_FOLDER / TPU).read_text().rstrip().rpartition(",")[2]
    assert "source is empty" in edited(TPU, last, "")[0]


@pytest.mark.parametrize("name", RULE_FILES)
def test_a_line_with_a_cell_too_many_is_named(edited, name):
    line = (SHIPPED_FOLDER / name).read_text().splitlines()[1]
    assert f"{name}:2: has " in edited(name, line, line + ",x")[0]


@pytest.mark.parametrize(
    "parse", [parse_attach_rules, parse_custom_rules, parse_generations, parse_hosts, parse_resources, parse_selectors]
)
@pytest.mark.parametrize("text", ["", "a,b\n", '"', "\0", "a" * 10_000])
def test_any_text_is_parsed_or_refused_without_a_traceback(parse, text):
    rules, problems = parse(Source(Path("a.csv"), "a", text))
    assert rules == []
    assert problems


def test_the_shipped_rules_are_right_and_a_wrong_one_is_refused_whole():
    assert check_files().problems == []
    source = Source(Path(TPU), TPU, (SHIPPED_FOLDER / TPU).read_text().replace("TPU-V4,2", "TPU-V4,two"))
    with pytest.raises(CatalogFileError, match=f"^{TPU}:4: suffix_per_chip is two"):
        source.accept(parse_generations(source))


def test_the_catalogs_version_covers_the_rules(monkeypatch, tmp_path):
    from accel_scaling.catalog import load

    plain = load_catalog(home=tmp_path).version
    assert plain == shipped_catalog().version
    monkeypatch.setattr(load, "shipped_rules", lambda: [Source(Path(TPU), TPU, "another")])
    assert load_catalog(home=tmp_path).version != plain


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
        (RESOURCES_FILE, ",Ascend310,", ",Ascend3100,", "14: chips 'Ascend3100' is not in accelerators.yaml"),
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
