#!/usr/bin/env python3
"""Install a wheel as people install it, beside a Ray that is there, and use it as an ordinary user.

    .github/try_install.py --ray 2.54.1 --tool uv              with the Python that runs this script
    .github/try_install.py --ray 2.60.0 --python python3.13    with another one
    .github/try_install.py --ray 2.60.0 --no-rehearsal         all but the rehearsal, which takes a minute

The environment and the folder where the commands run have spaces in their names; nothing of the checkout is there.
Run by root, the commands run as `nobody`. An install that changes a version that was there before is refused.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import release

ORDINARY = "nobody"
NO_CREDENTIALS = "no AWS credentials"


@dataclass
class Place:
    """Where it is installed, and who uses it.

    Attributes:
        environment: the virtual environment.
        home: of the user; the commands run in a folder below it.
        tool: ``pip`` or ``uv``.
    """

    environment: Path
    home: Path
    tool: str

    @property
    def python(self) -> Path:
        """Return the environment's Python."""
        return self.environment / "bin" / "python"

    def make(self, python: str) -> None:
        """Make the environment, and the user's folders."""
        if self.tool == "uv":
            release.run("uv", "venv", "-q", "--python", python, self.environment, cwd=Path.cwd())
        else:
            release.run(python, "-m", "venv", self.environment, cwd=Path.cwd())
        (self.home / "my clusters").mkdir(parents=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam(ORDINARY)
            for folder in (self.home, self.home / "my clusters"):
                os.chown(folder, user.pw_uid, user.pw_gid)

    def install(self, *requirements: str) -> None:
        """Install into the environment."""
        if self.tool == "uv":
            # Copies: links into the cache of another user cannot be read by everybody.
            words = ["uv", "pip", "install", "-q", "--link-mode", "copy", "--python", self.python]
        else:
            words = [self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        release.run(*words, *requirements, cwd=self.home)

    def installed(self) -> dict[str, str]:
        """Return what is installed, name -> version."""
        code = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
        listed = subprocess.run([self.python, "-I", "-c", code], capture_output=True, text=True, check=True)
        return dict(line.split(" ", 1) for line in listed.stdout.splitlines())

    def run(self, *words: str, code: int = 0, says: str = "") -> None:
        """Run a command as the user.

        Raises:
            release.RefusedError: its exit code is another, it does not say what it should, or it prints a traceback.
        """
        print(f"$ {' '.join(words)}", flush=True)
        path = f"{self.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        environment = {"PATH": path, "HOME": str(self.home), "USER": ORDINARY, "LOGNAME": ORDINARY}
        become = ["setpriv", f"--reuid={ORDINARY}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*become, *words],
            cwd=self.home / "my clusters",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=release.REHEARSAL_LIMIT_S,
            check=False,
        )
        if done.returncode != code or says not in done.stdout or "Traceback" in done.stdout:
            raise release.RefusedError(f"exit code {done.returncode}: {' '.join(words)}\n{done.stdout[-3000:]}")


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what an install has changed of what was there: sentences, none where it has only added."""
    return [
        f"{name} was {version} and is {after.get(name, 'gone')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def use(place: Place, example: Path, *, rehearse: bool) -> None:
    """Go through what people do first.

    Raises:
        release.RefusedError: a command failed.
    """
    shutil.copy(example, place.home / "my clusters" / "my cluster.yaml")
    place.run("accel-scaling", "catalog", "show", "p4d.24xlarge", says="A100")
    place.run("accel-scaling", "detect")
    place.run("accel-scaling", "init", "aws", "--accelerator", "A10G", "-o", "my own.yaml")
    place.run("accel-scaling", "fill", "my cluster.yaml", "-o", "my filled.yaml")
    place.run("accel-scaling", "plan", "my own.yaml", "--demand", "A10G", says="g5.xlarge")
    place.run("ray", "up", "-y", "my own.yaml", code=1, says=NO_CREDENTIALS)
    if not rehearse:
        return
    place.run("accel-scaling", "rehearse", "my cluster.yaml", code=2, says="pip install 'accel-scaling[rehearse]'")
    # By its name: the package that is installed is taken, and no index is asked for it.
    place.install("accel-scaling[rehearse]")
    place.run("accel-scaling", "rehearse", "my cluster.yaml", says="2 of 2 tasks ran")


def try_it(work: Path, wheel: Path, arguments: argparse.Namespace) -> None:
    """Install and use it in a folder.

    Raises:
        release.RefusedError: says what is wrong.
    """
    place = Place(work / "my environments" / "ray and more", work / "a home", arguments.tool)
    place.make(arguments.python)
    place.install(f"ray[default]=={arguments.ray}")
    before = place.installed()
    place.install(f"{wheel}[aws]")
    after = place.installed()
    if changed := changes(before, after):
        raise release.RefusedError("; ".join(changed))
    added = sorted(f"{name} {after[name]}" for name in after.keys() - before.keys())
    print(f"added: {', '.join(added)}", flush=True)
    use(place, release.ROOT / release.EXAMPLE, rehearse=arguments.rehearsal)


def main() -> int:
    """Build a wheel where none is given, install it, use it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray", required=True, metavar="VERSION", help="the Ray that is there before")
    parser.add_argument("--tool", choices=["pip", "uv"], default="pip", help="with which it is installed")
    parser.add_argument("--python", default=sys.executable, metavar="FILE", help="of the environment")
    parser.add_argument("--wheel", type=Path, help="by default one is built from the commit")
    parser.add_argument("--no-rehearsal", dest="rehearsal", action="store_false", help="leave the rehearsal out")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[0-9][0-9a-z.]*", arguments.ray):
        parser.error("--ray: one version, such as 2.60.0")
    try:
        with tempfile.TemporaryDirectory(prefix="accel scaling ", dir=release.shelf()) as name:
            work = Path(name)
            work.chmod(0o755)
            wheel = arguments.wheel or release.build(release.export(work / "source"), work)[0]
            try_it(work, wheel.resolve(), arguments)
    except release.RefusedError as error:
        print(f"try_install.py: {error}", file=sys.stderr)
        return 1
    print(f"works: Ray {arguments.ray}, {arguments.tool}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
