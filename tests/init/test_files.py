"""`accel-scaling init` writes files that are complete: for the fill, for Ray, and for whoever reads them."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.shape import check_filled_in, check_shape
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_defaults
from accel_scaling.fill.fill import fill
from accel_scaling.init.capacity import SPOT_FIRST
from accel_scaling.init.model import AcceleratorRequest, FileRequest, parse_accelerator
from accel_scaling.init.template import comment, scalar, words
from accel_scaling.init.text import cluster_file, to_fill_in

ROOT = Path(__file__).resolve().parents[2]
CATALOG = shipped_catalog()

# What is asked for, the machine of each worker type, and what its nodes announce.
ASKED = {
    "aws": [
        (["--accelerator", "A100-80G:8"], ["p4de.24xlarge"], {"GPU": 8, "accelerator_type:A100-80G": 1}),
        (["--accelerator", "A100:8"], ["p4d.24xlarge"], {"GPU": 8, "accelerator_type:A100": 1}),
        (["--accelerator", "T4", "--spot"], ["g4dn.xlarge"], {"GPU": 1, "accelerator_type:T4": 1}),
        (["--accelerator", "T4:3"], ["g4dn.12xlarge"], {"GPU": 4, "accelerator_type:T4": 1}),
        (["--accelerator", "V100"], ["p3dn.24xlarge"], {"GPU": 8, "accelerator_type:V100-32G": 1}),
        (["--accelerator", "Trainium2:16"], ["trn2.48xlarge"], {"neuron_cores": 64, "accelerator_type:Trainium2": 1}),
        (["--accelerator", "Inferentia2"], ["inf2.xlarge"], {"neuron_cores": 2}),
        (["--accelerator", "Intel-GAUDI:8"], ["dl1.24xlarge"], {"HPU": 8, "accelerator_type:Intel-GAUDI": 1}),
        (["--accelerator", "L4-3Q"], ["g6f.large"], {"GPU": 1, "accelerator_type:L4-3Q": 1}),
        (["--cpus", "5"], ["m5.2xlarge"], {"CPU": 8}),
    ],
    "gcp": [
        (["--accelerator", "L4:2", "--spot"], ["g2-standard-24"], {"GPU": 2, "accelerator_type:L4": 1}),
        (["--accelerator", "A100:16"], ["a2-megagpu-16g"], {"GPU": 16, "accelerator_type:A100-40G": 1}),
        (["--accelerator", "T4"], ["n1-standard-4"], {"GPU": 1, "accelerator_type:T4": 1}),
        (["--accelerator", "V100:8"], ["n1-standard-32"], {"GPU": 8, "accelerator_type:V100-16G": 1}),
        (["--accelerator", "RTX-PRO-6000-12Q"], ["g4-standard-6"], {"GPU": 1, "accelerator_type:RTX-PRO-6000-12Q": 1}),
        (["--accelerator", "v5litepod-16"], ["v5litepod-16"], {"TPU": 4, "TPU-v5litepod-16-head": 1}),
        (["--accelerator", "TPU-V4:8", "--spot"], ["v4-16"], {"TPU": 4, "TPU-v4-16-head": 1}),
        (["--accelerator", "TPU-V6E:8"], ["v6e-8"], {"TPU": 8, "accelerator_type:TPU-V6E": 1}),
        (["--cpus", "5", "--spot"], ["n2-standard-8"], {"CPU": 8}),
    ],
}
CASES = [(cloud, *case) for cloud, cases in ASKED.items() for case in cases]


def machine_of(node_type: dict[str, Any]) -> str:
    config = node_type["node_config"]
    return str(config.get("InstanceType") or config.get("machineType") or config["acceleratorType"])


def workers(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in config["available_node_types"].items() if name != config["head_node_type"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case[0], *case[1]]))
def test_the_smallest_machine_that_has_so_many_is_written_and_the_file_passes_the_fill_and_rays_checks(
    case: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cloud, options, machines, announced = case
    path = tmp_path / "cluster.yaml"
    assert main(["init", cloud, *options, "-o", str(path)]) == 0
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(NEEDED_BY_RAY) <= set(written)
    assert [machine_of(one) for one in workers(written).values()] == machines
    capsys.readouterr()
    assert main(["fill", str(path)]) == 0
    out, err = capsys.readouterr()
    # What is not known to be offered is said by both, and nothing else is.
    nowhere = [line for line in err.splitlines() if "no region is known to have it" in line]
    assert err.splitlines() == nowhere
    assert bool(nowhere) == ("No region is known to have it" in path.read_text(encoding="utf-8"))
    filled = yaml.safe_load(out)
    (worker,) = workers(filled).values()
    assert announced.items() <= worker["resources"].items()
    order = (written["provider"].get("capacity") or {}).get(next(iter(workers(written))))
    assert order == (["spot", "on-demand"] if "--spot" in options else None)
    # Which of two types a machine is, is known when it has come.
    assert worker["labels"].get("ray.io/market-type") == (None if order else "on-demand")
    validate_config(prepare_config(with_defaults(filled, known_clouds()[cloud])))


def test_every_accelerator_of_every_cloud_gets_a_file_or_a_sentence_that_says_why_not() -> None:
    refused = {}
    for cloud in CATALOG.clouds:
        had = {machine.chip.name for machine in CATALOG.machine_types(cloud).values() if machine.chip}
        for name in sorted(had):
            try:
                text = cluster_file(FileRequest(cloud, (AcceleratorRequest(name, name, None),)), CATALOG)
            except AccelScalingError as error:
                refused[cloud, name] = str(error)
                continue
            filled, notes = fill(check_shape(yaml.safe_load(text)), CATALOG)
            assert [note for note in notes if "no region is known to have it" not in note] == []
            assert bool(notes) == ("No region is known to have it" in text)
            (worker,) = workers(filled).values()
            assert worker["resources"][CATALOG.chips[name].resource] >= 1
    expected = {
        ("aws", "K520"): "AWS launches no g2 any more",
        ("aws", "K80"): "AWS launches no p2 any more",
        ("aws", "M60"): "AWS launches no g3",
        ("aws", "V100-16G"): "AWS launches no p3 any more",
    }
    for key, words_ in expected.items():
        assert words_ in refused.pop(key)
    assert all(
        "the Cloud TPU API does not create this generation" in said or "f1 any more" in said
        for said in refused.values()
    )
    assert len(refused) <= 3, refused


def test_a_type_that_a_cloud_launches_no_more_is_passed_over_for_one_that_it_does() -> None:
    (worker,) = workers(
        yaml.safe_load(cluster_file(FileRequest("aws", (parse_accelerator("V100:4"),)), CATALOG))
    ).values()
    assert machine_of(worker) == "p3dn.24xlarge"  # p3.8xlarge has four


def test_the_comments_say_what_is_announced_how_a_task_asks_what_else_there_is_and_what_it_costs() -> None:
    text = cluster_file(
        FileRequest("aws", (parse_accelerator("A100:8"),), order=SPOT_FIRST, file="my file.yaml"), CATALOG
    )
    assert "# Each node announces GPU 8 and accelerator_type A100 and A100-40G. A task asks:" in text
    assert '#   @ray.remote(num_gpus=8, accelerator_type="A100")' in text
    assert "# also: p4de.24xlarge (8 x A100-80G)" in text
    assert "# What costs money: the head, from `ray up` until `ray down`; each worker," in text
    assert "#   ray down 'my file.yaml' " in text


def test_a_slice_of_several_hosts_says_how_it_is_reserved_as_a_whole_and_ray_takes_that_generation() -> None:
    from ray.util.tpu import get_tpu_version_from_type

    for name in ("v4-16", "v5litepod-16", "v5p-16", "v6e-16"):
        text = cluster_file(FileRequest("gcp", (parse_accelerator(name),)), CATALOG)
        (version,) = [part.split('"')[1] for part in text.split() if part.startswith('accelerator_version="')]
        assert "slice_placement_group(topology=" in text
        assert get_tpu_version_from_type(version) == version


def test_what_the_user_must_put_in_is_marked_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cluster.yaml"
    assert main(["init", "aws", "--accelerator", "L4-3Q", "-o", str(path)]) == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "ImageId: ami-of-your-own # <- " in line)
    note = f"note: before `ray up`, write your own value into line {number}: ImageId: ami-of-your-own"
    assert note in capsys.readouterr().err
    assert to_fill_in(cluster_file(FileRequest("aws", (parse_accelerator("T4"),)), CATALOG)) == []
    (project,) = to_fill_in(cluster_file(FileRequest("gcp", (parse_accelerator("L4"),)), CATALOG))
    assert "project_id: your-project-id" in project


def test_place_project_name_and_limits_are_written_as_asked() -> None:
    zones = ("europe-west4-a", "europe-west4-b")
    wanted = FileRequest("gcp", (parse_accelerator("L4"),), max_workers=7, name="yes", zones=zones, project="12345")
    config = yaml.safe_load(cluster_file(wanted, CATALOG))
    assert config["cluster_name"] == "yes"
    assert config["max_workers"] == 7
    assert config["provider"]["project_id"] == "12345"
    assert config["provider"]["region"] == "europe-west4"
    assert config["provider"]["availability_zone"] == "europe-west4-a,europe-west4-b"
    on_aws = yaml.safe_load(cluster_file(FileRequest("aws", cpus=(2,), zones=("eu-west-1b",)), CATALOG))["provider"]
    assert (on_aws["region"], on_aws["availability_zone"]) == ("eu-west-1", "eu-west-1b")


def test_one_machine_of_each_node_type_may_run_at_once_silently_about_it() -> None:
    asked = tuple(parse_accelerator(text) for text in ("T4", "L4", "A10G"))
    assert yaml.safe_load(cluster_file(FileRequest("aws", asked), CATALOG))["max_workers"] == 3
    assert yaml.safe_load(cluster_file(FileRequest("aws", asked[:1]), CATALOG))["max_workers"] == 2


def test_a_region_of_tpus_gets_a_head_that_it_has() -> None:
    config = yaml.safe_load(cluster_file(FileRequest("gcp", (parse_accelerator("v4-8"),)), CATALOG))
    assert config["provider"]["availability_zone"] == "us-central2-b"
    assert machine_of(config["available_node_types"]["head"]) == "n1-standard-4"


def test_node_types_of_one_kind_have_different_names() -> None:
    asked = tuple(parse_accelerator(text) for text in ("T4", "T4", "T4:4", "T4:4"))
    names = list(workers(yaml.safe_load(cluster_file(FileRequest("aws", asked, (2, 2)), CATALOG))))
    assert names == ["t4", "t4-n2", "t4-x4", "t4-x4-n2", "cpu", "cpu-n2"]


WORDS = [
    "no",
    "1e3",
    "null",
    "~",
    "a: b",
    "a\nregion: x",
    "# c",
    "'",
    '"',
    "{a: 1}",
    "&a",
    "*a",
    "!!str",
    "e\u2028f",
    "] #",
]
WILD = st.text(max_size=40) | st.sampled_from([*WORDS, "us-east-1"])
SHAPE = yaml.safe_load(cluster_file(FileRequest("aws", (parse_accelerator("T4"),)), CATALOG))


@given(WILD | st.just(None), WILD | st.just(None), st.lists(WILD, max_size=2) | st.just([]), WILD, WILD)
def test_no_name_region_zone_or_file_breaks_the_yaml_or_brings_a_key_in(
    name: str | None, region: str | None, zones: list[str], file: str, catalog: str
) -> None:
    place = {"region": region, "zones": tuple(zones)}
    wanted = FileRequest("aws", (parse_accelerator("T4"),), name=name, **place, file=file, catalogs=(catalog,))
    try:
        config = yaml.safe_load(cluster_file(wanted, CATALOG))
    except AccelScalingError as error:
        assert "\n" not in str(error)
        return
    assert config["cluster_name"] == (name or "aws-t4")
    assert config["provider"]["region"] == (region or "us-west-2")
    assert config["available_node_types"] == SHAPE["available_node_types"]
    assert set(config) == set(SHAPE)
    assert set(config["provider"]) - {"availability_zone"} == {*SHAPE["provider"], "catalog"}
    assert config["provider"]["catalog"] == [catalog]


@given(WILD)
def test_any_text_is_a_scalar_that_is_read_back_and_a_comment_that_is_not_one(text: str) -> None:
    assert yaml.safe_load(f"a: {scalar(text)} # {words(text)}\nb: 1") == {"a": text, "b": 1}
    assert yaml.safe_load(f"{comment(text, text)}\nb: 1") == {"b": 1}


@given(st.text(alphabet=string.printable, max_size=12))
def test_any_accelerator_is_taken_or_refused_in_one_sentence(text: str) -> None:
    try:
        cluster_file(FileRequest("gcp", (parse_accelerator(text),)), CATALOG)
    except AccelScalingError as error:
        assert "\n" not in str(error)


def test_the_parts_ship_and_every_row_of_data_says_who_says_so() -> None:
    for cloud in known_clouds().values():
        template = cloud.part("init_template").TEMPLATE
        rows = [*template.usual_regions(), *template.not_offered()]
        assert all(row["source"] and None not in row for row in rows)
        assert template.not_offered()
        for row in template.usual_regions():
            assert row["accelerator"] in {"", *CATALOG.chips}
            assert row["head"] in CATALOG.machine_types(cloud.name)


def test_of_machines_alike_the_one_that_more_regions_have_is_taken() -> None:
    (worker,) = workers(
        yaml.safe_load(cluster_file(FileRequest("gcp", (AcceleratorRequest("H100:8", "H100", 8),)), CATALOG))
    ).values()
    assert worker["node_config"]["machineType"] == "a3-highgpu-8g"  # as large as a3-edgegpu-8g


def test_machines_are_those_of_the_region_and_the_usual_region_gives_way_to_the_nearest_that_has_them() -> None:
    asked = (AcceleratorRequest("Trainium2", "Trainium2", None),)
    anywhere = yaml.safe_load(cluster_file(FileRequest("aws", asked), CATALOG))
    assert anywhere["provider"]["region"] in CATALOG.where(CATALOG.machine_type("aws", "trn2.3xlarge")).regions
    in_ohio = yaml.safe_load(cluster_file(FileRequest("aws", asked, region="us-east-2"), CATALOG))
    (worker,) = workers(in_ohio).values()
    assert worker["node_config"]["InstanceType"] == "trn2.48xlarge"  # us-east-2 has no smaller one
    with pytest.raises(AccelScalingError, match=r"us-west-2 does not have trn2\.3xlarge; the nearest .* --region"):
        cluster_file(FileRequest("aws", asked, region="us-west-2"), CATALOG)


@pytest.mark.parametrize(
    ("cloud", "accelerator", "asked", "says", "bought"),
    [
        ("gcp", "H100:1", "", "as spot or as flex-start. Here: as spot.", ["spot"]),
        ("gcp", "H100:4", "", "as spot or as flex-start. Here: as spot.", ["spot"]),
        ("gcp", "H200:8", "", "as spot, as flex-start or by reservation. Here: as spot.", ["spot"]),
        ("gcp", "B200:8", "spot", "", ["spot"]),
        ("gcp", "B200:8", "spot,on-demand", "Not sold on demand: ", ["spot"]),
        ("gcp", "GB200:4", "", "by reservation. Here: by reservation.", [{"block": "your-reservation"}]),
        ("gcp", "GB200:4", "spot,on-demand", "Not sold as spot or on demand: ", [{"block": "your-reservation"}]),
        ("gcp", "H200:8", "flex-start,spot", "", [{"flex-start": {"run_for": "24h", "wait_for": "2h"}}, "spot"]),
        ("gcp", "H200:8", "flex-start:90m", "", [{"flex-start": {"run_for": "90m", "wait_for": "2h"}}]),
        ("gcp", "H100:8", "", "", None),
        ("aws", "GB200:4", "", "by reservation. Here: by reservation.", [{"block": "cr-ofyourown"}]),
        ("aws", "H200:8", "", "", None),
        ("aws", "H200:8", "block:cr-012,spot", "", [{"block": "cr-012"}, "spot"]),
        ("aws", "H100:8", "reserved:cr-1,reserved", "", [{"reserved": "cr-1"}, "reserved"]),
        ("gcp", "TPU-V4:8", "spot,on-demand", "", ["spot", "on-demand"]),
        ("gcp", "v6e-16", "spot:6h,on-demand", "", [{"spot": {"wait_for": "6h"}}, "on-demand"]),
    ],
)
def test_a_machine_that_is_not_sold_on_demand_is_bought_as_it_is_sold_and_the_file_says_so(
    cloud: str, accelerator: str, asked: str, capsys: pytest.CaptureFixture[str], *, says: str, bought: Any
) -> None:
    assert main(["init", cloud, "--accelerator", accelerator, *(["--capacity", asked] if asked else [])]) == 0
    out, err = capsys.readouterr()
    config = yaml.safe_load(out)
    (name,) = workers(config)
    assert config["provider"].get("capacity") == (None if bought is None else {name: bought})
    assert ("# Not sold " in out) is ("note: Not sold " in err) is bool(says)
    assert says in out
    # No list has the region of p6e-gb200, and that is another note.
    assert [note for note in fill(yaml.safe_load(out), CATALOG)[1] if "no region is known" not in note] == []


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_the_name_of_a_reservation_is_left_for_the_user_and_asked_for_before_the_launch(cloud: str) -> None:
    project = "mine" if cloud == "gcp" else None
    text = cluster_file(FileRequest(cloud, (parse_accelerator("GB200:4"),), project=project), CATALOG)
    assert any("of your reservation" in line or "of your Capacity Block" in line for line in to_fill_in(text))
    with pytest.raises(ClusterConfigError, match=r"is still 'your-reservation'|is still 'cr-ofyourown'"):
        check_filled_in(yaml.safe_load(text))


def test_a_zone_that_the_user_names_is_not_refused_by_a_list_that_is_not_googles() -> None:
    asked = (AcceleratorRequest("H100:8", "H100", 8),)
    text = cluster_file(FileRequest("gcp", asked, zones=("us-south1-ai1b",), project="my-project-1"), CATALOG)
    _, notes = fill(check_shape(yaml.safe_load(text)), CATALOG)
    assert [note.partition(";")[0] for note in notes] == [
        (
            "available_node_types.h100-x8 (a3-highgpu-8g): us-south1 is not known to have it, according to "
            "gcp_places.csv, "
            "from machine types by region in Cyclenerd/google-cloud-pricing-cost-calculator 2026-07-01"
        )
    ]


def test_an_accelerator_is_put_where_it_is_known_to_be() -> None:
    for name in ("H200", "B200"):
        text = cluster_file(FileRequest("gcp", (AcceleratorRequest(name, name, None),)), CATALOG)
        assert yaml.safe_load(text)["provider"]["availability_zone"] == "us-central1-b"
