"""On the node: the script that `ray start` runs behind, and the hook that lets it join or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.boot import bundle
from accel_scaling.boot.node_files import tell_shells
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, LABEL_VERDICT

SCRIPT = Path(bundle.__file__).with_name("before_ray_start.sh")
SHELLS = [["sh", "-eu"], ["bash", "--noprofile", "--norc"], ["bash", "-eu"]]
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(name="node")
def node_fixture(tmp_path):
    """A node's home with the bundle's folder, and a PATH whose `ray` is run by a Python of its own."""
    home, programs = tmp_path / "node home", tmp_path / "bin"
    (home / ".accel_scaling_bundle" / "abc").mkdir(parents=True)
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
        env={
            "HOME": str(home),
            "PATH": f"{programs}:/usr/bin:/bin",
            "SCRIPT": str(SCRIPT),
            "ACCEL_SCALING_BUNDLE": f"{home}/.accel_scaling_bundle/abc",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_ray_finds_the_package_and_its_hook(node, shell):
    done = source(node, shell, 'printf "%s\\n" "$RAY_START_HOOK" "$PYTHONPATH"')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["accel_scaling.boot.start_hook.run", f"{node[0]}/.accel_scaling_bundle/abc"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_the_image_has_in_pythonpath_stays(node, shell):
    here = f"{node[0]}/.accel_scaling_bundle/abc"
    for theirs in ("/theirs", "/a dir:/theirs", ":/theirs", "/theirs:", "*"):
        done = source(node, shell, 'echo "$PYTHONPATH"', PYTHONPATH=theirs)
        assert done.stdout.strip() == f"{here}:{theirs}", done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_other_bundles_are_taken_out_of_the_path(node, shell):
    """A plug-in that was removed at home would be found in the bundle of the last `ray up`."""
    home = node[0]
    older = f"{home}/.accel_scaling/bundle:/theirs:{home}/.accel_scaling_bundle/000:{home}/.accel_scaling_bundle/abc"
    done = source(node, shell, 'echo "$PYTHONPATH"', PYTHONPATH=older)
    assert done.stdout.strip() == f"{home}/.accel_scaling_bundle/abc:/theirs"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_hook_of_an_image_is_kept_to_be_called_after_the_check(node, shell):
    twice = '. "$SCRIPT"; printf "%s\\n" "$RAY_START_HOOK" "${ACCEL_SCALING_NEXT_HOOK-none}"'
    ours = "accel_scaling.boot.start_hook.run"
    assert source(node, shell, twice).stdout.splitlines() == [ours, "none"]
    assert source(node, shell, twice, RAY_START_HOOK="theirs.run").stdout.splitlines() == [ours, "theirs.run"]
    both = source(node, shell, twice, RAY_START_HOOK="theirs.run", ACCEL_SCALING_NEXT_HOOK="mine.run")
    assert both.stdout.splitlines() == [ours, "mine.run,theirs.run"]


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
    folder = f"{node[0]}/.accel_scaling_bundle/abc"
    assert done.stdout.splitlines() == [folder, f"{folder}/bin"], done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_home_that_cannot_be_written_stops_nothing(node, shell):
    """`--user` with another user's home, or a read-only root file system: `.accel_scaling` is a file here."""
    (node[0] / ".accel_scaling").write_text("in the way")
    done = source(node, shell, 'echo "$RAY_START_HOOK"')
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "accel_scaling.boot.start_hook.run", "")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_nothing_is_asked_of_a_ray_that_the_command_itself_brings(node, shell):
    (node[1] / "ray").unlink()
    done = source(node, shell, "echo started")
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def test_the_file_for_peoples_shells_names_the_python_that_really_runs_ray(node):
    home = node[0]
    source(node, ["sh", "-eu"], ":")
    for _ in range(2):  # a second start changes nothing
        tell_shells({"ACCEL_SCALING_HOME": f"{home}/.accel_scaling"})
    lines = (home / ".accel_scaling" / "env.sh").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "PYTHON=" in line] == [f"export ACCEL_SCALING_PYTHON={sys.executable}"]
    done = subprocess.run(
        ["sh", "-euc", ". ~/.accel_scaling/env.sh; echo $ACCEL_SCALING_PYTHON"],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == sys.executable, done.stderr
    source(node, ["sh", "-eu"], ":")
    assert sys.executable in (home / ".accel_scaling" / "env.sh").read_text(encoding="utf-8"), "it is written again"


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
    return json.loads((Path(os.environ["HOME"]) / VERDICT_FILE).read_text(encoding="utf-8"))


def test_a_node_that_holds_its_promise_joins_with_a_label_that_says_so(boot):
    done = run_hook(boot("p4d.24xlarge"), A100S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"mine": "stays", LABEL_VERDICT: "Confirmed"}
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
def test_a_node_with_other_devices_never_joins_and_leaves_its_verdict_as_data(boot, fault, word):
    done = run_hook(boot("p4d.24xlarge", fault), A100S)
    assert (done.returncode, done.stdout) == (EXIT_NOT_CONFIRMED, ""), done.stderr
    left = verdict()
    assert left["verdict"] == word
    assert left["promised"] == A100S
    assert f"{word}: {left['message']}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_of_which_nothing_is_promised_joins(boot):
    assert run_hook(boot("m5.large"), None).returncode == 0


def test_ray_start_itself_ends_with_three_and_leaves_no_session_where_the_devices_differ(boot, tmp_path):
    machine = boot("p4d.24xlarge", "fewer:7")
    done = subprocess.run(
        [RAY, "start", "--head", "--port=0", f"--temp-dir={tmp_path}/ray"],
        env={
            **os.environ,
            **machine.environment,
            "PYTHONPATH": str(bundle.content_of(bundle.build(tmp_path / "cache"))),  # as on a node
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


REAL_STARTS = {
    "an environment that the command activates": ". ~/activate && ray start {options} || true",
    "Ray's module": "{python} -m ray.scripts.scripts start {options}; echo started",
    "options of ray itself": "{ray} --logging-level info start {options} | cat",
}


@pytest.mark.parametrize("how", REAL_STARTS)
def test_rays_own_program_is_stopped_however_it_is_called(boot, tmp_path, how):
    machine, home, whole = boot("p4d.24xlarge", "fewer:7"), tmp_path / "node", bundle.build()
    home.mkdir()
    (home / ".accel_scaling_bundle").symlink_to(whole)
    (home / "activate").write_text(f"PATH={RAY.parent}:$PATH\n")
    options = f"--head --port=0 --temp-dir={tmp_path / 'ray'}"
    command = REAL_STARTS[how].format(ray=RAY, python=sys.executable, options=options)
    done = subprocess.run(
        ["bash", "-c", with_boot_check(command, bundle.content_of(whole).name)],
        env={**machine.environment, "HOME": str(home), "PATH": "/usr/bin:/bin", OVERRIDE_RESOURCES: json.dumps(A100S)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == EXIT_NOT_CONFIRMED, done.stderr
    assert "FewerThanPromised" in done.stderr
    assert "started" not in done.stdout
    assert not (tmp_path / "ray").exists()


def test_the_wired_start_command_stops_where_the_bundle_did_not_arrive(tmp_path):
    home = tmp_path / "bare"
    home.mkdir()
    done = subprocess.run(
        [shutil.which("bash"), "-c", with_boot_check("echo; ray start")],
        env={"HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (EXIT_NOT_CONFIRMED, "")
