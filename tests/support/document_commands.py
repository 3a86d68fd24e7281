"""Commands that a document shows: each exists, and takes the arguments that it is given there."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from accel_scaling import __version__
from accel_scaling.cli.main import main
from accel_scaling.testing.faults import all_of
from tests.support.contributing import ROOT


def check_ours(words: list[str], desk: Path) -> None:
    """Let the command parse its arguments, and take them where it would begin to work."""
    taken = []
    with pytest.MonkeyPatch.context() as patched:
        module = importlib.import_module(f"accel_scaling.cli.{words[1]}")
        patched.setattr(module, "run", lambda args: taken.append(args) or 0)
        assert main(words[1:]) == 0
    (args,) = taken
    for name in ("cluster", "files"):
        given = getattr(args, name, None) or []
        for path in given if isinstance(given, list) else [given]:
            # OLD.yaml, in capitals, stands for a file of the reader.
            assert str(path) == "-" or path.stem.isupper() or path.exists(), path
    all_of(getattr(args, "fault", []))


def check_ray(words: list[str], desk: Path) -> None:
    from ray.scripts.scripts import cli

    command = cli.commands[words[1]]
    context = command.make_context(words[1], words[2:])
    for name in ("cluster_config_file", "script"):
        if context.params.get(name):
            assert (desk / context.params[name]).exists(), context.params[name]


def check_pip(words: list[str], desk: Path) -> None:
    if (ROOT / words[-1] / "pyproject.toml").is_file() and words[1] != "wheel":
        assert words[1:-1] == ["install"], words
        return
    wheel = rf"dist/accel_scaling-{re.escape(__version__)}-py3-none-any\.whl"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if words[1] == "wheel" or "--no-deps" in words:
        assert words[-1] == "." or re.fullmatch(wheel, words[-1]), words
        return
    assert words[1] == "install"
    extras = re.fullmatch(rf"(?:\.|accel-scaling|{wheel})\[([\w,]+)\]", words[-1])
    if not extras:
        assert all(re.search(rf'^    "{name}[>"]', project, re.MULTILINE) for name in words[2:]), words
        return
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[$", project, re.MULTILINE)  # Python 3.10 has no tomllib


def check_python(words: list[str], desk: Path) -> None:
    assert words[1:3] == ["-m", "venv"] or (ROOT / words[1]).is_file(), words


def check_run(words: list[str], desk: Path) -> None:
    assert os.access(ROOT / words[0], os.X_OK), words


def check_aws(words: list[str], desk: Path) -> None:
    """Look the operation and its parameters up in AWS's own description of the service."""
    import botocore
    import botocore.session

    service = botocore.session.get_session().get_service_model(words[1])
    operation = service.operation_model("".join(part.capitalize() for part in words[2].split("-")))
    taken = {"--" + botocore.xform_name(name, "-") for name in operation.input_shape.members}
    assert {word for word in words if word.startswith("--")} <= taken, taken


def check_sed(words: list[str], desk: Path) -> None:
    """Fill a policy in: what comes out is JSON without a placeholder."""
    done = subprocess.run(words[: words.index(">")], capture_output=True, text=True, cwd=desk, check=True)
    assert json.loads(done.stdout)["Statement"]
    assert re.findall(r"\b[A-Z]{4,}\b", done.stdout) == []


CHECKS = {
    "accel-scaling": check_ours,
    "aws": check_aws,
    "sed": check_sed,
    "ray": check_ray,
    "pip": check_pip,
    "python3": check_python,
    "run": check_run,
    "echo": lambda words, desk: None,
    "export": lambda words, desk: None,
}
