"""Start commands as people write them, run as Ray runs them: the boot check reaches each, or the file is refused.

Each command runs in the real bash with Ray's own words around it, on a machine without a driver; `ray` is a program
that calls the start hook as Ray's does (tests/_ray/test_contract_on_nodes.py has that) and then leaves a file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from accel_scaling.boot import bundle
from accel_scaling.boot.admission import CONFIRM_ONLY
from accel_scaling.boot.deep_check import with_deep_check
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.boot.verdict_file import new_start, read_command, read_verdict, with_start
from accel_scaling.cluster.deep_check_policy import DeepCheck
from accel_scaling.cluster.start_commands import Starts, reading_of
from accel_scaling.testing.hosts.python_environments import EnvironmentFiles, PythonEnvironments

PROMISE = {"CPU": 4, "GPU": 1, "accelerator_type:A10G": 1}

RAY = """#!{python}
import importlib, os, sys
from types import SimpleNamespace
if "start" in sys.argv and (hook := os.environ.get("RAY_START_HOOK")):
    module, _, name = hook.rpartition(".")
    getattr(importlib.import_module(module), name)(SimpleNamespace(labels=None), "--head" in sys.argv)
if "start" in sys.argv:
    open({started!r}, "a").close()
"""

# What the start hook asks of a node's Ray about the names of NVIDIA's driver.
RAYS_READER = """
class NvidiaGPUAcceleratorManager:
    @staticmethod
    def _gpu_name_to_accelerator_type(name):
        return name.split()[-1]
"""

CHECKED = {
    "Ray's own": "ulimit -n 1024; ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076",
    "two blanks": "ray  start --address=x",
    "a continued line": "ray \\\n  start \\\n  --address=x",
    "several lines": "cd /\nray start --address=x",
    "a comment": "# starts ray\nray start",
    "a variable": "RAY=ray; $RAY start --address=x",
    "a program that is looked up": "$(which ray) start",
    "a path": "~/bin/ray start",
    "a wrapper script": "~/bin/start_it.sh --address=x",
    "options of ray itself": "ray --logging-level info start --address=x",
    "Ray's module": "~/bin/python3 -m ray.scripts.scripts start",
    "an environment that is activated": "source ~/venv/bin/activate && ray start",
    "an environment that is activated, on two lines": "source ~/venv/bin/activate\nray start",
    "an environment's own path": "~/venv/bin/ray start",
    "the profile read again": "source ~/.bashrc && source ~/venv/bin/activate && ray start",
    "poetry": "cd / && poetry run ray start",
    "an environment that is activated by a dot": ". ~/venv/bin/activate; ray start",
    "conda": "source ~/.bashrc && conda activate x && ulimit -n 64; ray start",
    "conda from a script": 'eval "$(conda shell.bash hook)" && conda activate x\nray start',
    "conda run": "~/opt/conda/bin/conda run -n x ray start",
    "uv": "uv run ray start",
    "uv with a module": "cd / && uv run -m ray.scripts.scripts start",
    "bash -c": "bash -c 'ray start --address=x'",
    "a login shell": "bash -lc 'ray start; echo started'",
    "a pipe": "ray start --address=x 2>&1 | tee ray_start.log",
    "|| true": "ray start --address=x || true",
    "; echo": "ray start --address=x; echo started",
    "a condition": "if true; then ray start; fi",
    "a sub-shell": "(ray start)",
    "exec": "exec ray start",
    "eval": 'eval "ray start"',
    "env": "env RAY_BACKEND_LOG_LEVEL=debug ray start",
    "variables of the user's": "export RAY_BACKEND_LOG_LEVEL=debug; NCCL_DEBUG=INFO ray start",
    "timeout": "timeout 60 ray start",
    "nohup": "nohup ray start",
    "nice": "nice -n 5 ray start",
    "setsid": "setsid --wait ray start",
    "xargs": "echo start | xargs ray",
    "PYTHONPATH with ours kept": 'export PYTHONPATH="/mine:$PYTHONPATH"; ray start',
    "a hook of the user's, after ours": "ACCEL_SCALING_NEXT_HOOK=mine.run ray start",
    "a loop": "for n in 1 2; do ray start && break; done",
    "sudo with what the check needs": 'sudo -E PYTHONPATH="$PYTHONPATH" $(which ray) start',
    "another user without a login": "runuser -u root -- $(which ray) start",
}
REFUSED = {
    "env -i": "env -i $(which ray) start",
    "env -": "env - PATH=$PATH bash -c 'ray start'",
    "env -u": "env -u RAY_START_HOOK ray start",
    "sudo": "sudo $(which ray) start",
    "sudo -E": "sudo -E $(which ray) start",
    "a login of another user": "runuser -l root -c '/usr/bin/env true; ~/bin/ray start'",
    "python -E": "~/bin/python3 -E -m ray.scripts.scripts start",
    "python -I": "~/bin/python3 -I -m ray.scripts.scripts start",
    "another hook": "RAY_START_HOOK=os.getpid ray start",
    "another hook, exported": "export RAY_START_HOOK=os.getpid; ray start",
    "the hook taken away": "unset RAY_START_HOOK; ray start",
    "the hook not exported": "export -n RAY_START_HOOK; ray start",
    "PYTHONPATH set again": "PYTHONPATH=/mine ray start",
    "PYTHONPATH exported again": "export PYTHONPATH=/mine; ray start",
    "sudo -E env": "sudo -E env PATH=$PATH $(which ray) start",
    "setpriv": "setpriv --reset-env $(which ray) start",
}
# A machine of the tests has no Docker, no second host and no systemd that could run them; what they do is known.
REFUSED_WITHOUT_A_TRY = {
    "docker run": "docker run --net=host my-image ray start --address=x",
    "docker exec": "docker exec mine bash -c 'ray start'",
    "ssh": "ssh other ray start",
    "systemd-run": "systemd-run --user ray start",
    "a service": "sudo systemctl restart ray-worker",
    "su with a login": "su - ubuntu -c 'ray start'",
    "apptainer": "apptainer exec --cleanenv image.sif ray start",
}
STARTS_NO_RAY = [
    "ray stop",
    "ray stop --force; sleep 2",
    "ulimit -n 65536",
    "sudo mount /dev/nvme1n1 /data",
    "ray status",
]


@dataclass(frozen=True)
class Node:
    """A home with a bundle, and programs."""

    home: Path
    environment: dict[str, str]
    started: Path
    number: str

    def run(self, command: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        """Run a start command as Ray's updater does over ssh."""
        from ray.autoscaler._private.command_runner import _with_environment_variables, _with_interactive

        promised = _with_environment_variables(command, {"RAY_OVERRIDE_RESOURCES": PROMISE})
        return self.shell(" ".join(_with_interactive(promised)), **more)

    def shell(self, command: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", "-c", command], env={**self.environment, **more}, capture_output=True, check=False, timeout=60,
            cwd=self.home, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def verdict(self) -> str:
        output = self.shell(" ".join(["bash", "-c", f"'{read_command(self.number)}'"])).stdout
        found = read_verdict(output, self.number)
        return found.word if found else ""


@pytest.fixture(name="node")
def node_fixture(boot, tmp_path, whole) -> Node:
    machine = boot("g5.xlarge", "no-driver")
    home, started = tmp_path / "node", tmp_path / "started"
    (home / "bin").mkdir(parents=True)
    (home / ".bashrc").touch()
    (home / ".accel_scaling_bundle").symlink_to(whole)
    ray = RAY.format(python=sys.executable, started=str(started))
    modules = home / "modules"
    (modules / "ray" / "scripts").mkdir(parents=True)
    (modules / "ray" / "_private").mkdir()
    for folder in (modules / "ray", modules / "ray" / "scripts", modules / "ray" / "_private"):
        (folder / "__init__.py").touch()
    (modules / "ray" / "_private" / "accelerators.py").write_text(RAYS_READER)
    (modules / "ray" / "scripts" / "scripts.py").write_text(ray)
    (modules / "mine.py").write_text("def run(ray_params, head): raise SystemExit(9)\n")
    write_program(home / "bin" / "ray", ray)
    write_program(home / "venv" / "bin" / "ray", ray)
    (home / "venv" / "bin" / "activate").write_text('PATH="$HOME/venv/bin:$PATH"\n')
    write_program(home / "bin" / "start_it.sh", '#!/bin/sh\nexec ray start "$@"\n')
    # Not the Python of the tests, which has the real Ray.
    shutil.copytree(Path(yaml.__file__).parent, modules / "yaml")
    write_program(home / "bin" / "python3", f'#!/bin/sh\nexec {sys._base_executable} "$@"\n')
    write_program(home / "bin" / "poetry", '#!/bin/sh\nshift\nexec "$@"\n')
    # A login shell reads /etc/profile, which may set PATH again.
    (home / ".bash_profile").write_text(f"export PATH={home}/bin:/usr/sbin:/usr/bin:/sbin:/bin\n. ~/.bashrc\n")
    inside, seen = (lambda path: home / path[2:]), (lambda path: path.replace("~", str(home)))
    files = EnvironmentFiles(inside, seen, ray, Path(sys.executable))
    (home / ".bashrc").write_text(files.put(PythonEnvironments((), "~/opt/conda", ("x",), ("uv",))))
    environment = {**machine.environment, "HOME": str(home), "PYTHONPATH": str(modules), "RAY_HEAD_IP": "x"}
    return Node(home, environment, started, new_start())


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(name="whole", scope="module")
def whole_fixture(tmp_path_factory) -> Path:
    return bundle.build(tmp_path_factory.mktemp("cache"))


def wired(node: Node, whole: Path, command: str) -> str:
    return with_start(with_boot_check(command, bundle.content_of(whole).name), node.number)


def installed_without_pythonpath() -> bool:
    words = [sys.executable, "-c", "import accel_scaling"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, env=environment, cwd="/", capture_output=True, check=False).returncode == 0


def skip_without(command: str) -> None:
    for program in ("sudo", "setpriv", "runuser", "setsid"):
        if command.startswith(program) and not shutil.which(program):
            pytest.skip(f"there is no {program} here")
    if command.startswith("runuser") and os.geteuid():
        pytest.skip("runuser is for root")


@pytest.mark.parametrize("spelling", CHECKED)
def test_a_machine_with_other_devices_never_starts_ray_however_the_command_is_spelt(node, whole, spelling):
    command = CHECKED[spelling]
    skip_without(command)
    assert reading_of(command).past == ""
    if not {"poetry", "python3", "uv"} & {*re.findall(r"\w+", command)}:
        assert reading_of(command).starts in (Starts.YES, Starts.MAYBE)
    done = node.run(wired(node, whole, command))
    assert node.verdict() == "DriverMissing", done.stderr.decode()
    assert not node.started.exists(), done.stderr.decode()
    assert b"DriverMissing: promised 1 x A10G" in done.stdout + done.stderr or "tee" in command
    assert done.returncode == 3, (done.stdout.decode(), done.stderr.decode())
    assert b"started" not in done.stdout, "what follows `ray start` has run"


@pytest.mark.parametrize(
    "spelling",
    ["Ray's own", "several lines", "an environment that is activated, on two lines", "conda", "uv", "bash -c"],
)
def test_the_check_reaches_a_start_command_that_ray_runs_in_a_container(node, whole, spelling):
    """`docker exec` hands none of the machine's variables on: they are in the command."""
    from ray.autoscaler._private.command_runner import _with_environment_variables, _with_interactive
    from ray.autoscaler._private.docker import with_docker_exec

    promised = _with_environment_variables(wired(node, whole, CHECKED[spelling]), {"RAY_OVERRIDE_RESOURCES": PROMISE})
    inner = " ".join(_with_interactive(promised.replace("~/", f"{node.home}/")))
    (command,) = with_docker_exec([inner], container_name="mine", docker_cmd="docker", with_interactive=True)
    kept = " ".join(f"{name}={shlex.quote(value)}" for name, value in node.environment.items() if name != "RAY_HEAD_IP")
    write_program(node.home / "bin" / "docker", f'#!/bin/sh\nshift 3\nexec env -i {kept} "$@"\n')
    done = node.shell(f"{node.home}/bin/{command}")
    assert (done.returncode, node.verdict()) == (3, "DriverMissing"), done.stderr.decode()
    assert not node.started.exists()


@pytest.mark.parametrize("spelling", [*REFUSED, *REFUSED_WITHOUT_A_TRY])
def test_what_the_check_cannot_reach_is_known_by_its_text(spelling):
    reading = reading_of({**REFUSED, **REFUSED_WITHOUT_A_TRY}[spelling])
    assert reading.starts is Starts.YES
    assert reading.past, "it would be let through"


@pytest.mark.parametrize("spelling", REFUSED)
def test_the_check_really_does_not_reach_it(node, whole, spelling):
    """Else files would be refused for nothing."""
    command = REFUSED[spelling]
    skip_without(command)
    if "PYTHONPATH" in spelling and installed_without_pythonpath():
        pytest.skip("this Python finds the package without PYTHONPATH, as no node's does")
    node.run(wired(node, whole, command))
    assert node.verdict() == "", "the check reaches it: it need not be refused"


@pytest.mark.parametrize("command", STARTS_NO_RAY)
def test_commands_that_surely_start_no_ray_stay_as_they_are(command):
    assert with_boot_check(command) == command


def test_ray_stop_in_a_wired_command_is_not_checked(node, whole):
    done = node.run(wired(node, whole, "ray stop; ~/bin/start_it.sh"))
    assert (done.returncode, node.verdict()) == (3, "DriverMissing")
    other = wired(node, whole, "~/bin/ray stop || ./x.sh")
    assert node.run(other).returncode == 0


@pytest.mark.parametrize(
    "command", ["ray start; touch ~/after", "bash -c 'ray start; touch ~/after'", "ray start | tee x"]
)
def test_what_follows_the_start_does_not_run_where_a_host_is_only_to_be_confirmed(boot, node, whole, command, tmp_path):
    """All hosts of a slice are confirmed first; the whole command runs again afterwards."""
    healthy = boot("g5.xlarge")
    confirming = f"export {CONFIRM_ONLY}=1; {wired(node, whole, command)}"
    done = node.run(confirming, **healthy.environment)
    assert done.returncode == 0, done.stderr.decode()
    assert node.verdict() == "Confirmed"
    assert not (node.home / "after").exists()
    assert not node.started.exists()
    done = node.run(wired(node, whole, command), **healthy.environment)
    assert done.returncode == 0
    assert node.started.exists()
    assert (node.home / "after").exists() or "tee" in command


def test_the_devices_of_a_slice_are_tried_once_though_each_host_has_two_start_commands(boot, node, whole):
    healthy, tries = boot("g5.xlarge"), node.home / "tries"
    plain = wired(node, whole, "ray start")
    command = with_deep_check(plain, DeepCheck(f"echo x >> {tries}; [ $(wc -l < {tries}) = 1 ]"))
    for words in (f"export {CONFIRM_ONLY}=1; {command}", command):
        assert node.run(words, **healthy.environment).returncode == 0
        verdict = json.loads((node.home / ".accel_scaling" / "verdict.json").read_text())
        assert verdict["message"].endswith(f"; {verdict['tried']}")
        assert " passed in " in verdict["tried"]
    assert node.started.exists()
    assert node.run(command.replace(node.number, new_start()), **healthy.environment).returncode == 3, "another start"
    assert len(tries.read_text().split()) == 2


@pytest.mark.parametrize("command", ["ray start || true", "bash -c 'ray start; true'", "ray start 2>&1 | tee x"])
def test_a_host_with_other_devices_ends_the_command_with_three_where_it_is_only_to_be_confirmed(node, whole, command):
    assert node.run(f"export {CONFIRM_ONLY}=1; {wired(node, whole, command)}").returncode == 3


def test_a_hook_of_the_users_own_is_called_where_the_machine_may_join(boot, node, whole):
    healthy = boot("g5.xlarge")
    command = "export ACCEL_SCALING_NEXT_HOOK=mine.run; ray start"
    assert reading_of(command).past == ""
    done = node.run(wired(node, whole, command), **healthy.environment)
    assert done.returncode == 9, done.stderr.decode()
    assert node.verdict() == "Confirmed"


def test_a_hook_of_the_users_own_that_does_not_exist_is_one_sentence(boot, node, whole):
    healthy = boot("g5.xlarge")
    done = node.run(wired(node, whole, "ACCEL_SCALING_NEXT_HOOK=nosuch.run ray start"), **healthy.environment)
    assert done.returncode == 1
    assert (
        b"there is no start hook nosuch.run (No module named 'nosuch'); correct ACCEL_SCALING_NEXT_HOOK" in done.stderr
    )
    assert b"Traceback" not in done.stderr


def test_the_verdict_of_an_earlier_start_that_nobody_can_remove_says_nothing(node, whole):
    """As on a disk that has become read-only: the file stays, and this start never came to its check."""
    old = {"verdict": "Confirmed", "message": "all is well", "joins": True}
    (node.home / ".accel_scaling").mkdir()
    for left in (old, {**old, "start": new_start()}):
        (node.home / ".accel_scaling" / "verdict.json").write_text(json.dumps(left))
        node.run(wired(node, whole, "false && ray start"))
        assert node.verdict() == ""
