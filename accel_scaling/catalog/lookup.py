"""Look-ups over a loaded catalog: a machine type, an accelerator, every machine type that has one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling import documentation
from accel_scaling.catalog.columns import MIXED
from accel_scaling.catalog.files import CORRECTIONS, REFRESH_FOLDER
from accel_scaling.catalog.product_names import Names, aliases_of, own_names
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import OnDemand
from accel_scaling.catalog.unlisted import unlisted
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import UnknownAcceleratorError, UnknownInstanceTypeError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.offerings import Offerings, Where
    from accel_scaling.catalog.unlisted import Unlisted


_OWN = "(`provider.catalog: FILE` or ~/.accel_scaling/*.csv)"
_MEMBERS = 6  # machine types of a series that a sentence names
_PLUG_IN = f"install the package that brings it ({documentation.page('families-of-your-own')})"


class Catalog:
    """The machine types and accelerators of every layer; made by ``load_catalog``.

    Attributes:
        version: the package's version and a check sum over every layer's content, ``0.1.0+1a2b3c4d``.
        chips: the accelerators by name.
    """

    def __init__(
        self,
        version: str,
        chips: Mapping[str, Chip],
        tables: Mapping[str, Callable[[], Sequence[Mapping[str, MachineType]]]],
        places: Mapping[str, Callable[[], Offerings]] | None = None,
    ) -> None:
        self.version = version
        self.chips = chips
        self._tables = tables  # by cloud, weakest layer first; a cloud's rows are parsed at the first question
        self._layers: dict[str, Sequence[Mapping[str, MachineType]]] = {}
        self._read: dict[str, Mapping[str, MachineType]] = {}
        self._unpromised: dict[str, Mapping[str, MachineType]] = {}  # they have what no accelerator of ours is
        self._places = places or {}  # parsed at the first question, too
        self._offered: dict[str, Offerings] = {}
        self._names: Names | None = None

    @property
    def clouds(self) -> tuple[str, ...]:
        """Every cloud that the catalog has rows for."""
        return tuple(self._tables)

    def machine_types(self, cloud: str) -> Mapping[str, MachineType]:
        """Return every machine type of a cloud by name, but for those with an accelerator that is not known.

        Raises:
            UnknownInstanceTypeError: the catalog has no such cloud.
            CatalogFileError: a file of this cloud has a wrong row.
        """
        if cloud not in self._tables:
            known = ", ".join(self.clouds)
            raise UnknownInstanceTypeError(
                f"cloud {shown(cloud)} has no rows in the catalog {self.version}; expected {known}"
            )
        if cloud not in self._read:
            self._layers[cloud] = self._tables[cloud]()
            self._unpromised[cloud], self._read[cloud] = _strongest(self._layers[cloud])
        return self._read[cloud]

    def machine_type(self, cloud: str, name: str) -> MachineType:
        """Return one machine type; a custom one of Compute Engine (``n2-custom-8-32768``) by its rule.

        Raises:
            UnknownInstanceTypeError: no layer has it; the text names the nearest names and the way out, or the
                rule that a custom one breaks.
            UnknownAcceleratorError: it has an accelerator that the catalog does not know; the text names what to add.
            CatalogFileError: a file of this cloud has a wrong row.
        """
        types = self.machine_types(cloud)
        # Before the rule of custom types: a user's own row may say something else.
        if name in types:
            return types[name]
        if "custom" in name:  # few names are, and the rules take 3 ms to import
            from accel_scaling.catalog.custom_machine_types import custom_machine_type, custom_rules, is_custom

            if is_custom(name) and custom_rules(cloud):
                return custom_machine_type(cloud, name, self.chips)
        if name in self._unpromised[cloud]:
            raise UnknownAcceleratorError(_no_accelerator(self._unpromised[cloud][name], self.version))
        raise UnknownInstanceTypeError(self._unknown_type(cloud, name))

    def _unknown_type(self, cloud: str, name: str) -> str:
        """Return the error's sentence for a machine type that no layer has, with the way out."""
        row = f"add a row for it to a catalog of your own {_OWN}"
        if public := unlisted(cloud).get(name):
            return (
                f"instance type {shown(name)} of {cloud} has no row in the catalog {self.version}: no public list "
                f"has its vCPUs and memory, and it has {public.known} ({public.source}); {row}, or run "
                "`accel-scaling catalog "
                f"refresh {cloud}`, where the API lists it to you"
            )
        return (
            f"instance type {shown(name)} of {cloud} is not in the catalog {self.version}"
            f"{hint(name, self.machine_types(cloud))}; "
            + (
                self._meant(cloud, name)
                or f"correct the name, run `accel-scaling catalog refresh {cloud}` if it is newer than that and the "
                f"API lists it to you, or {row} or {_PLUG_IN}"
            )
        )

    def family(self, cloud: str, name: str) -> list[MachineType]:
        """Return the machine types of a series, such as ``g5`` or ``a3``, by size; none where the name is no series.

        Raises:
            UnknownInstanceTypeError: the catalog has no such cloud.
        """
        begins = f"{name.strip().casefold()}{known_clouds()[cloud].series_separator}"
        return sorted((row for key, row in self.machine_types(cloud).items() if key.startswith(begins)), key=_by_size)

    def layers(self, cloud: str, name: str) -> list[MachineType]:
        """Return a machine type as each layer has it that has a row for it, the strongest first; that one answers.

        Raises:
            UnknownInstanceTypeError: the catalog has no such cloud.
            CatalogFileError: a file of this cloud has a wrong row.
        """
        self.machine_types(cloud)
        return [layer[name] for layer in reversed(self._layers[cloud]) if name in layer]

    def where(self, machine: MachineType) -> Where:
        """Return where a machine type is offered.

        What is known of its family counts for a type that the cloud itself lists; one that only the user's own
        catalog has may be anywhere, unless a row names it, or one of the user's own places files its family or region.
        So may one that no listing has, but for regions that are said to have nothing of its family.

        Raises:
            CatalogFileError: a places file has a wrong row.
        """
        # Custom types and hosts of TPU slices are in no layer: then the answer itself is looked at.
        places = self.places(machine.cloud)
        private = not any(is_clouds_own(row) for row in self.layers(machine.cloud, machine.name) or [machine])
        if private or self.unlisted(machine) is None:
            return places.where(machine.name, private=private)
        family, where = places.where(machine.name), places.where(machine.name, private=True)
        without = {region for region in family.listed if family.in_region(region) is False}
        return replace(where, without=where.without | without)

    def unlisted(self, machine: MachineType) -> Unlisted | None:
        """Return the row that says that no listing of the cloud has a machine type; None where one has.

        Raises:
            CatalogFileError: the file has a wrong row.
        """
        row = unlisted(machine.cloud).get(machine.name)
        # What a refresh brought, the cloud's API has listed.
        asked = row is not None and any(map(is_refreshed, self.layers(machine.cloud, machine.name)))
        return None if asked else row

    def nowhere(self, machine: MachineType) -> str | None:
        """Return who says that no region has a machine type, as the end of a clause; None where that is unknown.

        It may be retired, new, or never have been listed. Of custom types, hosts of TPU slices and the user's own
        types nothing is reported.

        Raises:
            CatalogFileError: a file has a wrong row.
        """
        where = self.where(machine)
        if where.regions or not where.listed or not any(map(is_clouds_own, self.layers(machine.cloud, machine.name))):
            return None
        if row := self.unlisted(machine):
            return f": no listing has it; it is from {row.source}"
        listing = max(where.listed.values(), key=lambda offering: offering.source)
        return f", according to {listing.layer}, from {listing.source}"

    def places(self, cloud: str) -> Offerings:
        """Return which region of a cloud has what.

        Raises:
            CatalogFileError: a places file has a wrong row.
        """
        if cloud not in self._offered:
            from accel_scaling.catalog.offerings import Offerings

            self._offered[cloud] = self._places[cloud]() if cloud in self._places else Offerings(cloud, ())
        return self._offered[cloud]

    def _meant(self, cloud: str, name: str) -> str | None:
        """Return what a name is that this cloud has no machine type of, where something else has that name."""
        from accel_scaling.catalog.tpu_generations import is_tpu_type  # only errors need it

        if members := [row.name for row in self.family(cloud, name)]:
            more = f" and {len(members) - _MEMBERS} more" if len(members) > _MEMBERS else ""
            return f"{name} is a series; name one of its machine types: {', '.join(members[:_MEMBERS])}{more}"
        if known_clouds()[cloud].has_tpus and is_tpu_type(name):
            return "it is written as a TPU slice, which is asked for by `acceleratorType`"
        for other in self.clouds:
            if other != cloud and self.family(other, name):
                return f"{name} is a series of {other}"
            row = self.machine_types(other).get(name) if other != cloud else None
            if row is not None and is_clouds_own(row):
                return f"it is a type of {other}"
            if row is not None:
                return (
                    f"{row.layer} has it as a type of {other}: write {cloud} in a column `cloud`, or let the file's "
                    f"name begin with {cloud}"
                )
        return None

    def chip(self, name: str) -> Chip:
        """Return one accelerator by its key, detected type, variant, or a cloud's or driver's name for it.

        Raises:
            UnknownAcceleratorError: nothing has that name, or several accelerators do.
        """
        if name in self.chips:
            return self.chips[name]
        chips = self.chips_named(name)
        if len(chips) > 1:
            names = ", ".join(chip.name for chip in chips)
            raise UnknownAcceleratorError(f"accelerator {shown(name)} may be any of {names}; name one of them")
        return chips[0]

    def chips_named(self, name: str) -> list[Chip]:
        """Return every chip that a name may mean; a type's name has precedence over a cloud's name for something else.

        Raises:
            UnknownAcceleratorError: nothing has that name; the text names the nearest names.
        """
        if self._names is None:
            self._names = Names(self.chips.values())
        chips = self._names.meant(name)
        if not chips:
            words = {word for chip in self.chips.values() for word in (*own_names(chip), *aliases_of(chip))}
            raise UnknownAcceleratorError(
                f"accelerator {shown(name)} is not in the catalog {self.version}{hint(name, words)}; "
                f"`accel-scaling catalog find` lists what is"
            )
        return chips

    def find(self, accelerator: str | None = None, min_count: int = 1, cloud: str | None = None) -> list[MachineType]:
        """Return the machine types that have an accelerator, in an order that people read well.

        Args:
            accelerator: any name that ``chip`` takes; a name of several chips (``A100``) finds them all, the
                name of a whole chip never finds its partitions. None finds every machine type.
            min_count: devices that the machine has at least; 1 or less also finds plain machines, where no
                accelerator is named.
            cloud: search this cloud only.

        Raises:
            UnknownAcceleratorError: nothing has that name; the text names the nearest names.
            UnknownInstanceTypeError: the catalog has no such cloud.
        """
        names = None if accelerator is None else {chip.name for chip in self.chips_named(accelerator)}
        least = max(min_count, 1) if names is not None else (min_count if min_count > 1 else 0)
        clouds = self.clouds if cloud is None else (cloud,)
        return sorted(
            (
                machine
                for of in clouds
                for machine in self.machine_types(of).values()
                if machine.count >= least and (names is None or (machine.chip and machine.chip.name in names))
            ),
            key=_reading_order,
        )


def _strongest(
    layers: Sequence[Mapping[str, MachineType]],
) -> tuple[dict[str, MachineType], Mapping[str, MachineType]]:
    """Return what has an accelerator that is not known, and all else, each from its strongest layer.

    Rows that are read on demand stay unread: none of those has an unknown accelerator (load.parse_rows).
    """
    owner: dict[str, Mapping[str, MachineType]] = {}
    for layer in layers:
        owner.update(dict.fromkeys(layer, layer))  # names only: a row is read when it is asked for
    read = ((name, layer[name]) for name, layer in owner.items() if not isinstance(layer, OnDemand))
    unpromised = {name: row for name, row in read if row.unknown}
    # Removed altogether: a weaker layer's row would promise what the strongest one does not know.
    for name in unpromised:
        del owner[name]
    return unpromised, OnDemand(owner, lambda name: owner[name][name])


def _no_accelerator(machine: MachineType, version: str) -> str:
    """Return the error's sentence for a type with an accelerator that no chip of the catalog is."""
    has = (
        f"instance type {shown(machine.name)} of {machine.cloud} has {machine.unknown} ({machine.layer}:{machine.line})"
    )
    if MIXED in (machine.unknown or ""):
        return f"{has}; a node has one kind of accelerator: a row of your own {_OWN} says which tasks may ask for"
    name = (machine.unknown or "").partition(" x ")[2] or machine.unknown
    return (
        f"{has}, which the catalog {version} does not know, so nothing can be promised; describe it in "
        f"~/.accel_scaling/accelerators.yaml with `api_names: {{{machine.cloud}: [{name}]}}` (`accel-scaling catalog "
        f"refresh {machine.cloud}` prints the entry), or add a row of your own {_OWN}"
    )


def is_clouds_own(machine: MachineType) -> bool:
    """Return whether the answer is from what ships or from a refresh, not from the user's own files or a plug-in."""
    # A layer is the bare name of a file that ships, and the path of any other.
    return machine.layer in {f"{machine.cloud}.csv", f"{machine.cloud}{CORRECTIONS}.csv"} or is_refreshed(machine)


def is_refreshed(machine: MachineType) -> bool:
    """Return whether the answer is from a refresh: what the cloud's API said."""
    return machine.layer.endswith(f"/{REFRESH_FOLDER}/{machine.cloud}.csv")


def _by_size(machine: MachineType) -> tuple[int, int, str]:
    return (machine.vcpus, machine.memory_mib, machine.name)


def _reading_order(machine: MachineType) -> tuple[str, str, int, int, str]:
    """Cloud, then the family (``g5`` of ``g5.xlarge``, ``a2-highgpu`` of ``a2-highgpu-1g``), then by size."""
    family = machine.name.partition(".")[0] if "." in machine.name else machine.name.rpartition("-")[0]
    return (machine.cloud, family, machine.vcpus, machine.memory_mib, machine.name)
