"""A family of accelerators: the class of the built-in ones and of those that other packages bring.

Importing it costs nothing of the catalog: each boot check and each driver reads all families.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.versions import is_at_least
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from accel_scaling.catalog.node_images import Needs
    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice
    from accel_scaling.families.visible import Reading

NUMBER = "[0-9]"  # the part of `nodes` that stands for a device's number
DEVICE_NUMBER = "{n}"
RENDER_NODES, FIRST_RENDER_NODE = "drm", 128  # the kernel class of /dev/dri/renderD128, ...: drivers of several makers
LAST = 1000

# Each Ray node announces these by itself: a family's devices cannot have one of them as their resource.
_RAYS_OWN = frozenset({"CPU", "memory", "object_store_memory"})
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# No comma: Ray is given the resources as a list with commas between them (registration.announce).
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
# Kubernetes' extended resources: a domain of your own, then a name (kubernetes.io: Extended Resources).
_DEVICE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
# No slash at the beginning and no "..": it is a glob pattern below /dev, and must not lead out of there.
_NODES = re.compile(r"(?!/)(?!.*\.\.)[A-Za-z0-9_./*?\[\]-]+")


@dataclass(frozen=True)
class Family:
    """A family of accelerators: one driver, one Ray resource.

    The fields up to ``folder`` are those of a package of its own, which must have the first five. A built-in family
    has its driver and container options in its row of ``node_families.csv``, and its chips in ``accelerators.yaml``.

    Attributes:
        name: the family's name, as its chips have it, e.g. ``ferrum``.
        resource: the Ray resource of its devices, e.g. ``FERRUM``; a package's entry point has the same name.
        visible_devices: the environment variable by which the family's runtime is told which devices it may use.
        nodes: the driver's device nodes as a pattern below /dev, one node for each device: ``ferrum[0-9]*``.
        driver: what a machine image must have, as the end of a sentence: ``the ferrum kernel driver``.
        shared: whether several tasks may have a part of one device (``0.5``); else only whole devices are given.
        probe: asks the driver: takes the folder used as ``/`` and returns the product's name for each device.
            It runs in a process of its own, with a time limit. None: the nodes are counted, the bus tells the product.
        emulate: for rehearsals: writes below the folder used as ``/`` what ``probe`` reads, given each
            device's product name.
        run_options: options of ``docker run`` that show the devices to a container.
        each_device: one more option for each device, ``{n}`` for its number from 0.
        device_plugin: the name by which the device plug-in of Kubernetes announces a device, as in a container's
            limits: ``ferrum.example.com/n1``; or names with the chip of each, where each chip has a name of its own.
        folder: where its chips (``*.yaml``), machine types (``*.csv``) and ``hardware.csv`` are; by default the folder
            of the package that has the family.
        noun: what to call its devices, e.g. ``AMD GPU``; by default the family's name.
        vendors: PCI vendor ids of its devices; without any, the PCI ids of its chips tell them.
        device_classes: how their PCI classes begin (``1200``), where the vendor makes other devices, too.
        known_ids_only: only PCI ids of its chips count, as the vendor's id is on other accelerators, too.
        kernel_class: the folder below /sys/class that tells whose a node is, where several makers' have one name.
        control_node: the driver's one node without which nothing can compute, e.g. ``kfd``.
        nodes_called: how to speak of the nodes, where ``/dev/ferrum0, ...`` is not all.
        ray_since: the minor since which Ray detects the family by a manager of its own (``ray/_private/accelerators``);
            what follows is how that manager does it. (2, 0) is before the oldest minor that is supported.
        module: the Python module by which Ray asks the driver, e.g. ``amdsmi``.
        question: Python that asks it, in a process of its own, and calls ``say(count, name)``.
        ray_counts_nodes: Ray counts the nodes where the module is missing or fails.
        type_of_name: the accelerator_type that Ray makes of the driver's name of a product.
        type_prefix: how the types of Ray's begin that the catalog does not know, e.g. ``AMD-``.
        none_visible: values of the variable by which Ray reads that no device is visible.
        narrowed_by: other variables by which Ray, or the driver's library, is told of fewer devices.
        read_visible: reads what is visible in place of ``visible.reading_of``.
        runtime_ids: returns how many of the variable's ids are devices to the family's runtime, given the ids and how
            many units this machine has; without it, all up to a negative number.
        places: returns the numbers that devices have in the driver's order, given the variable's ids and the
            environment; None where that is not sure.
        quantities: how many units of one host a task may have, where not every number will do.
        unit: what one unit of the resource is called; by default the resource's name.
        common: clouds sell it so much that ``detect`` tells in full how it knows that there is none.
        position: place in lists; families with the same are in the order of their names.
        detect: looks at the machine in place of ``families.probe.probe``, for a driver that these fields do not
            describe: takes what ``pci.scan`` returned and the folder used as ``/``. It never raises, and tells
            its evidence even where there is no device. A package's family has none: its ``probe`` may hang or crash.
        listen: waits for errors that the driver reports and says each, with the device's number in the driver's order
            and a code of ``driver_events.csv``, in a process of its own; it returns where the driver reports none.
    """

    name: str
    resource: str
    visible_devices: str = ""
    nodes: str = ""
    driver: str = ""
    shared: bool = False
    probe: Callable[[Path], Sequence[str]] | None = None
    emulate: Callable[[Path, Sequence[str]], None] | None = None
    run_options: Sequence[str] = ()
    each_device: str = ""
    folder: Path | None = None
    _: KW_ONLY
    device_plugin: str | Mapping[str, str] = ""
    noun: str = ""
    vendors: Sequence[str] = ()
    device_classes: Sequence[str] = ()
    known_ids_only: bool = False
    kernel_class: str = ""
    control_node: str = ""
    nodes_called: str = ""
    ray_since: tuple[int, int] | None = None
    module: str = ""
    question: str = ""
    ray_counts_nodes: bool = False
    type_of_name: Callable[[str], str | None] | None = None
    type_prefix: str = ""
    none_visible: Sequence[str] = ("",)
    narrowed_by: Sequence[str] = ()
    read_visible: Callable[[Mapping[str, str]], Reading | None] | None = None
    runtime_ids: Callable[[Sequence[str], int], int] | None = None
    places: Callable[[Sequence[str], Mapping[str, str]], list[int] | None] | None = None
    quantities: Sequence[int] = ()
    unit: str = ""
    common: bool = False
    position: int = LAST
    detect: Callable[[Sequence[PciDevice], Path], Detection] | None = None
    listen: Callable[[Callable[[int, str], None]], None] | None = None

    @property
    def in_ray(self) -> bool:
        """True where the installed Ray detects the family by a manager of its own."""
        return self.ray_since is not None and is_at_least(self.ray_since)

    @property
    def registered(self) -> bool:
        """True where Ray must be told of the family: no Ray has a manager, and ids can be given by a variable."""
        return bool(self.visible_devices) and self.ray_since is None

    @property
    def narrowing_variables(self) -> tuple[str, ...]:
        """The environment variables that tell the driver's library of fewer devices."""
        return tuple(filter(None, (self.visible_devices, *self.narrowed_by)))

    @property
    def needs(self) -> Needs:
        """The needs of a plug-in's nodes, as the catalog has it of the built-in families."""
        from accel_scaling.catalog.node_images import Needs

        beginning = re.split(r"[\[*?]", self.nodes)[0]
        return Needs(
            family=self.name,
            driver=self.driver,
            run_options=tuple(self.run_options),
            each_device=self.each_device,
            podman_options=(),
            # A user's own option with one of these shows the devices already: ours are left out (cluster.docker).
            claims=(f"/dev/{beginning}", "--privileged"),
            source=f"the plug-in of {self.resource}",
        )

    @property
    def node_template(self) -> str:
        """The nodes' names with ``{}`` for the number: ``ferrum{}`` for ``ferrum[0-9]*``."""
        before, _, after = self.nodes.rpartition(NUMBER)
        return f"{before}{{}}{after.removeprefix('*')}"

    @property
    def nodes_phrase(self) -> str:
        """The words for the nodes in messages: ``/dev/kfd and /dev/dri/renderD128, ...``."""
        first = FIRST_RENDER_NODE if self.kernel_class == RENDER_NODES else 0
        control = f"/dev/{self.control_node} and " if self.control_node else ""
        return self.nodes_called or f"{control}/dev/{self.node(first)}, ..."

    def node(self, number: int) -> str:
        """Return the name below /dev of the device with this number: ``ferrum0``."""
        return self.node_template.replace("{}", str(number))


def problem_of(family: Family, built_in: Collection[Family]) -> str | None:
    """Return the first thing that is wrong with a plug-in's fields, as the middle of a sentence; None for nothing.

    Args:
        family: what a package gave; of its fields nothing is treated as granted.
        built_in: the families whose names are taken.
    """
    return next(_problems(family, built_in), None)


def _problems(family: Any, built_in: Collection[Family]) -> Iterator[str]:
    # First: the checks below expect texts in these fields. Only the first problem is reported, so they see texts only.
    yield from _wrong_texts(family)
    if family.resource in _RAYS_OWN | {other.resource for other in built_in}:
        yield f"resource is {family.resource}, which Ray or accel_scaling already has; choose another name"
    if family.visible_devices in {other.visible_devices for other in built_in}:
        yield f"visible_devices is {family.visible_devices}, which Ray sets for another family; name the family's own"
    if NUMBER not in str(family.nodes):
        yield f"nodes is {shown(family.nodes)}; expected {NUMBER} where the device's number begins, as in ferrum[0-9]*"
    yield from _wrong_values(family)
    yield from _wrong_options(family)
    yield from _wrong_device_names(family)


def _wrong_values(family: Any) -> Iterator[str]:
    if not isinstance(family.shared, bool):
        yield f"shared is {shown(family.shared)}; expected True or False"
    for field, value in (("ray_since", None), ("detect", None), ("read_visible", None), ("runtime_ids", None)):
        if getattr(family, field) is not value:
            yield f"{field} is {shown(getattr(family, field))}; expected {value}: it is for built-in families"
    for field in ("probe", "emulate"):
        if not (getattr(family, field) is None or callable(getattr(family, field))):
            yield f"{field} is {shown(getattr(family, field))}; expected a function, or None"
    for field in ("vendors", "device_classes"):
        if not isinstance(getattr(family, field), list | tuple):
            yield f"{field} is {shown(getattr(family, field))}; expected a list, such as ['1200']"
    if not (family.folder is None or isinstance(family.folder, Path)):
        yield f"folder is {shown(family.folder)}; expected a pathlib.Path, or None for the folder of the package"


def _wrong_device_names(family: Any) -> Iterator[str]:
    named = family.device_plugin
    names = named if isinstance(named, Mapping) else [named] if named else []
    for name in names:
        if not isinstance(name, str) or not _DEVICE_NAME.fullmatch(name):
            yield f"device_plugin has {shown(name)}; expected a name with its domain, such as ferrum.example.com/n1"
    for chip in names.values() if isinstance(names, Mapping) else ():
        if not isinstance(chip, str) or not chip:
            yield f"device_plugin has the chip {shown(chip)}; expected a chip's name, such as Ferrum-N1"


def _wrong_texts(family: Any) -> Iterator[str]:
    for field, pattern, example in (
        ("name", _NAME, "a word in lower case, such as ferrum"),
        ("resource", _RESOURCE, "a word, such as FERRUM"),
        ("visible_devices", _VARIABLE, "an environment variable in upper case, such as FERRUM_VISIBLE_DEVICES"),
        ("nodes", _NODES, "a pattern of names below /dev, such as ferrum[0-9]*"),
        ("driver", re.compile(r".*\S.*"), "what an image must have, such as 'the ferrum kernel driver'"),
    ):
        value = getattr(family, field)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield f"{field} is {shown(value)}; expected {example}"


def _wrong_options(family: Any) -> Iterator[str]:
    from accel_scaling.catalog.node_images import is_option

    options = family.run_options
    if not isinstance(options, list | tuple):
        yield f"run_options is {shown(options)}; expected a list, such as ['--device=/dev/ferrum']"
        return
    for option in options:
        if not isinstance(option, str) or not is_option(option):
            yield f"run_options has {shown(option)}; expected options without spaces, as --device=/dev/ferrum"
    option = family.each_device
    if not isinstance(option, str) or (option and not (is_option(option) and DEVICE_NUMBER in option)):
        yield f"each_device is {shown(option)}; expected an option with {DEVICE_NUMBER}, as --device=/dev/ferrum{{n}}"
