"""The text of a filled cluster file: as its author wrote it, with the lines that the fill adds, each marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.defaults import NEEDED_BY_RAY
from accel_scaling.fill.in_place import SHARED, Values, edited
from accel_scaling.fill.marks import MARK, Marked, users_part
from accel_scaling.inputs.yaml_nodes import DUMPER, NotYamlError, compose, construct
from accel_scaling.yaml_text.edits import CannotEditError
from accel_scaling.yaml_text.equality import same
from accel_scaling.yaml_text.nodes import BOM, shared_nodes

if TYPE_CHECKING:
    from accel_scaling.cluster.cluster_file import ClusterFile

REASONS = dict.fromkeys(NEEDED_BY_RAY, "Ray needs this key")


class _Dumper(DUMPER):  # type: ignore[misc] # PyYAML's type depends on how it was built
    """Writes what anchors share at each place in full: fills differ from place to place."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no anchors."""
        del data
        return True


def users_values(file: ClusterFile) -> Marked:
    """Return what the user wrote of a file: all but what an earlier fill wrote and nobody changed since."""
    if MARK not in file.text:
        return Marked(file.config)
    text = file.text.removeprefix(BOM)
    return users_part(text, _root(text))


def changed_note(file: ClusterFile, changed: list[tuple[int, str]]) -> str | None:
    """Return the note about values that the fill wrote and somebody changed since; None where there are none."""
    if not changed:
        return None
    places = ", ".join(f"{path} (line {line})" for line, path in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return (
        f"{file.path}: changed by hand since a fill wrote it, and therefore yours: {places}{more}; "
        "a fill no longer replaces it"
    )


def filled_text(file: ClusterFile, users: dict[str, Any], wanted: dict[str, Any]) -> tuple[str, str | None]:
    """Return the text that holds the filled values, and a note where it could not be kept as it was.

    Args:
        file: the file.
        users: what its user wrote of it.
        wanted: its filled content.

    Raises:
        ClusterConfigError: with the filled values, the file is too large to be read again.
    """
    if same(file.config, wanted):
        return file.text, None
    body = file.text.removeprefix(BOM)
    try:
        result = edited(body, _root(body), Values(file.config, users, wanted), REASONS)
        if _holds(result, wanted, str(file.path)):
            return file.text[: len(file.text) - len(body)] + result, None
        reason = SHARED if shared_nodes(_root(body)) else "its form takes no further lines"
    except CannotEditError as error:
        reason = str(error)
    note = f"{file.path}: printed anew, without its comments and layout: {reason}"
    return _anew(users, wanted, str(file.path)), note


def _anew(users: dict[str, Any], wanted: dict[str, Any], name: str) -> str:
    """Return the filled values as PyYAML writes them, with marks where that is possible."""
    plain = yaml.dump(users, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    try:
        result = edited(plain, _root(plain), Values(users, users, wanted), REASONS)
        if _holds(result, wanted, name):
            return result
    except CannotEditError:
        pass
    return str(yaml.dump(wanted, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True))


def _root(text: str) -> yaml.Node:
    # Anew: reading a file's values spells its merge keys out in its nodes.
    return compose(text, like_ray=True)[0]


def _holds(text: str, wanted: dict[str, Any], name: str) -> bool:
    """Return whether a text means the wanted values for Ray.

    Raises:
        ClusterConfigError: it is beyond a bound.
    """
    try:
        roots = compose(text, like_ray=True)
        return len(roots) == 1 and same(construct(roots[0]), wanted)
    except NotYamlError as error:
        if error.grammar:
            return False
        raise ClusterConfigError(
            f"{name}: once it is filled, {error.problem}; give the file as it is to `ray up`, which fills it too"
        ) from None
