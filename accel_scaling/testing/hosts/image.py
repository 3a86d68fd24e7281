"""The machine image of isolated hosts: this machine's root file system, less what an image would not have.

A layer that is put over ``/``; deletions in it are overlayfs whiteouts, so this machine's own files are not touched.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.families.plugins import entry_points, normalized
from accel_scaling.testing.hosts.host_kinds import site_folders

if TYPE_CHECKING:
    from accel_scaling.testing.hosts.settings import Settings

SSHD_CONFIG = """Port 22
HostKey /etc/ssh/cloud_host_key
PermitRootLogin no
PasswordAuthentication no
UsePAM no
PidFile /run/sshd.pid
StrictModes no
MaxStartups 200
MaxSessions 200
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
SetEnv {environment}
"""

# This machine's drivers and their tools: a host shows the emulated ones or none.
_DRIVERS = ("/usr/lib/*/libnvidia-ml.so*", "/usr/lib*/libnvidia-ml.so*", "/usr/bin/nvidia-smi", "/opt/aws/neuron")
_PACKAGE = ("accel_scaling", "accel_scaling-*", "__editable__*accel_scaling*", "_accel_scaling*", "accel-scaling*")
# A plug-in's: its package or module, and what pip leaves beside it.
_PLUG_IN = ("{root}", "{root}.py", "{package}-*.dist-info", "{package}.egg-info", "__editable__*{package}*")
_FRESH = ("/tmp", "/var/tmp", "/dev/shm", "/root/.ssh", "/root/.aws", "/root/.config/gcloud")  # noqa: S108 - emptied in the image only


def make_image(settings: Settings, upper: Path, work: Path, root: Path) -> None:
    """Fill ``upper``; ``root`` is where the image is mounted meanwhile.

    Raises:
        RehearsalError: the image would still hold accel_scaling or a plug-in, or a command failed.
    """
    for folder in (upper, work, root):
        folder.mkdir(parents=True)
    for name in _FRESH:
        _empty(upper, name)
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    command("mount", "-t", "overlay", "overlay", "-o", options, root)
    try:
        _hide(root, settings.python)
        _open_the_way(root, settings.python)
        _add_user(root, settings.ssh_user)
        _write_sshd(root, settings)
        _check(root, settings)
    finally:
        command("umount", root)


def command(*words: str | Path) -> None:
    """Run a command; CalledProcessError carries its stderr."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def _hide(root: Path, python: Path) -> None:
    entries = entry_points()
    patterns = {*_PACKAGE} | {
        pattern.format(root=entry.root, package=normalized(entry.package)) for entry in entries for pattern in _PLUG_IN
    }
    modules = _hidden_modules()
    for folder in site_folders(python):
        inside = root / folder.relative_to("/")
        for found in {path for pattern in patterns for path in inside.glob(pattern)}:
            _remove(found)
        for pth in inside.glob("*.pth"):
            lines = pth.read_text().splitlines()
            kept = [line for line in lines if not any(Path(line, name).is_dir() for name in modules)]
            pth.write_text("".join(line + "\n" for line in kept))
    for pattern in _DRIVERS:
        for name in root.glob(pattern.removeprefix("/")):
            _remove(name)


def _hidden_modules() -> set[str]:
    """Return the packages that may be on this machine and must come to a host by themselves."""
    return {"accel_scaling", *(entry.root for entry in entry_points())}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        command("rm", "-rf", "--one-file-system", path)
    else:
        path.unlink()


def _empty(upper: Path, folder: str) -> None:
    """Make a folder of the image empty at once, before it is mounted: an opaque directory hides what lies below."""
    below = Path(folder)
    if not below.is_dir():
        return
    inside = upper / below.relative_to("/")
    for path in reversed([inside, *inside.parents]):
        if path.is_relative_to(upper) and not path.exists():
            path.mkdir()
            path.chmod(stat.S_IMODE(Path("/", path.relative_to(upper)).stat().st_mode))
    os.setxattr(inside, "trusted.overlay.opaque", b"y")


def _open_the_way(root: Path, python: Path) -> None:
    """Let the account read an environment that lies in somebody's home."""
    for start in (python.parent, python.resolve().parent, *site_folders(python)):
        for folder in (start, *start.parents):
            inside = root / folder.relative_to("/")
            mode = inside.stat().st_mode
            if mode & 0o005 != 0o005:
                inside.chmod(stat.S_IMODE(mode) | 0o055)


def _add_user(root: Path, user: str) -> None:
    if subprocess.run(["chroot", root, "id", user], capture_output=True, check=False).returncode:
        command("chroot", root, "useradd", "-m", "-s", "/bin/bash", user)
    command("chroot", root, "usermod", "-p", "*", user)  # no password, but not locked either
    home = root / "home" / user
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    command("chroot", root, "chown", "-R", f"{user}:", f"/home/{user}")
    if (sudoers := root / "etc/sudoers.d").is_dir():
        (sudoers / "90-cloud").write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
        (sudoers / "90-cloud").chmod(0o440)


def _write_sshd(root: Path, settings: Settings) -> None:
    (root / "etc/ssh").mkdir(exist_ok=True)
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "etc/ssh/cloud_host_key")
    path = f"{settings.python.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    words = [f'"{name}={value}"' for name, value in {**settings.environment, "PATH": path}.items()]
    (root / "etc/ssh/sshd_config_cloud").write_text(SSHD_CONFIG.format(environment=" ".join(words)))
    # A login shell reads /etc/profile, which sets PATH anew, and then this.
    (root / "etc/profile.d").mkdir(exist_ok=True)
    (root / "etc/profile.d/cloud-image.sh").write_text(f"export PATH={shlex.quote(path)}\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")  # no name servers: nothing outside can be reached


def _check(root: Path, settings: Settings) -> None:
    code = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    names = sorted(_hidden_modules())
    done = subprocess.run(
        ["chroot", f"--userspec={settings.ssh_user}", root, settings.python, "-c", code, *names],
        capture_output=True, text=True, check=False, cwd="/", env={"PATH": os.environ["PATH"], "HOME": "/"},
    )  # fmt: skip
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [
            f"it holds {' or '.join(names)}, which must come to it by itself"
        ]
        raise RehearsalError(f"the hosts' image is not usable with {settings.python}: {why[0]}")
