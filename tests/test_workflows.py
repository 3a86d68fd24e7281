"""The workflows of continuous integration, and the hooks before a commit: what runs, with which rights, and when."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import documentation
from accel_scaling._ray import versions
from tests import ray_versions

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMIT = re.compile(r"[0-9a-f]{40}")

# The jobs that may write, and what: publishing asks the index for a token, the notes make the release's page, the site
# adds its pages to a branch.
MAY_WRITE = {
    ("release.yml", "publish"): {"id-token": "write"},
    ("release.yml", "notes"): {"contents": "write"},
    ("release.yml", "site"): {"contents": "write"},
    ("site.yml", "publish"): {"contents": "write"},
}


def read_yaml(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(name="hooks", scope="module")
def hooks_fixture() -> list[dict[str, Any]]:
    repositories = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert isinstance(repositories, list)
    return repositories


# Continuous integration.


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_yaml_that_says_when_it_runs_and_each_job_ends(path):
    workflow = read_yaml(path)
    assert workflow[True], "YAML 1.1 reads the key `on` as true"
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_permission_that_it_does_not_need(path):
    workflow = read_yaml(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        allowed = MAY_WRITE.get((path.name, name), {"contents": "read"})
        assert job.get("permissions", {"contents": "read"}) == allowed


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_with_its_version_beside_it(path):
    used = re.findall(r"^ *(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for action in used:
        if action.startswith("./"):
            assert (ROOT / action).is_file()
        else:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_token_is_left_in_a_checkout_and_no_input_is_pasted_into_a_shell(path):
    for job in read_yaml(path)["jobs"].values():
        for step in job.get("steps", ()):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # What others can choose (titles, names of branches) would be a command there; an environment is data.
            assert not re.search(r"\$\{\{ *(github|inputs)\b", step.get("run", ""))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_script_that_a_workflow_runs_is_there_and_executable(path):
    steps = [step for job in read_yaml(path)["jobs"].values() for step in job.get("steps", ())]
    scripts = {word for step in steps for word in step.get("run", "").split() if re.match(r"(tests|\.github)/", word)}
    for script in scripts:
        assert os.access(ROOT / script, os.X_OK), script


def test_ci_tests_each_python_that_pip_accepts(project):
    (matrix,) = re.findall(r"python: \[(.+)\]", (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    tested = matrix.replace('"', "").split(", ")
    named = [line.rpartition(" ")[2] for line in project["project"]["classifiers"] if re.search(r":: 3\.\d+$", line)]
    first, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["project"]["requires-python"]).groups()
    accepted = [f"3.{minor}" for minor in range(int(first), int(above))]
    assert tested == named == accepted


def test_a_release_publishes_the_pages_that_its_messages_link_to():
    release, site = (read_yaml(ROOT / ".github/workflows" / name) for name in ("release.yml", "site.yml"))
    assert release["jobs"]["site"]["uses"] == "./.github/workflows/site.yml"
    script = site["jobs"]["publish"]["steps"][-1]["run"]
    assert 'mike deploy --update-aliases "${GITHUB_REF_NAME#v}" latest' in script
    assert f"mike deploy {documentation._UNRELEASED} " in script


def test_every_change_runs_what_the_readme_runs():
    jobs = read_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]
    for name in ("tests", "root"):
        assert jobs[name]["steps"][-1]["run"].endswith("tests/run")


def test_the_nightly_run_tries_the_oldest_ray_and_those_that_are_newer_than_the_checked_ones():
    jobs = read_yaml(ROOT / ".github/workflows/nightly.yml")["jobs"]
    tried = jobs["ray-versions"]["strategy"]["matrix"]["ray"]
    assert tried[0] == versions.minor_text(versions.FLOOR)
    assert {ray_versions.NEWEST, ray_versions.PRE_RELEASE} < set(tried)
    assert any("tests/ray_versions.py" in step.get("run", "") for step in jobs["ray-versions"]["steps"])
    job = jobs["newest-ray"]
    assert any("install --upgrade" in step.get("run", "") and "'ray[" in step["run"] for step in job["steps"])


def test_the_nightly_run_tries_more_random_examples_and_measures_coverage():
    job = read_yaml(ROOT / ".github/workflows/nightly.yml")["jobs"]["thorough"]
    assert job["steps"][-1]["run"] == "tests/run --thorough"


def test_the_nightly_run_rehearses_all_stock_files():
    (step,) = read_yaml(ROOT / ".github/workflows/nightly.yml")["jobs"]["stock-files"]["steps"][-1:]
    assert step["run"].endswith(" tests/migration/")
    listed = subprocess.run(
        [sys.executable, *step["run"].split()[1:], "--collect-only", "-q", "-p", "no:cacheprovider"],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, **step["env"]},
    ).stdout  # fmt: skip
    names = set(re.findall(r"\[(.+)\]$", listed, re.MULTILINE))
    assert names == {path.stem for path in (ROOT / "tests/migration/stock").glob("*.yaml")}


def test_the_help_of_the_tests_names_each_mode():
    told = subprocess.run([ROOT / "tests" / "run", "--help"], capture_output=True, text=True, check=True).stdout
    modes = re.findall(r"^        (--\w+)\) mode=", (ROOT / "tests" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert modes == ["--quick", "--thorough"]
    assert all(f"tests/run {mode} " in told for mode in modes)


def test_nothing_is_published_that_was_not_tested_and_checked():
    jobs = read_yaml(ROOT / ".github/workflows/release.yml")["jobs"]
    assert [jobs[name].get("needs") for name in ("tests", "build", "publish", "notes")] == [
        None, "tests", "build", "publish",
    ]  # fmt: skip
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert any(step.get("run") == '.github/release.py --tag "$GITHUB_REF_NAME"' for step in jobs["build"]["steps"])


def test_what_can_publish_runs_no_code_of_the_repository():
    job = read_yaml(ROOT / ".github/workflows/release.yml")["jobs"]["publish"]
    assert job["environment"] == "pypi"
    assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


# Hooks.


def test_a_hook_of_others_is_pinned_by_its_commit(hooks):
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    others = [repository for repository in hooks if repository["repo"] != "local"]
    assert others
    for repository in others:
        assert COMMIT.fullmatch(repository["rev"])
        assert re.search(rf"{repository['rev']}  # frozen: v[\d.]+$", text, re.MULTILINE)


def test_links_that_became_files_are_found_before_a_commit(hooks):
    ids = {hook["id"] for repository in hooks for hook in repository["hooks"]}
    assert {"check-symlinks", "destroyed-symlinks", "check-added-large-files"} <= ids


def test_the_hooks_that_ci_leaves_out_are_those_that_tests_run_has(hooks):
    local = [hook["id"] for repository in hooks if repository["repo"] == "local" for hook in repository["hooks"]]
    steps = read_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]["hooks"]["steps"]
    assert steps[-1]["env"]["SKIP"].split(",") == local
