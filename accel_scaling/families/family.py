"""A family of accelerators as the one who makes them describes it, and what is wrong with a description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import RAY_RESOURCES, RAY_VISIBLE_DEVICES
from accel_scaling.catalog.node_images import Needs, is_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NUMBER = "[0-9]"  # the part of `nodes` that stands for a device's number
DEVICE_NUMBER = "{n}"

# Of Ray itself, and those that this package's own probes speak for.
_TAKEN = RAY_RESOURCES | {"CPU", "memory", "object_store_memory", "FPGA", "MEDIA", "QAIC"}
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_NODES = re.compile(r"(?!/)(?!.*\.\.)[A-Za-z0-9_./*?\[\]-]+")


@dataclass(frozen=True)
class Family:
    """A family of accelerators that a package of its own brings.

    Attributes:
        name: the family's name, as its chips have it, e.g. ``ferrum``.
        resource: the Ray resource of its devices, e.g. ``FERRUM``; the entry point has the same name.
        visible_devices: the environment variable by which the family's runtime is told which devices it may use.
        nodes: the driver's device nodes as a pattern below /dev, one node for each device: ``ferrum[0-9]*``.
        driver: what a machine image must have, as the end of a sentence: ``the ferrum kernel driver``.
        shared: whether several tasks may have a part of one device (``0.5``); else only whole devices are given.
        probe: asks the driver: takes the folder that stands for ``/`` and returns the product's name for each device.
            It runs in a process of its own, with a time limit. None: the nodes are counted, the bus tells the product.
        emulate: for rehearsals: writes below the folder that stands for ``/`` what ``probe`` reads, given each
            device's product name.
        run_options: options of ``docker run`` that show the devices to a container.
        each_device: one more option for each device, ``{n}`` for its number from 0.
        folder: where its chips (``*.yaml``), machine types (``*.csv``) and ``hardware.csv`` are; by default the folder
            of the package that has the family.
    """

    name: str
    resource: str
    visible_devices: str
    nodes: str
    driver: str
    shared: bool = False
    probe: Callable[[Path], Sequence[str]] | None = None
    emulate: Callable[[Path, Sequence[str]], None] | None = None
    run_options: Sequence[str] = ()
    each_device: str = ""
    folder: Path | None = None

    @property
    def needs(self) -> Needs:
        """What its nodes need, as the catalog has it of the families that ship."""
        beginning = re.split(r"[\[*?]", self.nodes)[0]
        return Needs(
            family=self.name,
            driver=self.driver,
            run_options=tuple(self.run_options),
            each_device=self.each_device,
            podman_options=(),
            claims=(f"/dev/{beginning}", "--privileged"),
            source=f"the plug-in of {self.resource}",
        )

    def node(self, number: int) -> str:
        """Return the name below /dev of the device with this number: ``ferrum0``."""
        return node_template(self.nodes).replace("{}", str(number))


def node_template(nodes: str) -> str:
    """Return the nodes' names with ``{}`` for the number: ``ferrum{}`` for ``ferrum[0-9]*``."""
    before, _, after = nodes.rpartition(NUMBER)
    return f"{before}{{}}{after.removeprefix('*')}"


def problem_of(family: Family) -> str | None:
    """Return the first thing that is wrong with a family's fields, as the middle of a sentence; None where all is well.

    Args:
        family: what a package gave; of its fields nothing is taken for granted.
    """
    return next(_problems(family), None)


def _problems(family: Any) -> Iterator[str]:
    texts = (
        ("name", _NAME, "a word in lower case, such as ferrum"),
        ("resource", _RESOURCE, "a word, such as FERRUM"),
        ("visible_devices", _VARIABLE, "an environment variable in upper case, such as FERRUM_VISIBLE_DEVICES"),
        ("nodes", _NODES, "a pattern of names below /dev, such as ferrum[0-9]*"),
        ("driver", re.compile(r".*\S.*"), "what an image must have, such as 'the ferrum kernel driver'"),
    )
    for field, pattern, example in texts:
        value = getattr(family, field)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield f"{field} is {value!r}; expected {example}"
    if family.resource in _TAKEN:
        yield f"resource is {family.resource}, which Ray or accel_scaling already has; take a name of your own"
    if family.visible_devices in RAY_VISIBLE_DEVICES:
        yield f"visible_devices is {family.visible_devices}, which Ray sets for another family; take the family's own"
    if NUMBER not in str(family.nodes):
        yield f"nodes is {family.nodes!r}; expected {NUMBER} where the device's number begins, as in ferrum[0-9]*"
    if not isinstance(family.shared, bool):
        yield f"shared is {family.shared!r}; expected True or False"
    for field in ("probe", "emulate"):
        if getattr(family, field) is not None and not callable(getattr(family, field)):
            yield f"{field} is {getattr(family, field)!r}; expected a function, or None"
    yield from _wrong_options(family)
    if family.folder is not None and not isinstance(family.folder, Path):
        yield f"folder is {family.folder!r}; expected a pathlib.Path, or None for the folder of the package"


def _wrong_options(family: Any) -> Iterator[str]:
    options = family.run_options
    if not isinstance(options, list | tuple):
        yield f"run_options is {options!r}; expected a list, such as ['--device=/dev/ferrum']"
        return
    for option in options:
        if not isinstance(option, str) or not is_option(option):
            yield f"run_options has {option!r}; expected options without spaces, as --device=/dev/ferrum"
    each = family.each_device
    if not isinstance(each, str) or (each and not (is_option(each) and DEVICE_NUMBER in each)):
        yield f"each_device is {each!r}; expected an option with {DEVICE_NUMBER}, as --device=/dev/ferrum{{n}}"
