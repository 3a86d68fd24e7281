"""Changes of what a YAML file means: values of another kind, keys of other files, bombs; it stays YAML."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import yaml

from tests.hostile.mutations import ARGUMENTS, ESCAPE, LONG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 3.7, 10**25, 10**400, -(10**400), float("inf"), float("nan"), 2**63, 1e300),
    *(
        "",
        " ",
        "x",
        LONG,
        ESCAPE,
        "\0",
        "a\nb",
        "~no-such/x",
        "~",
        "/dev/zero",
        "é\u202e",
        "8",
        "1e400",
        "no",
        "{{ x }}",
    ),
    *([], {}, [None], [[["a"]]], {"a": "b"}, {1: 2}, {None: None}, {"a": {"b": {"c": []}}}, [1, "a", {}], ["x", "x"]),
    *(
        dt.date(2024, 1, 1),
        dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone.utc),
        b"\xff",
        {True: 1},
        {"": ""},
        {LONG: 1},
        {ESCAPE: 1},
    ),
    *({f"k{n}": n for n in range(500)}, list(range(500)), ["x" * 300] * 50),
)


def bomb() -> Any:
    """Return some lists in each other that would be millions if they were written out."""
    value: Any = ["x"] * 9
    for _ in range(8):
        value = [value] * 9
    return value


def deep(levels: int) -> Any:
    """Return lists in each other."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def changed(random: Random, config: Any, others: list[Any]) -> Any:
    """Return a config with one to three places changed; it may be changed itself.

    Args:
        random: what decides.
        config: as YAML writes it.
        others: configs whose keys and values may come in.
    """
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = [place for place in _places(config) if isinstance(place[0], (dict, list))]
        if not places:
            return config
        holder, key = random.choice(places)
        how = random.randrange(9)
        if how < 4:
            holder[key] = _value(random)
        elif how == 4:
            del holder[key]
        elif how == 5 and isinstance(holder, dict):
            holder[random.choice(("x", "", 5, None, LONG[:900], ESCAPE, *map(str, range(3))))] = holder.pop(key)
        elif how == 6 and isinstance(holder, dict):
            other, name = random.choice(list(_places(random.choice(others))))
            holder[name if isinstance(other, dict) else key] = other[name]
        elif how == 7 and isinstance(holder[key], str):
            text = holder[key]
            place = random.randrange(len(text) + 1)
            holder[key] = text[:place] + random.choice(("", " ", "é", "\x1b", "-", "0" * 30)) + text[place + 1 :]
        elif how == 8:
            other, name = random.choice(places)
            holder[key] = other[name] if random.randrange(2) else [holder[key], holder[key]]
    return config


def written(config: Any) -> bytes:
    """Return a config as YAML; an object in several places becomes an anchor and its aliases."""
    try:
        return yaml.dump(config, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True).encode("utf-8", "replace")
    except (yaml.YAMLError, RecursionError, TypeError):
        return b"{}\n"


def _value(random: Random) -> Any:
    how = random.randrange(12)
    if how == 0:
        return bomb()
    if how == 1:
        return deep(random.choice((5, 60, 99, 150)))
    return random.choice(ARGUMENTS) if how < 4 else random.choice(VALUES)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or mapping in a value with each key of it."""
    waiting, seen = [value], set[int]()
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        entries = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in entries:
            yield holder, key
            if isinstance(inner, (dict, list)):
                waiting.append(inner)
