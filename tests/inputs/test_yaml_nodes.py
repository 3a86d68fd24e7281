"""YAML is read in the language of `ray up`, and within bounds: nothing is spelt out before it is counted."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import yaml

from accel_scaling.inputs import bounds, yaml_nodes
from accel_scaling.inputs.yaml_nodes import NotYamlError, compose, construct
from tests.hostile.mutations import BOMB, MERGE_BOMB

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "example_clusters").glob("*.yaml")), *sorted((ROOT / "tests/data/kuberay").glob("*.yaml"))]
# What once was read differently, and what looks like it.
TOKENS = (
    *list("[]{}:,-?#&*!|>'\"%@`\\ \n\t"),
    *(
        "\n  ",
        "- ",
        ": ",
        "? ",
        " #",
        "{a: b}",
        "[a:]",
        "{a:b}",
        "|\n",
        ">#",
        "|2",
        "---\n",
        '"a":b',
        "\\'",
        "a\tb",
        "\ufeff",
    ),
)


def meaning(loader: object, text: str) -> object:
    """What a loader of PyYAML makes of a text; "refused" where it is none."""

    def of(node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            return [node.tag, [(of(key), of(value)) for key, value in node.value]]
        return [node.tag, [of(item) for item in node.value] if isinstance(node.value, list) else node.value]

    try:
        return [of(root) for root in yaml.compose_all(text, Loader=loader)]
    except yaml.YAMLError:
        return "refused"


def ours(text: str, *, large: bool) -> object:
    """The same of our reader; ``large``: as it reads large files."""
    try:
        # A comment makes a text large, and means nothing.
        roots = compose(text + ("\n#" + " " * yaml_nodes._SMALL if large else ""), like_ray=True)
    except NotYamlError as error:
        return "refused" if error.grammar else "beyond a bound"
    loader = yaml.SafeLoader("")
    return ["read" for _ in roots] if loader else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_text_is_read_as_ray_up_reads_it_whatever_its_size(path: Path) -> None:
    random = Random(path.name)
    for _ in range(10):
        text = path.read_text(encoding="utf-8")
        for _ in range(random.randrange(3)):
            place = random.randrange(len(text) + 1)
            text = text[:place] + random.choice(TOKENS) + text[place + random.randrange(3) :]
        if not text.endswith("\n"):
            text += "\n"
        expected = meaning(yaml.SafeLoader, text)
        alike = not yaml_nodes._ONLY_FOR_RAYS.search(text)
        if alike and expected != "refused":
            assert meaning(yaml_nodes.FAST, text) == expected, text
        found = ours(text, large=False)
        assert found == "beyond a bound" or (found == "refused") == (expected == "refused"), text


@pytest.mark.parametrize("large", [False, True])
def test_a_tab_within_text_is_refused_with_its_line_as_ray_up_refuses_it(large: bool) -> None:
    text = "a:\n  - echo a\n    b\tc\n" + ("#" * 2 * yaml_nodes._SMALL if large else "")
    with pytest.raises(NotYamlError, match=r"found character '\\t' that cannot start any token") as refused:
        compose(text, like_ray=True)
    assert (refused.value.line, refused.value.column) == (3, 6)
    assert compose(text)  # Kubernetes takes it


@pytest.mark.parametrize("text", [BOMB + "x: *a8\n", MERGE_BOMB + "x: {<<: *b25}\n", MERGE_BOMB])
@pytest.mark.parametrize("like_ray", [False, True])
def test_aliases_of_aliases_are_refused_before_they_are_spelt_out(text: str, like_ray: bool) -> None:
    with pytest.raises(NotYamlError, match=f"more than {bounds.MOST_VALUES:,} values, with each alias"):
        compose(text, like_ray=like_ray)


def test_anchors_that_people_write_are_read() -> None:
    text = "base: &base {a: 1, b: [x, y]}\n" + "".join(f"t{n}: {{<<: *base, n: {n}}}\n" for n in range(500))
    (root,) = compose(text, like_ray=True)
    assert construct(root)["t499"] == {"a": 1, "b": ["x", "y"], "n": 499}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "an anchor contains itself"),
        ("a: *b", "found undefined alias"),
        ("a: &a x\nb: &a y", "found duplicate anchor"),
        ("a: " + "[" * 101, "nested too deeply"),
        ("a: 1" + "0" * 400, "has 401 digits; at most 40 are read"),
        ("? " + "k" * 2000 + "\n: v", "a key has at most 1,024 characters"),
        ('"a\\eb": v', "with a control character"),
        ("a: \x07", "character"),
        ("[" + "a," * 200_000 + "]", "more than 150,000 values"),
    ],
)
def test_what_goes_beyond_a_bound_is_said(text: str, said: str) -> None:
    for like_ray in (False, True):
        with pytest.raises(NotYamlError, match=said):
            compose(text, like_ray=like_ray)


@pytest.mark.parametrize(
    "value",
    ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!binary é", "2024-13-45", "!!python/object:os.system x"],
)
def test_a_value_that_no_constructor_takes_is_one_error_with_its_line(value: str) -> None:
    (root,) = compose(f"a: 1\nb: {value}\n", like_ray=True)
    with pytest.raises(NotYamlError) as refused:
        construct(root)
    assert refused.value.line == 2
