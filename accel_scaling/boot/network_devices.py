"""The network devices of a machine for training, EFA or RDMA, counted at its boot beside the accelerators.

Each is an RDMA device of the kernel, below ``/sys/class/infiniband``, and has a node ``/dev/infiniband/uverbsN``, which
a container must be given. The PCI bus shows those too whose driver is not loaded: EFA has the vendor 1d0f (Amazon) and
ids from efa0 on (``efa_main.c`` of the kernel), the cards of Google's RDMA machines are Mellanox's (15b3).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.cluster.networks import CONTAINER_OPTIONS
from accel_scaling.detect import pci
from accel_scaling.detect.container import in_container
from accel_scaling.families.inventory import SYSROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPECTED = "ACCEL_SCALING_NETWORK_DEVICES"
"""Set right before a start command: how many network devices the node's type has, by its network interfaces."""

RDMA_CLASS = "sys/class/infiniband"
RDMA_NODES = "dev/infiniband"

_ON_BUS = re.compile(r"1d0f:efa[0-9a-f]|15b3:[0-9a-f]{4}")
_ADVICE = {
    VerdictWord.DRIVER_MISSING: "use an image that has the driver of the network (AWS: EFA; Google Cloud: RDMA)",
    VerdictWord.FEWER_THAN_PROMISED: "replace this machine, or check the network interfaces of its node type",
    VerdictWord.NOT_VISIBLE_IN_CONTAINER: f"start the container with {' '.join(CONTAINER_OPTIONS)}",
}


def with_expected(command: str, count: int) -> str:
    """Return a start command that says how many network devices its node must have; unchanged for a count of 0."""
    return f"export {EXPECTED}={count}; {command}" if count else command


def with_network(verdict: Verdict, environment: Mapping[str, str]) -> Verdict:
    """Return the verdict on a machine with what its network devices add to it.

    Args:
        verdict: on its accelerators.
        environment: this process's.
    """
    expected = _number(environment.get(EXPECTED, ""))
    root = Path(environment.get(SYSROOT) or "/")
    found = _check(expected, root) if expected else None
    if found is None:
        seen = f"{expected} network devices (EFA or RDMA)"
        return replace(verdict, message=f"{verdict.message}; {seen}") if expected else verdict
    word, sentence = found
    sentence = f"{sentence}; {_ADVICE[word]}"
    if not verdict.confirmed:
        return replace(verdict, message=f"{verdict.message}; {sentence}", others=(*verdict.others, word))
    return replace(verdict, word=word, message=sentence, advice=_ADVICE[word])


def _check(expected: int, root: Path) -> tuple[VerdictWord, str] | None:
    """Return what is wrong with a machine's network devices; None where all are there."""
    seen = _count(root / RDMA_CLASS)
    on_bus = sum(bool(_ON_BUS.fullmatch(device.id)) for device in pci.scan(root))
    promised = f"promised {expected} network devices (EFA or RDMA)"
    if seen < expected:
        evidence = f"{promised}; {on_bus} on the PCI bus, {seen} seen by their driver: {expected - seen} missing"
        # All are there: the driver is not loaded, or is still loading.
        return (VerdictWord.DRIVER_MISSING if on_bus >= expected else VerdictWord.FEWER_THAN_PROMISED), evidence
    given = _count(root / RDMA_NODES, "uverbs")
    if given < expected and in_container(root):
        sentence = (
            f"{promised}; this container was given {given} of the machine's {seen} (/dev/infiniband/uverbs0, ...)"
        )
        return VerdictWord.NOT_VISIBLE_IN_CONTAINER, sentence
    return None


def _count(folder: Path, beginning: str = "") -> int:
    try:
        return sum(entry.name.startswith(beginning) for entry in folder.iterdir())
    except OSError:
        return 0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
