"""Reads demands such as `A100:8x16` into Ray resources, as `acc.remote` does, and Ray's label selectors."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, TASK_CPUS
from accel_scaling.accs.request import AccRequest, bundle_of, check_number, ray_options
from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import AskingError, PlanError
from accel_scaling.inputs.bounds import MOST_AMOUNT
from accel_scaling.message_text import shown
from accel_scaling.plan.model import Demand, Gang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from accel_scaling._ray import Selector
    from accel_scaling.accs.types import AcceleratorTypes

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

_FORM = "expected TYPE[:ACCS][xCOUNT], such as A100:8x16, T4:0.5x4, CPU:4x100 or A100:8+CPU:32"
MOST = 50_000  # of one demand: Ray's scheduler checks each of them, about 10,000 a second
_COUNTED = re.compile(r"(?P<what>.+?)x(?P<count>\d+)")
# `8xA100`, `8 A100`, `A100=8`, `A100*8`
_OTHER_FORM = re.compile(
    r"(?P<first>\d{1,6})\s*[xX* ]\s*(?P<after>[^\d\W].*)|(?P<before>.*\w)\s*[=* ]\s*(?P<last>\d{1,6})", re.ASCII
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)(?:i?B)?")


class Reader:
    """Reads the demands of one plan.

    Args:
        known: the accelerator types of the cluster's catalog.
        resources: Ray resources that node types of the file promise.
        labels: label selectors for every demand.
        machine: the demand that takes all of a machine type or of a TPU slice's host; empty for any other name.
    """

    def __init__(
        self,
        accelerators: AcceleratorTypes,
        resources: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        *,
        machine: Callable[[str], str] = lambda _name: "",
    ) -> None:
        self._machine = machine
        user_resources = [name for name in resources if not name.startswith(ACCELERATOR_TYPE_PREFIX)]
        self._accelerators, self._labels = accelerators, dict(labels or {})
        self._resources = {"CPU", "memory", *user_resources, *(chip.resource for chip in accelerators.chips.values())}

    def demand(self, text: str, *, option: str = "--demand", bundle: bool = False) -> Demand:
        """Return one demand.

        Args:
            text: as the user wrote it.
            option: the command's option, for the error.
            bundle: of a placement group: no CPU is added, and one type only.

        Raises:
            PlanError: it is malformed, or has an unknown name; one sentence with the nearest names.
        """
        try:
            what, count = self._counted(text)
            what = self._spelt(what)
            first, *others = what.split("+")
            names, amount = self._term(first, first=True)
            more = {}
            for other in others:
                (name, *_), more[name] = self._term(other)
            resources, selectors = self._resources_and_selectors(names, amount, more, bundle=bundle)
        except AskingError as error:
            raise PlanError(f"{option} {shown(text)}: {error}") from None
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
        # Names go first: the name of a type or a resource may end like a count.
        match = _COUNTED.fullmatch(text.strip())
        if (
            match is None
            or self._accelerators.spelt(text.strip()) in self._accelerators.types
            or text in self._resources
        ):
            return text.strip(), 1
        if int(match["count"]) < 1:
            raise AskingError(f"the count is 0; {_FORM}")
        # The length first: Python's int() raises ValueError for a number of more than 4,300 digits.
        if len(match["count"]) > len(str(MOST)) or int(match["count"]) > MOST:
            raise AskingError(f"a plan takes at most {MOST} of one demand; write a smaller count")
        return match["what"], int(match["count"])

    def _spelt(self, what: str) -> str:
        """Return a demand with its types as nodes announce them: Ray distinguishes upper and lower case."""
        first, plus, others = what.partition("+")
        listed, colon, amount = first.partition(":")
        types = ",".join(self._accelerators.spelt(name.strip()) for name in listed.split(","))
        return f"{types}{colon}{amount}{plus}{others}"

    def _term(self, text: str, *, first: bool = False) -> tuple[list[str], float]:
        """Return the names and the amount of ``A100:8``; the first term of a demand may list types."""
        listed, colon, number = (word.strip() for word in text.partition(":"))
        names = [name.strip() for name in listed.split(",")]
        self._check_form(names)
        if not all(names) or (colon and not number) or (len(names) > 1 and not first):
            raise AskingError(_FORM)
        if not first and names[0] not in self._resources:
            raise AskingError(
                f"after + write a Ray resource, such as CPU:4 or memory:64G; {shown(names[0])} is not one"
                f"{hint(names[0], self._resources)}"
            )
        return names, _memory(number) if names == ["memory"] else _number(number or "1")

    def _check_form(self, names: list[str]) -> None:
        """Refuse a number at a wrong place, and a machine type; with the form that is expected."""
        for name in names:
            known = name in self._resources or name in self._accelerators.types
            match = None if known else _OTHER_FORM.fullmatch(name)
            of = self._accelerators.spelt((match["after"] or match["before"]).strip()) if match else ""
            if match and (of in self._accelerators.types or of in self._resources):
                number = match["first"] or match["last"]
                meant = f"{of}:{number} is one task with {number}, {of}x{number} are {number} tasks with one each"
                raise AskingError(f"the number comes after the name: {meant}")
            if not known and (demand := self._machine(name)):
                what = f"{shown(name)} is a machine, and a demand names what a task needs"
                raise AskingError(f"{what}: {demand} is all of such a machine; {_FORM}")

    def _resources_and_selectors(
        self, names: list[str], amount: float, more: dict[str, float], *, bundle: bool
    ) -> tuple[dict[str, float], tuple[Any, ...]]:
        if len(names) == 1 and names[0] in self._resources and names[0] not in self._accelerators.types:
            self._check_amount(amount, names[0])
            options: dict[str, Any] = {"resources": {names[0]: amount}, "label_selector": self._labels}
        else:
            self._check_spelling(names)
            resource = self._accelerators.resource_of(names)
            self._check_amount(amount, resource)
            request = AccRequest(amount, tuple(dict.fromkeys(names)))
            if bundle:
                options = {"resources": bundle_of(request, resource, {}), "label_selector": self._labels}
            else:
                options = ray_options(request, resource, {"label_selector": self._labels}, self._accelerators)
        resources = _resources_of(options)
        twice = resources.keys() & more.keys()
        if twice:
            raise AskingError(f"{twice.pop()} is given twice")
        resources |= more
        # As in Ray, a task that names no CPUs takes one, and a bundle takes none.
        if not bundle:
            resources.setdefault("CPU", TASK_CPUS)
        selectors = [
            options.get("label_selector"),
            *(labels["label_selector"] for labels in options.get(_FALLBACK, ())),
        ]
        kept = {name: value for name, value in resources.items() if value}  # Ray drops what is 0
        return kept, tuple(selector(labels) for labels in selectors if labels)

    def _check_spelling(self, names: list[str]) -> None:
        """Refuse a resource in another case, such as gpu; types have their own check."""
        folded = {name.casefold(): name for name in self._resources}
        for name in names:
            fold = name.casefold()
            if name not in self._accelerators.types and fold in folded:
                if len(names) > 1:
                    raise AskingError(f"{shown(name)} is a Ray resource; a list may have accelerator types only")
                raise AskingError(
                    f"{shown(name)} is neither an accelerator type nor a Ray resource; write {folded[name.casefold()]}"
                )

    def _check_amount(self, amount: float, resource: str) -> None:
        if resource not in {chip.resource for chip in self._accelerators.chips.values()}:
            return
        try:
            check_number(amount, resource)
        except AskingError as error:
            # `num_accs=` is how programs ask; the command line has no such word.
            raise AskingError(str(error).replace("num_accs=", "", 1)) from None


_FALLBACK = "fallback_strategy"


def check_strategy(word: str) -> None:
    """Refuse a word that is not one of Ray's placement strategies.

    Raises:
        PlanError: it names the strategies.
    """
    if word.upper() not in STRATEGIES:
        raise PlanError(
            f"--gang {shown(word)}: a placement group begins with its strategy{hint(word.upper(), STRATEGIES)}; the "
            f"strategies are {', '.join(STRATEGIES)}; for example --gang STRICT_SPREAD A100:8x4"
        )


def demand_text(
    resources: Mapping[str, float], chip_resources: Mapping[str, str], alternatives: Sequence[str] = ()
) -> str:
    """Return a demand in the form of the command line, from Ray's report of it.

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
    # The command line adds this CPU to each demand: written out, it would look like a wish of the user's.
    if terms and amounts.get("CPU") == TASK_CPUS:
        amounts.pop("CPU")
    terms += [f"{name}:{_amount(name, value)}" for name, value in sorted(amounts.items())]
    return "+".join(terms) or "nothing"


def types_in(resources: Mapping[str, float]) -> list[str]:
    """Return the accelerator types among Ray resources."""
    prefix = ACCELERATOR_TYPE_PREFIX
    return [name.removeprefix(prefix) for name in resources if name.startswith(prefix)]


def total_resources(demands: Sequence[Demand]) -> dict[str, float]:
    """Return the resources of all these demands in total."""
    total: Counter[str] = Counter()
    for demand in demands:
        for name, value in demand.resources.items():
            total[name] += value * demand.count  # type: ignore[assignment]
    return dict(total)


def _amount(name: str, value: float) -> str:
    return f"{value / _UNITS['G']:.3g}G" if name == "memory" else f"{value:g}"


def _resources_of(options: Mapping[str, Any]) -> dict[str, float]:
    """Return the resources that Ray derives from a task's options."""
    resources = dict(options.get("resources") or {})
    if options.get("num_gpus"):
        resources["GPU"] = options["num_gpus"]
    if options.get("accelerator_type"):
        resources |= bundle_of(AccRequest(types=(options["accelerator_type"],)), "", {})
    return resources


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise AskingError(_FORM) from None
    if not 0 <= number <= MOST_AMOUNT:
        raise AskingError(f"{text} is not an amount; {_FORM}")
    return int(number) if number.is_integer() else number


def _memory(text: str) -> float:
    match = _MEMORY.fullmatch(text)
    number = float(match["number"]) * _UNITS[match["unit"]] if match else math.inf
    if number > MOST_AMOUNT:
        raise AskingError("memory is an amount of bytes with K, M, G or T (times 1024 each), such as memory:64G")
    return int(number)


def labels_of(options: Iterable[str]) -> dict[str, str]:
    """Return the labels of ``--label KEY=VALUE`` options.

    Raises:
        PlanError: one has no value, or a key is given twice.
    """
    labels: dict[str, str] = {}
    for option in options:
        key, equals, value = (word.strip() for word in option.partition("="))
        if not key or not equals or not value:
            raise PlanError(
                f"--label {shown(option)}: expected KEY=VALUE, such as ray.io/market-type=spot; VALUE may be !spot, "
                "in(a,b) or !in(a,b), as in Ray's label_selector"
            )
        if key in labels:
            raise PlanError(
                f"--label {shown(option)}: {key} is given twice; write {key}=in(a,b) for one of several values"
            )
        labels[key] = value
    return labels


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that Ray would refuse.

    Raises:
        PlanError: it names the label, with Ray's message.
    """
    for key, value in labels.items():
        wrong = _ray.label_selector_error({key: value})
        if wrong:
            raise PlanError(f"--label {key}={value}: {' '.join(wrong.split())}")


def selector(labels: Mapping[str, str]) -> Selector:
    """Return a label selector as the scheduler compares it: for each key whether it is negated, and the values."""
    return tuple((key, *_values(value)) for key, value in labels.items())


def selector_text(terms: Selector) -> str:
    """Return a selector in readable form: ``key=value, other=!in(a,b)``."""
    return ", ".join(
        f"{key}={'!' if negated else ''}{values[0] if len(values) == 1 else 'in(' + ','.join(values) + ')'}"
        for key, negated, values in terms
    )


def matches(terms: Selector, labels: Mapping[str, str]) -> bool:
    """Return whether a selector selects a node with these labels, by the rule of Ray's v2 scheduler."""
    # A node without the label has None, which is none of the values: a negated term selects it.
    return all((labels.get(key) in values) != negated for key, negated, values in terms)


def _values(text: str) -> tuple[bool, tuple[str, ...]]:
    negated = text.startswith("!")
    # A value may begin with these letters (`intel`): without the parentheses it is one value, taken whole.
    rest = text.removeprefix("!").removeprefix("in")
    if rest.startswith("(") and rest.endswith(")"):
        return negated, tuple(word.strip() for word in rest[1:-1].split(","))
    return negated, (text.removeprefix("!"),)
