"""What a rehearsal with a later fault waits for: drain, end, and a task on another machine; and its last lines."""

from __future__ import annotations

import io
from typing import Any

import pytest

from accel_scaling.testing.fault_source import FaultSource
from accel_scaling.testing.rehearse.replacement import Ender, Replacement
from accel_scaling.testing.rehearse.timeline import MachineRecord, Timeline


class Rehearsed:
    """A rehearsal of two node types, with one machine each and a head of the second one's type."""

    def __init__(self, *faults: str, **watcher: Any) -> None:
        self.timeline = Timeline(0.0, io.StringIO())
        types = {"head": "g5.xlarge", "t4": "g4dn.xlarge", "a10g": "g5.xlarge"}
        filled = {
            "provider": {"watcher": watcher},
            "head_node_type": "head",
            "available_node_types": {
                name: {"node_config": {"InstanceType": one}, "resources": {"rehearsal-t4": 1} if name == "t4" else {}}
                for name, one in types.items()
            },
        }
        self.replacement = Replacement(
            filled, lambda node_config: str(node_config["InstanceType"]), FaultSource(faults), self.timeline
        )
        for name, machine_type in types.items():
            self.machine(f"i-{name}", name, machine_type)

    def machine(self, instance_id: str, node_type: str, machine_type: str) -> MachineRecord:
        machine = self.timeline.machine(instance_id, machine_type)
        machine.node_type, machine.resources = node_type, {"GPU": 1}
        return machine


def demands(replacement: Replacement) -> list[tuple[str, str]]:
    known = [{"node_type": name, "resource": "GPU", "mark": f"rehearsal-{name}"} for name in ("t4", "a10g")]
    return [(one["node_type"], one["mark"]) for one in replacement.demands(known)]


def test_it_waits_for_the_fault_the_drain_the_end_and_a_task_elsewhere() -> None:
    rehearsed = Rehearsed("notice:g4dn.xlarge@20s")
    replacement, machine = rehearsed.replacement, rehearsed.timeline.machines["i-t4"]
    assert demands(replacement) == [("t4", "rehearsal-t4")]
    assert replacement.left() == ["notice of g4dn.xlarge has happened to 0 machines"]
    machine.happened_s = machine.last_run_s = 20.0
    elsewhere = "no task has run on another t4 in place of g4dn.xlarge i-t4"
    assert replacement.left() == ["g4dn.xlarge i-t4 is not drained", elsewhere]
    machine.drained_s = 21.5
    assert replacement.left() == ["g4dn.xlarge i-t4 is drained and not terminated", elsewhere]
    machine.gone_s = 24.0
    other = rehearsed.machine("i-new", "t4", "g4dn.xlarge")
    assert replacement.left() == [elsewhere]
    assert replacement.summary()[-1] == f"not shown: {elsewhere}"
    other.last_run_s = 35.0
    assert replacement.left() == []
    assert replacement.summary() == [
        "replaced: g4dn.xlarge i-t4, drained after 1.5 s, terminated after 4.0 s, by i-new, with a task after 15.0 s"
    ]


def test_a_rehearsal_with_a_command_says_what_became_of_each_machine_that_was_hit() -> None:
    rehearsed = Rehearsed("notice:g4dn.xlarge@20s", "sick:g5.xlarge@20s")
    rehearsed.timeline.machines["i-a10g"].happened_s = 21.0
    machine = rehearsed.timeline.machines["i-t4"]
    machine.confirmed_s, machine.happened_s, machine.drained_s, machine.gone_s = 10.0, 20.0, 20.5, 24.0
    rehearsed.machine("i-later", "t4", "g4dn.xlarge").confirmed_s = 44.0
    rehearsed.machine("i-new", "t4", "g4dn.xlarge").confirmed_s = 34.0
    rehearsed.machine("i-waits", "t4", "g4dn.xlarge")
    assert rehearsed.replacement.of_command() == [
        "hit at 20.0 s: g4dn.xlarge i-t4, drained after 0.5 s, terminated after 4.0 s, i-new is confirmed after 14.0 s",
        "hit at 21.0 s: g5.xlarge i-a10g, not drained, not terminated",
    ]


def test_a_machine_that_ended_under_the_command_is_not_said_to_have_never_joined() -> None:
    timeline = Rehearsed().timeline
    for name in ("i-t4", "i-a10g"):
        timeline.machines[name].resources = {}
        timeline.machines[name].gone_s = 30.0
    timeline.machines["i-t4"].drained_s = 20.0
    rows = [line.split("  ")[-1].strip() for line in timeline.closing_table({}).splitlines()[-3:]]
    assert rows == ["GPU 1", "(drained before it was asked)", "(never joined)"]


def test_so_many_machines_as_the_fault_names_are_waited_for() -> None:
    rehearsed = Rehearsed("sick:g4dn.xlarge@5s=2")
    rehearsed.timeline.machines["i-t4"].happened_s = 5.0
    assert rehearsed.replacement.left() == ["sick of g4dn.xlarge has happened to 1 machines"]


@pytest.mark.parametrize("fault", ["no-capacity:g4dn.xlarge", "no-driver:g5.xlarge"])
def test_without_a_later_fault_nothing_is_waited_for(fault: str) -> None:
    replacement = Rehearsed(fault).replacement
    assert (demands(replacement), replacement.left(), replacement.summary()) == ([], [], [])


def test_what_the_file_only_reports_is_not_waited_for_and_is_said() -> None:
    replacement = Rehearsed("sick:g4dn.xlarge", node_types={"t4": {"sick": "report"}}).replacement
    assert (demands(replacement), replacement.left()) == ([], [])
    assert replacement.summary() == ["not drained: t4, as provider.watcher.sick is report"]


def test_a_head_and_a_device_that_cannot_fail_are_not_waited_for() -> None:
    rehearsed = Rehearsed("notice:g5.xlarge", "sick:g4dn.xlarge")
    assert demands(rehearsed.replacement) == [("t4", "rehearsal-t4"), ("a10g", "")]
    rehearsed.timeline.machines["i-head"].happened_s = 3.0
    rehearsed.timeline.machines["i-t4"].happened_s = 3.0
    rehearsed.timeline.machines["i-t4"].unhurt = True
    assert rehearsed.replacement.left() == []


def test_the_tasks_end_when_all_is_shown_and_not_before() -> None:
    rehearsed, ends = Rehearsed("sick:g4dn.xlarge"), list[str]()
    ender = Ender(rehearsed.replacement, lambda: ends.append("ends"))
    ender.start()
    ender.stop()
    assert ends == []
    rehearsed.timeline.machines["i-t4"].happened_s, rehearsed.timeline.machines["i-t4"].unhurt = 1.0, True
    ender = Ender(rehearsed.replacement, lambda: ends.append("ends"))
    ender.start()
    ender.join(10)
    assert ends == ["ends"]
