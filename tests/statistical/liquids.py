"""Small liquids of real molecular dynamics, with and without a correction: what responses are compared on.

Argon (Lennard-Jones, 85 K), dilute argon, a mixture of argon and krypton at 220 K, molten CaCl2 (Born-Mayer and full
charges, 1100 K) and a melt of NaCl and CaCl2 with three species and six pairs. The parameters are crude; what is asked
is not whether they are right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.curves.curve import Curve
from refine.potentials.classical import base_potential
from refine.potentials.classical.base import ClassicalBase
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import Problem, Sample, Target
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.study.schema import StudyConfig
from refine.system import Box, make_system
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

WIDTH = 0.02
"""Å, of the bins of frames."""


@dataclass(frozen=True)
class Liquid:
    """A base model in a cubic box. temperature: K.  density: atoms/Å^3.  timestep: fs.  settle, equilibration: ps."""

    atoms: dict[str, int]
    temperature: float
    density: float
    base: str
    parameters: dict[str, Any]
    charges: dict[str, float] = field(default_factory=dict)
    r_min: float = 2.8
    r_cut: float = 8.5
    timestep: float = 5.0
    stride: int = 40
    equilibration: float = 20.0
    settle: float = 4.0

    @property
    def kt(self) -> float:
        """eV."""
        return BOLTZMANN * self.temperature

    @property
    def species(self) -> tuple[str, ...]:
        return tuple(self.atoms)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((a, b) for i, a in enumerate(self.species) for b in self.species[i:])

    @property
    def basis(self) -> PairCorrection:
        """No correction, knots 0.25 Å apart."""
        knots = round((self.r_cut - self.r_min) / 0.25)
        return PairCorrection.zero(
            self.pairs, SplineBasis(self.r_min, self.r_cut, knots), stiffness=1000 * self.kt
        ).with_core(np.full(len(self.pairs), self.r_min))

    def bumps(self, heights: dict[str, float], centres: dict[str, float], width: float = 0.4) -> PairCorrection:
        """A Gaussian for every pair, heights in kT, centres and `width` (standard deviation) in Å."""
        r = self.basis.basis.centres
        rows = [
            heights["-".join(pair)] * np.exp(-((r - centres["-".join(pair)]) ** 2) / (2 * width**2))
            for pair in self.pairs
        ]
        return self.basis.with_theta(self.kt * np.concatenate(rows))

    @cached_property
    def sampler(self) -> tuple[Any, Any]:
        """Force field and sampler; jax is imported here."""
        from refine.sampling.jax.sampler import Sampler
        from refine.sampling.jax.thermostats import Langevin

        edge = (sum(self.atoms.values()) / self.density) ** (1 / 3)
        system = make_system(self.atoms, np.eye(3) * edge)
        potential = base_potential(
            self.base, self.species, self.pairs, self.parameters, self.r_cut, charges=self.charges
        )
        forces = ClassicalBase().force_field(potential, self.r_cut, system, "float32")
        bins = int(system.r_box / WIDTH)
        return forces, Sampler(
            system,
            forces,
            thermostat=Langevin(0.5),
            timestep=self.timestep,
            stride=self.stride,
            n_bins=bins,
            r_max=bins * WIDTH,
        )

    @cached_property
    def melted(self) -> Any:
        """The base model, equilibrated."""
        from refine.sampling.starts import melt

        forces, sampler = self.sampler
        return melt(sampler, forces.params(None), self.temperature, seed=7, picoseconds=self.equilibration)

    def sample(self, correction: PairCorrection, frames: int, seed: int) -> Sample:
        """Frames under the base model and a correction, from the base model's liquid."""
        forces, sampler = self.sampler
        params = forces.params(correction)
        state = sampler.start(self.melted.positions, self.temperature, seed)
        wait = round(1000 * self.settle / (self.timestep * self.stride))
        state, _ = sampler.run(state, params, self.temperature, wait, observe=False)
        return Sample(correction, (sampler.run(state, params, self.temperature, frames)[1],))

    def partials(self, frames: Frames, step: float = 0.1) -> tuple[Problem, list[Target]]:
        """Every partial g(r) as one target, in bins of `step` (Å) up to the cutoff."""
        box = Box(self.species, frames.n_per_species, frames.volume, frames.edges)
        each, points = round(step / WIDTH), int(self.r_cut / step)
        ideal = box.ideal_counts
        targets = []
        for p, pair in enumerate(self.pairs):
            matrix = np.zeros((points, *ideal.shape))
            for k in range(points):
                inside = slice(k * each, (k + 1) * each)
                matrix[k, p, inside] = 1.0 / ideal[p, inside].sum()
            x = step * (np.arange(points) + 0.5)
            operator = CurveOperator(x, matrix.reshape(points, -1), np.zeros(points), np.zeros(points))
            y, covariance = np.zeros(points), 1e-4 * np.eye(points)
            targets.append(Target("-".join(pair), 0, "g(r)", None, y, covariance, True, CurveObservable(operator)))
        return Problem(tuple(targets), (self.temperature,)), targets


ARGON = Liquid({"Ar": 500}, 85.0, 0.02125, "lennard-jones", {"epsilon": 0.010324, "sigma": 3.405})

GAS = Liquid(
    {"Ar": 500},
    150.0,
    0.001,
    "lennard-jones",
    {"epsilon": 0.010324, "sigma": 3.405},
    timestep=10.0,
    equilibration=40.0,
)

MIXTURE = Liquid(
    {"Ar": 150, "Kr": 150},
    220.0,
    0.0165,
    "lennard-jones",
    {"epsilon": {"Ar": 0.010324, "Kr": 0.01408}, "sigma": {"Ar": 3.405, "Kr": 3.64}},
    equilibration=10.0,
)

SALT = {"timestep": 2.0, "stride": 20, "equilibration": 8.0, "settle": 2.0, "r_min": 1.8, "r_cut": 9.0}

CACL2 = Liquid(
    {"Ca": 200, "Cl": 400},
    1100.0,
    0.0339,
    "born-mayer",
    {"A": {"Ca-Cl": 1469, "Cl-Cl": 1548, "Ca-Ca": 1239}, "rho": {"Ca-Cl": 0.345, "Cl-Cl": 0.345, "Ca-Ca": 0.345}},
    {"Ca": 2, "Cl": -1},
    **SALT,
)

TERNARY = Liquid(
    {"Na": 120, "Ca": 120, "Cl": 360},
    1100.0,
    0.0320,
    "born-mayer",
    {
        "A": {"Na-Na": 830, "Na-Ca": 1010, "Na-Cl": 1150, "Ca-Ca": 1239, "Ca-Cl": 1469, "Cl-Cl": 1548},
        "rho": dict.fromkeys(("Na-Na", "Na-Ca", "Na-Cl", "Ca-Ca", "Ca-Cl", "Cl-Cl"), 0.345),
    },
    {"Na": 1, "Ca": 2, "Cl": -1},
    **SALT,
)

TOTALS = {"xray": {"radiation": "xray"}, "neutron": {"radiation": "neutron"}}
"""x-ray and neutron S(Q), natural isotopes."""

Q = np.arange(0.4, 14.0, 0.04)
R = np.arange(1.0, 9.5, 0.05)


def data(liquid: Liquid, partials: bool) -> dict[str, dict[str, Any]]:
    """What is measured, tables of [[data]] by name: every partial g(r), or x-ray and neutron S(Q)."""
    if not partials:
        return {name: {"quantity": "S(Q)", **keys} for name, keys in TOTALS.items()}
    return {"".join(pair): {"quantity": "g(r)", "pair": list(pair)} for pair in liquid.pairs}


def curves(liquid: Liquid, sample: Sample, *, partials: bool) -> dict[str, Array]:
    """Curves of a sample by the names of `data`, at R or Q."""
    frames = sample.frames[0]
    counts = frames.counts.mean(axis=0, dtype=np.float64)
    box = Box(liquid.species, frames.n_per_species, frames.volume, frames.edges)
    x, made = R if partials else Q, {}
    for name, keys in data(liquid, partials).items():
        known = {key: tuple(value) if key == "pair" else value for key, value in keys.items()}
        blank = Curve(x=x, y=np.ones_like(x), composition=liquid.atoms, number_density=liquid.density, **known)
        made[name] = ForwardModel(blank, box).measurement(None).in_box.predict(counts)
    return made


def write(folder: Path, measured: dict[str, Array], *, partials: bool, noise: float, seed: int) -> None:
    """Files name.csv of three columns: curves with white noise, and its sigma."""
    rng, x = np.random.default_rng([seed, 3]), R if partials else Q
    for name, y in measured.items():
        columns = [x, y + noise * rng.normal(size=len(x)), np.full_like(x, noise)]
        np.savetxt(folder / f"{name}.csv", np.column_stack(columns), delimiter=",", fmt="%.6f")


def measure(folder: Path, liquid: Liquid, sample: Sample, *, partials: bool, noise: float, seed: int) -> None:
    """`write` the curves of a sample."""
    write(folder, curves(liquid, sample, partials=partials), partials=partials, noise=noise, seed=seed)


def tables(liquid: Liquid, partials: bool) -> list[dict[str, Any]]:
    """[[data]] of the files that `measure` writes."""
    fit = {"fit_r": [liquid.r_min, liquid.r_cut]} if partials else {"fit_q": [0.6, 13.5]}
    return [
        {"name": name, "file": f"{name}.csv", "score_r": [liquid.r_min, liquid.r_cut], **fit, **keys}
        for name, keys in data(liquid, partials).items()
    ]


def study(folder: Path, liquid: Liquid, *, partials: bool, seed: int = 1, **changes: Any) -> Study:
    """The base model refined against the files that `measure` wrote; changes: tables of the study, merged."""
    tree: dict[str, Any] = {
        "system": {"species": liquid.atoms, "number_density": liquid.density},
        "states": [{"name": "liquid", "temperature": liquid.temperature}],
        "data": tables(liquid, partials),
        "model": {"base": liquid.base, "parameters": liquid.parameters, "charges": liquid.charges},
        "correction": {"r_min": liquid.r_min, "r_cut": liquid.r_cut},
        "sampling": {
            "timestep": liquid.timestep,
            "equilibration": liquid.equilibration,
            "reequilibration": liquid.settle,
            "frames": 200,
            "stride": liquid.stride,
            "seed": seed,
            "final": 2,
        },
        "refinement": {"iterations": 6},
    }
    for table, values in changes.items():
        tree[table] = {**tree[table], **values} if isinstance(values, dict) else values
    return Study(StudyConfig.parse(tree, folder=folder))
