"""Where the mistakes of the first hour are made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accel_scaling.cli.main import main
from tests.support.aws_clients import forget_clients
from tests.support.homes import make_home

ROOT = Path(__file__).resolve().parents[2]
AWS, GCP = (yaml.safe_load((ROOT / "example_clusters" / name).read_text()) for name in ("aws-gpu.yaml", "gcp-gpu.yaml"))


class Desk:
    """Where the mistakes are made: a folder, a home, no credentials; each way of asking returns what a person reads."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.patch, self._capsys = folder, patch, capsys

    def ours(self, *words: str | Path) -> str:
        assert main([str(word) for word in words]) == 2
        said = self._capsys.readouterr()
        assert said.err.startswith("accel-scaling: ")
        assert said.err.count("\n") == 1
        return said.err.removeprefix("accel-scaling: ").strip()

    def file(self, config: dict[str, Any] | str) -> Path:
        path = self.folder / "cluster.yaml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        return path

    def fill(self, config: dict[str, Any] | str) -> str:
        return self.ours("fill", self.file(config))

    def ray_up(self, config: dict[str, Any]) -> str:
        from ray.scripts.scripts import cli

        done = CliRunner().invoke(cli, ["up", "-y", "--no-config-cache", str(self.file(config))])
        assert done.exit_code == 1
        if not isinstance(done.exception, SystemExit):  # Ray's own, which it prints with a traceback
            return f"{type(done.exception).__name__}: {done.exception}"
        sentences = re.findall(r"^Error: (.*)$", done.output, re.MULTILINE)
        assert len(sentences) == 1, done.output
        return str(sentences[0])

    def ray_up_without(self, *modules: str) -> str:
        """The last line of `ray up` in an environment in which these modules are not installed."""
        code = WITHOUT.format(modules=modules)
        words = [
            sys.executable,
            "-c",
            code,
            "up",
            "-y",
            "--no-config-cache",
            self.file(AWS if "botocore" in modules else GCP),
        ]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        return done.stderr.strip().splitlines()[-1].removeprefix("Error: ")


WITHOUT = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {modules!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)
from ray.scripts.scripts import main
main()
"""


@pytest.fixture(name="shared_home", scope="module")
def shared_home_fixture(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Path:
    """One home for all mistakes."""
    return make_home(tmp_path_factory.mktemp("desk") / "home", bundles)


@pytest.fixture(name="desk")
def desk_fixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared_home: Path
) -> Desk:
    monkeypatch.setenv("HOME", str(shared_home))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.chdir(tmp_path)
    forget_clients(monkeypatch)
    return Desk(tmp_path, monkeypatch, capsys)


def changed(config: dict[str, Any], path: str, *value: Any) -> dict[str, Any]:
    """A copy of a config with one key changed, or removed where there is no value."""
    copy = yaml.safe_load(yaml.safe_dump(config))
    *folders, last = path.split("/")
    at = copy
    for key in folders:
        at = at[key]
    if value:
        at[last] = value[0]
    else:
        del at[last]
    return copy
