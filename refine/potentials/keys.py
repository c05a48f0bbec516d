"""What [model] of a study file may say: the keys of every base; each kind of base has a table with its own.

Plain pydantic: a study file is read, and refused, before anything that computes is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from refine.tables.table import Table
from refine.tables.values import Line

if TYPE_CHECKING:
    from refine.potentials.protocols import Base


@dataclass(frozen=True)
class Example:
    """A small system that a base describes, with which every base is tested (tests/potentials/test_bases.py).

    Attributes:
        atoms: number of each element.
        keys: of [model] besides `base`.
        apart: Å, no two atoms are nearer.
        files: what writes the file of each name that `keys` has as `path`.
    """

    atoms: Mapping[str, int]
    keys: Mapping[str, Any]
    apart: float = 1.7
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


class Model(Table):
    """The base potential, which the correction is added to: a classical one with parameters, or a MACE model."""

    kind: ClassVar[Base]
    """What is made of such a table."""
    examples: ClassVar[Mapping[str, Example]]
    """By each name that `base` may have."""

    base: Line = Field(
        description="Name of the base potential: a form of pair functions, whose numbers are in [model.parameters] or, "
        "with `by-pair`, in [model.pairs]; a published set of such numbers, named after its authors, though some "
        "come without them; a many-body potential of silicon; `mace`; `lammps`, lines for LAMMPS; or `ase`, a "
        "calculator of ASE."
    )
    dispersion: Literal["none", "d3-bj"] = Field(
        "none",
        description="`d3-bj`: Grimme's D3 with Becke-Johnson damping, as fitted to PBE, on top of the base; within "
        "40 bohr as for MACE-MP-0+D3, no three-body term, up to Pu.",
    )

    @property
    def file_paths(self) -> tuple[Path, ...]:
        """Files whose bytes the base follows from."""
        return ()

    @property
    def has_molecules(self) -> bool:
        """Whether atoms are bonded to each other, beyond what forces do: the table has a topology."""
        return False

    @property
    def widens_molecules(self) -> bool:
        """Whether pairs within molecules are counted otherwise than they lie."""
        return False

    @property
    def holds_lengths(self) -> bool:
        """Whether some lengths in molecules stay what they are."""
        return False

    @property
    def elements(self) -> frozenset[str]:
        """Elements that the table names: of tables by species or pair."""
        return frozenset()

    @property
    def title(self) -> str:
        """What the base is called where models are compared."""
        return self.base
