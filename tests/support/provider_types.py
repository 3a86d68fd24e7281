"""The places in Ray's source that look at `provider.type`: each may do something for `type: aws` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_NOT_RAYS_OWN_CODE = {"tests", "thirdparty_files", "rllib"}
_NAMES = {"provider_type", "provider_str"}


def places(root: Path) -> set[str]:
    """Return ``FILE: FUNCTION`` of each place below a folder of Ray's source."""
    found = set()
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root)
        if _NOT_RAYS_OWN_CODE & set(file.parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if "provider" in text:
            found |= {f"{file}: {function}" for function in _functions(ast.parse(text), ())}
    return found


def _functions(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        within = (*inside, child.name) if named else inside  # type: ignore[attr-defined]
        if _looks(child):
            yield ".".join(inside) or "(module)"
        yield from _functions(child, within)


def _looks(node: ast.AST) -> bool:
    """Return whether an expression reads or compares the type of a provider."""
    if isinstance(node, ast.Subscript):
        return _is_type(node.slice) and "provider" in ast.unparse(node.value)
    if isinstance(node, ast.Call):
        function = node.func
        gets = isinstance(function, ast.Attribute) and function.attr == "get" and bool(node.args)
        return gets and _is_type(node.args[0]) and "provider" in ast.unparse(function)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(ast.unparse(side).rpartition(".")[2] in _NAMES or _is_of_enum(side) for side in sides)
    return False


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == "type"


def _is_of_enum(node: ast.AST) -> bool:
    """`Provider.AWS` of autoscaler v2, or a list of such."""
    return any(isinstance(one, ast.Attribute) and ast.unparse(one.value) == "Provider" for one in ast.walk(node))
