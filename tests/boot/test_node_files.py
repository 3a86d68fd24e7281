"""What stays on a node: bundles that nobody uses are removed, those of running processes are not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from accel_scaling import timeouts
from accel_scaling.boot import start_hook
from accel_scaling.boot.node_files import remove_unused_bundles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home with three bundles in the folder of bundles, and one where earlier versions had it."""
    monkeypatch.setattr(timeouts, "NODE_BUNDLE_UNUSED_S", -1)
    home = tmp_path / "node"
    for name in (".accel_scaling_bundle/now", ".accel_scaling_bundle/used", ".accel_scaling_bundle/old"):
        (home / name / "accel_scaling").mkdir(parents=True)
    (home / ".accel_scaling" / "bundle" / "catalog").mkdir(parents=True)
    (home / ".accel_scaling" / "verdict.json").touch()
    return home


def bundles_in(home: Path) -> set[str]:
    former = {"former"} if (home / ".accel_scaling" / "bundle").exists() else set()
    return former | {path.name for path in (home / ".accel_scaling_bundle").iterdir()}


def test_a_bundle_that_a_running_process_has_in_its_path_stays(home: Path) -> None:
    folder = home / ".accel_scaling_bundle"
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"/other:{folder / 'used'}"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdin is not None
        running.stdout.readline()
        remove_unused_bundles(folder / "now", home)
        assert bundles_in(home) == {"now", "used"}
        running.stdin.close()
    remove_unused_bundles(folder / "now", home)
    assert bundles_in(home) == {"now"}
    assert (home / ".accel_scaling" / "verdict.json").exists()


def test_a_bundle_that_has_just_come_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another `ray up` may be between its copy and its start."""
    monkeypatch.setattr(timeouts, "NODE_BUNDLE_UNUSED_S", 3600)
    remove_unused_bundles(home / ".accel_scaling_bundle" / "now", home)
    assert bundles_in(home) == {"now", "used", "old", "former"}


def test_where_the_kernel_says_nothing_of_processes_all_stay(home: Path, tmp_path: Path) -> None:
    remove_unused_bundles(home / ".accel_scaling_bundle" / "now", home, processes=tmp_path / "nothing")
    assert bundles_in(home) == {"now", "used", "old", "former"}


def test_an_installed_package_removes_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "NODE_BUNDLE_UNUSED_S", -1)
    site = tmp_path / "lib" / "site-packages"
    (site.parent / "other").mkdir(parents=True)
    site.mkdir()
    remove_unused_bundles(site, tmp_path)
    assert (site.parent / "other").is_dir()


def test_a_verdict_that_cannot_be_written_is_a_refusal_in_one_sentence_and_no_traceback(
    boot: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from types import SimpleNamespace

    (tmp_path / "home" / ".accel_scaling").write_text("in the way")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')
    with pytest.raises(SystemExit) as end:
        start_hook.run(SimpleNamespace(labels=None), head=True)
    assert end.value.code == 3
    said = capsys.readouterr().err.splitlines()
    assert "Confirmed: no accelerator is promised" in said[0]
    assert "the verdict cannot be written" in said[1]
    assert "so this node does not join; free some space, or make HOME or /tmp a folder" in said[1]
    # In a pod of KubeRay nobody reads the file.
    monkeypatch.setenv("RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    start_hook.run(SimpleNamespace(labels=None), head=True)
