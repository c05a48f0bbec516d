"""The table of engines. An entry must pass tests/sampling/test_engines.py, which runs for every one.

What engines differ in is asked through `refine.sampling.engine.EngineKind`; nobody asks which one it is. Light: a study
file is read with it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refine.sampling.engine import EngineKind

ENGINES: dict[str, str] = {
    "jax": "refine.sampling.jax.kind:Jax",
    "lammps": "refine.sampling.lammps.kind:Lammps",
    "ase": "refine.sampling.ase.kind:Ase",
    "files": "refine.sampling.files.kind:Files",
}
"""What samples, by name: "module:class" of an `EngineKind`. `[sampling] engine` takes these words."""

DEFAULT_ENGINE = "jax"


@cache
def engine_kind(name: str) -> EngineKind:
    """The entry of a name; KeyError where there is none.

    >>> engine_kind("jax").differentiates
    True
    """
    module, _, kind = ENGINES[name].partition(":")
    made: EngineKind = getattr(import_module(module), kind)()
    return made
