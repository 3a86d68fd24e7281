"""The documentation site from the pages as forges show them; mkdocs.yml names this file.

The pages are written for a forge, where most people meet them first. For the site,

- files of the top folder, such as CONTRIBUTING.md, become pages;
- links to files that are no pages lead to the repository, and those to pages have their headings for a name;
- the page of the examples shows the files whole, as a reader of the site may have no clone;
- lists are indented as the site's Markdown wants it;
- the addresses are those of pyproject.toml.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[2]
# The branch or tag that links to the repository lead to; the workflow names the tag of a release.
REF = os.environ.get("DOCS_REF", "main")
# Pages of the site that are files outside of docs/.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "SECURITY.md": "reporting-a-weakness.md",  # docs/security.md is the page about the security of a cluster
    "benchmarks/README.md": "benchmarks.md",
}
EXAMPLES = "examples.md"
FILES = {page: file for file, page in PAGES.items()}

_LINK = re.compile(r"(?:\[(?P<text>[\w./-]+\.md)\]|(?<=\]))\((?P<path>[^)#\s:]+)(?P<anchor>#[\w-]*)?\)")
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_ITEM = re.compile(r"(?P<marker>[-*+]|\d+\.)(?P<space> +)")
_STEP = 4  # columns by which Python-Markdown indents what belongs to an item of a list


def address(name: str) -> str:
    """Return an address of ``[project.urls]``, without a slash at its end."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'^{name} = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError(f"[project.urls] in pyproject.toml has no {name}")
    return found[1].rstrip("/")


def on_config(config: Any) -> Any:
    """Take the addresses from pyproject.toml, and make anchors as forges do."""
    config.site_url = f"{address('Documentation')}/{REF.removeprefix('v')}/"  # each version has a folder
    config.repo_url = address("Repository")
    config.repo_name = "accel_scaling"
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are files outside of docs/."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / file).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Return a page's text with links and lists as the site needs them."""
    source = page.file.src_uri
    folder = posixpath.dirname(FILES.get(source, f"docs/{source}"))
    known = {file.src_uri for file in files if file.inclusion.is_included()}
    text = indented(linked(markdown, folder, posixpath.dirname(source), known))
    return text + _example_files() if source == EXAMPLES else text


def linked(text: str, folder: str, place: str, known: set[str]) -> str:
    """Return a text whose links lead to pages and files of the site, and else to the repository.

    Args:
        text: Markdown; code blocks stay as they are.
        folder: the folder of the repository from which the links are written.
        place: the folder of the page on the site.
        known: the files of the site.
    """

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["path"]))
        here = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        anchor = match["anchor"] or ""
        if here in known:
            return f"{_named(match['text'], path)}({posixpath.relpath(here, place or '.')}{anchor})"
        if not (ROOT / path).exists():
            return match[0]  # mkdocs reports it
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{_named(match['text'], '')}({address('Repository')}/{kind}/{REF}/{path}{anchor})"

    fence = ""
    lines = []
    for line in text.split("\n"):
        fence = _fence_after(line, fence)
        lines.append(line if fence else _LINK.sub(target, line))
    return "\n".join(lines)


def _named(text: str | None, path: str) -> str:
    """Return the text of a link in brackets: a page's heading in place of its file's name; nothing where it stays."""
    if text is None or not path:
        return f"[{text}]" if text else ""
    heading = (ROOT / path).read_text(encoding="utf-8").partition("\n")[0]
    return f"[{heading.removeprefix('# ').partition(':')[0]}]"


def _example_files() -> str:
    folder, languages = ROOT / "example_clusters", {".yaml": "yaml", ".py": "python"}
    paths = [path for suffix in languages for path in sorted(folder.glob(f"*{suffix}"))]
    return "".join(
        f"\n## {path.name}\n\n```{languages[path.suffix]}\n{path.read_text(encoding='utf-8')}```\n" for path in paths
    )


def _fence_after(line: str, fence: str) -> str:
    """Return the fence of the code block that is open after a line; empty where none is."""
    found = _FENCE.match(line)
    if not found:
        return fence
    if not fence:
        return found[1]
    return "" if found[1].startswith(fence) and not line.strip(" `~") else fence


def indented(text: str) -> str:
    """Return a text whose lists Python-Markdown reads as forges do.

    A forge takes what is indented by the width of an item's marker for a part of the item; Python-Markdown wants four
    columns. A forge lets a list follow a paragraph at once; Python-Markdown wants an empty line between.
    """
    widths: list[int] = []  # where the text of each open item begins
    lines: list[str] = []
    fence, item_before = "", False
    for line in text.split("\n"):
        was_open, fence = fence, _fence_after(line, fence)
        if not line.strip():
            lines.append("")
            continue
        indent = len(line) - len(line.lstrip(" "))
        if not was_open:
            while widths and indent < widths[-1]:
                widths.pop()
        base = widths[-1] if widths else 0
        rest = line[min(base, indent) :]
        item = None if was_open or fence else _ITEM.match(rest)
        if item and lines and lines[-1] and not item_before:
            lines.append("")
        lines.append(" " * (_STEP * len(widths)) + rest)
        if item:
            widths.append(base + item.end())
        item_before = bool(item) or (item_before and bool(widths))
    return "\n".join(lines)
