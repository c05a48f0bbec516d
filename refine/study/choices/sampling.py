"""Equilibration, stride and frames, from correlation times in the first sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refine.sampling.averages import inefficiency
from refine.study.choices.choice import Choice

Array = NDArray[np.float64]

INDEPENDENT = 12.0
"""Independent frames behind the equilibration before it counts as over: of fewer no drift could be told."""

DRIFT = 3.0
"""Standard errors that the mean of the first `EARLY` and of the last `LATE` of a series may differ by."""

EARLY, LATE = 0.3, 0.5

STRIDES = (10, 200)
"""Steps between frames: a frame costs about as much as a few steps; more than the last is never needed."""

FRAMES = (200, 500)
"""Frames of a sample: covariances with the coefficients of a correction need the first; beyond the second other errors
are larger."""

SHARE = 0.5
"""Of the error of the measurement: sampling noise of the fitted curves."""

OF_MISFIT = 0.1
"""Of the misfit of the base model, likewise, where errors are not stated."""

FORGETTING = 5.0
"""Correlation times, 2 tau, of the slowest series: so long after a change of the potential."""

REARRANGED = 60.0
"""Intervals of the first sample, in which atoms fly 0.2 Å each, that a structure needs at least to follow a change:
what it does slowly a short sample does not show."""

MOST = 5.0
"""ps; reequilibration at most."""

FORMER_SHARE = 0.25
"""Of a given equilibration: the reequilibration that goes with it."""


@dataclass(frozen=True)
class Settled:
    """What a series tells of its equilibration.

    Attributes:
        start: the first frame behind it.
        frames: in all.
        independent: frames behind it that are independent, of the slowest series.
        drift: difference of the early and the late mean, in its standard errors, of the series that drifts most.
    """

    start: int
    frames: int
    independent: float
    drift: float

    @property
    def done(self) -> bool:
        """Whether the greater part is behind the equilibration, is enough, and does not drift."""
        return 2 * self.start <= self.frames and self.independent >= INDEPENDENT and self.drift <= DRIFT


def settled(series: Array) -> Settled:
    """Where a sample is equilibrated: the start behind which most frames are independent, and what still drifts there.

    Source: J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016) for the start; J. Geweke, in Bayesian Statistics 4
    (Oxford, 1992) for the comparison of early and late means, here with the errors of `refine.sampling.averages`.

    Args:
        series: (frames, n), of n properties, frames in order of time.

    >>> rng = np.random.default_rng(1)
    >>> found = settled(5.0 * np.exp(-np.arange(200) / 10.0)[:, None] + rng.normal(size=(200, 1)))
    >>> 10 <= found.start <= 60, found.done
    (True, True)
    """
    frames = len(series)
    found = Settled(0, frames, 0.0, math.inf)
    for start in range(0, 3 * frames // 4, max(1, frames // 20)):
        rest = series[start:]
        independent = len(rest) / float(np.max(inefficiency(rest)))
        if independent > found.independent:
            found = Settled(start, frames, independent, math.inf)
    return replace(found, drift=drift(series[found.start :]))


def drift(series: Array) -> float:
    """Difference of the mean of the first `EARLY` and of the last `LATE` of series (frames, n), in its standard errors,
    of the one that drifts most.

    >>> drift(np.repeat(np.arange(2.0), 50)[:, None]) > DRIFT, drift(np.ones((20, 1)))
    (False, 0.0)
    """
    early, late = series[: max(2, int(EARLY * len(series)))], series[-max(2, int(LATE * len(series))) :]
    g = inefficiency(series)
    error = np.sqrt(series.var(axis=0) * g * (1.0 / len(early) + 1.0 / len(late)))
    apart = np.abs(early.mean(axis=0) - late.mean(axis=0))
    return float(np.max(np.divide(apart, error, out=np.zeros_like(apart), where=error > 0.0)))


def unsettled(series: Array) -> int:
    """Frames at the start of series (frames, n), in order of time, that do not belong to the rest: those before the
    start of `settled`, where the mean of one of the series over them is off by more than `DRIFT` standard errors.

    None where fewer than `INDEPENDENT` frames would be left: of these nothing could be told.

    >>> rng = np.random.default_rng(1)
    >>> noise = rng.normal(size=(200, 1))
    >>> unsettled(noise), 10 <= unsettled(noise + 5.0 * (np.arange(200) < 15)[:, None]) <= 20
    (0, True)
    """
    found = settled(series)
    start = found.start
    if start == 0 or found.independent < INDEPENDENT:
        return 0
    early, rest = series[:start], series[start:]
    g = inefficiency(rest)
    error = np.sqrt(rest.var(axis=0) * (np.minimum(1.0, g / len(early)) + g / len(rest)))
    return start if np.any(np.abs(early.mean(axis=0) - rest.mean(axis=0)) > DRIFT * error) else 0


def correlation_time(values: Array, replica: NDArray[np.integer], interval: float, weights: Array) -> float:
    """2 tau (ps) of series (frames, n) that are `interval` ps apart, the mean over series by weights (n,).

    Frames of half the interval would be no less correlated than is seen: it is at least the interval.
    """
    g = inefficiency(values, replica)
    return float(interval * np.average(g, weights=weights) if weights.sum() > 0.0 else interval * np.max(g))


def stride(time: float, timestep: float) -> Choice:
    """Steps between frames: 2 tau, after which the fitted curves are as good as independent.

    Args:
        time: 2 tau of the fitted curves, ps.
        timestep: fs.

    >>> stride(0.4, 4.0).value
    100.0
    """
    low, high = STRIDES
    steps = min(max(low, round(1000.0 * time / timestep)), high)
    return Choice("sampling.stride", float(steps), "", f"curves are independent after {1000.0 * time:.3g} fs")


def frames(noise: float, allowed: float, apart: float, time: float) -> Choice:
    """Frames of a sample, so that the variance of its mean is what is allowed.

    With exponential correlations of decay tau a frame is worth 1/g of an independent one, g = coth(apart / 2 tau).

    Args:
        noise: variance of a fitted curve in one frame over that of the measurement's errors, mean of its points.
        allowed: variance of the mean, in the same unit.
        apart: ps between frames.
        time: 2 tau of the fitted curves, ps.

    >>> frames(60.0, 0.25, 0.4, 0.4).value
    320.0
    """
    g = 1.0 / math.tanh(apart / time)
    low, high = FRAMES
    wanted = 10.0 * math.ceil(noise * g / allowed / 10.0)
    number = min(max(low, wanted), high)
    if not noise:
        return Choice("sampling.frames", float(low), "", "nothing is fitted, and covariances need about so many")
    reason = f"sampling noise of the fitted curves is {math.sqrt(noise * g / number):.2g} errors of the measurement"
    if wanted > high:
        reason += f"; {math.sqrt(allowed):.2g} would take {wanted:.0f}"
    elif allowed > SHARE**2:
        reason += f", and a tenth of the base model's misfit is {math.sqrt(allowed):.2g}"
    return Choice("sampling.frames", float(number), "", reason)


def allowed_variance(chi2_per_point: float, *, stated: bool) -> float:
    """Variance of a sampled mean over that of the measurement's errors that does no harm.

    >>> allowed_variance(400.0, stated=True), round(allowed_variance(400.0, stated=False), 6)
    (0.25, 4.0)
    """
    return SHARE**2 if stated else max(SHARE**2, OF_MISFIT**2 * chi2_per_point)


def reequilibration(slowest: float, interval: float) -> Choice:
    """From 2 tau of the slowest series, and the interval of the first sample, ps.

    >>> reequilibration(0.5, 0.02).value, reequilibration(0.1, 0.05).value, reequilibration(20.0, 0.1).value
    (2.5, 3.0, 5.0)
    """
    forgotten, rearranged = FORGETTING * slowest, REARRANGED * interval
    value = float(f"{min(max(forgotten, rearranged), MOST):.2g}")
    reason = f"the slowest of energy, pressure and curves forgets within {slowest:.2g} ps"
    if rearranged > forgotten:
        reason = f"atoms fly 0.2 Å in {1000.0 * interval:.3g} fs, and need {REARRANGED:.0f} times as long to rearrange"
    return Choice("sampling.reequilibration", value, "ps", reason)


def usual_reequilibration(equilibration: float) -> Choice:
    """For an equilibration (ps) that the study gives."""
    value = min(FORMER_SHARE * equilibration, MOST)
    return Choice("sampling.reequilibration", value, "ps", "a quarter of the equilibration, 5 ps at most")


def equilibration(picoseconds: float, found: Settled) -> Choice:
    """What the first sample took until it was equilibrated, or could be followed, ps."""
    if found.done:
        reason = f"energy, pressure and curves do not drift: early and late means agree within {found.drift:.1f} errors"
    else:
        reason = (
            f"not settled after it: {found.independent:.0f} independent frames, a drift of {found.drift:.1f} errors; "
            "give a longer one"
        )
    return Choice("sampling.equilibration", float(f"{picoseconds:.3g}"), "ps", reason, doubted=not found.done)
