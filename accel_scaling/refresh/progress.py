"""How far a refresh is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "region") -> Iterator[Callable[[], None]]:
    """Show a bar on standard error while the block runs, where that is a terminal; yields the step.

    Args:
        what: stands before the bar.
        total: steps in all; None where that is not known.
        unit: what a step is.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, total=total, unit=f" {unit}", leave=False, dynamic_ncols=True, file=sys.stderr) as bar:

        def step() -> None:
            bar.update()

        yield step
