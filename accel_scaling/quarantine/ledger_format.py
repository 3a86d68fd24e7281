"""The ledger's form in its file: what each value must be, so that a file that was written by hand breaks nothing."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from accel_scaling.quarantine.ledger import Boot, Kind, Ledger, Quarantine, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
_LAST_S = 253_402_300_799.0  # the end of the year 9999, the last that can be written as a date


class NewerVersionError(ValueError):
    """The file is of a newer version of this package."""


def to_json(ledger: Ledger) -> dict[str, Any]:
    """Return the form of the state file."""
    return {
        "version": VERSION,
        "kept": dict(ledger.kept),
        "types": {
            name: {
                "zones": list(record.zones),
                "boots": [asdict(boot) for boot in record.boots],
                "quarantines": [{**asdict(one), "kind": one.kind.value} for one in record.quarantines],
            }
            for name, record in ledger.types.items()
        },
        "judged": dict(ledger.judged),
    }


def ledger_from(content: Any) -> Ledger:
    """Return the ledger of a state file's content.

    Raises:
        NewerVersionError: a newer version wrote it.
        ValueError: it is none of ours; the text says where.
    """
    version = _is(content, dict, "it").get("version")
    if isinstance(version, int) and version > VERSION:
        raise NewerVersionError(f"version {version}")
    if version != VERSION:
        raise ValueError(f"version {version!r}")
    types = _is(content.get("types"), dict, "types")
    return Ledger(
        {name: _record(one, name) for name, one in types.items()},
        _texts(content.get("kept"), "kept"),
        _texts(content.get("judged", {}), "judged"),  # the first files had none
    )


def _record(content: Any, name: str) -> Record:
    _is(content, dict, name)
    zones, boots, quarantines = (
        _is(content.get(key), list, f"{name}.{key}") for key in ("zones", "boots", "quarantines")
    )
    return Record(
        tuple(_is(zone, str, f"{name}.zones") for zone in zones),
        tuple(Boot(**_strings(boot, ("zone", "verdict"), f"{name}.boots")) for boot in boots),
        tuple(_quarantine(one, f"{name}.quarantines") for one in quarantines),
    )


def _quarantine(content: Any, where: str) -> Quarantine:
    words = _strings(content, ("zone", "kind", "reason", "message"), where)
    times = content.get("times")
    if type(times) is not int or times < 1:
        raise ValueError(f"{where}.times is {times!r}")
    return Quarantine(
        words["zone"],
        Kind(words["kind"]),
        words["reason"],
        words["message"],
        _time(content, "since_s", where),
        _time(content, "until_s", where),
        times,
    )


def _time(content: Mapping[str, Any], key: str, where: str) -> float:
    value = content.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LAST_S or math.isnan(value):
        raise ValueError(f"{where}.{key} is {value!r}")
    return float(value)


def _strings(content: Any, keys: tuple[str, ...], where: str) -> dict[str, str]:
    _is(content, dict, where)
    return {key: _is(content.get(key), str, f"{where}.{key}") for key in keys}


def _texts(content: Any, where: str) -> dict[str, str]:
    return {key: _is(value, str, where) for key, value in _is(content, dict, where).items()}


def _is(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{where} is {value!r:.40}")  # noqa: TRY004 - of the file, not of our code
    return value
