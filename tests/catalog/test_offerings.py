"""Offerings: the rows of a places file, their layers, and what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog.files import Source, is_places, read
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.offerings import Offerings, offerings_text, parse_places, places_of_region
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.catalog import load_catalog
from tests.support.catalog import HEADER

COLUMNS = "region,types,zones,source\n"
LISTED = COLUMNS + "us-west-2,*,az1 az2 az3,API\nus-west-2,g5,az1 az2,\nus-west-2,g5.48xlarge,-,\nus-west-2,m5,,\n"


def parsed(text: str, name: str = "places.csv"):
    source = Source(Path(name), name, text)
    return parse_places(source)


def offered(*texts: str, cloud: str = "aws") -> Offerings:
    """The places of files, the weakest first."""
    return Offerings(cloud, [(f"file{number}", parsed(text)[0]) for number, text in enumerate(texts)])


# --- the file ---


@pytest.mark.parametrize(
    ("row", "line", "said"),
    [
        ("us-west-2,g5,az1", 2, "has 3 cells; expected 4"),
        ("uswest2,g5,,", 2, "region is uswest2; expected a region of aws or gcp, such as us-west-2 or us-west2"),
        (",g5,,", 2, "region is empty"),
        ("us-west-2,,,", 2, "types is empty; expected a family, a machine type, or *"),
        ("us-west-2,g 5,,", 2, "types is g 5"),
        ("us-west-2,g5,AZ1,", 2, "zones has AZ1; expected short names of zones, as az1 or a, or - for none"),
        ("us-west-2,g5,az1  az2,", 2, "zones has an empty word"),
        ("us-west-2,*,az1,", 2, "needs a source, who listed all that it has"),
        ("us-west-2,*,-,API", 2, "no - in its row"),
        ("us-west-2,g5,,\nus-west-2,g5,az1,", 3, "us-west-2 g5 is already in line 2; keep one of the two"),
        ('us-west-2,g5,"az1,', 2, "is not CSV"),
    ],
)
def test_a_wrong_row_is_named_with_its_line_and_what_is_expected(row: str, line: int, said: str) -> None:
    _, problems = parsed(COLUMNS + row + "\n")
    assert [problem.line for problem in problems] == [line]
    assert said in problems[0].text


def test_a_file_with_other_columns_or_of_another_cloud_is_refused() -> None:
    assert "expected region, types, zones, source" in parsed("region,type\n")[1][0].text
    assert parsed(LISTED, "aws_places.csv")[1] == []
    assert "expected a region of gcp, such as us-west2" in parsed(LISTED, "gcp_places.csv")[1][0].text


@given(st.text(alphabet="us-west2,*gaz1\n\"' \t\r-.é", max_size=200))
def test_any_text_is_rows_or_problems_and_never_a_crash(text: str) -> None:
    for head in ("", COLUMNS):
        places, problems = parsed(head + text)
        if not problems:
            assert parsed(offerings_text(places))[0] == sorted(
                places, key=lambda at: (at.region, at.types != "*", at.types)
            )


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_the_shipped_files_are_as_a_refresh_would_write_them_again(cloud: str) -> None:
    source = read(SHIPPED_FOLDER / f"{cloud}_places.csv")
    places = source.accept(parse_places(source))
    assert offerings_text(places) == source.text
    every = {place.region for place in places}
    assert every == {place.region for place in places if place.types == "*"}


ZONES = st.sets(st.sampled_from(["az1", "az2", "az3"]), min_size=1)
TYPES = st.sampled_from(["g5.a", "g5.b", "g5.c", "m5.a", "m5.b", "nodot"])


@given(offers=st.dictionaries(TYPES, ZONES), others=st.sets(TYPES))
def test_what_is_written_of_a_region_says_of_each_type_what_the_api_said(offers, others) -> None:
    rows = places_of_region("aws", "us-west-2", offers, others, source="API, today")
    elsewhere = COLUMNS + "eu-west-1,*,,x\n" + "".join(f"eu-west-1,{name},,\n" for name in sorted({*offers, *others}))
    at = offered(offerings_text(rows), elsewhere)
    for name in {*offers, *others}:
        where = at.where(name)
        assert where.in_region("us-west-2") is (name in offers)
        assert set(where.zones("us-west-2")) == offers.get(name, set())


def test_families_stand_for_their_types_so_that_a_change_is_a_line() -> None:
    known = ["g5.a", "g5.b", "g5.c", "a2-x", "p5.a"]
    before = offerings_text(
        places_of_region("aws", "us-west-2", {"g5.a": ["az1"], "g5.b": ["az1"]}, known, source="API")
    )
    assert before == COLUMNS + "us-west-2,*,az1,API\nus-west-2,g5,,\nus-west-2,g5.c,-,\n"
    offers = {"g5.a": ["az1"], "g5.b": ["az1"], "g5.c": ["az1"]}
    after = offerings_text(places_of_region("aws", "us-west-2", offers, known, source="API"))
    assert set(before.splitlines()) - set(after.splitlines()) == {"us-west-2,g5.c,-,"}


@pytest.mark.parametrize(
    ("cloud", "name", "family"),
    [
        ("aws", "g5.xlarge", "g5"),
        ("aws", "p6-b200.48xlarge", "p6-b200"),
        ("gcp", "a2-highgpu-1g", "a2-highgpu"),
        ("gcp", "c3-standard-4-lssd", "c3-standard"),
        ("gcp", "e2-micro", None),
        ("gcp", "nvidia-tesla-t4", None),
        ("gcp", "nvidia-h100-80gb", None),
    ],
)
def test_the_family_of_a_type(cloud: str, name: str, family: str | None) -> None:
    assert known_clouds()[cloud].machine_family(name) == family


def test_zones_are_named_by_their_ends() -> None:
    assert known_clouds()["aws"].short_zone("us-east-1", "use1-az4") == "az4"
    assert known_clouds()["aws"].short_zone("us-east-1", "use1-bos1-az1") == "bos1-az1"
    assert known_clouds()["gcp"].short_zone("us-central1", "us-central1-ai1a") == "ai1a"


def test_files_of_places_are_told_by_their_names() -> None:
    named = ["places.csv", "aws_places.csv", "my.own_places.csv", "my_workplaces.csv", "places.yaml", "placesaws.csv"]
    assert [is_places(Path(name)) for name in named] == [True, True, True, False, False, False]


# --- who has what ---


def test_a_type_is_where_its_row_or_its_familys_says_and_its_own_row_is_the_stronger() -> None:
    elsewhere = COLUMNS + "eu-west-1,g5,,\n"
    at = offered(LISTED, elsewhere)
    assert at.where("g5.xlarge").in_region("us-west-2") is True
    assert at.where("g5.xlarge").zones("us-west-2") == ("az1", "az2")
    assert at.where("m5.large").zones("us-west-2") == ("az1", "az2", "az3")
    assert at.where("g5.48xlarge").in_region("us-west-2") is False


def test_what_nobody_has_listed_is_not_said_to_be_missing() -> None:
    at = offered(LISTED, COLUMNS + "eu-west-1,p5,,\neu-west-1,g5,,\n")
    assert at.where("p5.48xlarge").in_region("us-west-2") is False
    assert at.where("m5.large").in_region("eu-west-1") is None  # no file lists all of eu-west-1
    assert at.where("q9.large").in_region("us-west-2") is None  # no row anywhere
    assert at.where("g5.large").in_region("mars-1") is None
    assert at.where("g5.large", private=True).in_region("us-west-2") is None


def test_a_zone_that_is_not_among_its_regions_is_not_said_to_lack_anything() -> None:
    at = offered(COLUMNS + "us-west2,*,a b,API\nus-west2,g2-standard,a,\nus-west2,n2-standard,,\n", cloud="gcp")
    where = at.where("g2-standard-4")
    assert [where.in_zone("us-west2", zone) for zone in ("a", "b", "ai1a")] == [True, False, None]
    assert at.where("n2-standard-4").in_zone("us-west2", "b") is None
    assert where.in_zone("us-east1", "a") is None


def test_a_stronger_file_adds_and_overrides_and_one_that_lists_a_region_replaces_it() -> None:
    added = offered(LISTED, COLUMNS + "us-west-2,p5,az3,mail\n")
    assert added.where("p5.48xlarge").zones("us-west-2") == ("az3",)
    assert added.where("g5.xlarge").in_region("us-west-2") is True
    gone = offered(LISTED, COLUMNS + "us-west-2,*,az1,API\nus-west-2,m5,,\neu-west-1,g5,,\n")
    assert gone.where("g5.xlarge").in_region("us-west-2") is False
    assert gone.where("m5.large").zones("us-west-2") == ("az1",)


def test_the_nearest_regions_come_first() -> None:
    catalog = shipped_catalog()
    p4d = catalog.where(catalog.machine_type("aws", "p4d.24xlarge"))
    assert p4d.nearest("us-west-1")[:4] == ["us-west-2", "us-east-1", "us-east-2", "ca-central-1"]
    assert p4d.nearest("eu-south-1")[0].startswith("eu-")
    a3 = catalog.where(catalog.machine_type("gcp", "a3-highgpu-8g"))
    assert a3.nearest("us-west2")[:2] == ["us-west1", "us-west4"]


# --- the layers of a catalog ---


def test_a_users_places_have_precedence_over_a_refresh_and_a_refresh_over_what_ships(
    home: Path, tmp_path: Path
) -> None:
    folder = home / ".accel_scaling"
    (folder / "refresh" / "aws_places.csv").write_text(COLUMNS + "us-west-2,*,az1,API\nus-west-2,g5,,\n")
    (folder / "aws_places.csv").write_text(COLUMNS + "us-west-2,g6,az9,\n")
    (tmp_path / "mine.csv").write_text(HEADER + "q9.large,1,1,x86_64,L4,1\n")
    (tmp_path / "mine_places.csv").write_text(COLUMNS + "us-west-2,g6,az7,\n")
    at_home, given_too = load_catalog(home=home), load_catalog([tmp_path / "mine.csv"], home=home)
    for catalog, zones in ((at_home, ("az9",)), (given_too, ("az7",))):
        where = {name: catalog.where(catalog.machine_type("aws", name)) for name in ("g5.xlarge", "g6.xlarge")}
        assert where["g5.xlarge"].zones("us-west-2") == ("az1",)
        assert where["g6.xlarge"].zones("us-west-2") == zones
    assert at_home.where(at_home.machine_type("aws", "m5.large")).in_region("us-west-2") is False
    assert at_home.version != given_too.version != shipped_catalog().version


def test_a_private_type_is_anywhere_unless_a_row_names_it(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + "p4d.mine,1,1,x86_64,L4,1\np4d.24xlarge,1,1,x86_64,L4,1\n")
    catalog = load_catalog([tmp_path / "mine.csv"], home=home)
    mine, changed = (catalog.machine_type("aws", name) for name in ("p4d.mine", "p4d.24xlarge"))
    assert catalog.where(mine).in_region("us-west-1") is None
    assert catalog.where(changed).in_region("us-west-1") is False
    (tmp_path / "mine_places.csv").write_text(COLUMNS + "us-east-1,p4d.mine,,\n")
    catalog = load_catalog([tmp_path / "mine.csv"], home=home)
    assert catalog.where(mine).in_region("us-west-1") is False
    assert [each.layer for each in catalog.layers("aws", "p4d.24xlarge")] == [str(tmp_path / "mine.csv"), "aws.csv"]


def test_a_private_type_is_bound_by_the_rows_of_its_family_and_of_the_region_in_the_users_own_files(
    home: Path, tmp_path: Path
) -> None:
    mine, places = tmp_path / "mine.csv", tmp_path / "mine_places.csv"
    mine.write_text(HEADER + "p4d.mine,1,1,x86_64,L4,1\n")
    (home / ".accel_scaling" / "refresh" / "aws_places.csv").write_text(COLUMNS + "eu-west-1,*,,API\neu-west-1,p4d,,\n")

    def where(rows: str):
        places.write_text(COLUMNS + rows)
        catalog = load_catalog([mine], home=home)
        return catalog.where(catalog.machine_type("aws", "p4d.mine"))

    by_family = where("us-east-1,p4d,az4,\nus-west-2,p4d,-,\n")
    assert (by_family.regions, by_family.zones("us-east-1")) == (("us-east-1",), ("az4",))
    assert [by_family.in_region(each) for each in ("us-west-2", "eu-west-1", "mars-1")] == [False, False, None]
    listed = where("us-west-2,*,az1,me\nus-west-2,g5,,\n")
    assert [listed.in_region(each) for each in ("us-west-2", "eu-west-1", "us-east-1")] == [False, None, None]
    assert where("us-west-2,*,az1,me\nus-west-2,p4d,,\n").zones("us-west-2") == ("az1",)


def test_a_wrong_places_file_is_refused_with_its_line_where_it_is_asked(home: Path) -> None:
    path = home / ".accel_scaling" / "my_places.csv"
    path.write_text(COLUMNS + "us-west-2,g5,?,\n")
    catalog = load_catalog(home=home)
    with pytest.raises(CatalogFileError, match=rf"^{path}:2: zones has \?"):
        catalog.places("aws")
