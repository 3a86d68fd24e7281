"""The commands of a rehearsal in their order, on a local cloud that is up, and its closing lines."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.errors import RehearsalError
from accel_scaling.terminal import without_controls, wrapped
from accel_scaling.testing.ray_cluster import tail
from accel_scaling.testing.rehearse import try_task
from accel_scaling.testing.rehearse.command import exit_code, shell_line
from accel_scaling.testing.rehearse.demands import name_of
from accel_scaling.testing.rehearse.replacement import ENDS_FILE, Ender, Replacement
from accel_scaling.testing.rehearse.timeline import Timeline
from accel_scaling.testing.rehearse.watcher import SLICE_HOST, NodeTypes, Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.status_line import StatusLine
    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.fault_source import FaultSource
    from accel_scaling.testing.ray_cluster import RayCluster
    from accel_scaling.testing.rehearse.demands import Demand


class Act:
    """One run on a local cloud, from `ray up` to `ray down`.

    Args:
        local: the local cloud.
        cluster: the cluster on it, not yet up.
        filled: its config with the promises.
        line: where the output goes.
        faults: what goes wrong, from the start or later.
        timeout_s: how long tasks may stay pending.
    """

    def __init__(
        self,
        local: LocalCloud,
        cluster: RayCluster,
        filled: dict[str, Any],
        *,
        line: StatusLine,
        faults: FaultSource,
        timeout_s: float,
    ) -> None:
        self._local, self._cluster, self._filled = local, cluster, filled
        self._line, self._timeout_s = line, timeout_s
        self._timeline = Timeline(time.time(), line)
        self._watcher = Watcher(local, self._timeline, _node_types_of(local, filled["available_node_types"]), faults)
        self._replacement = Replacement(filled, local.machine_name, faults, self._timeline)
        self._results: list[dict[str, Any]] = []
        self._left_out: dict[str, str] = {}

    def play(self, command: Sequence[str], demands: tuple[list[Demand], list[Demand]]) -> int:
        """Run the command, or the tasks where it is empty; return the exit code.

        Args:
            command: what runs on the head.
            demands: the tasks by accelerator type, and by node type.
        """
        self._watcher.start()
        try:
            with self._line.doing("`ray up`: the head boots, and Ray starts on it"):
                self._cluster.up()
            self._timeline.say(time.time(), "up", "ray up is done; the head runs the autoscaler")
            code = self._command(command) if command else self._tasks(*demands)
            self._timeline.say(time.time(), "down", "ray down ends all machines")
            with self._line.doing("`ray down` terminates the machines"):
                self._cluster.down()
        finally:
            # Also after a failure: what the machines did last is what explains it.
            self._watcher.stop()
        self._close(code if command else None)
        return code

    def _close(self, command_code: int | None) -> None:
        promised = {name: one["resources"] for name, one in self._filled["available_node_types"].items()}
        summary = [wrapped(without_controls(line), stream=self._line) for line in self._summary(command_code)]
        lines = [self._timeline.closing_table(promised), "", *summary]
        self._line.write("\n" + "\n".join(lines) + "\n")

    def _summary(self, command_code: int | None) -> list[str]:
        """Return the closing lines: what ran, and what did not, with the reason."""
        ran = sum(result["ran"] is not None for result in self._results)
        if command_code is None:
            lines = [f"{ran} of {len(self._results)} tasks ran"]
        else:
            lines = [f"the command ended with exit code {command_code}"]
        lines += [f"did not run: {self._name_and_reason(one)}" for one in self._results if not one["ran"]]
        lines += self._replacement.summary() if command_code is None else self._replacement.of_command()
        for name in self._workers():
            if name in self._timeline.joined():
                continue
            reason = self._left_out.get(name) or self._timeline.reason_of([name]) or "no task asked for one"
            subject = f"node type {name}"
            lines.append(f"without a machine: {reason if reason.startswith(subject) else f'{subject}: {reason}'}")
        return lines

    def _workers(self) -> list[str]:
        return [name for name in self._filled["available_node_types"] if name != self._filled["head_node_type"]]

    def _command(self, command: Sequence[str]) -> int:
        line = shell_line(command)
        self._timeline.say(time.time(), "command", shlex.join(command))
        done = self._local.run(self._cluster.exec_words(line))
        if not done.returncode:
            self._try([])  # no task, but what each node announces
            self._let_join()
        self._watcher.look()
        return exit_code(self._local, self._timeline, done.returncode)

    def _tasks(self, of_accelerators: list[Demand], of_node_types: list[Demand]) -> int:
        if not of_node_types:
            self._timeline.say(time.time(), "no tasks", "the file has no worker node type")
        self._submit(of_accelerators)
        # Those of which Ray has asked for no machine: it chose others for the tasks so far.
        rest = [one for one in of_node_types if one["node_type"] not in self._timeline.requests]
        self._submit(self._within_limits(rest))
        code = 0 if all(result["ran"] for result in self._results) else 1
        self._replace(of_node_types)
        return 1 if self._replacement.left() else code

    def _replace(self, of_node_types: list[Demand]) -> None:
        """Have tasks follow each other until later faults have hit machines, and others have replaced them."""
        demands = [{**one, "lasts_s": timeouts.REHEARSAL_TASK_S} for one in self._replacement.demands(of_node_types)]
        if not demands:
            return
        names = ", ".join(demand["node_type"] for demand in demands)
        self._timeline.say(time.time(), "continues", f"tasks follow each other on {names} until a machine is replaced")
        quiet, touch = subprocess.DEVNULL, self._cluster.exec_words(f"touch ~/{ENDS_FILE}")
        ender = Ender(self._replacement, lambda: self._local.run(touch, stdout=quiet, stderr=quiet))
        ender.start()
        try:
            with self._line.doing("later faults happen, and their machines are replaced"):
                self._try(demands, self._replacement.limit_s() + self._timeout_s)
        finally:
            ender.stop()
        self._watcher.look()

    def _submit(self, demands: list[Demand]) -> None:
        if not demands:
            return
        for demand in demands:
            resource = f", {demand['resource']}: 1" if demand["resource"] else ""
            self._timeline.say(time.time(), "submitted", f"a task with {name_of(demand)}{resource}")
        with self._line.doing("tasks wait for their machines"):
            self._results += self._try(demands)
            self._let_join()

    def _within_limits(self, demands: list[Demand]) -> list[Demand]:
        """Return the demands whose node types the file's limits let in; the others are left out, with the reason."""
        most = self._filled.get("max_workers", 0)
        head = next(iter(self._timeline.machines), "")
        up = {SLICE_HOST.sub("", one.instance_id) for one in self._timeline.machines.values() if one.gone_s is None}
        room, kept = most - len(up - {head}), []
        for demand in demands:
            name = demand["node_type"]
            if self._filled["available_node_types"][name].get("max_workers", most) == 0:
                self._left_out[name] = "its max_workers is 0"
            elif room <= 0:
                self._left_out[name] = f"the file's max_workers, {most}, is reached by other node types"
            else:
                room -= 1
                kept.append(demand)
        return kept

    def _let_join(self) -> None:
        """Wait for the machines that are up now: the other hosts of a slice may join after the task's own."""
        # Those of this moment: a machine that the autoscaler launches later has no task to wait for.
        coming = self._timeline.coming()
        deadline_s = time.monotonic() + timeouts.REHEARSAL_JOIN_S
        while coming and time.monotonic() < deadline_s:
            self._try([])
            left = [machine for machine in self._timeline.coming() if machine in coming]
            if len(left) < len(coming):  # the others of a slice may follow
                coming, deadline_s = left, time.monotonic() + timeouts.REHEARSAL_JOIN_S

    def _try(self, demands: list[Demand], timeout_s: float = 0.0) -> list[dict[str, Any]]:
        """Run try_task on the head, print its lines as they come, and return the tasks' results."""
        # By its path: where the start commands bring `ray`, the PATH has another Python, without Ray.
        python = str(self._local.settings.python)
        command = shlex.join(try_task.words(demands, timeout_s or self._timeout_s, python, ENDS_FILE))
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
        if not ran:
            self._watcher.look()  # what has just happened may be the reason
            self._timeline.say(time.time(), "pending", self._name_and_reason(result))
            return
        ids = ", ".join(f"{family} {' '.join(ids)}" for family, ids in ran["ids"].items())
        took_s = ran["time_s"] - result["asked_s"]
        machine = self._timeline.at(ran["address"])
        if machine is not None:
            machine.last_run_s = ran["time_s"] - self._timeline.started_s
            if result.get("continues") and "address" not in result and machine.running_s is not None:
                return  # the first of the tasks that follow each other: where one has run already
        host = f"{machine.instance_type} {machine.instance_id}" if machine else ran["address"]
        visible = "".join(f", {variable}={value}" for variable, value in ran["visible"].items())
        text = f"{name_of(result)} on {host}, {took_s:.1f} s after it was asked for; its ids: {ids or 'none'}{visible}"
        self._timeline.say(ran["time_s"], "running", text)
        if machine is not None and machine.running_s is None:
            machine.running_s = machine.last_run_s

    def _name_and_reason(self, result: dict[str, Any]) -> str:
        known = self._timeline.reason_of(self._node_types_for(result))
        return f"{name_of(result)}: {result['reason']}" + (f"; {known}" if known else "")

    def _node_types_for(self, demand: Demand) -> list[str]:
        """Return the node types that could run a task."""
        if demand.get("mark"):
            return [demand["node_type"]]
        promised = {name: one["resources"] for name, one in self._filled["available_node_types"].items()}
        wanted = f"accelerator_type:{demand['accelerator_type']}"
        return [name for name, resources in promised.items() if wanted in resources]


def _node_types_of(cloud: LocalCloud, filled: dict[str, Any]) -> NodeTypes:
    names: dict[str, list[str]] = {}
    for name, node_type in filled.items():
        names.setdefault(cloud.machine_name(node_type["node_config"]), []).append(name)
    return NodeTypes({cloud.tag_of(name): name for name in filled}, names)


def _parsed(output: str) -> tuple[str, dict[str, Any]]:
    """Return a line of try_task's as its word and its record; ("", {}) for any other, such as a login shell's."""
    for word in ("TASK", "NODE"):
        start = output.find(word + " {")
        if start >= 0:
            return word, json.loads(output[start + len(word) : output.rindex("}") + 1])
    return "", {}
