"""Messages name the page of the installed version, and each such page and heading exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from accel_scaling import documentation
from accel_scaling.boot.verdicts import VerdictWord, page_of
from accel_scaling.quarantine import messages
from accel_scaling.quarantine.machine import FAILURES, GONE
from accel_scaling.quarantine.record import Cause, Quarantine

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path for folder in ("accel_scaling", "providers") for path in (ROOT / folder).rglob("*.py") if not path.is_symlink()
)
A_FILE_OF_A_CLONE = re.compile(r"(?<![./\w])docs/[\w-]+|example_clusters/(?![\w-]+\.yaml)|\b[a-z-]+\.md\b")


@pytest.fixture(name="installed")
def installed_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The package as a wheel leaves it: no docs folder beside it. Returns the site's address of this version."""
    monkeypatch.setattr(documentation, "CHECKOUT", tmp_path)
    return f"{documentation.ADDRESS}/{documentation.__version__}"


def exists(link: str) -> bool:
    """Return whether a link into a checkout leads to a page, and to a heading of it."""
    path, _, anchor = link.partition("#")
    if not anchor:
        return (ROOT / path).exists()
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def calls() -> list[tuple[str, str, list[ast.expr]]]:
    """Return each call of a function of ``documentation``: where it is, which one, its arguments."""
    found = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            function = node.func if isinstance(node, ast.Call) else None
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "documentation":
                assert isinstance(node, ast.Call)
                found.append((f"{source.relative_to(ROOT)}:{node.lineno}", function.attr, node.args))
    return found


def test_each_page_and_heading_that_a_message_names_exists() -> None:
    fixed = [
        (where, name, [arg.value for arg in arguments if isinstance(arg, ast.Constant)])
        for where, name, arguments in calls()
        if all(isinstance(argument, ast.Constant) for argument in arguments)
    ]
    assert len(fixed) > 5
    for where, name, words in fixed:
        assert exists(getattr(documentation, name)(*words)), where


@pytest.mark.parametrize("word", VerdictWord)
def test_the_page_has_a_heading_for_each_verdict(word: VerdictWord) -> None:
    assert exists(page_of(word))


@pytest.mark.parametrize("reason", [*FAILURES, GONE, "DriverMissing"])
def test_the_advice_of_a_quarantine_names_a_heading_that_exists(reason: str) -> None:
    cause = Cause.REFUSED if reason == "DriverMissing" else Cause.FAILED
    text = messages.advice(Quarantine("*", cause, reason, "", 0, 0))
    (link,) = re.findall(r"docs/\S+\.md#[\w-]+", text)
    assert exists(link), text


def test_an_installed_package_names_the_page_of_its_version(installed: str) -> None:
    assert page_of(VerdictWord.DRIVER_MISSING) == f"{installed}/verdicts/#drivermissing"
    assert documentation.examples() == f"{installed}/examples/"
    assert documentation.file("iam/aws-cloudwatch.json") == f"{installed}/iam/aws-cloudwatch.json"


def test_a_version_that_is_no_release_names_the_pages_of_the_main_branch(
    installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documentation, "__version__", "0.2.0.dev1")
    assert documentation.page("plan") == f"{documentation.ADDRESS}/main/plan/"


def test_the_address_is_the_one_of_the_projects_metadata(project: dict) -> None:
    assert project["project"]["urls"]["Documentation"] == documentation.ADDRESS


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_names_a_file_that_only_a_clone_has(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = [
        (node.lineno, named[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if (named := A_FILE_OF_A_CLONE.search(node.value)) and source.name != "documentation.py"
    ]
    assert found == [], "name it with accel_scaling.documentation"
