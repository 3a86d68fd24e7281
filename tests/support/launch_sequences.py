"""Random sequences of launches beside faults of a cloud, compared with an account that is kept from the cloud's side.

The account knows what was asked for, and what exists by the emulated cloud's own records. What the provider says is
compared with it and never trusted. `known` is what Ray knows: the machines that it has listed, or that a launch
has returned or reported. Ray asks for what is missing to that; so more than `known` and what is asked for now must
never be paid for.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import event, note, settings

from accel_scaling import _ray

LONGEST_S = 30.0  # of one call, whose waits are all short here; a hang is none that ends

# Sentences of a launch of which something may still come.
OPEN = ("may still start", "has not yet reported", "not known yet")


@dataclass(frozen=True)
class Machine:
    """A machine, by the cloud's own records."""

    node_type: str
    zone: str
    paid: bool  # it is coming up, or runs


class Cloud(Protocol):
    """An emulated cloud, as the sequences use it."""

    kinds: tuple[str, ...]
    zones: tuple[str, ...]
    calls: tuple[str, ...]
    launch_calls: tuple[str, ...]
    faults: tuple[str, ...]

    def begin(self, cluster: str) -> None:
        """Begin again, with a cluster of this name."""

    def provider(self, *, cache_stopped_nodes: bool, zones: int) -> Any:
        """Return the provider of a process that has just begun."""

    def node_config(self, kind: str, zones: int) -> dict[str, Any]:
        """Return a node type's node_config."""

    def tags(self, kind: str) -> dict[str, str]:
        """Return the tags with which Ray launches a worker of a node type."""

    def machines(self) -> dict[str, Machine]:
        """Return the cluster's machines by the cloud's records, also those that have ended."""

    def fault(self, call: str, what: str, times: int) -> None:
        """Let something go wrong with the next calls of this name."""

    def sold_out(self, zones: set[str]) -> None:
        """Make all types sold out in these zones, and in no others."""

    def hide(self, *, new: bool) -> None:
        """Let lists not show what is launched from now on, as they do for a few seconds; or show everything."""

    def calm(self) -> None:
        """End all faults and shortages."""

    def close(self) -> None:
        """Give up what providers of this cluster still write."""


# 1,000 in the nightly run; the others' are the first ones of these, for a quick answer.
EXAMPLES = settings.default.max_examples if settings.default.max_examples >= 1000 else 20
"""How many sequences a test tries: some 15 s of computing for each cloud."""

Step = tuple[str, dict[str, Any]]
"""A method of ``Sequence``, and its arguments."""

_TIMES = (1, 1, 2, 4, 9, 20)
_QUESTIONS = ("node_tags", "internal_ip", "is_running", "is_terminated")


def _fault(draw: random.Random) -> dict[str, Any]:
    return {"call": draw.randrange(1000), "what": draw.randrange(1000), "times": draw.choice(_TIMES)}


# How often each step is taken, and how its arguments are drawn.
_STEPS: dict[str, tuple[int, Callable[[random.Random], dict[str, Any]]]] = {
    "create": (3, lambda r: {"kind": r.randrange(3), "count": r.randint(1, 5), "at_once": r.choice([1, 1, 1, 2])}),
    "create_beside_a_fault": (5, lambda r: {**_fault(r), "kind": r.randrange(3), "count": r.randint(1, 5)}),
    "fault": (2, _fault),
    "look": (1, lambda _: {}),
    "tag": (1, lambda r: {"number": r.randrange(10)}),
    "ask": (2, lambda r: {"number": r.randrange(10), "question": r.choice(_QUESTIONS)}),
    "terminate": (2, lambda r: {"number": r.randrange(10), "count": r.randint(1, 5)}),
    "refuse": (1, lambda r: {"number": r.randrange(10)}),
    "kill": (1, lambda _: {}),
    "stock_out": (1, lambda r: {"zone": r.randrange(2), "dry": r.random() < 0.7}),
    "late_lists": (1, lambda r: {"new": r.random() < 0.5}),
    "recover": (1, lambda _: {}),
}


def sequence(seed: int, length: int) -> list[Step]:
    """Return the steps of a sequence.

    Drawn here and not by hypothesis, which takes small and equal values so often that few launches met a fault. It
    looks for seeds, and for the shortest sequence that fails.
    """
    draw = random.Random(seed)
    names = draw.choices(list(_STEPS), [weight for weight, _ in _STEPS.values()], k=16)
    # All are drawn, whatever the length is: a shorter sequence is the beginning of a longer one.
    return [(name, _STEPS[name][1](draw)) for name in names][:length]


class Sequence:
    """One cluster, one autoscaler that may be killed at any time, one cloud."""

    def __init__(self, cloud: Cloud, *, cache: bool, zones: int) -> None:
        self.at = cloud
        self.at.begin(f"c{uuid.uuid4().hex[:8]}")
        self.cache, self.zones = cache, zones
        self.dry: set[str] = set()
        self.known: set[str] = set()
        self.provider = self.at.provider(cache_stopped_nodes=cache, zones=zones)

    def run(self, steps: list[Step]) -> None:
        """Take the steps, then end the cluster."""
        note(f"cache_stopped_nodes: {self.cache}, zones: {self.zones}, steps: {steps}")
        try:
            for name, arguments in steps:
                getattr(self, name)(**arguments)
            self.end()
        finally:
            self.at.close()

    # What an autoscaler does.

    def create(self, kind: int, count: int, at_once: int) -> None:
        name = self.at.kinds[kind % len(self.at.kinds)]
        before = self.paid(name)
        allowed = len(self.known & before.keys()) + count * at_once
        with ThreadPoolExecutor(at_once) as threads:
            results = list(threads.map(lambda _: self.launched(name, count), range(at_once)))
        after = self.paid(name)
        # Those that a launch without an answer has brought stay, though fewer are wanted now; none is added to them.
        most = max(len(before), allowed)
        assert len(after) <= most, f"{len(after)} are paid for, {allowed} were wanted"
        returned: list[str] = []
        for made, sentence in results:
            event(f"launch: {sentence.split(':')[0] or 'all came'}")
            returned += made
            # More, where an earlier launch without an answer had brought some already.
            assert sentence or len(made) >= count, f"{count} were asked for, {len(made)} came, and nothing was said"
            # What came of a launch that failed is kept; Ray sees it in its next list, before it asks again.
            if sentence and not any(words in sentence for words in OPEN):
                self.known |= after.keys()
        assert len(set(returned)) == len(returned), "one machine was returned twice"
        assert set(returned) <= after.keys(), "what was returned is not there"
        self.known |= set(returned)

    def create_beside_a_fault(self, call: int, what: int, times: int, kind: int, count: int) -> None:
        calls, faults = self.at.launch_calls, self.at.faults
        self.at.fault(calls[call % len(calls)], faults[what % len(faults)], times)
        self.create(kind, count, 1)

    def look(self) -> None:
        listed = self.tolerant(self.provider.non_terminated_nodes, {})
        if listed is not None:
            mine = self.at.machines()
            assert all(mine[name].paid for name in listed), "what has ended is listed"
            self.known |= set(listed)

    def tag(self, number: int) -> None:
        if node := self.one(number):
            self.tolerant(self.provider.set_node_tags, node, {"ray-node-status": "up-to-date"})

    def ask(self, number: int, question: str) -> None:
        if node := self.one(number):
            self.tolerant(getattr(self.provider, question), node)

    def terminate(self, number: int, count: int) -> None:
        """End nodes that Ray knows: stop them, where stopped ones are kept."""
        chosen = {node for step in range(count) if (node := self.one(number + step))}
        if chosen:
            self.tolerant(self.provider.terminate_nodes, sorted(chosen))

    def refuse(self, number: int) -> None:
        """End a node permanently."""
        if node := self.one(number):
            self.tolerant(self.provider.end_for_good, node)

    def kill(self) -> None:
        """Kill the autoscaler: what it knew is gone; the next one begins with a list."""
        self.at.hide(new=False)  # a new process takes longer to begin than lists do to be complete
        self.provider = self.at.provider(cache_stopped_nodes=self.cache, zones=self.zones)
        self.known = set()
        self.look()
        if not self.known >= self.paid().keys():  # the list met a fault; Ray launches nothing before it has one
            self.at.calm()
            self.look()
            self.at.sold_out(self.dry)

    # What a cloud does.

    def fault(self, call: int, what: int, times: int) -> None:
        calls, faults = self.at.calls, self.at.faults
        self.at.fault(calls[call % len(calls)], faults[what % len(faults)], times)

    def stock_out(self, zone: int, dry: bool) -> None:
        name = self.at.zones[zone]
        self.dry = self.dry | {name} if dry else self.dry - {name}
        self.at.sold_out(self.dry)

    def late_lists(self, new: bool) -> None:
        self.at.hide(new=new)

    def recover(self) -> None:
        self.dry = set()
        self.at.calm()

    # What must hold in the end.

    def end(self) -> None:
        self.at.calm()
        self.at.hide(new=False)
        fresh = self.at.provider(cache_stopped_nodes=self.cache, zones=self.zones)
        # Nothing is forgotten: whoever lists sees everything that is paid for, and nothing else.
        assert set(fresh.non_terminated_nodes({})) == self.paid().keys()
        # Nothing is left after `ray down`, which lists and ends until there is nothing.
        deadline = time.monotonic() + LONGEST_S
        while nodes := fresh.non_terminated_nodes({}):
            assert time.monotonic() < deadline, f"{nodes} do not end"
            fresh.terminate_nodes(nodes)
        assert self.paid() == {}

    # Inside.

    def launched(self, kind: str, count: int) -> tuple[list[str], str]:
        """Launch as Ray does; return the nodes, and the sentence of a failure."""
        config, tags = self.at.node_config(kind, self.zones), self.at.tags(kind)
        began = time.monotonic()
        try:
            return list(self.provider.create_node(config, tags, count)), ""
        except _ray.node_launch_exception() as error:
            return [], f"{error.category}: {error.description}"
        finally:
            assert time.monotonic() - began < LONGEST_S, "a launch hangs"

    def tolerant(self, call: Callable[..., Any], *given: Any) -> Any:
        """Call, though it may meet a fault; Ray does it again."""
        began = time.monotonic()
        try:
            return call(*given)
        except (AttributeError, TypeError, IndexError):  # of no cloud: an answer that was read without a look
            raise
        except Exception:  # noqa: BLE001 - whatever the fault makes of it
            return None
        finally:
            assert time.monotonic() - began < LONGEST_S, f"{call.__name__} hangs"

    def one(self, number: int) -> str | None:
        """Return a node that Ray knows and that is paid for."""
        nodes = sorted(self.known & self.paid().keys())
        return nodes[number % len(nodes)] if nodes else None

    def paid(self, node_type: str | None = None) -> dict[str, Machine]:
        mine = self.at.machines()
        return {name: one for name, one in mine.items() if one.paid and node_type in (None, one.node_type)}
