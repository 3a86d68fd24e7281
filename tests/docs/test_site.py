"""The documentation site: built without a warning, whole, as forges show the pages, and without other servers."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import markdown_it
import pytest
import yaml

from tests.support.contributing import ROOT

DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
# What a reader sees of a page's structure, whatever program makes HTML of it.
COUNTED = ("ol", "ul", "li", "pre", "table", "tr", "img", "h1", "h2", "h3", "h4", "strong", "em")


class Tags(HTMLParser):
    """Counts the elements of a page's text; permalinks, code and other decoration of the site are not counted."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.counts: collections.Counter[str] = collections.Counter()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in COUNTED:
            self.counts[tag] += 1


@pytest.fixture(name="site", scope="module")
def site_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as its workflow builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def html_of(site: Path, page: str) -> str:
    place = Path(page).with_suffix("")
    return (site / (place.parent if place.name == "index" else place) / "index.html").read_text(encoding="utf-8")


def text_of(site: Path, page: str) -> str:
    """Return the HTML of a page's own text."""
    html = html_of(site, page)
    return html.partition('<article class="md-content__inner md-typeset">')[2].partition("</article>")[0]


def in_nav(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    assert isinstance(parts, collections.abc.Iterable)
    return [page for part in parts for page in in_nav(part)]


def test_each_page_is_in_the_navigation_once() -> None:
    pages = in_nav(yaml.safe_load(CONFIG)["nav"])
    assert [page for page in PAGES if page not in pages] == [], "add the page to `nav` in mkdocs.yml"
    assert len(pages) == len({*pages})


def test_the_site_is_built_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "search" / "search_index.json").is_file()


@pytest.mark.parametrize("page", [page for page in PAGES if "api/" not in page and page != "examples.md"])
def test_a_page_has_the_same_lists_tables_and_code_blocks_on_the_site_as_on_a_forge(site: Path, page: str) -> None:
    forge = markdown_it.MarkdownIt("commonmark").enable("table").render((DOCS / page).read_text(encoding="utf-8"))
    assert Tags(text_of(site, page)).counts == Tags(forge).counts


def test_a_page_from_outside_of_docs_has_its_lists_and_links(site: Path) -> None:
    text = text_of(site, "contributing.md")
    forge = markdown_it.MarkdownIt("commonmark").enable("table").render((ROOT / "CONTRIBUTING.md").read_text())
    assert Tags(text).counts == Tags(forge).counts
    assert 'href="../design-decisions/"' in text


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    loads = r'<(?:script|img|iframe)[^>]* src="?(https?:[^" >]+)|<link(?! rel="?canonical)[^>]* href="?(https?:[^" >]+)'
    for path in site.rglob("*.html"):
        assert re.findall(loads, path.read_text(encoding="utf-8")) == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()[^;)]*https?:", path.read_text(encoding="utf-8")) == [], path


def test_links_to_the_repository_lead_to_files_that_are_there(site: Path) -> None:
    found = {
        link
        for path in site.rglob("*.html")
        for link in re.findall(r'https://[^"]+/accel_scaling/(?:blob|tree)/main/([^"#]+)', path.read_text("utf-8"))
    }
    assert "example_clusters/aws-gpu.yaml" in found
    assert [link for link in found if not (ROOT / link).exists()] == []


def test_the_page_of_the_examples_has_each_file_whole(site: Path) -> None:
    shown = re.sub(r"<[^>]+>", "", text_of(site, "examples.md"))
    for path in (ROOT / "example_clusters").iterdir():
        assert f'id="{path.name.replace(".", "")}"' in text_of(site, "examples.md")
        assert path.read_text(encoding="utf-8").splitlines()[-1].strip() in shown
        assert f"({path.relative_to(ROOT).as_posix()})" in (DOCS / "examples.md").read_text().replace("../", "")


def test_the_python_pages_have_the_functions_that_programs_call(site: Path) -> None:
    text = html_of(site, "api/tasks.md")
    for name in ("remote", "options", "bundle", "get_acc_ids"):
        assert f'id="accel_scaling.accs.remote.{name}"' in text
    assert "NVIDIA_A100_80G" in text
