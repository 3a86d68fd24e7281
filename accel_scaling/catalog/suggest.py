"""Close names for "unknown name" errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 200  # characters; the longest names are of images, some 100


def nearest(word: str, names: Iterable[str], *, at_most: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return up to ``at_most`` of ``names`` that look like ``word``, best first; case does not matter.

    Args:
        word: what was written.
        names: what may have been meant.
        at_most: how many to return.
        cutoff: how alike they must be, by ``difflib``: 0 to 1.
    """
    import difflib  # only errors need it, and a third of a fast command's start-up is imports

    # Nothing is near a name of thousands of letters, and to find that out takes long.
    if len(word) > _LONGEST:
        return []
    by_fold = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=at_most, cutoff=cutoff)
    return [by_fold[fold] for fold in near]


def hint(word: str, names: Iterable[str]) -> str:
    """Return ``; nearest: a, b, c``, or an empty string where nothing is near."""
    near = nearest(word, names)
    return f"; nearest: {', '.join(near)}" if near else ""
