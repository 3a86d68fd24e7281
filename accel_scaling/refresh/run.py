"""One refresh: asks the cloud, writes the files, and reports what look-ups now answer."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import REFRESH_FOLDER, USER_FOLDER, Source, read, shipped
from accel_scaling.catalog.guest_accelerators import api_names, attach_rules
from accel_scaling.catalog.load import parse_rows, shipped_catalog, shipped_sources
from accel_scaling.catalog.offerings import Offerings, parse_places
from accel_scaling.catalog.schema import OFFERINGS
from accel_scaling.catalog.unlisted import unlisted
from accel_scaling.clouds import known_clouds
from accel_scaling.families.catalog import chips_here
from accel_scaling.refresh.networks import networks_file, networks_text
from accel_scaling.refresh.records import INTERRUPTED
from accel_scaling.refresh.requests import InterruptedRefreshError, RefreshError
from accel_scaling.refresh.rows import (
    RegionChange,
    gone_types,
    kept_rows,
    places_file,
    places_text,
    region_changes,
    rows_of,
    text_of,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.catalog.offerings import OfferingRow
    from accel_scaling.refresh.records import ApiDevice, CloudAnswer

    Ask = Callable[[], CloudAnswer]


@dataclass
class Result:
    """The result of a refresh: what is different, and what was written.

    Attributes:
        answer: what the cloud said.
        added: machine types that the catalog did not have.
        gone: those that regions which answered offered before, and no longer do; their rows stay.
        changed: (before, now) of those that are different.
        unpromised: those with accelerators that the catalog does not know, or with several kinds: nothing is promised.
        new_chips: accelerators that the catalog does not know, by their names.
        moved: how regions differ.
        written: files that are different now.
        files: both files, whether different or not.
    """

    answer: CloudAnswer
    added: list[MachineType] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    changed: list[tuple[MachineType, MachineType]] = field(default_factory=list)
    unpromised: list[MachineType] = field(default_factory=list)
    new_chips: dict[str, ApiDevice] = field(default_factory=dict)
    moved: list[RegionChange] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """True where a look-up in the catalog answers as before the refresh."""
        return not (self.added or self.gone or self.changed or self.moved)


def default_file(cloud: str) -> Path:
    """Return where the catalog looks for a refresh: ``~/.accel_scaling/refresh/aws.csv``."""
    return Path.home() / USER_FOLDER / REFRESH_FOLDER / f"{cloud}.csv"


def refresh(ask: Ask, path: Path, *, today: dt.date | None = None) -> Result:
    """Ask a cloud, write the file of its machine types and the one of its places, and compare.

    Args:
        ask: asks it; see aws.ask() and gcp.ask().
        path: the file of machine types; its places go beside it.
        today: for the places file's source.

    Raises:
        RefreshError: the cloud could not be asked, no region answered (before Ctrl-C), or a file not be written;
            nothing is written.
        CatalogFileError: a file that is there has a mistake.
    """
    chips = chips_here()
    answer = _answer_of(ask)
    cloud, clouds = answer.cloud, known_clouds()
    old = kept_rows(path, cloud, chips, clouds)
    # By way of the text, as the file will be written: only then are before and now comparable.
    before = _catalog(cloud, path, text_of(old, path, cloud, clouds), chips)
    beside = places_file(path)
    # Before the silence is judged: an interrupted answer may have no region left.
    _drop_unread(answer, before)
    _refuse_silence(answer)
    attached = api_names(shipped_catalog().chips.values(), cloud) if attach_rules(cloud) else ()
    known = [*before, *attached]
    had = _offered(cloud, beside)
    # Of a type that no listing has, an earlier refresh neither, what is listed of its family was not known of it.
    unknown = set(unlisted(cloud)) - set(old)
    had_where = {name: had.where(name, private=name in unknown) for name in known}

    rows, new_chips = rows_of(answer, chips, before)
    text = text_of({**old, **rows}, path, cloud, clouds)
    month = f"{today or dt.datetime.now(dt.timezone.utc).date():%Y-%m}"
    offerings = places_text(answer, beside, known, month)
    now = _catalog(cloud, path, text, chips)

    texts = {path: text, beside: offerings}
    if (cards := networks_file(path, cloud)) and (networks := networks_text(answer, cards, month)):
        texts[cards] = networks
    result = Result(answer, new_chips={**new_chips, **_unknown_attachable(answer, chips)}, files=list(texts))
    result.added = [row for name, row in sorted(now.items()) if name not in before]
    result.changed = [
        (before[name], row) for name, row in sorted(now.items()) if name in before and before[name] != row
    ]
    result.unpromised = [row for name, row in sorted(now.items()) if name in rows and row.unknown]
    result.gone = gone_types(answer, had_where)
    result.moved = region_changes(answer, had_where, had.regions)
    # Last: whatever is raised above leaves both files as they were.
    result.written = [file for file, content in texts.items() if write(file, content)]
    return result


def _answer_of(ask: Ask) -> CloudAnswer:
    try:
        return ask()
    except KeyboardInterrupt:
        raise InterruptedRefreshError(
            "interrupted before the cloud had answered in full: nothing was written"
        ) from None


def _drop_unread(answer: CloudAnswer, before: Mapping[str, MachineType]) -> None:
    """Leave out the regions with types of which Ctrl-C came first: places need the types that they name."""
    read = {*before, *answer.types, *answer.lacking}
    for region, offered in list(answer.offered.items()) if answer.interrupted else ():
        if not read.issuperset(offered):
            del answer.offered[region]
            answer.failed[region] = INTERRUPTED


def _refuse_silence(answer: CloudAnswer) -> None:
    """Refuse an answer in which no region said anything: a job that refreshes every night must not stay green."""
    if answer.interrupted and not answer.offered:
        every = sum(reason == INTERRUPTED for reason in answer.failed.values())
        raise InterruptedRefreshError(f"interrupted after 0 of {every} regions: nothing was written")
    if answer.failed and not answer.offered:
        why = "; ".join(f"{region}: {reason}" for region, reason in sorted(answer.failed.items()))
        raise RefreshError(f"no region answered, and nothing was written; {why}")


def _catalog(cloud: str, path: Path, text: str, chips: Mapping[str, Chip]) -> dict[str, MachineType]:
    """Return a cloud's machine types as they are looked up: what ships, the file's text, corrections on top."""
    plain, *corrections = shipped_sources(cloud)
    rows: dict[tuple[str, str], MachineType] = {}
    for source in (plain, Source(path, "", text), *corrections):
        same_layer = replace(source, label="")  # the same answer is the same, whichever file gives it
        rows.update(source.accept(parse_rows(same_layer, chips, known_clouds())))
    return {name: row for (of, name), row in rows.items() if of == cloud}


def _offered(cloud: str, path: Path) -> Offerings:
    """Return what was known of a cloud's regions: what ships, and the file over it."""
    layers = [(f"{cloud}.csv", _shipped_places(cloud))]
    if path.exists():
        source = read(path)
        layers.append((str(path), source.accept(parse_places(source))))
    return Offerings(cloud, layers)


def _shipped_places(cloud: str) -> Sequence[OfferingRow]:
    source = shipped(OFFERINGS, cloud)
    return source.accept(parse_places(source)) if source else ()


def _unknown_attachable(answer: CloudAnswer, chips: Mapping[str, Chip]) -> dict[str, ApiDevice]:
    known = api_names(chips.values(), answer.cloud)
    return {name: device for name, device in answer.attachable.items() if name not in known}
