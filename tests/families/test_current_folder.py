"""What is in the current folder, which may be another user's, is never imported: no plug-in, no module at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.boot.bundle import build, content_of
from accel_scaling.detect import vendor_package
from accel_scaling.families.plugins import entry_points
from accel_scaling.import_path import import_folders, runs_this_package
from accel_scaling.providers.aws.local_cloud import LocalEC2
from accel_scaling.testing.hosts.settings import HostKind

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "from accel_scaling.cli.main import main; raise SystemExit(main())"
OTHERS = ("yaml", "ray", "moto", "werkzeug", "boto3", "botocore", "google", "amdsmi", "evil_plug_in")


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder: it has a plug-in, and a module of each name that a program may import."""
    code = "import sys; import runpy; print(*sys.modules)"
    before = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    # What Python itself has loaded before it comes to any module of ours cannot be kept away by us.
    names = {*sys.stdlib_module_names, *OTHERS} - set(before.split())
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'a').write('{name} ')\n")
    metadata = folder / "evil-1.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text("[accel_scaling.families]\nEVIL = evil_plug_in:FAMILY\n")
    monkeypatch.chdir(folder)
    return folder


def run(folder: Path, words: list[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert not (folder / "imported").exists(), (folder / "imported").read_text()
    assert "EVIL" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("options", [["-m"], ["-Bm"], ["-X", "dev", "-W", "ignore", "-m"]])
def test_python_m_in_another_users_folder_imports_nothing_from_there(options: list[str], folder: Path) -> None:
    done = run(folder, [sys.executable, *options, "accel_scaling", "detect"], PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    module = [sys.executable, *options, "accel_scaling.boot.start_hook"]
    assert run(folder, module, PYTHONPATH=str(ROOT)).returncode == 0


@pytest.mark.parametrize("path", [f":{ROOT}", f"{ROOT}:", f"{ROOT}::"])
def test_an_empty_entry_of_pythonpath_brings_no_plug_in_of_the_current_folder(path: str, folder: Path) -> None:
    for name in sys.stdlib_module_names:
        # Python itself looks for these there, before it comes to us; the plug-in stays.
        (folder / f"{name}.py").unlink(missing_ok=True)
    for words in ([sys.executable, "-m", "accel_scaling", "detect"], [sys.executable, script(folder.parent), "detect"]):
        assert run(folder, words, PYTHONPATH=path).returncode == 0


def script(folder: Path) -> Path:
    """Return a script as pip writes it for the command."""
    path = folder / "accel-scaling"
    path.write_text(SCRIPT)
    return path


def test_the_command_on_a_node_imports_nothing_from_the_current_folder(folder: Path, tmp_path: Path) -> None:
    bundle = content_of(build(tmp_path / "cache"))
    for name in ("accel_scaling", "runpy"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'a').write('{name} ')\n")
    python = {"ACCEL_SCALING_PYTHON": sys.executable, "PYTHONPATH": str(bundle)}
    done = run(folder, [bundle / "bin" / "accel-scaling", "detect", "--json"], **python)
    assert (done.returncode, done.stdout[:1]) == (0, "["), done.stderr


def test_a_local_clouds_process_imports_nothing_from_the_current_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "accel_scaling.py").write_text(f"open({str(folder / 'imported')!r}, 'a').write('accel_scaling ')\n")
    with LocalEC2(tmp_path / "cloud", kind=HostKind.PROCESSES):
        pass
    assert not (folder / "imported").exists(), (folder / "imported").read_text()


@pytest.mark.usefixtures("folder")
def test_a_makers_package_is_not_taken_from_the_current_folder(folder: Path) -> None:
    assert vendor_package.ask("amdsmi", "say(1)").absent
    assert not (folder / "imported").exists(), (folder / "imported").read_text()


def test_a_program_sees_no_plug_in_of_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", os.curdir, *sys.path])
    assert [entry for entry in entry_points() if entry.resource == "EVIL"] == []
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])  # as an editable install's, by its name
    assert [entry.package for entry in entry_points() if entry.resource == "EVIL"] == ["evil"]


def test_the_current_folder_stays_where_pythonpath_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(folder), "/usr/lib/python3"])
    monkeypatch.setenv("PYTHONPATH", f"{folder}:")
    assert import_folders() == [str(folder), "/usr/lib/python3"]
    monkeypatch.setenv("PYTHONPATH", ":/usr/lib/python3")
    assert import_folders() == ["/usr/lib/python3"]


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["-m", "accel_scaling", "fill"], True),
        (["-maccel_scaling.cli.main"], True),
        (["-W", "error", "-Bm", "accel_scaling"], True),
        (["-m", "pytest", "-m", "accel_scaling"], False),
        (["-c", "-m", "accel_scaling"], False),
        (["train.py", "-m", "accel_scaling"], False),
        (["-Xm", "-m", "accel_scaling_tools"], False),
        ([], False),
    ],
)
def test_only_a_command_line_of_this_package_takes_the_first_folder_away(words: list[str], ours: bool) -> None:
    assert runs_this_package(words) is ours
