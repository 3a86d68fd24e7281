"""Python environments on hosts: where `ray` is on a machine whose start commands bring it, and not on its PATH.

They are stand-ins for what set-up commands or an image would have made: an environment's `activate`, `ray` and
`python`, conda's shell function, and programs such as `uv run`. All of them lead to the one Python that hosts have.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.hosts.start_faults import FOLDER
from accel_scaling.testing.json_files import replace_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONDA = ("conda", "mamba", "micromamba")
CONDA_FOLDER = "~/miniconda3"
"""Where conda is, where the start commands do not say it."""

SYSTEM_FOLDERS = ("/", "/usr", "/usr/local", "~/.local")
"""Folders with a `bin` that are no environments: `ray` alone is put there."""

ROOT = f"{FOLDER}/root"
"""In a home: where files with absolute paths are on plain-process hosts, which share this machine's file system."""

# A machine of a cloud allows as many open files; a lone `ulimit -n 65536` must not end a rehearsal on a laptop.
ULIMIT = """ulimit() {
    builtin ulimit "$@" 2>/dev/null && return
    case " $* " in
        *" -n "*) echo "ulimit $*: this machine allows no more open files; the rehearsal continues" >&2 ;;
        *) builtin ulimit "$@" ;;
    esac
}
export -f ulimit
"""

_ACTIVATE = """# A stand-in of the rehearsal.
case "${{1-}}" in
    "" | base) _folder={folder} ;;
    */*) _folder=$(cd "$1" 2>/dev/null && pwd || echo "$1") ;;
    *) _folder={folder}/envs/$1 ;;
esac
if [ ! -d "$_folder/bin" ]; then
    echo "EnvironmentNameNotFound: Could not find conda environment: $1" >&2
    return 1
fi
export VIRTUAL_ENV="$_folder" PATH="$_folder/bin:$PATH"
deactivate() {{ :; }}
"""
_CONDA_SH = """# A stand-in of the rehearsal.
conda() {{
    case "${{1-}}" in
        activate) shift; . {folder}/bin/activate "$@" ;;
        deactivate) ;;
        *) {folder}/condabin/conda "$@" ;;
    esac
}}
mamba() {{ conda "$@"; }}
micromamba() {{ conda "$@"; }}
"""
_PYTHON = """#!/bin/sh
# A stand-in of the rehearsal.
case "${{1-}} ${{2-}}" in "-m ray" | "-m ray.scripts.scripts") shift 2; exec {ray} "$@" ;; esac
exec {python} "$@"
"""
_CONDA_PROGRAM = """#!/bin/sh
# A stand-in of the rehearsal.
case "${{1-}}" in
    activate | deactivate) echo "CondaError: Run 'conda init' before 'conda $1'" >&2; exit 1 ;;
    info) echo {folder}; exit ;;
    shell.*) cat {folder}/etc/profile.d/conda.sh; exit ;;
    run) shift ;;
    *) exit 0 ;;
esac
prefix={folder}
while [ $# -gt 0 ]; do
    case "$1" in
        -n | --name) prefix={folder}/envs/$2; shift 2 ;;
        -p | --prefix) prefix=$2; shift 2 ;;
        --name=*) prefix={folder}/envs/${{1#*=}}; shift ;;
        --prefix=*) prefix=${{1#*=}}; shift ;;
        --cwd) cd "$2" || exit; shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
[ -d "$prefix/bin" ] || {{ echo "EnvironmentLocationNotFound: Not a conda environment: $prefix" >&2; exit 1; }}
PATH="$prefix/bin:$PATH" exec "$@"
"""
_RUNNER = """#!/bin/sh
# A stand-in of the rehearsal.
while [ $# -gt 0 ] && [ "$1" != run ]; do shift; done
[ $# -gt 0 ] || exit 0
shift
export PATH={bin}:"$PATH"
while [ $# -gt 0 ]; do
    case "$1" in
        --) shift; break ;;
        -m | --module) shift; exec python -m "$@" ;;
        -p | -C | -E | --python | --with | --project | --directory | --env-file | --extra | --group | --package | \\
            --index | --with-requirements | --with-editable | --environment) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
exec "$@"
"""


@dataclass(frozen=True)
class PythonEnvironments:
    """The environments from which the start commands of a cluster take `ray`; paths are those of the hosts.

    Attributes:
        folders: of environments: each has ``bin/activate``, ``bin/python`` and ``bin/ray``.
        conda: the folder of conda; empty where no command uses it.
        conda_names: its environments.
        runners: programs that run others in an environment, as ``uv run ray start``.
        work_folders: into which commands change.
        ray_on_path: `ray` is on the PATH besides.
    """

    folders: tuple[str, ...] = ()
    conda: str = ""
    conda_names: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()
    work_folders: tuple[str, ...] = ()
    ray_on_path: bool = True

    def __bool__(self) -> bool:
        return bool(self.folders or self.conda or self.runners)

    @property
    def absolute_folders(self) -> tuple[str, ...]:
        """The folders of environments that are not in the home."""
        folders = (*self.folders, self.conda, *(runner for runner in self.runners if "/" in runner))
        return tuple(folder for folder in folders if folder.startswith("/") and folder not in SYSTEM_FOLDERS)

    def text(self) -> str:
        """Return the names of the stand-ins for a line of the output."""
        named = [f"{self.conda}/envs/{name}" for name in self.conda_names]
        runners = [f"`{posixpath.basename(runner)} run`" for runner in self.runners]
        base = [self.conda] if self.conda and not named else []
        return ", ".join([*self.folders, *named, *base, *runners])


def write_environments(file: Path, environments: PythonEnvironments) -> None:
    """Write them for the process of the local cloud; hosts that boot from now on have them."""
    replace_json(file, asdict(environments))


def read_environments(file: Path) -> PythonEnvironments:
    """Return what the file says; none where there is no file."""
    if not file.exists():
        return PythonEnvironments()
    row = json.loads(file.read_text(encoding="utf-8"))
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return PythonEnvironments(**known)


@dataclass(frozen=True)
class EnvironmentFiles:
    """The files of the environments on one host.

    Attributes:
        inside: gives the path by which this process writes a file of the host.
        seen: gives the path by which the host sees it.
        ray: the text of the host's program `ray`.
        python: the interpreter that has Ray.
    """

    inside: Callable[[str], Path]
    seen: Callable[[str], str]
    ray: str
    python: Path

    def put(self, environments: PythonEnvironments) -> str:
        """Write them all; return the lines for the profile of the account."""
        for folder in environments.folders:
            self._environment(folder)
        for folder in environments.work_folders:
            self.inside(folder).mkdir(parents=True, exist_ok=True)
        profile = self._conda(environments) if environments.conda else ""
        return profile + self._runners(environments)

    def _environment(self, folder: str, *, ray: bool = True) -> None:
        if ray:
            self._program(f"{folder}/bin/ray", self.ray)
        if folder in SYSTEM_FOLDERS:
            return
        seen_ray = shlex.quote(self.seen(f"{folder}/bin/ray"))
        python = _PYTHON.format(ray=seen_ray, python=shlex.quote(str(self.python)))
        for name in ("python", "python3"):
            self._program(f"{folder}/bin/{name}", python)
        self._file(f"{folder}/bin/activate", _ACTIVATE.format(folder=shlex.quote(self.seen(folder))))

    def _conda(self, environments: PythonEnvironments) -> str:
        folder, names = environments.conda, set(environments.conda_names)
        seen = shlex.quote(self.seen(folder))
        # The base environment has Ray only where it is the one that is used.
        self._environment(folder, ray="base" in names or not names)
        for name in names - {"base"}:
            self._environment(f"{folder}/envs/{name}")
        self._file(f"{folder}/etc/profile.d/conda.sh", _CONDA_SH.format(folder=seen))
        for place in ("bin", "condabin"):
            for name in CONDA:
                self._program(f"{folder}/{place}/{name}", _CONDA_PROGRAM.format(folder=seen))
        # In condabin, which `conda init` puts on the PATH, `source activate NAME` finds no `activate`: in images for
        # machine learning it does.
        self._file(f"{folder}/condabin/activate", _ACTIVATE.format(folder=seen))
        return f"PATH={seen}/condabin:$PATH\n. {seen}/etc/profile.d/conda.sh\n"

    def _runners(self, environments: PythonEnvironments) -> str:
        if not environments.runners:
            return ""
        environment, programs = f"~/{FOLDER}/environment", f"~/{FOLDER}/bin"
        self._environment(environment)
        text = _RUNNER.format(bin=shlex.quote(self.seen(f"{environment}/bin")))
        for runner in environments.runners:
            self._program(runner if "/" in runner else f"{programs}/{runner}", text)
        return f"PATH={shlex.quote(self.seen(programs))}:$PATH\n"

    def _program(self, path: str, text: str) -> None:
        self._file(path, text).chmod(0o755)

    def _file(self, path: str, text: str) -> Path:
        file = self.inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Replaced, not written through: what is there may be a link to a program of this machine.
        file.unlink(missing_ok=True)
        file.write_text(text, encoding="utf-8")
        return file
