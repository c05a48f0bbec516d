"""Measured curves as moves of atoms see them: in units of their errors, linear in the pair counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LinearOperator(Protocol):
    """From pair counts to a curve: matrix (n, pairs * bins) @ h + constant (n,)."""

    @property
    def matrix(self) -> Array:
        """(n, pairs * bins)."""

    @property
    def constant(self) -> Array:
        """(n,)."""


class MeasuredCurve(Protocol):
    """A curve and what makes it of a frame. The targets of a refinement are such."""

    @property
    def y(self) -> Array:
        """(n,) what is fitted."""

    @property
    def covariance(self) -> Array:
        """(n, n) of y, in its units squared."""

    @property
    def weight(self) -> float:
        """What the covariance is divided by."""

    @property
    def baseline(self) -> Array:
        """(n,) the part of y that a free scale does not multiply."""

    @property
    def background(self) -> Array | None:
        """(n, k) what each mode of a background adds to y; None: it has none."""

    @property
    def operator(self) -> LinearOperator:
        """From the counts of a frame to the model of y."""


class Nuisances(NamedTuple):
    """Scale s (curves,) and amplitudes of the background (curves, k): the `params` of `ReverseMonteCarlo.run`.

    k is that of the curve with the most modes; the others have zeros there.
    """

    scale: Any
    background: Any


class Whitened(NamedTuple):
    """The curves in units of their errors, all points one after the other, L L' = Σ/weight for each curve.

    measured: (n,) L^-1 (y - baseline).  signal: (n,) L^-1 (A h_0 + y0 - baseline) at the counts `reference` h_0.
    background: (n, k) L^-1 background, k as in `Nuisances`.  matrix: (n, slots) L^-1 A.
    curve: (n,) which curve a point belongs to.
    reference: (slots,) whole numbers near the mean counts: sums over h - h_0 lose less to rounding than over h.
    """

    measured: Any
    signal: Any
    background: Any
    matrix: Any
    curve: Any
    reference: Any

    def offset(self, nuisances: Nuisances) -> Any:
        """L^-1 e at the reference counts, (n,): the instrument's formula, `refine.scattering.instrument`, whitened."""
        s, b = (value[self.curve] for value in nuisances)
        return self.measured - s * self.signal - (b * self.background).sum(axis=-1)

    @classmethod
    def of(cls, curves: Sequence[MeasuredCurve], reference: Array) -> Whitened:
        """The curves (n points in all) at the reference counts (slots,)."""
        parts: list[tuple[Array, ...]] = []
        most = max((curve.background.shape[1] for curve in curves if curve.background is not None), default=0)
        for curve in curves:
            factor = np.linalg.cholesky(curve.covariance / curve.weight)
            signal = curve.operator.matrix @ reference + curve.operator.constant - curve.baseline
            background = np.zeros((len(curve.y), most))
            if curve.background is not None:
                background[:, : curve.background.shape[1]] = curve.background
            columns = np.column_stack([curve.y - curve.baseline, signal, background, curve.operator.matrix])
            white = np.linalg.solve(factor, columns)
            parts.append((white[:, 0], white[:, 1], white[:, 2 : 2 + most], white[:, 2 + most :]))
        empty = (np.zeros(0), np.zeros(0), np.zeros((0, most)), np.zeros((0, len(reference))))
        measured, signal, background, matrix = (np.concatenate(p) for p in zip(empty, *parts, strict=True))
        index = np.repeat(np.arange(len(curves)), [len(curve.y) for curve in curves])
        return cls(measured, signal, background, matrix, index, reference)
