"""Whether a sample is long enough for its own errors, and whether it has come to rest.

An error is estimated from the sample itself (`refine.sampling.averages`). Of modes slower than the sample it knows
nothing, and then it is too small. Two things show in the numbers: that the sample is few correlation times long, and
that its second half is not like its first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from refine.sampling.averages import FRAMES_FOR_ERRORS, inefficiency
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

DECAYS = 10.0
"""Correlation times; of shorter samples no estimate of an error can be trusted (`refine.sampling.averages`)."""

DRIFT = 3.5
"""Standard errors that the halves of a sample may differ by. Some three numbers of each state are looked at, and the
errors are known to 10 or 20 %: a sample at rest is called drifting once in some hundred times."""

NEIGHBOURS = 1.5
"""Times number_density^(-1/3), the first shell and some of the second: how far pairs are counted for."""


def doubts_of(frames: Frames, name: str) -> tuple[str, ...]:
    """What is to be said of a sample of the state of that name, in sentences; empty where nothing is."""
    if len(frames) < FRAMES_FOR_ERRORS:
        return ()
    short, found = [], []
    for what, values, unit in _series(frames):
        length = 2.0 * len(values) / float(inefficiency(values, frames.replica))
        change, error = change_between_halves(values, frames.replica)
        if not abs(change) > DRIFT * error:
            short += [f"{length:.1f} of the {what}"] if length < DECAYS else []
        else:
            found.append(
                f"{name}: the {what} drifts: its mean over the second half of the sample differs from that over the "
                f"first by {change:+.3g} ± {error:.2g}{unit}; equilibrate or sample longer."
            )
    if short:
        found.append(
            f"{name}: the sample is only {' and '.join(short)} correlation times long: errors of its means and curves "
            "may be too small; sample longer."
        )
    return tuple(found)


def change_between_halves(values: Array, replica: NDArray[np.integer]) -> tuple[float, float]:
    """Mean of the second half of a series less that of the first, and its standard error.

    The halves are those of each replica. The error is that of what is left of a straight line through all of them, so
    that a drift is not taken for noise of its own size: Var = 4 g C(0)/n, g as in `refine.sampling.averages`.

    Args:
        values: (frames,), of a replica in order of time.
        replica: (frames,) which replica a frame belongs to.

    >>> rng = np.random.default_rng(0)
    >>> change, error = change_between_halves(rng.normal(size=400) + np.linspace(0.0, 2.0, 400), np.zeros(400, int))
    >>> round(change, 1), round(error, 1)
    (0.9, 0.1)
    """
    time = np.empty(len(values))
    for index in np.unique(replica):
        own = replica == index
        time[own] = np.arange(own.sum()) - 0.5 * (own.sum() - 1)
    late, early = time > 0.0, time < 0.0
    change = float(values[late].mean() - values[early].mean())
    slope = float(time @ (values - values.mean())) / max(float(time @ time), 1e-300)
    rest = values - values.mean() - slope * time
    error = 2.0 * math.sqrt(float(rest.var()) * float(inefficiency(rest, replica)) / len(values))
    return change, error


def _series(frames: Frames) -> Iterator[tuple[str, Array, str]]:
    """Name, value of every frame and unit of what is looked at, where it is known and varies."""
    reach = NEIGHBOURS * (frames.n_atoms / frames.volume) ** (-1.0 / 3.0)
    near = frames.counts[:, :, frames.centres < reach].sum(axis=(1, 2), dtype=np.float64)
    for name, values, unit in (
        ("energy", frames.energy / frames.n_atoms, " eV/atom"),
        ("pressure", frames.pressure(), " GPa"),
        ("number of neighbours", 2.0 * near / frames.n_atoms, ""),
    ):
        series = np.asarray(values, np.float64)
        if np.isfinite(series).all() and series.std() > 1e-12 * np.abs(series).max():
            yield name, series, unit
