"""A type that the cluster's region or zones do not have is refused before anything is launched, by name and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import ClusterConfigError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.fill import fill, fill_cluster, promises
from tests.support.catalog import HEADER
from tests.support.cluster import GCP_MODULE, MODULE

K80 = [{"acceleratorType": "nvidia-tesla-k80", "acceleratorCount": 1}]
T4 = [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]
COLUMNS = "region,types,zones,source\n"


def aws(machine: str, region: str, **provider: Any) -> dict[str, Any]:
    """A cluster config with one machine, which is its head."""
    return {
        "provider": {"type": "external", "module": MODULE, "region": region, **provider},
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"InstanceType": machine}}},
    }


def gcp(zones: str, **node_config: Any) -> dict[str, Any]:
    config = aws("", "")
    config["provider"] = {"type": "external", "module": GCP_MODULE, "project_id": "p", "availability_zone": zones}
    config["available_node_types"]["head"]["node_config"] = node_config
    return config


def noted(config: dict[str, Any], home: Path | None = None) -> list[str]:
    """The notes of a fill about places."""
    notes = fill(config, shipped_catalog() if home is None else load_catalog(home=home))[1]
    return [note for note in notes if "image" not in note and "not on demand as here" not in note]


def catalog_zones(machine: str, region: str) -> set[str]:
    catalog = shipped_catalog()
    return set(catalog.where(catalog.machine_type("gcp", machine)).zones(region))


def refused(config: dict[str, Any], home: Path | None = None) -> str:
    with pytest.raises(ClusterConfigError) as error:
        fill(config, shipped_catalog() if home is None else load_catalog(home=home))
    return str(error.value)


def test_an_ec2_type_that_the_region_lacks_is_refused_with_the_nearest_regions_and_the_row_to_add() -> None:
    said = refused(aws("p4d.24xlarge", "us-west-1"))
    assert said.startswith(
        "available_node_types.head.node_config.InstanceType: us-west-1 does not have p4d.24xlarge, according to "
        "aws_places.csv, from EC2 DescribeInstanceTypeOfferings "
    )
    assert "the nearest regions that do: us-west-2, us-east-1, us-east-2 and 10 more; " in said
    assert "add a row `us-west-1,p4d.24xlarge,,` to ~/.accel_scaling/aws_places.csv" in said


def test_a_compute_engine_type_that_the_region_is_not_known_to_have_is_a_note_until_google_is_asked() -> None:
    assert noted(gcp("us-west2-a", machineType="a3-highgpu-8g")) == [
        (
            "available_node_types.head (a3-highgpu-8g): us-west2 is not known to have it, according to "
            "gcp_places.csv, from "
            "machine types by region in Cyclenerd/google-cloud-pricing-cost-calculator 2026-07-01; the nearest regions "
            "that do: us-west1, us-west4, us-central1 and 15 more; `ray up` asks Google Cloud"
        )
    ]


def test_what_google_or_the_user_said_of_a_region_is_refused(home: Path) -> None:
    rows = "us-west2,*,a b,Compute Engine API\nus-west2,n2-standard,,\n"
    (home / ".accel_scaling" / "refresh" / "gcp_places.csv").write_text(COLUMNS + rows)
    said = refused(gcp("us-west2-a", machineType="a3-highgpu-8g"), home)
    assert said.startswith("available_node_types.head.node_config.machineType: us-west2 does not have a3-highgpu-8g,")
    assert "the nearest regions that do: us-west1, us-west4, us-central1 and " in said


@pytest.mark.parametrize("zone", ["us-south1-ai1b", "us-central1-ai1a"])
def test_ai_zones_are_known_to_have_tpus(zone: str) -> None:
    assert noted(gcp(zone, machineType="ct6e-standard-4t")) == []
    assert catalog_zones("ct6e-standard-4t", zone.rpartition("-")[0]) >= {zone.rpartition("-")[2]}


def test_zones_that_are_not_known_to_have_a_type_are_a_note_and_one_zone_is_enough() -> None:
    (note,) = noted(gcp("us-central1-a,us-central1-c", machineType="a3-ultragpu-8g"))
    assert note == (
        "available_node_types.head (a3-ultragpu-8g): us-central1-a, us-central1-c is not known to have it, according "
        "to gcp_places.csv, from SkyPilot catalog v8 gcp/vms.csv; us-central1-b is; `ray up` asks Google Cloud"
    )
    assert noted(gcp("us-central1-a,us-central1-b", machineType="a3-ultragpu-8g")) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            aws("p3.2xlarge", "us-west-2"),
            (
                "(p3.2xlarge): no region is known to have it, according to aws_places.csv, from EC2 "
                "DescribeInstanceTypeOfferings (moto 5.2.5) 2026-10; `ray up` asks EC2"
            ),
        ),
        (
            aws("i3.metal", "us-west-2"),
            (
                "(i3.metal): no region is known to have it: no listing has it; it is from EC2's API model (botocore "
                "1.44.8 InstanceType); SpareCores measured 2026-08-22; `ray up` asks EC2"
            ),
        ),
        (
            gcp("us-central1-a", machineType="n2-highcpu-128"),
            (
                "(n2-highcpu-128): no region is known to have it: no listing has it; it is from GKE's table "
                "(GoogleCloudPlatform/cluster-autoscaler) 2026-08-21; `ray up` asks Google Cloud"
            ),
        ),
        (
            gcp("us-central1-a", machineType="n1-standard-8", guestAccelerators=K80),
            (
                "(n1-standard-8): no region is known to have nvidia-tesla-k80 any more "
                "(GoogleCloudPlatform/cluster-autoscaler 2026-08-21: end of life); `ray up` asks Google Cloud"
            ),
        ),
    ],
    ids=["retired", "in no listing", "in GKE's table alone", "attached no more"],
)
def test_a_type_that_no_region_is_known_to_have_is_said_to_be_so(config: dict[str, Any], said: str) -> None:
    assert f"available_node_types.head {said}" in noted(config)


@pytest.mark.parametrize(
    "config",
    [
        aws("g5.xlarge", "us-west-2"),
        aws("g5.xlarge", ""),
        gcp("us-central1-a", machineType="n2-custom-8-32768"),
        gcp("us-central1-a", machineType="n1-standard-8", guestAccelerators=T4),
        gcp("us-central1-a", acceleratorType="v4-8", runtimeVersion="tpu-ubuntu2204-base"),
    ],
    ids=["offered", "without a region", "a custom type", "an attached GPU", "a slice"],
)
def test_no_note_on_what_is_offered_or_by_its_nature_in_no_listing(config: dict[str, Any]) -> None:
    assert [note for note in noted(config) if "known to have" in note] == []


def test_a_users_own_row_or_a_refresh_ends_the_note(home: Path) -> None:
    config, folder = aws("i3.metal", "us-west-2"), home / ".accel_scaling"
    (folder / "refresh" / "aws.csv").write_text(HEADER + "i3.metal,72,524288,x86_64,,\n")
    assert [note for note in noted(config, home) if "known to have" in note] == []  # its family's row counts now
    (folder / "refresh" / "aws.csv").unlink()
    (folder / "aws_places.csv").write_text(f"{COLUMNS}us-west-2,i3.metal,,\n")
    assert [note for note in noted(config, home) if "known to have" in note] == []


def test_a_size_that_no_listing_has_is_not_where_nothing_of_its_family_is() -> None:
    catalog = shipped_catalog()
    where = catalog.where(catalog.machine_type("gcp", "a3-highgpu-8g-nolssd"))
    assert (where.in_region("us-west2"), where.in_region("us-central1"), where.regions) == (False, None, ())


def test_a_region_that_exists_and_is_listed_nowhere_is_no_slip_of_the_pen() -> None:
    for region in ("ap-east-2", "ap-southeast-7", "me-west-1", "sa-west-1", "eusc-de-east-1", "us-gov-west-1"):
        assert noted(aws("m5.large", region)) == [
            f"provider.region: what {region} offers is not in the places files; `ray up` asks EC2"
        ]
    (note,) = noted(aws("m5.large", "us-wst-2"))
    assert "nearest: us-west-2" in note


def test_the_row_that_the_error_names_is_the_way_out(home: Path) -> None:
    config = aws("p4d.24xlarge", "us-west-1")
    (home / ".accel_scaling" / "aws_places.csv").write_text(f"{COLUMNS}us-west-1,p4d.24xlarge,,\n")
    assert fill(config, load_catalog(home=home))[0]["available_node_types"]["head"]["resources"]


@pytest.mark.parametrize(
    ("machine", "region"),
    [("p4d.24xlarge", "us-gov-west-1"), ("p3.2xlarge", "us-west-1"), ("p4d.24xlarge", "")],
    ids=["a region that no file lists", "a type that no row has", "no region"],
)
def test_what_nobody_knows_is_not_refused(machine: str, region: str) -> None:
    fill(aws(machine, region), shipped_catalog())


def test_where_the_cloud_is_asked_next_the_files_are_not() -> None:
    fill_cluster(read_config(aws("p4d.24xlarge", "us-west-1"), shipped_catalog()), offerings=False)


def test_a_preview_refuses_as_the_fill_does() -> None:
    with pytest.raises(ClusterConfigError, match="us-west-1 does not have p4d"):
        read_config(aws("p4d.24xlarge", "us-west-1"), shipped_catalog()).check_offered()


def test_a_machine_that_none_of_the_zones_has_is_refused_and_one_zone_is_enough(home: Path) -> None:
    rows = "us-west1,*,a b c,API\nus-west1,g2-standard,a b,\nus-west1,nvidia-tesla-t4,b,\nus-west1,n1-standard,,\n"
    (home / ".accel_scaling" / "gcp_places.csv").write_text(COLUMNS + rows)
    said = refused(gcp("us-west1-c", machineType="g2-standard-4"), home)
    key = "available_node_types.head.node_config"
    assert said.startswith(
        f"{key}.machineType: us-west1-c (provider.availability_zone) has no g2-standard-4, according to "
    )
    assert said.endswith("; in this region it is in us-west1-a, us-west1-b")
    fill(gcp("us-west1-c,us-west1-a", machineType="g2-standard-4"), load_catalog(home=home))
    fill(gcp("us-west1-ai1a", machineType="g2-standard-4"), load_catalog(home=home))
    said = refused(gcp("us-west1-a", machineType="n1-standard-4", guestAccelerators=T4), home)
    assert said.startswith(f"{key}.guestAccelerators: us-west1-a (provider.availability_zone) has no nvidia-tesla-t4,")


def test_zones_of_aws_are_not_refused_as_their_names_mean_others_in_each_account(home: Path) -> None:
    config = aws("g5.xlarge", "us-east-1", availability_zone="us-east-1c")
    (home / ".accel_scaling" / "aws_places.csv").write_text(f"{COLUMNS}us-east-1,g5,az1,\n")
    fill(config, load_catalog(home=home))


def test_a_tpu_slice_is_where_cloud_tpu_has_it_which_no_file_lists() -> None:
    config = gcp("us-west2-a", machineType="n2-standard-4")
    slice_type = {"acceleratorType": "v5litepod-8", "runtimeVersion": "v2-alpha-tpuv5-lite"}
    config["available_node_types"]["tpu"] = {"node_config": slice_type}
    assert fill(config, shipped_catalog())[0]["available_node_types"]["tpu"]["resources"]["TPU"] == 8


def test_every_example_is_in_a_region_that_has_its_machines(examples: Path) -> None:
    import yaml

    for path in examples.glob("*.yaml"):
        if path.name == "aws-ferrum.yaml":
            continue  # its type comes with a plug-in
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        cluster = read_config(config)
        cluster.check_offered()
        assert set(promises(cluster)) == set(config["available_node_types"])


# --- catalog show and find ---


@pytest.fixture
def catalog(capsys: pytest.CaptureFixture[str]):
    """Run ``accel-scaling catalog ARGS``; return exit code, stdout and stderr."""

    def running(*args: object) -> tuple[int, str, str]:
        code = main(["catalog", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    return running


def test_show_says_in_a_line_where_a_type_is_offered(catalog) -> None:
    _, out, _ = catalog("show", "p4d.24xlarge")
    regions = "us-east-1, us-east-2, us-west-2, ap-northeast-1, ap-northeast-2, 8 more (--json lists them)"
    assert f"  regions      {regions}\n" in out
    source = "aws_places.csv, from EC2 DescribeInstanceTypeOfferings (moto 5.2.5) 2026-10"
    none = f"none is known to have it, according to {source}"
    assert f"  regions      {none}\n" in catalog("show", "p3.2xlarge")[1]
    none = "none is known to have it: no listing has it; it is from GKE's table"
    assert f"  regions      {none}" in catalog("show", "n2-highcpu-128")[1]


def test_show_says_how_old_the_files_are_that_it_answers_from(catalog) -> None:
    assert "  as of        2026-10 (aws.csv), 2026-10 (aws_places.csv)\n" in catalog("show", "p4d.24xlarge")[1]
    assert (
        "  as of        2026-04-14 (gcp_corrections.csv), 2026-07-01 (gcp_places.csv)\n"
        in catalog("show", "g4-standard-12")[1]
    )
    assert "  as of             2026-11 (gcp_tpu.csv), 2026-07-01 (gcp.csv)\n" in catalog("show", "v4-16")[1]
    told = json.loads(catalog("show", "n2-highcpu-128", "--json")[1])
    assert (told["regions"], told["unlisted"].partition(" (")[0]) == ({}, "GKE's table")
    assert told["as_of"] == {"gcp.csv": "2026-07-01", "gcp_places.csv": "2026-07-01"}


def test_show_names_the_line_of_a_users_row_and_the_rows_that_it_overrides(catalog, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + "\ng6f.large,2,8192,x86_64,L4,1\n")
    _, out, _ = catalog("show", "g6f.large", "--catalog", tmp_path / "mine.csv")
    assert f"  from         {tmp_path}/mine.csv:3, over aws_corrections.csv and aws.csv (catalog " in out


def test_find_lists_what_a_region_has_and_says_of_how_many_nobody_knows(catalog) -> None:
    _, out, _ = catalog("find", "--accelerator", "V100", "--region", "us-east-1")
    assert "\np3dn.24xlarge " in out
    assert out.splitlines()[-1].startswith("1 machine type in us-east-1; 3 more types: regions unknown (")
    _, out, _ = catalog("find", "--accelerator", "H100", "--region", "us-west2")
    assert out.splitlines()[-1].startswith("0 machine types in us-west2 (")
    code, _, err = catalog("find", "--region", "us-wst-2")
    assert code == 2
    assert err.startswith("accel-scaling: region 'us-wst-2' is not in the places files; nearest: us-west-2, ")
