"""The account of isolated hosts: the PATH of its shells, and the Python environments in its home."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.python_environments import ULIMIT, EnvironmentFiles, read_environments

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.hosts.settings import Settings

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PROFILE = "etc/profile.d/cloud-image.sh"

# Ray opens many connections at once, and sshd would drop some of them (MaxStartups is 10:30:100 by default).
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


def write_path(root: Path, settings: Settings, path: str) -> None:
    """Make this the PATH of the account, in all kinds of shells."""
    words = [f'"{name}={value}"' for name, value in {**settings.environment, "PATH": path}.items()]
    # In one SetEnv: sshd takes the first such line, and ignores all others.
    (root / "etc/ssh/sshd_config_cloud").write_text(SSHD_CONFIG.format(environment=" ".join(words)))
    # A login shell reads /etc/profile, which sets PATH again, and then this.
    (root / "etc/profile.d").mkdir(exist_ok=True)
    (root / PROFILE).write_text(f"export PATH={shlex.quote(path)}\n{ULIMIT}")


def put_environments(root: Path, settings: Settings, ray: str) -> None:
    """Write the environments from which start commands take `ray`, and take it off the PATH.

    Args:
        root: of the host.
        settings: those of the local cloud.
        ray: the text of the program.
    """
    environments = read_environments(settings.environments_file)
    if not environments:
        return
    home = f"/home/{settings.ssh_user}"

    def seen(path: str) -> str:
        return f"{home}{path[1:]}" if path.startswith("~") else path

    if not environments.ray_on_path:
        for folder in (str(settings.python.parent), *SYSTEM_PATH.split(":")):
            (root / folder.lstrip("/") / "ray").unlink(missing_ok=True)
        write_path(root, settings, SYSTEM_PATH)
    files = EnvironmentFiles(lambda path: root / seen(path).lstrip("/"), seen, ray, settings.python)
    profile = files.put(environments)
    with (root / PROFILE).open("a") as file:
        file.write(profile)
    bashrc = root / f"{home}/.bashrc".lstrip("/")
    # In front: a distribution's ends early where the shell is not interactive.
    bashrc.write_text(profile + (bashrc.read_text() if bashrc.exists() else ""))
    # What is new alone: a change of all would copy the whole home into the layer of this host.
    user = settings.ssh_user
    words = ["chroot", str(root), "find", home, "!", "-user", user, "-exec", "chown", f"{user}:", "{}", "+"]
    subprocess.run(words, check=True, capture_output=True, text=True)
