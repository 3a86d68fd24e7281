"""A rehearsal: real Ray and `ray up` on a local cloud; printed as a timeline, and torn down whatever happens."""

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

from accel_scaling import timeouts
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import RehearsalError
from accel_scaling.fill.fill import fill
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.message_text import shown
from accel_scaling.testing.base_cloud import local_cloud_of
from accel_scaling.testing.devices.hardware import write_user_hardware
from accel_scaling.testing.faults import FaultSource
from accel_scaling.testing.ray_cluster import tail
from accel_scaling.testing.rehearse import try_task
from accel_scaling.testing.rehearse.timeline import StatusLine, Timeline, Watcher
from accel_scaling.testing.rehearse.user_hardware import introduced, user_machines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.terminal import Stream
    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.hosts.settings import HostKind
    from accel_scaling.testing.ray_cluster import RayCluster
    from accel_scaling.testing.rehearse.user_hardware import UserMachine

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
        out: the stream of the output.
    """

    config: dict[str, Any]
    catalog: Catalog
    command: Sequence[str] = ()
    faults: FaultSource = field(default_factory=FaultSource)
    kind: HostKind | None = None
    timeout_s: float = timeouts.REHEARSAL_TASK_TIMEOUT_S
    out: Stream = sys.stdout

    def __post_init__(self) -> None:
        self.line = StatusLine(self.out)

    def run(self) -> int:
        """Bring the cluster up, run the command, tear everything down; return the command's exit code.

        Raises:
            RehearsalError: a machine type that cannot be emulated, or `ray up` failed.
        """
        cloud = local_cloud_of(self.config)
        user_types = user_machines(self.config, self.catalog, cloud)  # refuses what cannot be emulated
        with self._begun(cloud, user_types) as local:
            cluster, left_out = local.write_cluster(self.config)
            filled, _ = fill(cluster.config, self.catalog)
            self._introduce(local, left_out, introduced(user_types))
            return _Act(self, local, cluster, filled).play()

    @contextlib.contextmanager
    def _begun(self, cloud: type[LocalCloud], user_types: dict[str, UserMachine]) -> Iterator[LocalCloud]:
        with (
            # In this order: the cloud ends, and with it all that writes into the folder, before the folder is removed.
            tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True) as folder,
            contextlib.ExitStack() as stack,
        ):
            # Before the cloud starts: its process reads them once, at its start.
            write_user_hardware(Path(folder), {name: machine.hardware for name, machine in user_types.items()})
            with self.line.doing(f"{cloud.CLOUD} starts on this machine"):
                local = stack.enter_context(cloud(Path(folder), place=cloud.place_of(self.config), kind=self.kind))
            local.set_faults(*self.faults.now)
            yield local

    def _introduce(self, local: LocalCloud, left_out: list[str], user_lines: list[str]) -> None:
        name = self.config.get("cluster_name", "cluster")
        self.line.write(
            f"rehearsal of {name}: real Ray and its autoscaler; {local.CLOUD} and the devices are emulated\n"
        )
        self.line.write(f"hosts: {local.reason}\n")
        if left_out:
            self.line.write(f"not rehearsed: {', '.join(left_out)}\n")
        self.line.write("".join(f"{line}\n" for line in user_lines) + "\n")
        self.line.flush()


class _Act:
    """The commands of a rehearsal in their order, on a local cloud that is up."""

    def __init__(self, rehearsal: Rehearsal, local: LocalCloud, cluster: RayCluster, filled: dict[str, Any]) -> None:
        self._rehearsal = rehearsal
        self._local = local
        self._cluster = cluster
        self._filled = filled["available_node_types"]
        self._timeline = Timeline(time.time(), rehearsal.line)
        self._node_types = _node_types_by_machine(local, self._filled)

    def play(self) -> int:
        watcher = Watcher(self._local, self._timeline, self._node_types, self._rehearsal.faults)
        watcher.start()
        try:
            with self._rehearsal.line.doing("`ray up`: the head boots, and Ray starts on it"):
                self._cluster.up()
            self._timeline.say(time.time(), "up", "ray up is done; the head runs the autoscaler")
            code = self._command() if self._rehearsal.command else self._tasks()
            self._timeline.say(time.time(), "down", "ray down")
            with self._rehearsal.line.doing("`ray down` terminates the machines"):
                self._cluster.down()
        finally:
            # Also after a failure: what the machines did last is what explains it.
            watcher.stop()
        promised = {name: node_type["resources"] for name, node_type in self._filled.items()}
        self._rehearsal.line.write("\n" + self._timeline.closing_table(promised) + "\n")
        return code

    def _command(self) -> int:
        line = shlex.join(self._rehearsal.command)
        self._timeline.say(time.time(), "command", line)
        # `ray exec` turns every failure into 1: the command's own code comes by a file.
        done = self._local.run(self._cluster.exec_words(f"{line}; echo $? > ~/{EXIT_CODE_FILE}"))
        if done.returncode:
            return done.returncode
        self._try([])  # no task, but what each node announces
        self._let_join()
        return self._exit_code()

    def _exit_code(self) -> int:
        head = next(iter(self._timeline.machines))  # `ray up` launches it first
        return int(self._local.host_file(head, EXIT_CODE_FILE).read_text(encoding="ascii"))

    def _tasks(self) -> int:
        demands = _demands_of(self._rehearsal.config, self._rehearsal.catalog)
        if not demands:
            self._timeline.say(time.time(), "no tasks", "no worker type of the file has an accelerator")
        for demand in demands:
            text = f"a task with accelerator_type={shown(demand['accelerator_type'])}, {demand['resource']}: 1"
            self._timeline.say(time.time(), "submitted", text)
        with self._rehearsal.line.doing("tasks wait for their machines"):
            results = self._try(demands)
            self._let_join()
        return 0 if all(result["ran"] for result in results) else 1

    def _let_join(self) -> None:
        """Wait for the machines that are up now: the other hosts of a slice may join after the task's own."""
        # Those of this moment: a machine that the autoscaler launches later has no task to wait for.
        coming = self._timeline.coming()
        deadline_s = time.monotonic() + timeouts.REHEARSAL_JOIN_S
        while any(machine in coming for machine in self._timeline.coming()) and time.monotonic() < deadline_s:
            self._try([])

    def _try(self, demands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run try_task on the head, print its lines as they come, and return the tasks' results."""
        command = shlex.join(try_task.words(demands, self._rehearsal.timeout_s))
        process = self._local.popen(self._cluster.exec_words(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        results, rest = [], []
        for output in process.stdout or ():
            word, record = _parsed(output)
            if word == "TASK":
                results.append(record)
                self._print_result(record)
            elif word == "NODE":
                self._timeline.announced(record["address"], record["resources"])
            else:
                rest.append(output)
        if process.wait() != 0 and len(results) < len(demands):
            raise RehearsalError(f"the tasks could not be submitted:\n{tail(''.join(rest))}")
        return results

    def _print_result(self, result: dict[str, Any]) -> None:
        ran = result["ran"]
        name = f"accelerator_type={shown(result['accelerator_type'])}"
        if not ran:
            self._timeline.say(time.time(), "pending", f"{name}: {result['reason']}")
            return
        ids = ", ".join(f"{family} {' '.join(ids)}" for family, ids in ran["ids"].items())
        took_s = ran["time_s"] - result["asked_s"]
        machine = self._timeline.at(ran["address"])
        host = f"{machine.instance_type} {machine.instance_id}" if machine else ran["address"]
        visible = "".join(f", {variable}={value}" for variable, value in ran["visible"].items())
        text = f"{name} on {host}, {took_s:.1f} s after it was asked for; its ids: {ids}{visible}"
        self._timeline.say(ran["time_s"], "running", text)
        if machine is not None:
            machine.node_type = result["node_type"]
            machine.running_s = ran["time_s"] - self._timeline.started_s


def _node_types_by_machine(cloud: LocalCloud, filled: dict[str, Any]) -> dict[str, str]:
    names: dict[str, list[str]] = {}
    for name, node_type in filled.items():
        names.setdefault(cloud.machine_name(node_type["node_config"]), []).append(name)
    return {machine: " or ".join(users) for machine, users in names.items()}


def _parsed(output: str) -> tuple[str, dict[str, Any]]:
    """Return a line of try_task's as its word and its record; ("", {}) for any other, such as a login shell's."""
    for word in ("TASK", "NODE"):
        start = output.find(word + " {")
        if start >= 0:
            return word, json.loads(output[start + len(word) : output.rindex("}") + 1])
    return "", {}


def _demands_of(config: dict[str, Any], catalog: Catalog) -> list[dict[str, Any]]:
    """Return one small task per accelerator type of the file's workers, by its most exact name."""
    demands: dict[str, dict[str, Any]] = {}
    for node_type in read_config(config, catalog).node_types.values():
        chip = node_type.machine.machine.chip
        if node_type.is_head or chip is None:
            continue
        keys = [key for key in node_type.resources if key.startswith(ACCELERATOR_TYPE_PREFIX)]
        types = [key.removeprefix(ACCELERATOR_TYPE_PREFIX) for key in keys] or accelerator_types(chip)
        demand = {"node_type": node_type.name, "resource": chip.resource, "count": 1, "accelerator_type": types[-1]}
        # One for each accelerator type: a second node type with the same one might never be chosen for a task.
        demands.setdefault(types[-1], demand)
    return list(demands.values())
