"""The boot check in containers as people run them, by a real OCI runtime: other users, and file systems to read only.

The mounts are those that Ray writes. A runtime makes the missing parents of a mount as root, which no folder of this
package may be in the way of.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from accel_scaling.boot import bundle
from accel_scaling.boot.start_prefix import add_boot_check
from accel_scaling.boot.verdict_file import VerdictRead, new_start, read_command, read_verdict, with_start

if TYPE_CHECKING:
    from collections.abc import Iterator

RAY = """#!{python}
import importlib, os, sys
from types import SimpleNamespace
module, _, name = os.environ["RAY_START_HOOK"].rpartition(".")
getattr(importlib.import_module(module), name)(SimpleNamespace(labels=None), True)
print("ray started by", os.getuid())
"""
HOME = "/home/ray"


def why_not() -> str:
    """Return why no container can be run here; empty where one can."""
    if sys.platform != "linux" or os.geteuid():
        return "only root can give a container users of its own"
    return "" if shutil.which("runc") else "runc is not installed (apt-get install runc; tests/run does it)"


@pytest.fixture(name="root")
def root_fixture(tmp_path: Path) -> Iterator[Path]:
    """The root file system of a container: this machine's, with a home of the user 1000 and a `ray`."""
    if reason := why_not():
        pytest.skip(reason)
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    root = tmp_path / "root"
    options = f"lowerdir=/,upperdir={tmp_path / 'upper'},workdir={tmp_path / 'work'}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, root], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no overlay: {mounted.stderr.decode().strip()}")
    try:
        home = root / HOME.lstrip("/")
        home.mkdir(parents=True)
        os.chown(home, 1000, 1000)
        program = root / "usr" / "local" / "bin" / "ray"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(RAY.format(python=sys.executable))
        program.chmod(0o755)
        # The Python of the tests may lie in root's home.
        for file in (Path(sys.executable), Path(sys.executable).resolve()):
            for folder in file.parents[:-1]:
                inside = root / str(folder).lstrip("/")
                inside.chmod(inside.stat().st_mode | 0o055)
        yield root
    finally:
        subprocess.run(["umount", root], check=True)


def wired(command: str) -> tuple[str, dict[str, str]]:
    """Return a start command and the mounts of a cluster with this package."""
    config: dict[str, Any] = {"head_start_ray_commands": [command]}
    add_boot_check(config, bundle.build())
    return config["head_start_ray_commands"][0], config["file_mounts"]


def rays_mounts(mounts: dict[str, str], home: str) -> list[tuple[str, str]]:
    """Return what Ray tells `docker run` to mount: folders of the host, and where they go in the container."""
    from ray.autoscaler._private.docker import docker_start_cmds

    command = docker_start_cmds("ubuntu", "image", mounts, "mine", [], "mine", home, "docker")
    words = shlex.split(command)
    pairs = [words[at + 1].split(":") for at, word in enumerate(words) if word == "-v"]
    assert len(pairs) == len(mounts), command
    return [(source, target) for source, target in pairs]


def run(
    root: Path, user: int, *, home: str = HOME, read_only: bool = False, promise: str = '{"CPU": 1}'
) -> tuple[str, VerdictRead | None]:
    """Start Ray in a container, and read the verdict in it, as the provider does; return all that was printed."""
    folder, number = root.parent, new_start()
    command, mounts = wired("ray start --head")
    # As DockerCommandRunner does: `~` is the container's HOME.
    command, reading = (text.replace("~/", f"{home}/") for text in (with_start(command, number), read_command(number)))
    script = f"({command}); echo exit code $?; {reading}"
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    spec = json.loads((folder / "config.json").read_text())
    environment = {"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", "RAY_OVERRIDE_RESOURCES": promise}
    spec["process"] |= {
        "terminal": False, "user": {"uid": user, "gid": user}, "cwd": "/", "args": ["bash", "-c", script],
        "env": [f"{name}={value}" for name, value in environment.items()],
    }  # fmt: skip
    spec["root"] = {"path": str(root), "readonly": read_only}
    for source, target in rays_mounts(mounts, home):
        on_host = folder / "host" / source.lstrip("/")
        shutil.copytree(mounts[f"~/{Path(target).name}"], on_host, dirs_exist_ok=True)
        spec["mounts"].append(
            {"destination": target, "type": "bind", "source": str(on_host), "options": ["rbind", "rw"]}
        )
    if read_only:
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
    spec["linux"].pop("resources", None)
    (folder / "config.json").write_text(json.dumps(spec))
    done = subprocess.run(
        ["runc", "--root", folder / "state", "run", f"accel-{number}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    if not re.search(r"exit code \d", said):
        pytest.skip(f"runc runs no container here: {said.strip()[-300:]}")
    return said, read_verdict(done.stdout, number)


@pytest.mark.parametrize(
    ("user", "home"),
    [
        (1000, HOME),  # rayproject/ray
        (0, "/root"),
        (0, HOME),
        (1234, HOME),  # --user=1234: the home belongs to another user
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_container_starts_ray_and_leaves_its_verdict_whoever_runs_it(
    root: Path, user: int, home: str, *, read_only: bool
) -> None:
    if read_only:
        # A runtime cannot make the folder of a mount there: the image has it.
        (root / home.lstrip("/") / ".accel_scaling_bundle").mkdir(parents=True, exist_ok=True)
    said, verdict = run(root, user, home=home, read_only=read_only)
    assert f"ray started by {user}" in said, said
    assert "exit code 0" in said
    assert "Traceback" not in said
    assert "Permission denied" not in said
    assert "Read-only" not in said
    assert verdict is not None, said
    assert (verdict.word, verdict.joins) == ("Confirmed", True)


def test_in_a_container_of_another_user_a_machine_with_other_devices_is_refused_with_its_verdict(root: Path) -> None:
    said, verdict = run(root, 1000, promise='{"CPU": 1, "FPGA": 1, "accelerator_type:VU47P": 1}')
    assert "ray started" not in said
    assert "exit code 3" in said
    assert verdict is not None
    assert (verdict.word, verdict.joins) == ("NoDevice", False)


def test_in_its_own_home_the_user_has_the_command_and_the_folder(root: Path) -> None:
    run(root, 1000)
    home = root / HOME.lstrip("/")
    names = sorted(path.name for path in (home / ".accel_scaling").iterdir())
    assert (names[0], names[-1], len(names)) == ("env.sh", "verdict.json", 3)
    assert names[1].startswith("verdict-"), "with the container's host name"
    assert (home / ".accel_scaling").stat().st_uid == 1000
    assert "accel_scaling" in (home / ".bashrc").read_text()
