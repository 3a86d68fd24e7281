"""What the memory test has found, as a table of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBERS = {
    "to_device_gb_s": ("to it", "host_gb_s"),
    "to_host_gb_s": ("from it", "host_gb_s"),
    "memory_gb_s": ("within it", "memory_gb_s"),
    "peer_gb_s": ("to the next", "peer_gb_s"),
}
_PRODUCT = 24  # characters: with all else, 79 columns
_WIDTH = 79
_GAP = 2


def memory_table(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a verdict's ``measured``: a line for each device, then what each product must have."""
    lines = [_line("", "GB/s", "tried", [word for word, _ in _NUMBERS.values()])]
    least: dict[str, list[str]] = {}
    for one in measured:
        if one["note"]:
            lines.append(f"{one['index']:>3}  {_cut(one['name'])}  {one['note']}"[:_WIDTH])
            continue
        numbers = [_number(one[name]) for name in _NUMBERS]
        lines.append(_line(str(one["index"]), one["name"], f"{one['tried_mib'] / 1024:.1f} GiB", numbers))
        least[one["name"]] = [_number(one["at_least"].get(key)) for _, key in _NUMBERS.values()]
    for name, floors in least.items():
        word = "at least" if any(floor != "-" for floor in floors) else "not judged"
        lines.append(_line("", word if len(least) == 1 else f"{word}: {name}", "", floors))
    return "\n".join(lines)


def _line(index: str, product: str, tried: str, numbers: Sequence[str]) -> str:
    widths = [len(word) + _GAP for word, _ in _NUMBERS.values()]
    columns = "".join(f"{number:>{width}}" for number, width in zip(numbers, widths, strict=True))
    return f"{index:>3}  {_cut(product):<{_PRODUCT}}{tried:>10}{columns}".rstrip()


def _cut(product: str) -> str:
    return product if len(product) <= _PRODUCT else product[: _PRODUCT - 3] + "..."


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
