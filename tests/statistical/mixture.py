"""A binary Lennard-Jones mixture, equimolar 36Ar and Kr at 220 K, and "measurements" of it under a hidden correction.

X-rays see mostly Kr and neutrons mostly 36Ar, so two curves constrain three pairs. The measurements are made by the
engine from a larger box with another seed, and get white noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from refine import Study
from refine.curves.curve import Curve
from refine.potentials.classical import LennardJones
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.pairs import PairForceField
from refine.sampling.starts import melt
from refine.scattering.measurement import ForwardModel
from refine.study.schema import StudyConfig
from refine.system import Box, make_system
from refine.units import BOLTZMANN

SPECIES = ("Ar", "Kr")
PAIRS = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
TEMPERATURE, RHO, NOISE = 220.0, 0.0165, 0.02
KT = BOLTZMANN * TEMPERATURE
LJ = {"epsilon": {"Ar": 0.010324, "Kr": 0.01408}, "sigma": {"Ar": 3.405, "Kr": 3.64}}
R_MIN, R_CUT, KNOTS, LENGTH = 2.8, 7.5, 24, 0.5
Q = np.arange(0.3, 12.0, 0.04)
RADIATIONS = {"neutron": {"isotopes": {"Ar": 36}}, "xray": {}}


def basis() -> PairCorrection:
    """No correction, on the splines of the study."""
    return PairCorrection.zero(PAIRS, SplineBasis(R_MIN, R_CUT, KNOTS), stiffness=1000 * KT).with_core([3.0, 3.1, 3.2])


def random_correction(seed: int, amplitude: float = 0.1) -> PairCorrection:
    """A draw of smooth functions: a Gaussian process of length 0.5 Å and `amplitude` kT for every pair.

    Wider inside the first shell, like the study's prior, by the base pair energy over kT.
    """
    correction = basis()
    r = correction.basis.centres
    u = LennardJones.from_parameters(SPECIES, PAIRS, LJ, 8.5).energy(np.maximum(r, 2.5)) / KT
    kernel = np.exp(-((r[:, None] - r) ** 2) / (2 * LENGTH**2)) + 1e-6 * np.eye(len(r))
    root = np.linalg.cholesky(kernel)
    rng = np.random.default_rng([seed, 77])
    profile = 1 + np.clip(u, 0, 5)
    return correction.with_theta((profile * (rng.normal(size=(3, len(r))) @ root.T) * amplitude * KT).ravel())


@dataclass(frozen=True)
class Laboratory:
    """Makes measurements; one compiled sampler for all of them. atoms: of each species."""

    atoms: int = 343
    frames: int = 300

    @cached_property
    def sampler(self):
        from refine.sampling.jax.sampler import Sampler
        from refine.sampling.jax.thermostats import Langevin

        edge = (2 * self.atoms / RHO) ** (1 / 3)
        system = make_system(dict.fromkeys(SPECIES, self.atoms), np.eye(3) * edge)
        bins = int(system.r_box / 0.02)
        field = PairForceField(
            LennardJones.from_parameters(SPECIES, PAIRS, LJ, 8.5), 8.5, system.n_per_species, orthorhombic=True
        )
        sampler = Sampler(
            system, field, thermostat=Langevin(0.5), timestep=5.0, stride=40, n_bins=bins, r_max=bins * 0.02
        )
        return field, sampler

    @cached_property
    def liquid(self):
        """The base model, equilibrated."""
        field, sampler = self.sampler
        return melt(sampler, field.params(None), TEMPERATURE, seed=5, picoseconds=20.0)

    def sample(self, correction: PairCorrection | None, seed: int, temperature: float = TEMPERATURE):
        """Frames under the base model and a correction."""
        field, sampler = self.sampler
        state = sampler.start(self.liquid.positions, temperature, seed)
        state, _ = sampler.run(state, field.params(correction), temperature, 80, observe=False)
        return sampler.run(state, field.params(correction), temperature, self.frames)[1]

    def hidden(self, folder: Path, seed: int) -> PairCorrection:
        """The random correction of a seed; in the folder, its x-ray and neutron S(Q) with noise."""
        correction = random_correction(seed)
        self.measure(folder, correction, 1000 + seed)
        return correction

    def measure(
        self, folder: Path, correction: PairCorrection | None, seed: int, *, noise: float = NOISE, state: str = ""
    ) -> None:
        """x-ray and neutron S(Q) with noise, as three-column files xray.csv and neutron.csv."""
        frames = self.sample(correction, seed)
        counts = frames.counts.mean(axis=0, dtype=np.float64)
        box = Box(SPECIES, frames.n_per_species, frames.volume, frames.edges)
        rng = np.random.default_rng([seed, 3])
        for radiation, extra in RADIATIONS.items():
            blank = Curve(
                x=Q,
                y=np.ones_like(Q),
                composition=dict.fromkeys(SPECIES, 0.5),
                number_density=RHO,
                radiation=radiation,
                **extra,
            )
            s = ForwardModel(blank, box).measurement((3.0, 10.0)).in_box.predict(counts)
            columns = [Q, s + noise * rng.normal(size=len(Q)), np.full_like(Q, noise)]
            np.savetxt(folder / f"{radiation}{state}.csv", np.column_stack(columns), delimiter=",", fmt="%.6f")


def study(folder: Path, *, seed: int = 1, atoms: int = 150, **changes) -> Study:
    """The base model refined against both curves; changes: tables of the study, merged."""
    tree = {
        "system": {"species": dict.fromkeys(SPECIES, atoms), "number_density": RHO},
        "states": [{"name": "mixture", "temperature": TEMPERATURE}],
        "data": [
            {
                "name": radiation,
                "file": f"{radiation}.csv",
                "quantity": "S(Q)",
                "radiation": radiation,
                "score_r": [3.0, 10.0],
                "fit_q": [0.6, 11.9],
                **extra,
            }
            for radiation, extra in RADIATIONS.items()
        ],
        "model": {"base": "lennard-jones", "parameters": LJ, "r_cut": 8.5},
        "correction": {"knots": KNOTS, "r_min": R_MIN, "r_cut": R_CUT, "length": LENGTH},
        "sampling": {
            "timestep": 5.0,
            "equilibration": 15.0,
            "reequilibration": 3.0,
            "frames": 200,
            "stride": 40,
            "replicas": 1,
            "seed": seed,
            "final": 2,
        },
        "refinement": {"iterations": 6},
    }
    for table, values in changes.items():
        tree[table] = {**tree[table], **values} if isinstance(values, dict) else values
    return Study(StudyConfig.parse(tree, folder=folder))
