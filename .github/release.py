#!/usr/bin/env python3
"""Build the wheel and the sdist of the commit that is checked out, and check them where a user meets them.

    .github/release.py                     builds into dist/, checks, installs, rehearses
    .github/release.py --no-rehearsal      all but the rehearsal, which needs Ray and a minute
    .github/release.py --tag v0.2.0        also refuses a tag that does not fit, as the release workflow does

Both files are built from the commit, not from the working tree: what git does not have cannot get in. The wheel is
built from the sdist, so the sdist is known to be complete. RELEASING.md says what comes before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "accel_scaling"
EXAMPLE = "example_clusters/aws-gpu.yaml"
# A rehearsal takes a minute. One that hangs must end before the CI job does; then its output is shown.
REHEARSAL_LIMIT_S = 900
CLEANUP_LIMIT_S = 60
# What every wheel must have: the types' marker, data of each kind, a cloud's provider; the license is added below.
WHEEL_NEEDS = (
    f"{PACKAGE}/py.typed",
    f"{PACKAGE}/catalogs/aws.csv",
    f"{PACKAGE}/catalogs/accelerators.yaml",
    f"{PACKAGE}/providers/aws",
)
SDIST_NEEDS = ("LICENSE", "README.md", "pyproject.toml", "providers/aws", "catalogs/aws.csv", f"{PACKAGE}/version.py")
PLACEHOLDER = ".invalid/"  # pyproject.toml has such an address until there is a repository


class RefusedError(Exception):
    """What was built, or what is to be built, must not be published."""


def version_of(folder: Path) -> str:
    """Return the version that a checkout states, in its one place."""
    found = re.search(r'^__version__ = "([^"]+)"$', (folder / PACKAGE / "version.py").read_text(), re.MULTILINE)
    if not found:
        raise RefusedError(f"{PACKAGE}/version.py has no line with __version__")
    return found[1]


def tag_mistakes(tag: str, version: str, changelog: str, project: str) -> list[str]:
    """Return why a tag cannot become a release: sentences, none where it can.

    Args:
        tag: the tag's name.
        version: the version in the code.
        changelog: the text of CHANGELOG.md.
        project: the text of pyproject.toml.
    """
    mistakes = []
    if tag != f"v{version}":
        mistakes.append(f"the tag is {tag}, and {PACKAGE}/version.py has {version}: the tag must be v{version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        mistakes.append(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'")
    if PLACEHOLDER in project:
        mistakes.append(
            "[project.urls] in pyproject.toml has a placeholder: put the real addresses there, and the one of the "
            f"documentation into {PACKAGE}/documentation.py too"
        )
    return mistakes


def _lacking(needed: Iterable[str], names: set[str]) -> list[str]:
    """Return what is needed and is neither a file, nor a module, nor a folder of the names."""
    return [
        need
        for need in needed
        if need not in names and f"{need}.py" not in names and not any(name.startswith(f"{need}/") for name in names)
    ]


def wheel_mistakes(names: set[str], version: str) -> list[str]:
    """Return what is wrong with the list of a wheel's files: sentences, none where it is right.

    An install puts the first part of each name into site-packages. A folder `tests` or `providers` there would be
    importable by everybody, and would hide the module of that name of another project.
    """
    information = f"{PACKAGE}-{version}.dist-info"
    tops = {name.partition("/")[0] for name in names}
    mistakes = [f"the wheel would install {top} beside {PACKAGE}" for top in sorted(tops - {PACKAGE, information})]
    needed = (*WHEEL_NEEDS, f"{information}/licenses/LICENSE")
    return mistakes + [f"the wheel lacks {need}" for need in _lacking(needed, names)]


def sdist_mistakes(names: set[str], version: str) -> list[str]:
    """Return what is wrong with the list of an sdist's files: sentences, none where it is right."""
    top = f"{PACKAGE}-{version}/"
    inside = {name.removeprefix(top) for name in names if name.startswith(top)}
    mistakes = [f"the sdist has {name} outside {top}" for name in sorted(names) if not f"{name}/".startswith(top)]
    return mistakes + [f"the sdist lacks {need}" for need in _lacking(SDIST_NEEDS, inside)]


def run(*words: str | Path, cwd: Path, limit_s: float | None = None, **environment: str) -> None:
    """Run a command whose output is shown; without PYTHONPATH, by which a checkout could answer for an install.

    Raises:
        RefusedError: it failed, or did not end.
    """
    line = " ".join(str(word) for word in words)
    print(f"\n$ {line}", flush=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    process = subprocess.Popen([str(word) for word in words], cwd=cwd, env={**kept, **environment})
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # as Ctrl-C: a rehearsal removes its hosts then
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(CLEANUP_LIMIT_S)
        process.kill()  # does nothing to one that has ended
        raise RefusedError(f"not ended after {limit_s:.0f} s: {line}") from None
    if code:
        raise RefusedError(f"exit code {code}: {line}")


def _environment(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment, and return the folder of its commands."""
    venv.create(folder, with_pip=True, symlinks=True)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", *requirements, cwd=folder)
    return folder / "bin"


def export(folder: Path) -> Path:
    """Write the files of the commit into a folder, its links as links."""
    archive = folder.with_suffix(".tar")
    run("git", "archive", "--output", archive, "HEAD", cwd=ROOT)
    folder.mkdir()
    run("tar", "-xf", archive, "-C", folder, cwd=ROOT)
    return folder


def build(source: Path, work: Path) -> tuple[Path, Path]:
    """Build both files, and check their lists and what an index would show of them.

    Returns:
        The wheel and the sdist.

    Raises:
        RefusedError: one of them is not right.
    """
    tools = _environment(work / "tools", "build", "twine")
    built = work / "built"
    # The commit's time: whoever builds the commit again gets the same wheel.
    written = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    run(tools / "python", "-m", "build", "--outdir", built, source, cwd=work, SOURCE_DATE_EPOCH=written.stdout.strip())
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    run(tools / "python", "-m", "twine", "check", "--strict", wheel, sdist, cwd=work)
    version = version_of(source)
    with zipfile.ZipFile(wheel) as in_wheel:
        mistakes = wheel_mistakes(set(in_wheel.namelist()), version)
    with tarfile.open(sdist) as in_sdist:
        mistakes += sdist_mistakes(set(in_sdist.getnames()), version)
    if mistakes:
        raise RefusedError("; ".join(mistakes))
    return wheel, sdist


def check_install(wheel: Path, source: Path, work: Path, *, rehearse: bool) -> None:
    """Install the wheel where nothing else is, and use it from a folder where no checkout is.

    Raises:
        RefusedError: a command failed, or a name became importable that is not ours alone.
    """
    commands = _environment(work / "installed", str(wheel))
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    generic = sorted(folder.name for folder in source.iterdir() if folder.is_dir() and folder.name != PACKAGE)
    look = "import importlib.util as u, sys; sys.exit(', '.join(n for n in sys.argv[1:] if u.find_spec(n)) or 0)"
    run(commands / "python", "-I", "-c", look, *(name for name in generic if name.isidentifier()), cwd=elsewhere)
    program, example = commands / "accel-scaling", source / EXAMPLE
    run(program, "--version", cwd=elsewhere)
    run(program, "catalog", "show", "p4d.24xlarge", cwd=elsewhere)
    run(program, "fill", example, cwd=elsewhere)
    if rehearse:
        run(commands / "python", "-m", "pip", "install", "-q", f"{wheel}[rehearse]", cwd=elsewhere)
        run(program, "rehearse", example, cwd=elsewhere, limit_s=REHEARSAL_LIMIT_S)


def shelf() -> Path:
    """Return the folder for environments of a moment."""
    # A rehearsal's isolated hosts have a /tmp of their own, and would not see an environment in ours.
    folder = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def release(out: Path, tag: str | None, *, rehearse: bool) -> None:
    """Build and check, and put both files into a folder only when all is right.

    Raises:
        RefusedError: says what must not be published, and why.
    """
    with tempfile.TemporaryDirectory(prefix=f"{PACKAGE}-release-", dir=shelf()) as name:
        work = Path(name)
        work.chmod(0o755)  # hosts run as other accounts, too
        source = export(work / "source")
        if tag:
            texts = ((source / file).read_text() for file in ("CHANGELOG.md", "pyproject.toml"))
            if mistakes := tag_mistakes(tag, version_of(source), *texts):
                raise RefusedError("; ".join(mistakes))
        files = build(source, work)
        check_install(files[0], source, work, rehearse=rehearse)
        out.mkdir(parents=True, exist_ok=True)
        for stale in out.glob(f"{PACKAGE}-*"):  # an upload takes the whole folder
            stale.unlink()
        for file in files:
            print(f"ok: {shutil.copy(file, out)}")


def main() -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="builds and checks the wheel and the sdist; RELEASING.md has the rest")
    parser.add_argument("--tag", help="refuse a tag that does not fit the version, the changelog and the addresses")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where both files go (dist/)")
    parser.add_argument(
        "--no-rehearsal", action="store_true", help="do not rehearse a cluster with the installed wheel"
    )
    words = parser.parse_args()
    try:
        release(words.out.resolve(), words.tag, rehearse=not words.no_rehearsal)
    except RefusedError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
