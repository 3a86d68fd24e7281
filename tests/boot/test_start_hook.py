"""On the node: the script that `ray start` runs behind, and the hook that lets it join or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.boot import bundle
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED

SCRIPT = Path(bundle.__file__).with_name("before_ray_start.sh")
SHELLS = [["sh", "-eu"], ["bash", "--noprofile", "--norc"], ["bash", "-eu"]]
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(name="node")
def node_fixture(tmp_path):
    """A node's home with the bundle's folder, and a PATH whose `ray` is run by a Python of its own."""
    home, programs = tmp_path / "node home", tmp_path / "bin"
    (home / ".accel_scaling" / "bundle").mkdir(parents=True)
    programs.mkdir()
    ray = programs / "ray"
    ray.write_text("#! /opt/their own/python3.11\nprint('ray')\n", encoding="utf-8")
    ray.chmod(0o755)
    return home, programs


def source(node, shell: list[str], then: str, **environment: str) -> subprocess.CompletedProcess[str]:
    home, programs = node
    # Read by `.` from a variable: the path has no say in what is tested.
    return subprocess.run(
        [*shell, "-c", f'. "$SCRIPT" || exit {EXIT_NOT_CONFIRMED}; {then}'],
        env={"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "SCRIPT": str(SCRIPT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_ray_finds_the_package_and_its_hook(node, shell):
    done = source(node, shell, 'printf "%s\\n" "$RAY_START_HOOK" "$PYTHONPATH" "$ACCEL_SCALING_PYTHON"')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "accel_scaling.boot.start_hook.run",
        f"{node[0]}/.accel_scaling/bundle",
        "/opt/their own/python3.11",
    ]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_the_image_has_in_pythonpath_stays(node, shell):
    done = source(node, shell, 'echo "$PYTHONPATH"', PYTHONPATH="/theirs")
    assert done.stdout.strip() == f"{node[0]}/.accel_scaling/bundle:/theirs"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_sourcing_it_twice_adds_one_line_to_bashrc_and_keeps_the_rest(node, shell):
    bashrc = node[0] / ".bashrc"
    bashrc.write_text("alias ll='ls -l'\n", encoding="utf-8")
    for _ in range(2):
        assert source(node, shell, ":").returncode == 0
    assert bashrc.read_text(encoding="utf-8").splitlines() == [
        "alias ll='ls -l'",
        '. "$HOME/.accel_scaling/env.sh"  # accel_scaling',
    ]


def test_a_login_on_the_node_has_the_command_and_the_package_once(node):
    source(node, ["sh", "-eu"], ":")
    line = '. ~/.accel_scaling/env.sh; . ~/.accel_scaling/env.sh; printf \'%s\\n\' "$PYTHONPATH" "${PATH%%:*}"'
    done = subprocess.run(
        ["bash", "-eu", "-c", f"PYTHONPATH=; {line}"],
        env={"HOME": str(node[0]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    folder = f"{node[0]}/.accel_scaling/bundle"
    assert done.stdout.splitlines() == [folder, f"{folder}/bin"], done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_an_old_verdict_is_gone_before_ray_starts(node, shell):
    verdict = node[0] / bundle.VERDICT_FILE
    verdict.write_text("{}", encoding="utf-8")
    source(node, shell, ":")
    assert not verdict.exists()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_node_without_ray_says_so_and_starts_nothing(node, shell):
    (node[1] / "ray").unlink()
    verdict = node[0] / bundle.VERDICT_FILE
    verdict.write_text('{"verdict": "Confirmed", "joins": true}', encoding="utf-8")
    done = source(node, shell, "echo started")
    assert done.returncode == 3
    assert not verdict.exists(), "an earlier start's"
    assert done.stdout == ""
    assert "there is no 'ray' on this node's PATH; install it in the image or in setup_commands" in done.stderr


@pytest.mark.parametrize("first_line", ["#!/bin/sh", "#!/usr/bin/env python3.12", "\x7fELF"])
def test_a_ray_that_names_no_python_by_path_is_run_by_python3(node, first_line):
    (node[1] / "ray").write_text(first_line + "\n", encoding="utf-8")
    done = source(node, ["sh", "-eu"], 'echo "$ACCEL_SCALING_PYTHON"')
    assert done.stdout.strip() == "python3"


HOOK = """
import json, sys
from types import SimpleNamespace
from accel_scaling import timeouts
from accel_scaling.boot import start_hook
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
timeouts.DRIVER_READY_S = 0.0  # tests/boot/test_wait_for_driver.py has the wait
ray_params = SimpleNamespace(labels={"mine": "stays"})
start_hook.run(ray_params, False)
print(json.dumps(ray_params.labels))
"""
A100S = {"CPU": 96, "GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}


def run_hook(machine, promise: dict | None) -> subprocess.CompletedProcess[str]:
    return machine.python(HOOK, **({"RAY_OVERRIDE_RESOURCES": json.dumps(promise)} if promise else {}))


def verdict() -> dict:
    return json.loads((Path(os.environ["HOME"]) / bundle.VERDICT_FILE).read_text(encoding="utf-8"))


def test_a_node_that_holds_its_promise_joins_with_a_label_that_says_so(boot):
    done = run_hook(boot("p4d.24xlarge"), A100S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"mine": "stays", bundle.LABEL_VERDICT: "Confirmed"}
    assert "Confirmed: promised 8 x A100" in done.stderr
    assert (verdict()["verdict"], verdict()["kind"]) == ("Confirmed", "worker")


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("fewer:7", "FewerThanPromised"),
        ("no-device", "NoDevice"),
        ("no-driver", "DriverMissing"),
        ("other-type:p4de.24xlarge", "OtherType"),
        ("unhealthy", "Unhealthy"),
        ("not-yet", "NotYet"),
    ],
)
def test_a_node_that_lies_never_joins_and_leaves_its_verdict_as_data(boot, fault, word):
    done = run_hook(boot("p4d.24xlarge", fault), A100S)
    assert (done.returncode, done.stdout) == (EXIT_NOT_CONFIRMED, ""), done.stderr
    left = verdict()
    assert left["verdict"] == word
    assert left["promised"] == A100S
    assert f"{word}: {left['message']}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_of_which_nothing_is_promised_joins(boot):
    assert run_hook(boot("m5.large"), None).returncode == 0


def test_ray_start_itself_ends_with_three_and_leaves_no_session_where_the_node_lies(boot, tmp_path):
    machine = boot("p4d.24xlarge", "fewer:7")
    done = subprocess.run(
        [RAY, "start", "--head", "--port=0", f"--temp-dir={tmp_path}/ray"],
        env={
            **os.environ,
            **machine.environment,
            "PYTHONPATH": str(bundle.build(tmp_path / "cache")),  # as on a node
            "RAY_START_HOOK": "accel_scaling.boot.start_hook.run",
            "RAY_OVERRIDE_RESOURCES": json.dumps(A100S),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_NOT_CONFIRMED, done.stderr
    assert verdict()["verdict"] == "FewerThanPromised"
    assert not (tmp_path / "ray").exists()


def test_the_wired_start_command_stops_where_the_bundle_did_not_arrive(tmp_path):
    home = tmp_path / "bare"
    home.mkdir()
    done = subprocess.run(
        [shutil.which("bash"), "-c", bundle.with_boot_check("echo ray start")],
        env={"HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (EXIT_NOT_CONFIRMED, "")
