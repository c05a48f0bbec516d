"""A liquid whose statistics are known exactly, so that update rules are tested without dynamics.

Every bin is an independent Poisson variable with mean n_b exp(-phi(r_b)/kT): an exponential family with the same
structure as the real one (energy linear in counts), for which d<h>/d theta = -beta Cov(h, N) holds exactly.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.keys import Refinement, Shared
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import Problem, Sample, Target
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.system import Box
from refine.units import BOLTZMANN

TEMPERATURE = 85.0


@dataclass(frozen=True)
class PoissonLiquid:
    """`species` in a box; g(r) without a correction is a smooth step at 3.2 Å with one shell."""

    species: tuple[str, ...] = ("Ar",)
    n: int = 500
    width: float = 0.05
    kt: float = BOLTZMANN * TEMPERATURE
    rho: float = 0.02125

    @property
    def box(self) -> Box:
        volume = self.n * len(self.species) / self.rho
        bins = int(0.5 * volume ** (1 / 3) / self.width)
        return Box(self.species, (self.n,) * len(self.species), volume, self.width * np.arange(bins + 1))

    def basis(self, knots: int = 24) -> PairCorrection:
        return PairCorrection.zero(self.box.pairs, SplineBasis(2.8, 8.0, knots), stiffness=1000 * self.kt)

    def mean_counts(self, correction: PairCorrection, extra=None) -> np.ndarray:
        box = self.box
        r = box.centres
        g = 1 / (1 + np.exp(-(r - 3.3) / 0.08)) * (1 + 1.2 * np.exp(-((r - 3.8) ** 2) / 0.3))
        phi = np.einsum("pbk,pk->pb", correction.binned_basis(box.edges), correction.coefficients)
        phi = phi + (0.0 if extra is None else extra(r))
        return box.ideal_counts * g * np.exp(-phi / self.kt)

    def sample(self, correction: PairCorrection, frames: int, seed: int, extra=None) -> Sample:
        box, rng = self.box, np.random.default_rng(seed)
        counts = rng.poisson(self.mean_counts(correction, extra), (frames, len(box.pairs), len(box.centres)))
        zeros = np.zeros(frames)
        f = Frames(
            counts.astype(np.float32),
            zeros,
            zeros,
            zeros + TEMPERATURE,
            zeros.astype(int),
            box.r_max,
            box.n_per_species,
            box.volume,
        )
        return Sample(correction, (f,))

    def target(self, counts: np.ndarray, sigma: float, seed: int = 0, **curve) -> Target:
        """S(Q) of the mean counts with white noise of `sigma` on points 0.05 apart."""
        box = self.box
        q = np.arange(0.05, 14.0, 0.05)
        known = {"composition": dict.fromkeys(self.species, 1.0), "number_density": self.rho, "name": "synthetic"}
        made = (
            ForwardModel(Curve(x=q, y=np.ones_like(q), **known, **curve), box).measurement(None).shown.predict(counts)
        )
        noise = sigma * np.random.default_rng(seed).normal(size=len(q))
        measured = Curve(x=q, y=made + noise, sigma=np.full_like(q, sigma), **known, **curve)
        fit = ForwardModel(measured, box).fit((0.5, 13.5), None)
        return Target("synthetic", 0, "S(Q)", None, fit.values, fit.covariance, True, CurveObservable(fit.operator))


@pytest.fixture
def liquid():
    return PoissonLiquid()


SHARED = Shared(final_factor=2.0, length=0.5, smoothness="auto")
"""What other tables of a study say when nothing is written in them."""


def rule_of(table: type[Refinement], **changes: Any) -> Any:
    """The rule of a table of keys, with its defaults but for some of the rule's attributes."""
    return replace(table().rule(SHARED), **changes)


def problem_of(*targets: Target) -> Problem:
    return Problem(targets, (TEMPERATURE,))
