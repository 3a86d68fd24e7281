"""The text of a filled cluster file: as its author wrote it, with the lines that the fill adds, each marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_keys_needed_by_ray
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.fill.in_place import SHARED, Values, edited
from accel_scaling.fill.marks import MARK, Marked, users_part
from accel_scaling.inputs.yaml_nodes import DUMPER, FAST, NotYamlError, compose, construct
from accel_scaling.yaml_text.edits import CannotEditError
from accel_scaling.yaml_text.equality import same
from accel_scaling.yaml_text.nodes import BOM, shared_nodes

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster_file import ClusterFile

_JSON = "JSON has no comments, so the written lines carry no mark; a later fill treats them as yours"
REASONS = dict.fromkeys(NEEDED_BY_RAY, "Ray needs this key")


class _Dumper(DUMPER):  # type: ignore[misc] # PyYAML's type depends on how it was built
    """Writes what anchors share at each place in full: fills differ from place to place."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no anchors."""
        del data
        return True


def fill_file(file: ClusterFile, catalog: Catalog | None = None) -> tuple[str, list[str]]:
    """Return the text of a cluster file, filled, and the notes; see ``fill`` for its values.

    What an earlier fill wrote is filled again; what a user changed of it since is the user's.

    Args:
        file: the file.
        catalog: what is known about machine types; by default what the file names.

    Raises:
        AccelScalingError: a node type cannot be filled, or the cluster has no name.
    """
    users = users_values(file)
    try:
        cluster = read_config(users.config, catalog)
        filled, notes = fill_cluster(cluster)
        cluster.check_launchable()
    except AccelScalingError as error:
        raise file.at_its_line(error) from None
    text, form_note = _filled_text(file, users.config, with_keys_needed_by_ray(filled))
    return text, [*notes, *_changed_note(file, users.changed), *form_note]


def users_values(file: ClusterFile) -> Marked:
    """Return what the user wrote of a file: all but what an earlier fill wrote and nobody changed since."""
    if MARK not in file.text:
        return Marked(file.config)
    text = file.text.removeprefix(BOM)
    return users_part(text, root_of(text))


def _changed_note(file: ClusterFile, changed: list[tuple[int, str]]) -> list[str]:
    """Return the note about values that the fill wrote and a user changed since."""
    if not changed:
        return []
    places = ", ".join(f"{path} (line {line})" for line, path in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    what = f"changed by hand after a fill wrote it, and kept as yours: {places}{more}"
    return [f"{file.path}: {what}; remove the comment to end this note, or the line to have it filled again"]


def _filled_text(file: ClusterFile, users: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the text that holds the filled values, and a note where it could not be kept as it was.

    Args:
        file: the file.
        users: what its user wrote of it.
        wanted: its filled content.
    """
    body = file.text.removeprefix(BOM)
    if same(file.config, wanted):
        return file.text, []
    root = root_of(body)
    try:
        result = edited(body, root, Values(file.config, users, wanted), REASONS)
        if holds(result, wanted):
            notes = [f"{file.path}: {_JSON}"] if isinstance(root, yaml.MappingNode) and root.flow_style else []
            return file.text[: len(file.text) - len(body)] + result, notes
        reason = SHARED if shared_nodes(root) else "lines cannot be added to its form"
    except CannotEditError as error:
        reason = str(error)
    note = f"{file.path}: printed again, without its comments and layout: {reason}"
    return _anew(users, wanted), [note]


def _anew(users: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return the filled values as PyYAML writes them, with marks where that is possible."""
    plain = printed(users)
    try:
        result = edited(plain, root_of(plain), Values(users, users, wanted), REASONS)
        if holds(result, wanted):
            return result
    except CannotEditError:
        pass
    return printed(wanted)


def printed(values: dict[str, Any]) -> str:
    """Return values as PyYAML writes them, without anchors."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True))


def root_of(text: str) -> yaml.Node:
    """Return the nodes of a text, new ones: reading a file's values spells its merge keys out in its nodes."""
    return compose(text, like_ray=True)[0]


def holds(text: str, wanted: dict[str, Any]) -> bool:
    """Return whether a text means the wanted values for Ray."""
    try:
        roots = compose(text, like_ray=True)
        return len(roots) == 1 and same(construct(roots[0]), wanted)
    except NotYamlError as error:
        # A file within the bounds may leave them by its fill; all that is new in it is ours.
        return not error.grammar and same(yaml.load(text, Loader=FAST), wanted)  # noqa: S506 - it is a safe loader
