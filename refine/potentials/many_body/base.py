"""Stillinger-Weber and Tersoff as a base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script, head_line
from refine.potentials.protocols import Array, Base, BaseParameters, CorrectedForceField, Finished, Pairs
from refine.tables.species import Parameters

if TYPE_CHECKING:  # with jax, which reading a study does without
    from refine.potentials.many_body.potentials import ManyBody, StillingerWeber, Tersoff
    from refine.system import System

COST = 10.0
"""Of the forces on an atom, in those of a pair potential, roughly."""


class ManyBodyBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = None
    own_engine: ClassVar[str | None] = None

    def read(self, model: ManyBodyModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> ManyBody:
        """The potential of the study's numbers."""
        from refine.potentials.many_body.potentials import many_body

        return many_body(model.base, species, model.parameters)

    def heads(self, model: ManyBodyModel) -> Mapping[str, Any]:
        """It has none."""
        return {}

    def theory(self, model: ManyBodyModel, potential: ManyBody) -> str:
        """It is of none."""
        return ""

    def check_box(self, potential: ManyBody, correction_cutoff: float, system: System) -> None:
        """Any box will do."""

    def force_field(
        self, potential: ManyBody, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """Site energies, which any element's neighbours may give."""
        from refine.potentials.many_body.potentials import ManyBodySites
        from refine.potentials.sites import SiteForceField

        sites = ManyBodySites(potential, system.species, system.n_per_species, precision)
        return SiteForceField(sites, correction_cutoff, orthorhombic=system.orthorhombic, cost=COST)

    def pair_energies(self, potential: ManyBody, r: Array) -> None:
        """It is no sum of pair functions."""
        return None

    def identity(self, potential: ManyBody) -> str:
        """The study file has every number."""
        return ""

    def parameters(self, potential: ManyBody, names: tuple[str, ...], system: System, edges: Array) -> BaseParameters:
        """InputError: there are none."""
        raise InputError(
            f"parameters of {potential.name} cannot be refined",
            where="[refinement] parameters",
            fix='only those of pair forms can; use parameters = ["correction"]',
        )

    def final_potential(self, model: ManyBodyModel, run: Finished, file: str | Path | None = None) -> ManyBody:
        """That of the study."""
        if run.potential is not None:
            given: ManyBody = run.potential
            return given
        return self.read(model, run.species, run.pairs, run.cutoff)

    def lammps(self, model: ManyBodyModel, run: Finished, script: Script) -> Part:
        """A potential file."""
        potential = self.final_potential(model, run)
        style, text = STYLES[potential.name]
        symbol = element_of(run.species[0])
        name = f"base.{style}"
        source = f"{head_line()}\n# {potential.name}, for {symbol}\n"
        return Part(
            (style,),
            coefficients=(f"pair_coeff * * {style} {name} {' '.join(map(element_of, run.species))}",),
            files={name: source + text(potential, symbol)},
        )


class ManyBodyModel(Model):
    """Silicon, or another element with all of its numbers."""

    called: ClassVar[str] = "a classical base"
    kind: ClassVar[Base] = ManyBodyBase()
    examples: ClassVar[Mapping[str, Example]] = dict.fromkeys(
        ("stillinger-weber", "tersoff"), Example({"Si": 24}, {}, apart=2.0)
    )

    base: Literal["stillinger-weber", "tersoff"]
    parameters: Parameters = Field(
        default_factory=dict,
        description="Numbers in place of silicon's, in eV and Å; for another element all of them.",
    )


def _stillinger_weber(p: StillingerWeber, symbol: str) -> str:
    """epsilon, sigma, a, lambda, gamma, cos theta_0, A, B, p, q, and no tolerance of its own."""
    numbers = p.epsilon, p.sigma, p.a, p.lambda3, p.gamma, p.cos_theta0, p.A, p.B, p.p, p.q, 0.0
    return f"{symbol} {symbol} {symbol} {_joined(numbers)}\n"


def _tersoff(p: Tersoff, symbol: str) -> str:
    """m = 3, gamma = 1, lambda3, c, d, cos theta_0, n, beta, lambda2, B, R, D, lambda1, A."""
    numbers = 3.0, 1.0, p.lambda3, p.c, p.d, p.h, p.n, p.beta, p.lambda2, p.B, p.R, p.D, p.lambda1, p.A
    return f"{symbol} {symbol} {symbol} {_joined(numbers)}\n"


STYLES: dict[str, tuple[str, Callable[[Any, str], str]]] = {
    "stillinger-weber": ("sw", _stillinger_weber),
    "tersoff": ("tersoff", _tersoff),
}
"""LAMMPS' pair style of a many-body potential, and the text of its file."""


def _joined(numbers: Iterable[float]) -> str:
    return " ".join(repr(float(number)) for number in numbers)
