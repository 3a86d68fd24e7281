"""Random lives of machines, with faults of the cloud and restarts: a model of its own counts strikes and machines."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling.providers.base.machine_end import EndedBy, MachineEnd
from accel_scaling.quarantine.machine import bounded
from tests.support.quarantine import A, B
from tests.support.watched_cloud import CONFIRMED, LIES, Cluster, fails

ENDS = {
    EndedBy.CLOUD: MachineEnd(EndedBy.CLOUD, "Client.InternalError", "Client error on launch"),
    EndedBy.USER: MachineEnd(EndedBy.USER, "Client.UserInitiatedShutdown", "User initiated shutdown"),
    EndedBy.INTERRUPTION: MachineEnd(EndedBy.INTERRUPTION, "Server.SpotInstanceTermination", "Spot"),
}


class Lives(RuleBasedStateMachine):
    """Machines of one node type; the model knows of each whether it is a strike, and nothing of ledgers."""

    version = "v2"
    booting = Bundle("booting")

    def __init__(self) -> None:
        super().__init__()
        self.resources = contextlib.ExitStack()
        folder = "autoscaler/v2" if self.version == "v2" else "autoscaler/_private"
        self.resources.enter_context(mock.patch.object(sys, "argv", [f"/ray/{folder}/monitor.py"]))
        home = self.resources.enter_context(tempfile.TemporaryDirectory())
        logging.disable(logging.CRITICAL)
        self.cluster = Cluster(Path(home), self.version)
        self.strikes: set[str] = set()
        self.joined: set[str] = set()
        self.over: set[str] = set()  # their boot is over, one way or another
        self.waits_for_ray: set[str] = set()  # failed while the cloud did not answer: Ray ends them when it does

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)
        self.resources.close()

    def set_up(self, node: str, *, fault: dict[str, Any], verdict: str = CONFIRMED) -> None:
        self.cluster.provider.script.answers, self.cluster.provider.script.verdict = fault, verdict
        try:
            self.cluster.boot(node)
        except RuntimeError:  # of the listing after which Ray would have ended it
            self.waits_for_ray.add(node)
        self.cluster.provider.script.answers, self.cluster.provider.script.verdict = {}, CONFIRMED

    def round(self, seconds: int = 5) -> None:
        """A round of the autoscaler, which ends with the listing where the cloud does not answer."""
        if self.cluster.provider.api_error:
            with contextlib.suppress(RuntimeError):  # there may be nothing to ask about
                self.cluster.round(seconds)
            return
        if failed := [node for node in self.waits_for_ray if self.cluster.state(node) == "running"]:
            self.cluster.provider.terminate_nodes(failed)
        self.waits_for_ray.clear()
        self.cluster.round(seconds)

    def answer(self) -> None:
        self.cluster.provider.api_error = None
        self.round()

    @rule(target=booting, zone=st.sampled_from([A, B, ""]), known=st.booleans())
    def launch(self, zone: str, known: bool) -> str:
        try:
            (node,) = self.cluster.launch(zone=zone)
        except NodeLaunchException:
            self.cluster.head.now_s += 4000  # longer than any quarantine lasts
            (node,) = self.cluster.launch(zone=zone)
        if known:
            self.round()
        return node

    @rule(
        node=consumes(booting), fault=st.sampled_from(["pip", "container", "ray start"]), code=st.sampled_from([1, 255])
    )
    def fails_by_itself(self, node: str, fault: str, code: int) -> None:
        if fault == "ray start" and code == 255:
            code = 124
        self.round()
        self.set_up(node, fault={fault: fails(code)})
        self.strikes.add(node)
        self.over.add(node)

    @rule(node=consumes(booting), lies=st.booleans())
    def is_refused(self, node: str, lies: bool) -> None:
        self.round()
        self.set_up(node, fault={"ray start": fails(3)}, verdict=LIES if lies else "")
        self.strikes.add(node)
        self.over.add(node)

    @rule(node=consumes(booting), by=st.sampled_from(list(ENDS)))
    def is_ended_by(self, node: str, by: EndedBy) -> None:
        machine = self.cluster.provider.machines[node]
        machine.state, machine.end = "terminated", ENDS[by]
        if by is EndedBy.CLOUD:
            self.strikes.add(node)
        self.over.add(node)
        self.answer()

    @rule(node=consumes(booting), verdict=st.sampled_from(["Confirmed", None]))
    def joins(self, node: str, verdict: str | None) -> None:
        self.answer()
        self.set_up(node, fault={})
        self.cluster.join(node, verdict)
        self.round()
        self.over.add(node)
        if verdict is None:
            self.strikes.add(node)
        else:
            self.joined.add(node)

    @rule(node=consumes(booting))
    def is_no_longer_needed(self, node: str) -> None:
        self.answer()
        self.cluster.provider.terminate_nodes([node])
        self.over.add(node)

    @rule(broken=st.booleans())
    def the_api_fails_or_answers_again(self, broken: bool) -> None:
        self.cluster.provider.api_error = RuntimeError("RequestLimitExceeded") if broken else None

    @rule()
    def the_autoscaler_restarts(self) -> None:
        error = self.cluster.provider.api_error
        self.cluster.restart()
        self.cluster.provider.api_error = error

    @rule(seconds=st.integers(1, 400))
    def a_round(self, seconds: int) -> None:
        self.round(seconds)

    @invariant()
    def each_strike_is_counted_once_and_nothing_else_is(self) -> None:
        if not self.cluster.provider.api_error:
            self.round(1)
        assert self.strikes - self.waits_for_ray <= set(self.cluster.strikes()) <= self.strikes

    @invariant()
    def what_failed_does_not_run_on_once_the_cloud_answers(self) -> None:
        if self.cluster.provider.api_error:
            return
        self.round(1)
        running = {name for name, machine in self.cluster.provider.machines.items() if machine.state == "running"}
        assert not running & self.strikes
        assert self.joined <= running
        stopped = {name for name, machine in self.cluster.provider.machines.items() if machine.state == "stopped"}
        assert not stopped & self.strikes

    @invariant()
    def a_record_ends_where_its_machine_does(self) -> None:
        machines = self.cluster.gate.machines.all()
        assert dict(machines) == bounded(machines)
        for name, machine in machines.items():
            if name in self.joined:
                assert machine.joined
            elif name in self.over - self.waits_for_ray:
                assert machine.ended or machine.given_up
            else:
                assert not machine.ended


class LivesUnderV1(Lives):
    version = "v1"


@pytest.mark.parametrize("lives", [Lives, LivesUnderV1])
def test_whatever_happens_each_failed_machine_is_one_strike_and_ends(lives: type[Lives]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    few = settings(max_examples=max(settings().max_examples // 4, 5), stateful_step_count=20)
    run_state_machine_as_test(lives, settings=few)  # type: ignore[no-untyped-call]
