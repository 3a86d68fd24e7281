"""A rehearsal: real Ray, real `ray up`, the cloud emulated; told as a timeline, and torn down whatever happens."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling import timeouts
from accel_scaling.errors import RehearsalError
from accel_scaling.fill.fill import fill
from accel_scaling.testing.devices.user_types import write_own
from accel_scaling.testing.rehearse.clouds import cloud_of
from accel_scaling.testing.rehearse.cluster_config import bring_catalog, demands_of
from accel_scaling.testing.rehearse.faults_option import FaultSource
from accel_scaling.testing.rehearse.status_line import StatusLine
from accel_scaling.testing.rehearse.timeline import Timeline
from accel_scaling.testing.rehearse.user_hardware import introduced, own_types
from accel_scaling.testing.rehearse.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.colors import Stream
    from accel_scaling.testing.hosts.local_cloud import LocalCloud
    from accel_scaling.testing.hosts.settings import Kind
    from accel_scaling.testing.rehearse.clouds import Rehearsed
    from accel_scaling.testing.rehearse.user_hardware import Own

RAY = ("ray",)
EXEC = (*RAY, "exec", "--log-style", "pretty")  # off a terminal Ray would print every step
EXIT_CODE_FILE = ".accel_scaling/exit_code"


@dataclass
class Rehearsal:
    """One run of the whole loop for a cluster config.

    Attributes:
        config: the user's cluster config.
        catalog: what the promises come from.
        command: what to run on the cluster's head; empty for a task per accelerator type.
        faults: what goes wrong, from the start or later.
        kind: isolated hosts or plain processes; None chooses.
        timeout_s: how long tasks may stay pending.
        out: where the story goes.
    """

    config: dict[str, Any]
    catalog: Catalog
    command: Sequence[str] = ()
    faults: FaultSource = field(default_factory=FaultSource)
    kind: Kind | None = None
    timeout_s: float = timeouts.REHEARSAL_TASK_TIMEOUT_S
    out: Stream = sys.stdout

    def __post_init__(self) -> None:
        self.line = StatusLine(self.out)

    def run(self) -> int:
        """Bring the cluster up, run the command, tear everything down; return the command's exit code.

        Raises:
            RehearsalError: a machine type that nobody can emulate, or `ray up` failed.
        """
        cloud = cloud_of(self.config)
        own = own_types(self.config, self.catalog, cloud)  # refuses what cannot be emulated
        with self._begun(cloud, own) as local:
            local_config, skipped = cloud.aimed(self.config, local)
            bring_catalog(local_config, local.settings.laptop)
            filled, _ = fill(local_config, self.catalog)
            self._introduce(cloud, local, skipped, introduced(own))
            path = local.directory / "cluster.yaml"
            path.write_text(yaml.safe_dump(local_config, sort_keys=False), encoding="utf-8")
            return _Act(self, local, path, filled).play()

    @contextlib.contextmanager
    def _begun(self, cloud: Rehearsed, own: dict[str, Own]) -> Iterator[LocalCloud]:
        with (
            tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True) as folder,
            contextlib.ExitStack() as stack,
        ):
            write_own(Path(folder), {name: each.hardware for name, each in own.items()})
            with self.line.doing(f"{cloud.name} starts on this machine"):
                local = stack.enter_context(cloud.local(Path(folder), self.kind, self.config))
            local.set_faults(self.faults.now)
            yield local

    def _introduce(self, cloud: Rehearsed, local: LocalCloud, skipped: list[str], own: list[str]) -> None:
        name = self.config.get("cluster_name", "cluster")
        self.line.write(
            f"rehearsal of {name}: real Ray and its autoscaler; {cloud.name} and the devices are emulated\n"
        )
        self.line.write(f"hosts: {local.reason}\n")
        if skipped:
            self.line.write(f"not rehearsed: {', '.join(skipped)}\n")
        self.line.write("".join(f"{line}\n" for line in own) + "\n")
        self.line.flush()


class _Act:
    """The commands of a rehearsal in their order, on a local cloud that is up."""

    def __init__(self, rehearsal: Rehearsal, local: LocalCloud, cluster: Path, filled: dict[str, Any]) -> None:
        self._rehearsal = rehearsal
        self._local = local
        self._cluster = str(cluster)
        self._log = cluster.with_name("ray-up.log")
        self._filled = filled["available_node_types"]
        self._timeline = Timeline(time.time(), rehearsal.line)
        self._node_types = _node_types_by_machine(cloud_of(rehearsal.config), self._filled)

    def play(self) -> int:
        watcher = Watcher(self._local, self._timeline, self._node_types, self._rehearsal.faults)
        watcher.start()
        try:
            with self._rehearsal.line.doing("`ray up`: the head boots, and Ray starts on it"):
                self._up()
            code = self._command() if self._rehearsal.command else self._tasks()
            self._timeline.say(time.time(), "down", "ray down")
            with self._rehearsal.line.doing("`ray down` terminates the machines"):
                self._ray("down", "-y", self._cluster)
        finally:
            watcher.stop()
        promised = {name: node_type["resources"] for name, node_type in self._filled.items()}
        self._rehearsal.line.write("\n" + self._timeline.closing_table(promised) + "\n")
        return code

    def _up(self) -> None:
        if self._ray("up", "-y", "--no-config-cache", self._cluster) != 0:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            raise RehearsalError(f"`ray up` failed; its output ends with:\n{_tail(text)}")
        self._timeline.say(time.time(), "up", "ray up is done; the head runs the autoscaler")

    def _ray(self, *arguments: str) -> int:
        with self._log.open("a", encoding="utf-8") as log:
            done = self._local.run([*RAY, *arguments], stdout=log, stderr=subprocess.STDOUT, check=False)
        return done.returncode

    def _command(self) -> int:
        line = shlex.join(self._rehearsal.command)
        self._timeline.say(time.time(), "command", line)
        # `ray exec` turns every failure into 1: the command's own code comes by a file.
        words = [*EXEC, self._cluster, f"{line}; echo $? > ~/{EXIT_CODE_FILE}"]
        done = self._local.run(words, check=False)
        if done.returncode:
            return done.returncode
        self._try([])  # no task, but what each node announces
        self._let_join()
        return self._exit_code()

    def _exit_code(self) -> int:
        head = next(iter(self._timeline.machines))  # `ray up` launches it first
        return int(self._local.host_file(head, EXIT_CODE_FILE).read_text(encoding="ascii"))

    def _tasks(self) -> int:
        demands = demands_of(self._rehearsal.config, self._rehearsal.catalog)
        if not demands:
            self._timeline.say(time.time(), "no tasks", "no worker type of the file has an accelerator")
        for demand in demands:
            text = f"a task with accelerator_type={demand['accelerator_type']!r}, {demand['resource']}: 1"
            self._timeline.say(time.time(), "submitted", text)
        with self._rehearsal.line.doing("tasks wait for their machines"):
            results = self._try(demands)
            self._let_join()
        return 0 if all(result["ran"] for result in results) else 1

    def _let_join(self) -> None:
        """Wait for the machines that are up now: the other hosts of a slice may join after the task's own."""
        coming = self._timeline.coming()
        deadline_s = time.monotonic() + timeouts.REHEARSAL_JOIN_S
        while any(machine in coming for machine in self._timeline.coming()) and time.monotonic() < deadline_s:
            self._try([])

    def _try(self, demands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run node.try_task on the head, tell what it says as it says it, and return the tasks' results."""
        words = [
            "python3",
            "-m",
            "accel_scaling.accs.try_task",
            json.dumps(demands),
            str(self._rehearsal.timeout_s),
        ]
        process = self._local.popen(
            [*EXEC, self._cluster, shlex.join(words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        results, rest = [], []
        for output in process.stdout or ():
            word, said = _said(output)
            if word == "TASK":
                results.append(said)
                self._tell(said)
            elif word == "NODE":
                self._timeline.announced(said["address"], said["resources"])
            else:
                rest.append(output)
        if process.wait() != 0 and len(results) < len(demands):
            raise RehearsalError(f"the tasks could not be submitted:\n{_tail(''.join(rest))}")
        return results

    def _tell(self, result: dict[str, Any]) -> None:
        ran = result["ran"]
        name = f"accelerator_type={result['accelerator_type']!r}"
        if not ran:
            self._timeline.say(time.time(), "pending", f"{name}: {result['reason']}")
            return
        ids = ", ".join(f"{family} {' '.join(ids)}" for family, ids in ran["ids"].items())
        took_s = ran["time_s"] - result["asked_s"]
        machine = self._timeline.at(ran["address"])
        where = f"{machine.instance_type} {machine.instance_id}" if machine else ran["address"]
        visible = "".join(f", {variable}={value}" for variable, value in ran["visible"].items())
        text = f"{name} on {where}, {took_s:.1f} s after it was asked for; its ids: {ids}{visible}"
        self._timeline.say(ran["time_s"], "running", text)
        if machine is not None:
            machine.node_type = result["node_type"]
            machine.running_s = ran["time_s"] - self._timeline.started_s


def _node_types_by_machine(cloud: Rehearsed, filled: dict[str, Any]) -> dict[str, str]:
    names: dict[str, list[str]] = {}
    for name, node_type in filled.items():
        names.setdefault(cloud.machine_name(node_type["node_config"]), []).append(name)
    return {machine: " or ".join(found) for machine, found in names.items()}


def _said(output: str) -> tuple[str, dict[str, Any]]:
    """Return a line of try_task's as its word and what it says; ("", {}) for any other, such as a login shell's."""
    for word in ("TASK", "NODE"):
        start = output.find(word + " {")
        if start >= 0:
            return word, json.loads(output[start + len(word) : output.rindex("}") + 1])
    return "", {}


def _tail(text: str, lines: int = 25) -> str:
    return "\n".join("  | " + line for line in text.splitlines()[-lines:])
