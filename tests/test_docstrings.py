"""Every public module, class, function and method says what it is: shapes, units, errors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for room in ("refine", "kernels")
    for file in sorted((ROOT / room).rglob("*.py"))
}

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(body: list[ast.stmt], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Definition]]:
    """Classes, functions and methods without a leading underscore, outside of those that have one."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield (*path, node.name), node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, (*path, node.name))


def _inherits_one(module: str, path: tuple[str, ...]) -> bool:
    """Whether a method implements one that a base class or protocol of the project documents."""
    *classes, method = path
    owner = import_module(module)
    for name in classes:
        owner = getattr(owner, name)
    bases = getattr(owner, "__mro__", ())[1:]
    ours = [base for base in bases if base.__module__.split(".")[0] in ("refine", "kernels")]
    return any(getattr(vars(base).get(method), "__doc__", None) for base in ours)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_has_a_docstring(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    bare = [path for path, node in _public(tree.body) if not ast.get_docstring(node)]
    assert [".".join(path) for path in bare if not _inherits_one(name, path)] == []
