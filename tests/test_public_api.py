"""What users rely on: the command's words and exit codes, the provider's path, and how little an import costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import accel_scaling
from accel_scaling.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "accel_scaling"
HEAVY = ("ray", "boto3", "botocore", "moto", "grpc", "numpy", "click")

# Import what is named on the command line and print which heavy packages came along, and because of whom.
IMPORT = """
import importlib, json, sys
blamed = {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    came = sorted({module.partition(".")[0] for module in set(sys.modules) - before} & set(sys.argv[1].split()))
    if came:
        blamed[name] = came
print(json.dumps(blamed))
"""


def modules() -> list[str]:
    """Return every module of the package but the providers, whose base class is Ray's."""
    files = [file for file in PACKAGE.rglob("*.py") if "providers" not in file.parts and file.name != "__main__.py"]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return sorted(name.removesuffix(".__init__") for name in names)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accel_scaling", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_no_module_but_the_providers_imports_ray_or_a_cloud_sdk():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, " ".join(HEAVY), *modules()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_walk_over_the_modules_finds_them():
    assert {"accel_scaling", "accel_scaling._ray", "accel_scaling.boot.start_hook", "accel_scaling.fill"} <= set(
        modules()
    )


@pytest.mark.parametrize("name", ["accel_scaling.cli.main", "accel_scaling.cli.confirm", "accel_scaling.cli.catalog"])
def test_a_light_command_imports_no_other_commands_module(name):
    code = f"import sys, {name}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    at_home = ("testing",)
    heavy = {f"accel_scaling.{package}" for package in at_home}
    assert not heavy & set(done.stdout.split())


def test_the_module_path_in_cluster_files_is_a_provider_that_ray_accepts():
    from ray.autoscaler._private.providers import _get_node_provider_cls
    from ray.autoscaler.node_provider import NodeProvider

    config = {"type": "external", "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"}
    assert issubclass(_get_node_provider_cls(config), NodeProvider)


def test_the_version_is_one_that_package_indexes_sort():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", accel_scaling.__version__)
    assert command("--version").stdout == f"accel-scaling {accel_scaling.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    done = command(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"accel-scaling {name}" in done.stdout.partition("\n\n")[2], "no example after the usage"


def test_the_help_names_every_command():
    done = command("--help")
    assert [name for name in COMMANDS if not re.search(rf"^\s+{name}\s", done.stdout, re.MULTILINE)] == []


def test_no_command_at_all_shows_the_help_and_is_bad_usage():
    done = command()
    assert (done.returncode, done.stdout) == (2, command("--help").stdout)


@pytest.mark.parametrize("name", ["fil", "--fill"])
def test_an_unknown_command_is_bad_usage_in_one_sentence_without_a_traceback(name):
    done = command(name)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_users_mistake_exits_with_2_and_one_line_that_names_the_command(tmp_path):
    done = command("fill", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"accel-scaling: {tmp_path / 'none.yaml'} does not exist\n"


def test_output_that_nobody_reads_any_more_is_no_error():
    line = f'"{sys.executable}" -m accel_scaling catalog find | head -n 1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
