"""Start commands that bring `ray` themselves: which environments are made for them, and that each then finds `ray`.

The commands run in the real bash on a made-up home, whose PATH has no `ray`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.testing.hosts.processes import SYSTEM_PATH
from accel_scaling.testing.hosts.python_environments import (
    ROOT,
    ULIMIT,
    EnvironmentFiles,
    PythonEnvironments,
    read_environments,
    write_environments,
)
from accel_scaling.testing.rehearse.run import _limit_lines
from accel_scaling.testing.start_environments import environments_of, on_plain_processes, ulimits_of, with_ray_in

RAY = '#!/bin/sh\necho "$0 $*"\n'

# Start command -> where its `ray` is, below the home.
BROUGHT = {
    "source ~/venv/bin/activate && ray start": "venv",
    ". env/bin/activate; ray start": "env",
    "source $HOME/venv/bin/activate\nray start": "venv",
    "bash -c 'source venv/bin/activate && ray start'": "venv",
    'bash -lc ". ~/venv/bin/activate; ray start"': "venv",
    "VENV=~/v312; source $VENV/bin/activate; ray start": "v312",
    "export PATH=~/venv/bin:/usr/local/cuda/bin:$PATH; ray start": "venv",
    "cd ~/work && . .venv/bin/activate && ray start": "work/.venv",
    "cd /srv/nowhere/app && source venv/bin/activate && ray start": f"{ROOT}/srv/nowhere/app/venv",
    "~/venv/bin/ray start": "venv",
    "/home/nobody-has-it/venv/bin/ray start": f"{ROOT}/home/nobody-has-it/venv",
    "/opt/nowhere/bin/python -m ray.scripts.scripts start": f"{ROOT}/opt/nowhere",
    "source venv/bin/activate && python3 -m ray.scripts.scripts start": "venv",
    "source ~/.bashrc && conda activate x && ulimit -n 65536; ray start": "miniconda3/envs/x",
    "source activate pytorch && ray start": "miniconda3/envs/pytorch",
    'eval "$(conda shell.bash hook)" && conda activate x && ray start': "miniconda3/envs/x",
    "source $(conda info --base)/etc/profile.d/conda.sh && conda activate x && ray start": "miniconda3/envs/x",
    "source /opt/nowhere/etc/profile.d/conda.sh; conda activate x; ray start": f"{ROOT}/opt/nowhere/envs/x",
    "source /opt/nowhere/bin/activate x && ray start": f"{ROOT}/opt/nowhere/envs/x",
    "/opt/nowhere/bin/conda run -n x ray start": f"{ROOT}/opt/nowhere/envs/x",
    "conda run --no-capture-output --name=x ray start": "miniconda3/envs/x",
    "micromamba run -n x ray start": "miniconda3/envs/x",
    "conda activate && ray start": "miniconda3",
    "conda activate ./env && ray start": "env",
    "uv run ray start": ".local_cloud/environment",
    "uv run --frozen --with boto3 -- ray start": ".local_cloud/environment",
    "uv run -m ray.scripts.scripts start": ".local_cloud/environment",
    "~/.local/bin/uv run ray start": ".local_cloud/environment",
    "cd project && poetry run ray start": ".local_cloud/environment",
}


def put(home: Path, environments: PythonEnvironments) -> None:
    """Write the environments as on a plain-process host."""

    def inside(path: str) -> Path:
        return home / (path[2:] if path.startswith("~/") else f"{ROOT}{path}")

    files = EnvironmentFiles(inside, lambda path: str(inside(path)), RAY, Path(sys.executable))
    home.mkdir(exist_ok=True)
    (home / ".bashrc").write_text(files.put(environments))
    (home / ".bash_profile").write_text(f"export PATH={SYSTEM_PATH}\n{ULIMIT}. ~/.bashrc\n")


def run(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "--login", "-c", f"source ~/.bashrc; export X=1 && ({command})"]
    environment = {"HOME": str(home), "PATH": SYSTEM_PATH}
    return subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", BROUGHT)
def test_a_start_command_finds_ray_where_it_brings_it_from_and_nowhere_else(command: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environments = environments_of({"head_start_ray_commands": [command], "worker_start_ray_commands": []})
    assert not environments.ray_on_path
    put(home, environments)
    done = run(home, on_plain_processes(command, environments))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{home}/{BROUGHT[command]}/bin/ray start\n"
    assert run(home, "ray start").returncode == 127


def test_conda_is_no_shell_function_in_a_shell_that_reads_no_profile(tmp_path: Path) -> None:
    """As conda itself: it says what to do, and the start command ends there."""
    command = "bash -c 'conda activate x && ray start'"
    put(tmp_path / "home", environments_of({"head_start_ray_commands": [command]}))
    done = run(tmp_path / "home", command)
    assert (done.returncode, done.stderr) == (1, "CondaError: Run 'conda init' before 'conda activate'\n")


def test_an_environment_of_conda_that_no_start_command_names_is_not_there(tmp_path: Path) -> None:
    put(tmp_path / "home", environments_of({"head_start_ray_commands": ["conda activate x; ray start"]}))
    done = run(tmp_path / "home", "conda activate y && ray start")
    assert done.returncode == 1
    assert "EnvironmentNameNotFound: Could not find conda environment: y" in done.stderr


@pytest.mark.parametrize(
    "commands",
    [
        {},  # Ray's own
        {"head_start_ray_commands": ["ray stop", "source ~/venv/bin/activate && ray start"]},
        {"head_start_ray_commands": ["sudo -E env PATH=$PATH ray start"]},
        {"head_start_ray_commands": ["python -m ray.scripts.scripts start"]},
        {"head_start_ray_commands": ["$(which ray) start"]},
        {"head_start_ray_commands": ["/usr/local/bin/ray start"]},
        {"head_start_ray_commands": ["ray start"], "worker_start_ray_commands": ["~/venv/bin/ray start"]},
    ],
)
def test_ray_stays_on_the_path_where_a_start_command_calls_it_without_an_environment(commands: dict[str, list[str]]):
    assert environments_of({"worker_start_ray_commands": [], **commands}).ray_on_path or not commands


def test_a_file_without_start_commands_has_ray_on_the_path_and_no_stand_ins() -> None:
    assert environments_of({}) == PythonEnvironments()


def test_ray_is_where_the_option_says_it_and_not_on_the_path(tmp_path: Path) -> None:
    of_venv, of_conda = (with_ray_in(PythonEnvironments(), folder) for folder in ("~/venv/", "/opt/c/envs/x"))
    assert (of_venv.folders, of_venv.ray_on_path) == (("~/venv",), False)
    assert (of_conda.conda, of_conda.conda_names, of_conda.ray_on_path) == ("/opt/c", ("x",), False)
    put(tmp_path / "home", of_venv)
    assert run(tmp_path / "home", ". ~/venv/bin/activate; ray stop").stdout.endswith("/venv/bin/ray stop\n")


def test_environments_survive_their_file(tmp_path: Path) -> None:
    environments = environments_of({"head_start_ray_commands": list(BROUGHT)})
    write_environments(tmp_path / "environments.json", environments)
    assert read_environments(tmp_path / "environments.json") == environments
    assert read_environments(tmp_path / "none.json") == PythonEnvironments()


def test_absolute_paths_are_changed_for_plain_processes_as_whole_words_only(tmp_path: Path) -> None:
    environments = PythonEnvironments(("/opt/a",), work_folders=(str(tmp_path), "/"))
    command = f"cd {tmp_path}; ls /opt/ab ~/opt/a x/opt/a; /opt/a/bin/ray start --temp-dir={tmp_path}/ray"
    changed = on_plain_processes(command, environments)
    assert changed == command.replace(" /opt/a/bin", f" $HOME/{ROOT}/opt/a/bin")


def test_a_limit_of_open_files_beyond_this_machines_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "home", PythonEnvironments())
    done = run(tmp_path / "home", "ulimit -n 100; ulimit -n 65536 && echo on; ulimit -n")
    assert done.stdout == "on\n100\n"
    assert "this machine allows no more open files" in done.stderr
    assert run(tmp_path / "home", "ulimit -Z").returncode != 0


def test_a_limit_that_ends_a_start_command_is_spoken_of() -> None:
    commands = [
        "ulimit -n 65536",
        "ulimit -Hn 90000 && ray start",
        "ulimit -n 1; ray start",
        "ulimit -n 1 && ray start",
    ]
    assert ulimits_of({"head_start_ray_commands": commands}) == [65536, 90000, 1]
    (line,) = _limit_lines({"worker_start_ray_commands": [f"ulimit -n {2**40}"]})
    assert line.startswith(f"`ulimit -n {2**40}` of the start commands is ignored: this machine allows ")
    assert _limit_lines({"worker_start_ray_commands": ["ulimit -n 1"]}) == []
