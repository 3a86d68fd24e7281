"""What others need of an open-source project: license, changelog and releases, each checked against the code."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import accel_scaling

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / ".github" / "release.py"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
VERSION = accel_scaling.__version__

# Of the text at apache.org/licenses/LICENSE-2.0.txt.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\S+))?$", re.MULTILINE)


@pytest.fixture(name="release", scope="module")
def release_fixture() -> ModuleType:
    """The release script as a module: it is no part of the package."""
    spec = importlib.util.spec_from_file_location("release_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_of_the_repository() -> list[Path]:
    """Return what git has, or would take at the next commit."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("a downloaded archive has no repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# The license.


def test_the_license_is_the_whole_text_that_pyproject_names(project):
    assert project["project"]["license"] == "Apache-2.0"
    assert project["project"]["license-files"] == ["LICENSE"]
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


# The changelog.


def test_the_changelog_has_a_dated_section_for_the_current_version():
    dates = dict(HEADING.findall(CHANGELOG))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", dates[VERSION])


def test_the_changelog_begins_with_what_is_not_released_and_goes_back_in_time():
    headings = HEADING.findall(CHANGELOG)
    assert headings[0] == ("Unreleased", "")
    dates = [date for _, date in headings[1:]]
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "SECURITY.md", "RELEASING.md", "CODE_OF_CONDUCT.md"])
def test_what_a_page_points_to_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    pages = re.findall(r"(?<!`)\b[A-Z_]+\.md\b", text) + re.findall(r"\]\(([^):]+)\)", text)
    paths = re.findall(r"`((?:accel_scaling|docs|tests|\.github)/[\w./-]+)`", text)
    assert pages or paths
    for path in (*pages, *paths):
        assert (ROOT / path.partition("#")[0]).exists(), path


# Addresses.


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("Repository", ["pyproject.toml"]),
        # A node has the package without its metadata, and names the pages too: tests/test_documentation.py.
        ("Documentation", ["accel_scaling/documentation.py", "pyproject.toml"]),
    ],
)
def test_an_address_of_the_project_is_in_one_place(project, name, files):
    address = project["project"]["urls"][name]
    without_scheme = address.partition("://")[2]
    assert without_scheme
    places = [
        path.relative_to(ROOT) for path in files_of_the_repository() if without_scheme.encode() in path.read_bytes()
    ]
    assert sorted(places) == [Path(file) for file in files]
    assert PROJECT.count(without_scheme) == 1


# The release script.


def test_a_tag_that_fits_is_not_refused(release):
    changelog = "## [Unreleased]\n\n## [1.2.0] - 2030-01-31\n"
    assert release.tag_mistakes("v1.2.0", "1.2.0", changelog, 'Repository = "https://example.org/a"') == []


@pytest.mark.parametrize(
    ("tag", "changelog", "project", "said"),
    [
        ("v1.3.0", "## [1.2.0] - 2030-01-31\n", "", "the tag must be v1.2.0"),
        ("1.2.0", "## [1.2.0] - 2030-01-31\n", "", "the tag must be v1.2.0"),
        ("v1.2.0", "## [Unreleased]\n", "", "no heading '## [1.2.0] - YYYY-MM-DD'"),
        ("v1.2.0", "## [1.2.0] - unreleased\n", "", "no heading '## [1.2.0] - YYYY-MM-DD'"),
        ("v1.2.0", "## [1x2.0] - 2030-01-31\n", "", "no heading '## [1.2.0] - YYYY-MM-DD'"),
        ("v1.2.0", "## [1.2.0] - 2030-01-31\n", 'R = "https://a.invalid/b"', "a placeholder"),
    ],
)
def test_a_tag_that_does_not_fit_is_refused(release, tag, changelog, project, said):
    (mistake,) = release.tag_mistakes(tag, "1.2.0", changelog, project)
    assert said in mistake


def test_the_scripts_version_is_the_packages(release):
    assert release.version_of(ROOT) == VERSION


GOOD_WHEEL = frozenset(
    {
        "accel_scaling/py.typed",
        "accel_scaling/catalogs/aws.csv",
        "accel_scaling/catalogs/accelerators.yaml",
        "accel_scaling/providers/aws/__init__.py",
        "accel_scaling-1.2.0.dist-info/licenses/LICENSE",
        "accel_scaling-1.2.0.dist-info/METADATA",
    }
)
GOOD_SDIST = frozenset(
    f"accel_scaling-1.2.0{name}"
    for name in ("", "/LICENSE", "/README.md", "/pyproject.toml", "/providers/aws.py", "/catalogs/aws.csv",
                 "/accel_scaling/version.py", "/tests/test_fill.py")
)  # fmt: skip


@pytest.mark.parametrize("name", ["providers", "catalogs", "tests", "benchmarks", "setup"])
def test_a_wheel_that_installs_something_generic_is_refused(release, name):
    assert release.wheel_mistakes(set(GOOD_WHEEL), "1.2.0") == []
    added = f"{name}/__init__.py"
    assert release.wheel_mistakes(GOOD_WHEEL | {added}, "1.2.0") == [
        f"the wheel would install {name} beside accel_scaling"
    ]


@pytest.mark.parametrize("name", sorted(GOOD_WHEEL - {"accel_scaling-1.2.0.dist-info/METADATA"}))
def test_a_wheel_without_what_users_need_is_refused(release, name):
    (mistake,) = release.wheel_mistakes(GOOD_WHEEL - {name}, "1.2.0")
    assert mistake.removeprefix("the wheel lacks ") in name


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "pyproject.toml", "providers/aws.py", "catalogs/aws.csv"])
def test_an_sdist_without_what_a_build_needs_is_refused(release, name):
    assert release.sdist_mistakes(set(GOOD_SDIST), "1.2.0") == []
    (mistake,) = release.sdist_mistakes(GOOD_SDIST - {f"accel_scaling-1.2.0/{name}"}, "1.2.0")
    assert mistake == f"the sdist lacks {name.removesuffix('.py')}"


def test_an_sdist_that_unpacks_beside_its_folder_is_refused(release):
    (mistake,) = release.sdist_mistakes(GOOD_SDIST | {"setup.py"}, "1.2.0")
    assert mistake == "the sdist has setup.py outside accel_scaling-1.2.0/"


def test_a_refused_tag_builds_nothing(tmp_path):
    files_of_the_repository()  # the script builds a commit
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tag", "v999.0.0", "--out", tmp_path / "dist"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the tag is v999.0.0" in done.stderr
    assert not (tmp_path / "dist").exists()


def test_each_option_that_the_document_names_is_the_scripts():
    options = set(re.findall(r"`?(--[a-z-]+)", (ROOT / "RELEASING.md").read_text(encoding="utf-8")))
    ours = {"--tag", "--no-rehearsal"}
    assert ours <= options
    words = [sys.executable, SCRIPT, "--help"]
    told = subprocess.run(
        words, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"}
    ).stdout
    assert ours <= set(re.findall(r"--[a-z-]+", told))


# Coverage.


def test_coverage_is_measured_of_each_folder_that_is_installed(project):
    folders = project["tool"]["setuptools"]["package-dir"].values()
    assert set(project["tool"]["coverage"]["run"]["source"]) == {Path(folder).parts[0] for folder in folders}
