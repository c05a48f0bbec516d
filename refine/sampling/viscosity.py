"""Shear viscosity from the fluctuations of the stress in an isotropic fluid at rest (Green and Kubo):

    eta(t) = 1 / (10 V k T)  integral from 0 to t of <Q(0) : Q(t')> dt',

with Q the symmetric traceless part of sum p (x) p / m + r (x) f over the box: all five independent components, each
with its weight. P. J. Daivis and D. J. Evans, J. Chem. Phys. 100, 541 (1994).

The integral has to end before noise is all that it adds. It ends at the first t >= `WINDOW` eta(t) / G, where
G = V <Q : Q> / (10 V^2 k T) is the modulus at infinite frequency: ten of Maxwell's relaxation times eta / G. What a
stress that decays exponentially leaves out is then 5e-5 of eta. (The rule is Sokal's for correlation times, with a
wider window, as the stress of a liquid relaxes in more than one step.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]

WINDOW = 10.0
"""Where the integral ends, in Maxwell times."""

LONGEST_SHARE = 0.5
"""Of a segment, that the integral may take."""

MILLIPASCAL_SECOND = PRESSURE_UNIT
"""eV/Å^3 ps in mPa s: of GPa ps, which are mPa s, as of eV/Å^3 in GPa."""


@dataclass(frozen=True)
class Viscosity:
    """Of a fluid.

    Attributes:
        value, stderr: eta and its standard error, mPa s.
        window: where the integral ends, ps.
        segments: independent trajectories whose scatter gives the error.
    """

    value: float
    stderr: float
    window: float
    segments: int


def green_kubo(stress: Array, interval: float, volume: float, temperature: float) -> Viscosity:
    """From the stress of several independent trajectories.

    Args:
        stress: (S, moments, 3, 3) eV, sum of p (x) p / m + r (x) f over the box, S of two or more.
        interval: ps.
        volume: Å^3.
        temperature: K.

    Raises:
        SimulationError: trajectories shorter than two windows.
    """
    correlation = stress_correlation(stress, math.floor(LONGEST_SHARE * stress.shape[1]))
    # the trapezoidal rule from zero on
    integral = (np.cumsum(correlation, axis=1) - (correlation[:, :1] + correlation) / 2) * interval
    scale = MILLIPASCAL_SECOND / (10 * volume * BOLTZMANN * temperature)
    mean, modulus = scale * integral.mean(axis=0), scale * float(correlation[:, 0].mean())
    times = interval * np.arange(len(mean))
    ends = np.flatnonzero((times > 0) & (times >= WINDOW * mean / modulus))
    if len(ends) == 0 or mean[ends[0]] <= 0:
        raise SimulationError(
            f"the stress is still correlated after {times[-1]:.3g} ps, half of a segment",
            where="viscosity",
            fix="lengthen [compare] segment_length",
        )
    of_segments = scale * integral[:, ends[0]]
    error = float(of_segments.std(ddof=1) / math.sqrt(len(of_segments)))
    return Viscosity(float(of_segments.mean()), error, float(times[ends[0]]), len(of_segments))


def stress_correlation(stress: Array, lags: int) -> Array:
    """<Q(0) : Q(t)> of each trajectory, (S, lags) eV^2; the mean of Q is zero and is not taken out.

    >>> shear = np.zeros((1, 4, 3, 3))
    >>> shear[:, :, 0, 1] = shear[:, :, 1, 0] = 1.0
    >>> stress_correlation(shear, 2).round(6).tolist()  # Q : Q of a stress that stays
    [[2.0, 2.0]]
    """
    q = (stress + stress.swapaxes(2, 3)) / 2
    q -= np.trace(q, axis1=2, axis2=3)[..., None, None] / 3 * np.eye(3)
    q = q.reshape(*q.shape[:2], 9)
    n = q.shape[1]
    spectrum = np.fft.rfft(q, n=2 * n, axis=1)
    sums = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=2), n=2 * n, axis=1)[:, :lags]
    return np.asarray(sums / (n - np.arange(lags)))
