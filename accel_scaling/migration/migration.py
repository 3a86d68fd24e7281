"""A cluster file for Ray's own provider, as a file for this package: the text, what was done, and what is different."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.suggest import hint
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import catalog_of, read_config
from accel_scaling.cluster.cluster_file import line_in
from accel_scaling.cluster.node_type_defaults import HEAD, TYPES, with_node_types
from accel_scaling.cluster.other_files import other_file
from accel_scaling.cluster.placeholders import check_rendered
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_keys_needed_by_ray
from accel_scaling.fill.file_text import REASONS, holds, printed, root_of
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.fill.in_place import Values, edited
from accel_scaling.inputs.yaml_nodes import construct
from accel_scaling.message_text import listed, shown
from accel_scaling.migration.differences import differences
from accel_scaling.migration.ray_1 import Change, Renewed, renewed
from accel_scaling.migration.text import with_node_types as with_blocks
from accel_scaling.migration.text import with_provider
from accel_scaling.yaml_text.edits import CannotEditError
from accel_scaling.yaml_text.nodes import BOM

if TYPE_CHECKING:
    from accel_scaling.clouds import Cloud
    from accel_scaling.cluster.cluster_file import ClusterFile

_OURS = "external"
# Of the sentence of the fill about a value of the user's: the resource or the label that it is about.
_ABOUT = re.compile(r"your (resources|labels) (?:say|promise) (\S+?)[:,]? ")


@dataclass(frozen=True)
class Migration:
    """A migrated file.

    Attributes:
        text: the file.
        changes: what was done, each with its line in the file before.
        contradictions: what the file says of a machine and the catalog does not, with the lines before and after.
        notes: what else the fill says of the file.
        differences: what behaves differently; nothing where the file was for this package before.
    """

    text: str
    changes: list[str]
    contradictions: list[str]
    notes: list[str]
    differences: list[str]


def migrate_file(file: ClusterFile, new_name: str = "") -> Migration:
    """Return a cluster file for this package's provider of the same cloud.

    Args:
        file: the file.
        new_name: of the file to be written, for the lines there; empty where there is none.

    Raises:
        AccelScalingError: it is no such file, or one that no provider takes; with the line.
    """
    try:
        cloud = _cloud(file.config)
        before = renewed(file.config, cloud, catalog_of(file.config))
        wanted = _wanted(before.config, cloud)
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    try:
        cluster = read_config(wanted)
        _, notes = fill_cluster(cluster)
        cluster.check_launchable()
    except AccelScalingError as error:
        raise file.at_its_line(_as_before(error, before.moved)) from None
    text, form_note = _text(file, before, wanted, cloud)
    about = [note for note in notes if _ABOUT.search(note)]
    is_stock = file.config["provider"].get("type") != _OURS
    added = _added(before.config, wanted, cloud)
    return Migration(
        text,
        [_placed(change, file) for change in [*_provider_change(file, cloud), *before.changes, *added]],
        [_with_lines(note, file, text, before, new_name) for note in about],
        [*form_note, *(note for note in notes if note not in about)],
        differences(file.config, cluster) if is_stock else [],
    )


def _cloud(config: dict[str, Any]) -> Cloud:
    """Return the cloud of a file that can be migrated.

    Raises:
        ClusterConfigError: says what the file is, and what to do with it.
    """
    provider = config.get("provider")
    if other_file(config) or not isinstance(provider, dict) or not provider:
        check_shape(config)  # refuses it, as all commands do
    check_rendered(config)
    kind = provider.get("type") if isinstance(provider, dict) else None
    stock = [cloud.name for cloud in known_clouds().values() if cloud.stock]
    if kind not in (None, _OURS, *stock):
        takes = " and ".join(f"`type: {name}`" for name in stock)
        advice = hint(str(kind), stock) or "; for another cloud this package has no provider: leave the file as it is"
        raise ClusterConfigError(f"provider.type is {shown(kind)}, and a migration takes {takes}{advice}")
    cloud = cloud_of(provider or {})
    if kind == _OURS and all(key in config for key in NEEDED_BY_RAY):
        raise ClusterConfigError(
            "provider.type is 'external' with a module of this package: there is nothing to migrate; give the file to "
            "`ray up` as it is (`accel-scaling fill` shows what its nodes promise)"
        )
    return cloud


def _wanted(config: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    """Return what the migrated file holds."""
    # Node types and head like those that Ray has for its own provider: for `type: external` it has others, or none.
    complete = with_node_types(config, cloud)
    provider = {"type": _OURS, "module": cloud.module}
    rest = {key: value for key, value in config["provider"].items() if key not in provider}
    return with_keys_needed_by_ray({**complete, "provider": {**provider, **rest}})


def _as_before(error: AccelScalingError, moved: dict[str, str]) -> AccelScalingError:
    """Return an error about a node type that was a key of Ray 1, with the key that the file has."""
    text = error.text
    for old, new in moved.items():
        text = re.sub(rf"^{TYPES}\.{new}\.node_config\b|^{TYPES}\.{new}\b", old, text)
    return type(error)(text)


def _text(file: ClusterFile, before: Renewed, wanted: dict[str, Any], cloud: Cloud) -> tuple[str, list[str]]:
    """Return the text of the migrated file, and a note where it could not stay as it was."""
    body = file.text.removeprefix(BOM)
    mark = file.text[: len(file.text) - len(body)]
    for text in _begun(body, file.config, before, cloud):
        try:
            now = construct(root_of(text))
            result = edited(text, root_of(text), Values(now, now, wanted), REASONS, marked=False)
        except CannotEditError as error:
            reason = str(error)
            continue
        if holds(result, wanted):
            return mark + result, []
        reason = "an anchor (`&`, `*`, `<<`) shares what the migration changes"
    return printed(wanted), [f"{file.path}: printed again, without its comments and layout: {reason}"]


def _begun(body: str, config: dict[str, Any], before: Renewed, cloud: Cloud) -> list[str]:
    """Return texts to begin with, the best first: edited where they stand, as far as their form takes that."""
    texts = [body]
    if config["provider"].get("type") != _OURS:
        texts = [*_unless_refused(lambda: with_provider(body, cloud.module)), *texts]
    if before.moved:
        texts = [*_unless_refused(lambda: with_blocks(texts[0], before.moved, config.get("min_workers"))), *texts]
    return texts


def _unless_refused(edit: Any) -> list[str]:
    try:
        return [edit()]
    except CannotEditError:
        return []


def _provider_change(file: ClusterFile, cloud: Cloud) -> list[Change]:
    kind = file.config["provider"].get("type")
    if kind == _OURS:
        return []
    return [Change("provider.type", f"provider.type: {kind} became external, with module: {cloud.module}")]


def _added(config: dict[str, Any], wanted: dict[str, Any], cloud: Cloud) -> list[Change]:
    changes = []
    if TYPES not in config:
        changes.append(Change("", f"added {TYPES}: those that Ray takes for `type: {cloud.name}`"))
    if HEAD not in config:
        changes.append(Change("", f"added {HEAD}: {wanted[HEAD]}, which Ray takes for `type: {cloud.name}` only"))
    needed = [key for key in NEEDED_BY_RAY if key not in config]
    if needed:
        changes.append(Change("", f"added {listed(needed)}: Ray needs {'it' if len(needed) == 1 else 'them'}"))
    return changes


def _placed(change: Change, file: ClusterFile) -> str:
    line = file.line_of(change.place)
    return f"{file.path}:{line}: {change.text}" if line else f"{file.path}: {change.text}"


def _with_lines(note: str, file: ClusterFile, text: str, before: Renewed, new_name: str) -> str:
    """Return a note about a value of the user's, with its line before and after."""
    found = _ABOUT.search(note)
    owner = note.split(" (", 1)[0]
    place = f"{owner}.{found[1]}.{found[2]}" if found else owner
    old = str(_as_before(ClusterConfigError(place), before.moved))
    line = file.line_of(old) or file.line_of(owner)
    after = line_in(root_of(text.removeprefix(BOM)), place) if new_name else None
    there = f"{file.path}:{line}" if line else str(file.path)
    return f"{there}{f' ({new_name}:{after})' if after else ''}: {note}"
