"""From `A100:8x16` on the command line to Ray resources: the same that `acc.remote` asks for."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, TASK_CPUS
from accel_scaling.accs import quantities
from accel_scaling.accs.request import Asked as AskedAccs
from accel_scaling.accs.request import bundle_of, ray_options
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import AskingError, PlanError
from accel_scaling.plan.labels import selector
from accel_scaling.plan.model import Demand, Gang

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.accs.types import Known

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

_FORM = "expected TYPE[:ACCS][xCOUNT], such as A100:8x16, T4:0.5x4, CPU:4x100 or A100:8+CPU:32"
MOST = 50_000  # of one demand: Ray's scheduler looks at each of them, some 10,000 a second
_COUNTED = re.compile(r"(?P<what>.+?)x(?P<count>\d+)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)(?:i?B)?")


class Reader:
    """Reads demands; what it knows is the same for all of them.

    Args:
        known: the accelerator types of the cluster's catalog.
        resources: Ray resources that node types of the file promise.
        labels: label selectors for every demand.
    """

    def __init__(self, known: Known, resources: Sequence[str] = (), labels: Mapping[str, str] | None = None) -> None:
        own = [name for name in resources if not name.startswith(ACCELERATOR_TYPE_PREFIX)]
        self._known, self._labels = known, dict(labels or {})
        self._resources = {"CPU", "memory", *own, *(chip.resource for chip in known.chips.values())}

    def demand(self, text: str, *, option: str = "--demand", bundle: bool = False) -> Demand:
        """Return one demand.

        Args:
            text: as the user wrote it.
            option: for the error.
            bundle: of a placement group: no CPU is added, and one type only.

        Raises:
            PlanError: it is malformed, or names what nobody knows; one sentence with the nearest names.
        """
        try:
            what, count = self._counted(text)
            what = self._spelt(what)
            first, *others = what.split("+")
            names, amount = self._term(first, first=True)
            more = {}
            for other in others:
                (name, *_), more[name] = self._term(other)
            resources, selectors = self._asked(names, amount, more, bundle=bundle)
        except AskingError as error:
            raise PlanError(f"{option} {text!r}: {error}") from None
        return Demand(what, count, resources, selectors)

    def gang(self, words: Sequence[str]) -> Gang:
        """Return a placement group: a strategy, then its bundles.

        Raises:
            PlanError: as ``demand``; or there is no such strategy.
        """
        strategy, *texts = words
        check_strategy(strategy)
        return Gang(strategy.upper(), tuple(self.demand(text, option="--gang", bundle=True) for text in texts))

    def _counted(self, text: str) -> tuple[str, int]:
        found = _COUNTED.fullmatch(text.strip())
        if found is None or self._known.spelt(text.strip()) in self._known.types or text in self._resources:
            return text.strip(), 1
        if int(found["count"]) < 1:
            raise AskingError(f"none of them is no demand; {_FORM}")
        if len(found["count"]) > len(str(MOST)) or int(found["count"]) > MOST:
            raise AskingError(
                f"so many are not planned at once, {MOST} at the most; what is pending beyond tells no more"
            )
        return found["what"], int(found["count"])

    def _spelt(self, what: str) -> str:
        """Return a demand with its types as nodes announce them: Ray compares letter by letter, people do not."""
        first, plus, others = what.partition("+")
        listed, colon, amount = first.partition(":")
        types = ",".join(self._known.spelt(name.strip()) for name in listed.split(","))
        return f"{types}{colon}{amount}{plus}{others}"

    def _term(self, text: str, *, first: bool = False) -> tuple[list[str], float]:
        """Return the names and the amount of ``A100:8``; the first term of a demand may list types."""
        listed, colon, number = (word.strip() for word in text.partition(":"))
        names = [name.strip() for name in listed.split(",")]
        if not all(names) or (colon and not number) or (len(names) > 1 and not first):
            raise AskingError(_FORM)
        if not first and names[0] not in self._resources:
            raise AskingError(
                f"after + stands a Ray resource, such as CPU:4 or memory:64G; {names[0]!r} is none"
                f"{hint(names[0], self._resources)}"
            )
        return names, _memory(number) if names == ["memory"] else _number(number or "1")

    def _asked(
        self, names: list[str], amount: float, more: dict[str, float], *, bundle: bool
    ) -> tuple[dict[str, float], tuple[Any, ...]]:
        if len(names) == 1 and names[0] in self._resources and names[0] not in self._known.types:
            self._check(amount, names[0])
            options: dict[str, Any] = {"resources": {names[0]: amount}, "label_selector": self._labels}
        else:
            self._meant(names)
            resource = self._known.resource_of(names)
            self._check(amount, resource)
            asked = AskedAccs(amount, tuple(dict.fromkeys(names)))
            if bundle:
                options = {"resources": bundle_of(asked, resource, {}), "label_selector": self._labels}
            else:
                options = ray_options(asked, resource, {"label_selector": self._labels}, self._known)
        resources = _resources_of(options)
        twice = resources.keys() & more.keys()
        if twice:
            raise AskingError(f"{twice.pop()} is given twice")
        resources |= more
        if not bundle:
            resources.setdefault("CPU", TASK_CPUS)
        selectors = [options.get("label_selector"), *(one["label_selector"] for one in options.get(_FALLBACK, ()))]
        kept = {name: value for name, value in resources.items() if value}  # Ray leaves out what is 0
        return kept, tuple(selector(one) for one in selectors if one)

    def _meant(self, names: list[str]) -> None:
        """Refuse a resource that is written otherwise, such as gpu; the types say so themselves."""
        folded = {name.casefold(): name for name in self._resources}
        for name in names:
            fold = name.casefold()
            if name not in self._known.types and fold in folded:
                if len(names) > 1:
                    raise AskingError(f"{name!r} is a Ray resource, and a list is of accelerator types")
                raise AskingError(
                    f"{name!r} is no accelerator type and no Ray resource; write {folded[name.casefold()]}"
                )

    def _check(self, amount: float, resource: str) -> None:
        if resource not in {chip.resource for chip in self._known.chips.values()}:
            return
        try:
            quantities.check(amount, resource)
        except AskingError as error:
            raise AskingError(str(error).replace("num_accs=", "", 1)) from None


_FALLBACK = "fallback_strategy"


def check_strategy(word: str) -> None:
    """Refuse what is no placement strategy of Ray's.

    Raises:
        PlanError: names those that are.
    """
    if word.upper() not in STRATEGIES:
        raise PlanError(
            f"--gang {word!r}: a placement group begins with its strategy{hint(word.upper(), STRATEGIES)}; there are "
            f"{', '.join(STRATEGIES)}; for example --gang STRICT_SPREAD A100:8x4"
        )


def text_of(resources: Mapping[str, float], chip_resources: Mapping[str, str], alternatives: Sequence[str] = ()) -> str:
    """Return a demand as it would be written, from what Ray reports of it.

    Args:
        resources: its Ray resources.
        chip_resources: accelerator type -> the Ray resource of its devices.
        alternatives: accelerator types that a label selector prefers.
    """
    named = [
        name.removeprefix(ACCELERATOR_TYPE_PREFIX) for name in resources if name.startswith(ACCELERATOR_TYPE_PREFIX)
    ]
    types = named or list(alternatives)
    of_types = {chip_resources[name] for name in types if name in chip_resources}
    amounts = {name: value for name, value in resources.items() if not name.startswith(ACCELERATOR_TYPE_PREFIX)}
    counts = [amounts.pop(name) for name in sorted(of_types) if name in amounts]
    terms = [f"{','.join(types)}{f':{counts[0]:g}' if counts else ''}"] if types else []
    if terms and amounts.get("CPU") == TASK_CPUS:
        amounts.pop("CPU")
    terms += [f"{name}:{_amount(name, value)}" for name, value in sorted(amounts.items())]
    return "+".join(terms) or "nothing"


def types_in(resources: Mapping[str, float]) -> list[str]:
    """Return the accelerator types among Ray resources."""
    prefix = ACCELERATOR_TYPE_PREFIX
    return [name.removeprefix(prefix) for name in resources if name.startswith(prefix)]


def in_sum(demands: Sequence[Demand]) -> dict[str, float]:
    """Return the resources of all of these together."""
    total: Counter[str] = Counter()
    for one in demands:
        for name, value in one.resources.items():
            total[name] += value * one.count  # type: ignore[assignment]
    return dict(total)


def _amount(name: str, value: float) -> str:
    return f"{value / _UNITS['G']:.3g}G" if name == "memory" else f"{value:g}"


def _resources_of(options: Mapping[str, Any]) -> dict[str, float]:
    """Return what Ray makes of the options of a task."""
    found = dict(options.get("resources") or {})
    if options.get("num_gpus"):
        found["GPU"] = options["num_gpus"]
    if options.get("accelerator_type"):
        found |= bundle_of(AskedAccs(types=(options["accelerator_type"],)), "", {})
    return found


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise AskingError(_FORM) from None
    if not math.isfinite(found) or found < 0:
        raise AskingError(f"{text} is no amount; {_FORM}")
    return int(found) if found.is_integer() else found


def _memory(text: str) -> float:
    found = _MEMORY.fullmatch(text)
    if found is None:
        raise AskingError("memory is an amount of bytes with K, M, G or T (times 1024 each), such as memory:64G")
    return int(float(found["number"]) * _UNITS[found["unit"]])
