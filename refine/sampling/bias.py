"""Well-tempered metadynamics: collective variables made of pair counts, hills, and the weights that undo them.

A collective variable s is a sum over pairs, sum_{i<j} c(r_ij) + constant, or the length of a vector of such sums. While
atoms move, a hill is put where s is, now and then, and the hills together are an energy

    V(s, t) = sum_k h_k exp[-sum_j (s_j - s_kj)^2 / (2 w_j^2)],    h_k = h_0 exp[-V(s_k, t_k) / ((gamma - 1) kT)],

that drives the atoms away from where they have been; at long times V(s) = -(1 - 1/gamma) F(s) + constant. A frame that
was sampled at time t under V counts with exp[(V(s, t) - c(t)) / kT] in an average of the unbiased system,

    c(t) = kT ln( ∫ exp[gamma V(s, t) / ((gamma - 1) kT)] ds / ∫ exp[V(s, t) / ((gamma - 1) kT)] ds ).

Sources: A. Barducci, G. Bussi and M. Parrinello, Phys. Rev. Lett. 100, 020603 (2008); P. Tiwary and M. Parrinello, J.
Phys. Chem. B 119, 736 (2015), eq. 6 to 8. numpy only; the dynamics are in `refine.sampling.jax.metadynamics`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.errors import InputError

Array = NDArray[np.float64]

FEWEST_EFFECTIVE = 20.0
"""Effective number of frames below which a reweighted average is none."""

SETTLED = 0.2
"""First share of a trajectory whose frames are left out of averages: c(t) is of hills that hardly change."""

GRID, GRID_OF_TWO = 400, 60
"""Points along a variable at which c(t) is integrated, of one variable and of two, at least."""

PER_WIDTH, MOST_POINTS = 3, 1_000_000
"""Points to a width of a hill, at least, and points at most: exp V of hills of 10 kT is then integrated to parts in
10^7."""


@dataclass(frozen=True)
class Variable:
    """A collective variable.

    name: for a reader.
    functions: (rows, pairs, bins), c of each sum in every bin of the distance from 0 to the bias's r_max.
    constants: (rows,) what is added to the sums.
    rest: None: the variable is the only sum. A number: it is sqrt(sum of their squares + rest^2).
    width: of a hill along it.

    >>> one = Variable("n", np.array([[[2.0, 0.0]]]), np.array([1.0]), None, 0.1)
    >>> one.values(np.array([[[3.0, 5.0]]])).tolist()
    [7.0]
    """

    name: str
    functions: Array
    constants: Array
    rest: float | None
    width: float

    def values(self, counts: ArrayLike) -> Array:
        """(frames,) of pair counts (frames, pairs, bins); bins beyond those of the functions count nothing."""
        bins = self.functions.shape[2]
        sums = np.einsum("fpb,lpb->fl", np.asarray(counts, np.float64)[:, :, :bins], self.functions) + self.constants
        found = sums[:, 0] if self.rest is None else np.sqrt((sums**2).sum(axis=1) + self.rest**2)
        return np.asarray(found)


@dataclass(frozen=True)
class Bias:
    """What a well-tempered metadynamics is made with.

    variables: one or two.  r_max: Å, end of the bins of their functions.
    height: of the first hill, kT.  factor: gamma, above 1.
    """

    variables: tuple[Variable, ...]
    r_max: float
    height: float
    factor: float

    @property
    def widths(self) -> Array:
        """(d,) of a hill."""
        return np.array([one.width for one in self.variables])


@dataclass(frozen=True)
class Hills:
    """The hills of one trajectory, in order of time: one at every frame, put there after the frame was taken.

    centres: (frames, d), the variables of every frame.  heights: (frames,) kT.  bias: what they were made with.

    Frames of the free dynamics of one variable, which two hills do not change much:

    >>> bias = Bias((Variable("n", np.ones((1, 1, 1)), np.zeros(1), None, 0.5),), 1.0, 1e-6, 10.0)
    >>> Hills(np.array([[1.0], [2.0]]), np.array([1e-6, 1e-6]), bias).weights().round(3).tolist()
    [0.5, 0.5]
    """

    centres: Array
    heights: Array
    bias: Bias

    def potential(self, points: ArrayLike) -> Array:
        """V in kT after the last hill at points (n, d): (n,)."""
        apart = (np.asarray(points, float)[:, None] - self.centres) / self.bias.widths
        return np.asarray(np.exp(-0.5 * (apart**2).sum(axis=2)) @ self.heights)

    def free_energy(self, points: ArrayLike) -> Array:
        """F(s) in kT at points (n, d), up to a constant: -gamma / (gamma - 1) V."""
        return -self.bias.factor / (self.bias.factor - 1.0) * self.potential(points)

    def acting(self) -> Array:
        """(frames,) V(s, t) in kT under which each frame was sampled; the height of its hill tells."""
        return (self.bias.factor - 1.0) * np.log(self.bias.height / self.heights)

    def offsets(self) -> Array:
        """(frames,) c(t) in kT, of the hills before each frame."""
        grid, factor = self._grid(), self.bias.factor
        total, offsets = np.zeros(len(grid)), np.zeros(len(self.heights))
        for k, (centre, height) in enumerate(zip(self.centres, self.heights, strict=True)):
            scaled = total / (factor - 1.0)
            offsets[k] = _log_sum(factor * scaled) - _log_sum(scaled)
            total += height * np.exp(-0.5 * (((grid - centre) / self.bias.widths) ** 2).sum(axis=1))
        return offsets

    def weights(self) -> Array:
        """(frames,) of the unbiased average, their sum 1; 0 for the first `SETTLED` of the frames."""
        logarithms = self.acting() - self.offsets()
        logarithms[: int(SETTLED * len(logarithms))] = -np.inf
        weights = np.exp(logarithms - logarithms.max())
        return np.asarray(weights / weights.sum())

    def _grid(self) -> Array:
        """(points, d): where the trajectory was, and three widths around; InputError for hills too narrow for that."""
        margin, dimensions = 3.0 * self.bias.widths, self.centres.shape[1]
        low, high = self.centres.min(axis=0) - margin, self.centres.max(axis=0) + margin
        wanted = 1.0 + np.ceil(PER_WIDTH * (high - low) / self.bias.widths)
        numbers = np.maximum(wanted, GRID if dimensions == 1 else GRID_OF_TWO)
        if not numbers.prod() <= MOST_POINTS:
            raise InputError(
                f"hills are narrow for where the atoms went: {numbers.prod():.0e} points to integrate over",
                where="[[variables]] width",
                fix="give larger ones",
            )
        axes = [np.linspace(a, b, int(n)) for a, b, n in zip(low, high, numbers, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dimensions)


def _log_sum(values: Array) -> float:
    largest = values.max()
    return float(largest + np.log(np.exp(values - largest).sum()))


def effective(weights: ArrayLike) -> float:
    """Effective number of frames of weights (frames,): (sum w)^2 / sum w^2 (Kish).

    >>> effective([0.5, 0.5, 0.0]), effective([1.0, 0.0, 0.0])
    (2.0, 1.0)
    """
    w = np.asarray(weights, float)
    return float(w.sum() ** 2 / (w**2).sum())


def reweighted(values: ArrayLike, weights: ArrayLike) -> Array:
    """Average of values (frames, ...) of biased frames in the unbiased system.

    InputError where the effective number of frames is below `FEWEST_EFFECTIVE`: then a few frames are all of it.

    >>> float(reweighted(np.arange(40.0), np.ones(40)))
    19.5
    """
    w = np.asarray(weights, float)
    frames = effective(w)
    if frames < FEWEST_EFFECTIVE:
        raise InputError(
            f"the weights of {len(w)} biased frames are those of {frames:.1f}, and an average needs "
            f"{FEWEST_EFFECTIVE:g}",
            where="[bias]",
            fix="take more frames, or a lower factor",
        )
    return np.asarray(np.tensordot(w / w.sum(), np.asarray(values, float), 1))
