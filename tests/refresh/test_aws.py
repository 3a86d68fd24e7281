"""A refresh from EC2: what DescribeInstanceTypes says becomes rows, whatever it says; what is new is shown."""

import csv
import re
from pathlib import Path

import pytest

from accel_scaling.catalog_lint.check import check_files
from accel_scaling.cli.catalog_refresh import refresh_text
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import UnknownAcceleratorError
from accel_scaling.families.catalog import chips_here, load_catalog
from accel_scaling.providers.aws import node_config as fill_aws
from accel_scaling.providers.aws import refresh as aws_refresh
from accel_scaling.providers.aws.refresh import told
from accel_scaling.refresh.records import CloudAnswer
from accel_scaling.refresh.requests import RefreshError
from accel_scaling.refresh.run import default_file
from tests.support.refresh import gpu, gpus, record, refreshed

WEST, EAST = "us-west-2", "us-east-1"
L5 = gpus(gpu("L5", 4))


@pytest.fixture(autouse=True)
def _fresh_chips():
    chips_here.cache_clear()
    yield
    chips_here.cache_clear()


def rows():
    with default_file("aws").open(newline="") as file:
        return {row["instance_type"]: row for row in csv.DictReader(file)}


def refresh_west(ec2, *records):
    """Refresh with these types, all in us-west-2."""
    ec2.sells(records, us_west_2=[each["InstanceType"] for each in records])
    return refreshed(lambda: aws_refresh.ask([WEST]), "aws")


# --- everything that ships, against everything that moto has ---


def everything():
    """All that moto has: 1,395 types, and what 30 regions offer, as aws.ask() reads it."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

    answer = CloudAnswer("aws", aws_refresh.SOURCE, types={name: told(each) for name, each in INSTANCE_TYPES.items()})
    for region, offerings in INSTANCE_TYPE_OFFERINGS["availability-zone-id"].items():
        answer.offered[region] = offered = {}
        for each in offerings:
            offered.setdefault(each["InstanceType"], set()).add(
                known_clouds()["aws"].short_zone(region, each["Location"])
            )
    return answer


def test_a_refresh_from_what_our_rows_were_made_of_changes_nothing_and_a_second_one_no_byte():
    first = refreshed(everything, "aws")
    assert (len(rows()), len(first.answer.offered)) == (1395, 30)
    assert (first.same, first.new_chips, first.unpromised, first.answer.lacking) == (True, {}, [], {})
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.files}
    second = refreshed(everything, "aws")
    assert second.same
    assert second.written == []
    assert kept == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in second.files}
    assert refresh_text(first).startswith(
        "aws: 1,395 machine types in 30 regions; the catalog agrees with all of it\n\nwrote "
    )
    assert "nothing changed" in refresh_text(second)
    assert "wrote" not in refresh_text(second)
    assert check_files(first.files).problems == []


def test_what_motos_server_answers_is_what_it_has(ec2):
    expected = everything()
    names = [name for name, each in expected.types.items() if each.devices]
    ec2.offers(us_west_2=names)
    answer = aws_refresh.ask([WEST])
    assert answer.types == {name: expected.types[name] for name in names}


# --- shapes of the API ---


SHAPES = [
    ({}, ("", "")),
    (gpus(gpu("L4", 8)), ("L4", "8")),
    (gpus(gpu("A100", 8, 40960)), ("A100-40G", "8")),
    (gpus(gpu("A100", 8, 81920)), ("A100-80G", "8")),
    (gpus(gpu("A100", 8, 122880)), ("?A100", "8")),
    (gpus(gpu("L5", 4)), ("?L5", "4")),
    (gpus(gpu("L4", 2), gpu("L4", 2)), ("L4", "4")),
    (gpus(gpu("L4", 2), gpu("L5", 4)), ("?2 x L4 + 4 x L5", "")),
    (gpus(gpu("L4", 0, 2861, LogicalGpuCount=1, GpuPartitionSize=0.125)), ("L4-3Q", "1")),
    (gpus(gpu("L4", 0, 11444, LogicalGpuCount=2, GpuPartitionSize=0.5)), ("L4-12Q", "2")),
    (gpus(gpu("L5", 0, 3000, LogicalGpuCount=1, GpuPartitionSize=0.125)), ("?L5 (0.125 of one)", "1")),
    (gpus({"Name": "L4", "Count": 0, "LogicalGpuCount": 1}), ("?L4 (a part of one)", "1")),
    (gpus({"Name": "L4"}), ("?L4", "")),
    (gpus({"Count": 2}), ("?an accelerator without a name (gpu)", "2")),
    ({"GpuInfo": {}}, ("", "")),
    ({"NeuronInfo": {"NeuronDevices": [{"Name": "Trainium2", "Count": 16}]}}, ("Trainium2", "16")),
    ({"FpgaInfo": {"Fpgas": [{"Name": "Virtex UltraScale+ (VU47P)", "Count": 2}]}}, ("VU47P", "2")),
    ({"MediaAcceleratorInfo": {"Accelerators": [{"Name": "U30", "Count": 2}]}}, ("U30", "2")),
    ({"InferenceAcceleratorInfo": {"Accelerators": [{"Name": "Qualcomm AI100", "Count": 8}]}}, ("AI100", "8")),
    # One device that two blocks name.
    (
        {
            "InferenceAcceleratorInfo": {"Accelerators": [{"Name": "Inferentia", "Count": 4}]},
            "NeuronInfo": {"NeuronDevices": [{"Name": "Inferentia", "Count": 4}]},
        },
        ("Inferentia", "4"),
    ),
]


def test_whatever_the_api_says_of_accelerators_becomes_two_cells_that_are_right_or_marked_unknown(ec2):
    refresh_west(ec2, *(record(f"shape{number}.large", **blocks) for number, (blocks, _) in enumerate(SHAPES)))
    found = rows()
    for number, (blocks, expected) in enumerate(SHAPES):
        row = found[f"shape{number}.large"]
        assert (row["accelerator"], row["count"]) == expected, blocks
    unknown = [line for line, row in enumerate(found.values(), 2) if row["accelerator"].startswith("?")]
    problems = check_files([default_file("aws")]).mistakes
    assert [(each.line, each.column) for each in problems] == [(line, "accelerator") for line in unknown]


def test_a_type_without_a_size_is_named_and_gets_no_row(ec2):
    result = refresh_west(ec2, {"InstanceType": "g9.xlarge"}, record("g9.large"))
    assert result.answer.lacking == {"g9.xlarge": "no vCPUs and no memory"}
    assert list(rows()) == ["g9.large"]
    assert "g9.xlarge: no vCPUs and no memory" in refresh_text(result)


def test_an_architecture_that_is_not_told_is_that_of_the_family_or_there_is_no_row(ec2):
    known, strange = record("g5g.32xlarge"), record("zz1.large")
    del known["ProcessorInfo"], strange["ProcessorInfo"]
    result = refresh_west(ec2, known, strange)
    assert {name: row["arch"] for name, row in rows().items()} == {"g5g.32xlarge": "arm64"}
    assert result.answer.lacking == {"zz1.large": "no architecture"}


# --- an accelerator that the catalog does not know ---


def test_a_type_with_an_unknown_accelerator_is_never_promised_as_a_plain_machine(ec2):
    result = refresh_west(ec2, record("g9.xlarge", **L5))
    catalog = load_catalog()
    with pytest.raises(UnknownAcceleratorError) as error:
        catalog.machine_type("aws", "g9.xlarge")
    assert "'g9.xlarge' of aws has 4 x L5" in str(error.value)
    assert "`api_names: {aws: [L5]}`" in str(error.value)
    with pytest.raises(UnknownAcceleratorError, match=r"^available_node_types\.x: instance type 'g9\.xlarge'"):
        fill_aws.machine("available_node_types.x", {"InstanceType": "g9.xlarge"}, catalog)
    assert "g9.xlarge" not in {machine.name for machine in catalog.find()}
    assert "g9.xlarge: 4 vCPUs, 16 GiB, x86_64, 4 x L5 (not known)" in refresh_text(result)


def test_the_entry_to_add_is_printed_is_refused_unfilled_and_makes_the_row_good(ec2):
    text = refresh_text(refresh_west(ec2, record("g9.xlarge", **L5)))
    entry = text[text.index("L5:\n") : text.index("\n\nwrote")]
    assert entry in (Path(__file__).parents[2] / "docs" / "catalog-refresh.md").read_text()
    chips = default_file("aws").parent.parent / "accelerators.yaml"
    for field, value in (
        ("detected_type", "L5"),
        ("pci_ids", "10de:ffff"),
        ("driver_names", "NVIDIA L5"),
        ("source", "me"),
    ):
        chips.write_text(entry)
        assert field in {each.column for each in check_files([chips]).mistakes}
        entry = re.sub(rf'({field}: \[?)"<[^"]*>"', rf'\g<1>"{value}"', entry)
    chips.write_text(entry)
    assert check_files([chips]).problems == []
    machine = load_catalog().machine_type("aws", "g9.xlarge")
    assert (machine.chip.name, machine.count, machine.chip.memory_mib) == ("L5", 4, 24576)


def test_two_kinds_of_accelerator_in_one_machine_are_refused_with_the_way_out(ec2):
    refresh_west(ec2, record("g9.xlarge", **gpus(gpu("L4", 2), gpu("L5", 4))))
    with pytest.raises(UnknownAcceleratorError, match=r"has 2 x L4 \+ 4 x L5 .* a row of your own"):
        load_catalog().machine_type("aws", "g9.xlarge")


# --- the difference ---


def test_what_is_added_changed_and_gone_is_shown_and_then_no_more(ec2):
    everywhere = ["g5.xlarge", "m5.large"]
    types = [record("g5.xlarge", **gpus(gpu("A10G", 1, 22888))), record("m5.large", 2, 8192)]
    ec2.sells(types, us_west_2=everywhere, us_east_1=everywhere)
    refreshed(lambda: aws_refresh.ask([WEST, EAST]), "aws")
    ec2.sells(
        [record("m5.large", 2, 9000), record("m5.small", 1)], us_west_2=["m5.large", "m5.small"], us_east_1=["m5.large"]
    )
    result = refreshed(lambda: aws_refresh.ask([WEST, EAST]), "aws")
    assert [row.name for row in result.added] == ["m5.small"]
    assert [(before.memory_mib, now.memory_mib) for before, now in result.changed] == [(8192, 9000)]
    assert [(each.region, each.more, each.fewer) for each in result.moved] == [
        (EAST, (), ("g5.xlarge",)),
        (WEST, ("m5.small",), ("g5.xlarge",)),
    ]
    assert "g5.xlarge" not in result.gone, "other regions may have it still: they were not asked"
    assert "g5.xlarge" in rows(), "machines of it may still run"
    text = refresh_text(result)
    assert "m5.large: memory_mib 8192 -> 9000" in text
    assert f"{EAST}: no longer has g5.xlarge" in text
    assert refreshed(lambda: aws_refresh.ask([WEST, EAST]), "aws").same


def test_a_type_is_gone_once_every_region_that_had_it_lacks_it(ec2):
    ec2.sells(
        [record("zz1.large"), record("m5.large", 2, 8192)], us_west_2=["zz1.large", "m5.large"], us_east_1=["m5.large"]
    )
    refreshed(lambda: aws_refresh.ask([WEST, EAST]), "aws")
    ec2.sells([record("m5.large", 2, 8192)], us_west_2=["m5.large"], us_east_1=["m5.large"])
    assert refreshed(lambda: aws_refresh.ask([EAST]), "aws").gone == []
    assert refreshed(lambda: aws_refresh.ask([WEST]), "aws").gone == ["zz1.large"]


def test_corrections_stay_on_top_and_are_no_difference(ec2):
    result = refresh_west(ec2, record("trn2u.48xlarge", 192, 2097152))
    assert result.changed == []
    assert rows()["trn2u.48xlarge"]["accelerator"] == ""
    assert load_catalog().machine_type("aws", "trn2u.48xlarge").chip.name == "Trainium2"


# --- what goes wrong ---


def test_lists_of_many_pages_are_read_to_the_end(ec2):
    records = [record(f"zz{number}.large") for number in range(7)]
    ec2.pages(2)
    assert len(refresh_west(ec2, *records).answer.types) == 7


def test_a_throttled_call_is_tried_again_after_growing_waits(ec2):
    ec2.sells([record("zz1.large")], us_west_2=["zz1.large"])
    ec2.refuses("RequestLimitExceeded", times=3)
    waits = []
    result = refreshed(lambda: aws_refresh.ask([WEST], sleep=waits.append), "aws")
    assert list(result.answer.types) == ["zz1.large"]
    assert len(waits) == 3
    assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 2.0 <= waits[2] <= 4.0


def test_a_region_that_fails_is_named_and_what_the_others_said_is_kept(ec2):
    ec2.sells(
        [record("m5.large", 2, 8192), record("zz1.large")], us_west_2=["m5.large", "zz1.large"], us_east_1=["m5.large"]
    )
    ec2.refuses("UnauthorizedOperation", region=EAST)
    result = refreshed(lambda: aws_refresh.ask([EAST, WEST]), "aws")
    assert result.answer.failed == {EAST: "UnauthorizedOperation: a sentence of Amazon's."}
    assert "zz1.large" in rows()
    assert f"skipped {EAST}: UnauthorizedOperation" in refresh_text(result)
    assert result.gone == []
    assert {each.region for each in result.moved} == {WEST}


def test_a_region_that_is_throttled_permanently_is_named_after_the_last_try(ec2):
    ec2.sells([record("m5.large", 2, 8192)], us_west_2=["m5.large"], us_east_1=["m5.large"])
    ec2.refuses("RequestLimitExceeded", region=EAST)
    waits = []
    answer = aws_refresh.ask([EAST, WEST], sleep=waits.append)
    assert list(answer.failed) == [EAST]
    assert len(waits) == 5


def test_types_of_a_region_that_fails_later_are_described_by_another(ec2, monkeypatch):
    ec2.sells([record("m5.large", 2, 8192)], us_west_2=["m5.large"], us_east_1=["m5.large"])
    described = aws_refresh._described
    refused = lambda client, *rest: "no" if client.meta.region_name == EAST else described(client, *rest)  # noqa: E731
    monkeypatch.setattr(aws_refresh, "_described", refused)
    answer = aws_refresh.ask([EAST, WEST])
    assert (list(answer.types), list(answer.failed), list(answer.offered)) == (["m5.large"], [EAST], [WEST])


def test_a_region_that_the_account_lacks_is_named_and_not_asked(ec2):
    ec2.sells([record("m5.large", 2, 8192)], us_west_2=["m5.large"])
    assert aws_refresh.ask([WEST, "ap-east-1"]).failed == {"ap-east-1": "not enabled for this account"}


def test_a_region_that_does_not_exist_is_an_error_that_names_the_nearest(ec2):
    with pytest.raises(RefreshError, match="region 'us-wset-2' does not exist on EC2; nearest: us-west-2"):
        aws_refresh.ask(["us-wset-2"])


def test_without_credentials_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(RefreshError, match="no AWS credentials; run `aws configure`"):
        aws_refresh.ask()


@pytest.mark.parametrize(
    ("config", "env", "said"),
    [
        ("", {"AWS_PROFILE": "nope"}, "profile .nope. could not be found; see AWS_PROFILE"),
        ("", {"AWS_ACCESS_KEY_ID": "x"}, "missing: AWS_SECRET_ACCESS_KEY"),
        ("[[x", {}, "Unable to parse config file"),
        ("[default]\nrole_arn = a\nsource_profile = zz\n", {}, 'source_profile "zz"'),
        ("[default]\ncredential_process = /bin/false\n", {}, "retrieving credentials from custom-process"),
        ("", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": "foo"}, "endpoint: foo"),
        ("", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us west"}, "us west"),
    ],
)
def test_settings_that_boto3_cannot_use_are_one_sentence(config, env, said, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RefreshError, match=f"your AWS settings cannot be used: .*{said}"):
        aws_refresh.ask()
