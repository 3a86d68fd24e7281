"""A refresh from Compute Engine: what its lists over all zones say becomes rows; what is new is shown."""

import csv

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.cli.catalog_refresh import refresh_text
from accel_scaling.cli.main import main
from accel_scaling.errors import UnknownAcceleratorError
from accel_scaling.families.catalog import chips_here, load_catalog
from accel_scaling.providers.gcp import refresh as gcp_refresh
from accel_scaling.refresh.requests import RefreshError
from accel_scaling.refresh.run import default_file
from accel_scaling.testing.gce.fault_injection import CallFault
from accel_scaling.testing.gce.lists import TypeLists
from tests.support.refresh import google, googles_types, refreshed

PROJECT = "rehearsal"
LISTS = "compute.machineTypes.aggregatedList"
A, B = "us-central1-a", "us-central1-b"
SMALL = {"name": "zz9-standard-2", "guestCpus": 2, "memoryMb": 8192, "architecture": "X86_64"}


@pytest.fixture(autouse=True)
def _fresh_chips():
    chips_here.cache_clear()
    yield
    chips_here.cache_clear()


@pytest.fixture(name="cloud")
def cloud_fixture(monkeypatch):
    """A Compute Engine that sells nothing yet."""
    lists = TypeLists()
    with google(monkeypatch, lists) as engine:
        yield Cloud(engine, lists)


class Cloud:
    def __init__(self, engine, lists):
        self.engine, self.lists = engine, lists

    def refresh(self, *records, zone=A, regions=(), **more):
        """Refresh with these machine types in a zone."""
        self.lists.machine_types = {zone: list(records), **self.lists.machine_types} if records else {}
        return refreshed(lambda: gcp_refresh.ask(regions, PROJECT, **more), "gcp")


def rows():
    with default_file("gcp").open(newline="") as file:
        return {row["instance_type"]: row for row in csv.DictReader(file)}


def with_accelerators(name, *accelerators):
    kinds = [{"guestAcceleratorType": each, "guestAcceleratorCount": count} for each, count in accelerators]
    return {**SMALL, "name": name, "accelerators": kinds}


def test_a_refresh_from_googles_figures_changes_no_row_and_a_second_one_no_byte(cloud):
    places = shipped_catalog().places("gcp")
    for name, record in googles_types().items():
        for region in places.where(name).regions if record.get("accelerators") else ():
            for zone in places.where(name).zones(region) or ("a",):
                cloud.lists.machine_types.setdefault(f"{region}-{zone}", []).append(record)
    answer = gcp_refresh.ask((), PROJECT)
    first = refreshed(lambda: answer, "gcp")
    assert len(rows()) > 50
    assert (first.added, first.changed, first.new_chips, first.unpromised) == ([], [], {}, [])
    kept = {path: path.read_bytes() for path in first.files}
    second = refreshed(lambda: answer, "gcp")
    assert (second.same, second.written) == (True, [])
    assert kept == {path: path.read_bytes() for path in second.files}
    assert check_files(first.files).problems == []


SHAPES = {
    "zz1-standard-2": ((), ("", "")),
    "zz2-highgpu-4g": ((("nvidia-tesla-a100", 4),), ("A100-40G", "4")),
    "zz3-highgpu-8g": ((("nvidia-h100-mega-80gb", 8),), ("H100", "8")),
    "zz4-hightpu-4t": ((("ct6e", 4),), ("TPU-V6E", "4")),
    "zz5-highgpu-8g": ((("nvidia-b400", 8),), ("?nvidia-b400", "8")),
    "zz6-standard-8": ((("nvidia-l4", 1), ("nvidia-b400", 1)), ("?1 x nvidia-l4 + 1 x nvidia-b400", "")),
    "zz7-standard-8": ((("nvidia-l4", 1), ("nvidia-l4", 1)), ("L4", "2")),
    "zz8-standard-8": ((("", 1),), ("?an accelerator without a name", "1")),
    "zz9-standard-8": ((("nvidia-l4", 0),), ("?nvidia-l4", "")),
}


def test_whatever_the_api_says_of_accelerators_becomes_two_cells_that_are_right_or_marked_unknown(cloud):
    result = cloud.refresh(*(with_accelerators(name, *given) for name, (given, _) in SHAPES.items()))
    found = rows()
    for name, (_, expected) in SHAPES.items():
        assert (found[name]["accelerator"], found[name]["count"]) == expected, name
    with pytest.raises(UnknownAcceleratorError, match="has 8 x nvidia-b400 "):
        load_catalog().machine_type("gcp", "zz5-highgpu-8g")
    assert "nvidia-b400" in result.new_chips
    assert "api_names: {gcp: [nvidia-b400]}" in refresh_text(result)


def test_what_can_no_longer_be_created_and_custom_types_get_no_row(cloud):
    cloud.refresh(
        {**SMALL, "name": "zz1-standard-2", "deprecated": {"state": "OBSOLETE"}},
        {**SMALL, "name": "zz2-standard-2", "deprecated": {"state": "DELETED"}},
        {**SMALL, "name": "zz3-standard-2", "deprecated": {"state": "DEPRECATED"}},
        {**SMALL, "name": "n2-custom-2-4096"},
    )
    assert list(rows()) == ["zz3-standard-2"]


def test_missing_fields_are_named_or_taken_from_the_family(cloud):
    bare, arm = {"name": "zz1-standard-2"}, {"name": "c4a-standard-128", "guestCpus": 128, "memoryMb": 524288}
    result = cloud.refresh(bare, arm, {**SMALL, "name": "zz2-standard-2", "architecture": "ARCHITECTURE_UNSPECIFIED"})
    assert {name: row["arch"] for name, row in rows().items()} == {"c4a-standard-128": "arm64"}
    assert result.answer.lacking == {"zz1-standard-2": "no vCPUs and no memory", "zz2-standard-2": "no architecture"}


def test_accelerators_to_attach_that_the_catalog_lacks_are_shown_and_their_zones_kept(cloud):
    cloud.lists.accelerator_types = {
        A: [
            {"name": "nvidia-tesla-t4", "description": "NVIDIA T4", "maximumCardsPerInstance": 4},
            {"name": "nvidia-b400-96gb", "description": "NVIDIA B400 96GB", "maximumCardsPerInstance": 8},
            {"name": "nvidia-old", "deprecated": {"state": "DELETED"}},
        ]
    }
    result = cloud.refresh(SMALL)
    assert list(result.new_chips) == ["nvidia-b400-96gb"]
    assert "memory_mib: 98304" in refresh_text(result)
    offered = load_catalog().places("gcp").where("nvidia-b400-96gb")
    assert (offered.regions, offered.zones("us-central1")) == (("us-central1",), ("a",))


def test_lists_of_many_pages_are_read_to_the_end_and_throttled_ones_again(cloud):
    cloud.engine.injection.page_size = 2
    cloud.engine.injection.call_faults = [CallFault(LISTS, times=2, status=429, reason="rateLimitExceeded", skip=1)]
    waits = []
    result = cloud.refresh(*({**SMALL, "name": f"zz{number}-standard-2"} for number in range(5)), sleep=waits.append)
    assert len(result.answer.types) == 5
    assert len(waits) == 2


def test_a_zone_that_does_not_answer_costs_its_region_only_and_nothing_is_called_gone(cloud):
    cloud.lists.machine_types = {"europe-west4-a": [SMALL]}
    cloud.refresh({**SMALL, "name": "zz8-standard-2"})
    cloud.lists.silent = {A}
    cloud.lists.machine_types = {"europe-west4-a": [SMALL]}
    result = refreshed(lambda: gcp_refresh.ask((), PROJECT), "gcp")
    assert result.answer.failed == {"us-central1": f"zone {A} did not answer"}
    assert (result.gone, result.moved) == ([], [])
    assert "zz8-standard-2" in rows()
    assert "skipped us-central1: zone us-central1-a did not answer" in refresh_text(result)


def test_some_regions_can_be_asked_and_one_that_does_not_exist_is_an_error(cloud):
    cloud.lists.machine_types = {"europe-west4-a": [{**SMALL, "name": "zz7-standard-2"}]}
    assert list(cloud.refresh(SMALL, regions=["us-central1"]).answer.types) == ["zz9-standard-2"]
    with pytest.raises(
        RefreshError, match="region 'us-centrall' does not exist on Compute Engine; nearest: us-central1"
    ):
        gcp_refresh.ask(["us-centrall"], PROJECT)


@pytest.mark.parametrize(
    ("status", "reason", "sentence"),
    [
        (
            403,
            "forbidden",
            "Google does not list MachineTypes for project rehearsal: .* needs compute.machineTypes.list",
        ),
        (404, "notFound", "Google does not list MachineTypes for project rehearsal: "),
    ],
)
def test_a_refusal_is_one_sentence_and_writes_nothing(cloud, status, reason, sentence):
    cloud.engine.injection.call_faults = [CallFault(LISTS, status=status, reason=reason)]
    with pytest.raises(RefreshError, match=sentence):
        refreshed(lambda: gcp_refresh.ask((), PROJECT), "gcp")
    assert not default_file("gcp").exists()


def test_ctrl_c_while_the_lists_are_read_writes_nothing_and_says_so(cloud, monkeypatch, capsys):
    cloud.engine.injection.page_size = 1
    cloud.lists.machine_types = {A: [SMALL, {**SMALL, "name": "zz8-standard-2"}]}
    ask, pages = gcp_refresh.patiently, []

    def pressed(*arguments, **named):
        if pages:
            raise KeyboardInterrupt
        pages.append(ask(*arguments, **named))
        return pages[0]

    monkeypatch.setattr(gcp_refresh, "patiently", pressed)
    assert main(["catalog", "refresh", "gcp", "--project", PROJECT]) == 130
    assert len(pages) == 1
    assert capsys.readouterr().err.endswith("interrupted before the cloud had answered in full: nothing was written\n")
    assert not default_file("gcp").exists()


def test_without_credentials_or_a_project_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RefreshError, match="no Google credentials; run `gcloud auth application-default login`"):
        gcp_refresh.ask()
    monkeypatch.setenv(gcp_refresh.NO_CREDENTIALS, "true")
    with pytest.raises(RefreshError, match="no Google project; name one with --project"):
        gcp_refresh.ask()
