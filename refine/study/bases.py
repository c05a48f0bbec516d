"""What `[model] base` may name: how each kind of base model is read and what the sampler evaluates for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.classical import BASES as CLASSICAL_BASES
from refine.potentials.classical import PairForm, base_potential
from refine.potentials.classical.by_pair import ByPair
from refine.potentials.classical.many_body import COST as MANY_BODY_COST
from refine.potentials.classical.many_body import MANY_BODY, ManyBody, ManyBodySites, many_body
from refine.potentials.classical.parameters import ClassicalParameters
from refine.potentials.classical.sets import SETS
from refine.potentials.dispersion import D3, DispersionForceField, check_species
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.catalogue import find
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader import load
from refine.potentials.mace.weights import MaceWeights
from refine.potentials.pairs import PairForceField
from refine.potentials.protocols import SiteModel
from refine.potentials.sites import SiteForceField
from refine.refinement.problem import BaseEnergy
from refine.study.schema import Model

if TYPE_CHECKING:
    from refine.potentials.protocols import CorrectedForceField
    from refine.system import System

Array = NDArray[np.float64]

NODES, NODES_REACH = 4096, 9.0
"""Nodes of a pair table up to so many Å; beyond, more, so that they are as close on the walls of the atoms."""


class BaseParameters(BaseEnergy, Protocol):
    """Parameters of a base that a rule may change, as one vector (k,): `ClassicalParameters` and `MaceWeights`.

    start: (k,) their values in the study.
    stored_positions: whether `energies` needs the positions of frames, and not only pair counts.
    """

    @property
    def start(self) -> Array: ...

    @property
    def stored_positions(self) -> bool: ...

    def at(self, parameters: Array) -> Any:
        """What the base's force field takes as `base` in `params`."""

    def table(self, parameters: Array) -> dict[str, dict[str, float]]:
        """What a reader is told of them, by name: `initial`, `final` and, where those say too little, `change`."""

    def write(self, parameters: Array, folder: Path) -> None:
        """Files that the table cannot stand for."""


class Base(Protocol):
    """A kind of base model; `potential` is whatever `read` makes."""

    def read(self, model: Model, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], cutoff: float) -> Any:
        """The potential that a study asks for; cutoff: Å, of its correction. InputError where there is none."""

    def force_field(
        self, potential: Any, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """What the sampler evaluates."""

    def pair_energies(self, potential: Any, r: Array) -> Array | None:
        """(pairs, n) eV at distances r (n,) Å, or None where the potential is no sum of pair functions."""

    def identity(self, potential: Any) -> str:
        """What tells it from others that the study file would describe alike."""

    def parameters(self, potential: Any, names: tuple[str, ...], system: System, edges: Array) -> BaseParameters:
        """Parameters of its own that a rule may change; edges: of the pair counts, Å. InputError where it has none."""


class ClassicalBase:
    """Sums of pair functions, with the reciprocal part of an Ewald sum where there are charges."""

    def read(
        self, model: Model, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], cutoff: float
    ) -> PairForm:
        own = SETS[model.base].cutoff if model.base in SETS else None
        return base_potential(
            model.base,
            species,
            pairs,
            model.parameters,
            model.r_cut or own or cutoff,
            truncation=model.truncation,
            charges=model.charges,
            ions=model.ions,
            coulomb=model.coulomb,
            damping=model.damping,
            pair_forms=model.pairs,
        )

    def force_field(
        self, potential: PairForm, correction_cutoff: float, system: System, precision: str
    ) -> PairForceField:
        charged = potential.coulomb
        ewald = own = None
        if charged is not None:
            charged.check_neutral(system.n_per_species)
            if charged.method == "ewald":
                ewald = charged.reciprocal(system.n_per_species, system.cell)
            else:
                own = charged.own()
        if potential.truncation == "none" and correction_cutoff > potential.cutoff:
            raise InputError(
                f'truncation = "none" leaves a step at {potential.cutoff:g} Å, inside the correction',
                where="[model]",
                fix=f"set r_cut to {correction_cutoff:g}, that of the correction, or more",
            )
        return PairForceField(
            potential,
            correction_cutoff,
            system.n_per_species,
            orthorhombic=system.orthorhombic,
            size=NODES * math.ceil((max(potential.cutoff, correction_cutoff) / NODES_REACH) ** 2),
            precision=precision,
            ewald=ewald,
            own_energy=own,
        )

    def pair_energies(self, potential: PairForm, r: Array) -> Array:
        return potential.interaction(r)

    def identity(self, potential: PairForm) -> str:
        return ""  # the parameters are in the study file, or in this version of refine

    def parameters(
        self, potential: PairForm, names: tuple[str, ...], system: System, edges: Array
    ) -> ClassicalParameters:
        if isinstance(potential, ByPair):
            raise InputError(
                'parameters of base = "by-pair" cannot be refined',
                where="[refinement] parameters",
                fix='use one form for all pairs, or parameters = ["correction"]',
            )
        return ClassicalParameters(potential, names, edges)


class ManyBodyBase:
    """Stillinger-Weber and Tersoff."""

    def read(
        self, model: Model, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], cutoff: float
    ) -> ManyBody:
        for key in ("r_cut", "charges", "ions", "coulomb", "damping", "pairs"):
            if getattr(model, key):
                raise InputError(f"{model.base} takes no {key}", where=f"[model] {key}", fix="remove it")
        if model.truncation != "switch":
            raise InputError(f"{model.base} ends by itself", where="[model] truncation", fix="remove it")
        return many_body(model.base, species, model.parameters)

    def force_field(
        self, potential: ManyBody, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        sites = ManyBodySites(potential, system.species, system.n_per_species, precision)
        return SiteForceField(sites, correction_cutoff, orthorhombic=system.orthorhombic, cost=MANY_BODY_COST)

    def pair_energies(self, potential: ManyBody, r: Array) -> None:
        return None

    def identity(self, potential: ManyBody) -> str:
        return ""

    def parameters(
        self, potential: ManyBody, names: tuple[str, ...], system: System, edges: Array
    ) -> ClassicalParameters:
        raise InputError(
            f"parameters of {potential.name} cannot be refined",
            where="[refinement] parameters",
            fix='only those of pair forms can; use parameters = ["correction"]',
        )


@dataclass(frozen=True)
class MacePotential:
    """A MACE model as a study asks for it."""

    path: Path
    checkpoint: Checkpoint
    head: str | None
    backend: str


class MaceBase:
    """A MACE model from a file, read once for all states."""

    def read(
        self, model: Model, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], cutoff: float
    ) -> MacePotential:
        path = model.model_path or find(model.name or "")
        checkpoint = load(path)
        # refuses species and heads that the model does not know
        Mace(checkpoint, species, (1,) * len(species), head=model.head, plain=True)
        return MacePotential(path, checkpoint, model.head, model.backend)

    def force_field(
        self, potential: MacePotential, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        model = BACKENDS[potential.backend](potential, system, precision)
        return SiteForceField(model, correction_cutoff, orthorhombic=system.orthorhombic)

    def pair_energies(self, potential: MacePotential, r: Array) -> None:
        return None

    def identity(self, potential: MacePotential) -> str:
        return potential.checkpoint.sha256

    def parameters(self, potential: MacePotential, names: tuple[str, ...], system: System, edges: Array) -> MaceWeights:
        if potential.backend != "refine":
            raise InputError(
                f"weights cannot be refined with backend = {potential.backend!r}",
                where="[model] backend",
                fix='use backend = "refine"',
            )
        return MaceWeights(potential.checkpoint, names, system, head=potential.head)


def _refine(potential: MacePotential, system: System, precision: str) -> SiteModel:
    return Mace(potential.checkpoint, system.species, system.n_per_species, head=potential.head, precision=precision)


def _mace_jax(potential: MacePotential, system: System, precision: str) -> SiteModel:
    from refine.potentials.mace.second_opinion import MaceJax

    return MaceJax(
        potential.checkpoint,
        potential.path,
        system.species,
        system.n_per_species,
        head=potential.head,
        precision=precision,
    )


BACKENDS: dict[str, Callable[[MacePotential, System, str], SiteModel]] = {"refine": _refine, "mace-jax": _mace_jax}
"""What `[model] backend` may name."""

BASES: dict[str, Base] = {
    **dict.fromkeys(CLASSICAL_BASES, ClassicalBase()),
    **dict.fromkeys(MANY_BODY, ManyBodyBase()),
    "mace": MaceBase(),
}
"""What `[model] base` may name."""


@dataclass(frozen=True)
class Dispersed:
    """Another kind of base with D3(BJ) dispersion on top of whatever it evaluates."""

    kind: Base

    def read(self, model: Model, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], cutoff: float) -> Any:
        check_species(species)
        return self.kind.read(model, species, pairs, cutoff)

    def force_field(
        self, potential: Any, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        base = self.kind.force_field(potential, correction_cutoff, system, precision)
        return DispersionForceField(base, D3(system.species, system.n_per_species), system.cell)

    def pair_energies(self, potential: Any, r: Array) -> None:
        return None  # C6 depends on the surroundings

    def identity(self, potential: Any) -> str:
        return self.kind.identity(potential)  # the study file says that there is dispersion

    def parameters(self, potential: Any, names: tuple[str, ...], system: System, edges: Array) -> BaseParameters:
        return self.kind.parameters(potential, names, system, edges)


def base_of(name: str, dispersion: str = "none") -> Base:
    """The kind of base that `[model] base` and `dispersion` name."""
    if name not in BASES:
        raise InputError(f"unknown base '{name}'", where="[model] base", fix=f"known: {', '.join(BASES)}")
    return BASES[name] if dispersion == "none" else Dispersed(BASES[name])
