"""`catalog show` of a name that is no machine type: a series, an accelerator, a mistake; and names of TPUs."""

from __future__ import annotations

import pytest

from accel_scaling.cli.main import main


def show(name: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = main(["catalog", "show", name, *options])
    written = capsys.readouterr()
    return code, written.out + written.err


@pytest.mark.parametrize(
    ("name", "cloud", "members"),
    [
        ("g5", "AWS", ["g5.xlarge", "g5.48xlarge"]),
        ("m5", "AWS", ["m5.large"]),
        ("P4D", "AWS", ["p4d.24xlarge"]),
        ("a3", "Google Cloud", ["a3-highgpu-8g", "a3-ultragpu-8g"]),
        ("a3-highgpu", "Google Cloud", ["a3-highgpu-1g", "a3-highgpu-8g"]),
        ("n1-standard", "Google Cloud", ["n1-standard-4"]),
    ],
)
def test_a_series_lists_its_machine_types(
    name: str, cloud: str, members: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = show(name, capsys)
    assert code == 0
    assert text.startswith(f"{name} is a series of {cloud}; its machine types are:")
    assert all(f"\n{member} " in text for member in members)


@pytest.mark.parametrize("name", ["v5e", "v5litepod", "TPU-V5E", "tpu v5e", "L4", "nvidia-a100", "Trainium2"])
def test_an_accelerator_lists_what_has_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = show(name, capsys)
    assert code == 0
    assert text.startswith(f"{name} is an accelerator; these machine types and TPU slices have it:")


def test_as_json_a_series_is_an_error_that_names_its_machine_types(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = show("g5", capsys, "--json")
    assert code == 2
    assert "'g5' is a series; name one of its machine types: g5.xlarge, g5.2xlarge," in text


def test_a_series_of_another_cloud_than_the_named_one_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = show("g5", capsys, "--cloud", "gcp")
    assert code == 2
    assert "g5 is a series of aws" in text


@pytest.mark.parametrize("name", ["zz9", "TPU-V9Z", "g", ""])
def test_a_name_that_no_cloud_has_is_blamed_on_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = show(name, capsys)
    assert code == 2
    assert "is not a machine type of aws or gcp in the catalog" in text


@pytest.mark.parametrize(("name", "near"), [("g5.xlargee", "g5.xlarge"), ("a2-highgpu-9g", "a2-highgpu-8g")])
def test_a_name_in_the_form_of_one_cloud_has_its_nearest_names(
    name: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = show(name, capsys)
    assert code == 2
    assert f"nearest: {near}" in text


@pytest.mark.parametrize("name", ["TPU-V5E", "tpu_v5e", "TPU v5e", "v5e"])
def test_a_tpu_is_found_by_the_names_that_people_give_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "find", "--accelerator", name]) == 0
    text = capsys.readouterr().out
    assert "v5litepod-16" in text
    assert "ct5lp-hightpu-4t" in text


def test_in_the_table_of_slices_the_head_resource_is_of_host_0_alone(capsys: pytest.CaptureFixture[str]) -> None:
    main(["catalog", "find", "--accelerator", "v5e"])
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("v5litepod-")}
    assert rows["v5litepod-16"].endswith("; host 0 also TPU-v5litepod-16-head: 1")
    assert "host 0" not in rows["v5litepod-8"]


def test_an_instance_type_that_is_a_series_is_refused_with_its_machine_types() -> None:
    from tests.support.cluster import config_of
    from tests.support.doors import of_fill

    assert "g5 is a series; name one of its machine types: g5.xlarge, g5.2xlarge" in str(
        of_fill(config_of({"a": "g5"}))
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a3-highgpu-1g", "as spot or as flex-start, not on demand"),
        ("a4x-highgpu-4g", "by reservation, not on demand"),
        ("p6e-gb200.36xlarge", "by reservation, not on demand"),
        ("g4-standard-48", "on demand, as spot or by reservation"),
        ("p5.48xlarge", ""),
    ],
)
def test_show_says_how_a_machine_is_sold_where_that_is_not_in_every_way(
    name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [" ".join(row.split()) for row in show(name, capsys)[1].splitlines()]
    assert [row for row in rows if row.startswith("sold ")] == ([f"sold {line}"] if line else [])
    # What buys it so, as a cluster file has it.
    (write,) = [row for row in rows if row.startswith("write ")] or [""]
    assert write.startswith("write provider.capacity: {NODE_TYPE: [...]}, with ") is bool(line)
    assert ("on-demand" in write) is (bool(line) and "not on demand" not in line)
    assert ("{reserved: NAME} or {block: NAME}" in write) is ("by reservation" in line)
