"""Generalised least squares of a misfit: directions fitted alone and together, shares and overlaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, cho_solve, solve_triangular

from refine.refinement.inference.linearisation import AMPLITUDES

Array = NDArray[np.float64]

KINDS = ("temperature", "density", "scale", "background", "damping", "broadening", "truncation", "pair")
"""In the order of tables."""

UNITS = {
    "temperature": "K",
    "density": "",
    "scale": "",
    "background": "",
    "damping": "1/Å^2",
    "broadening": "Å^2",
    "truncation": "1/Å",
    "pair": "eV",
}


@dataclass(frozen=True)
class Direction:
    """Columns of one kind.

    Attributes:
        members: the state or data set of each column; empty for the pair correction.
        columns: (n, k).
        root: (k, k) of the prior covariance; of the pair correction at an amplitude of one kT.
    """

    kind: str
    members: tuple[str, ...]
    columns: Array
    root: Array

    @property
    def unit(self) -> str:
        """Of x; empty for pure numbers and for the declared unit of a background."""
        return UNITS[self.kind]


@dataclass(frozen=True)
class Solution:
    """Some directions fitted together.

    Attributes:
        values, stderr: {kind: (k,)}.
        chi2: what is left.
        freedom: by how much pure noise would have lowered chi^2.
        amplitude: of the pair correction's prior, kT; None without it.
        left: (n,) residual.
    """

    values: dict[str, Array]
    stderr: dict[str, Array]
    covariance: Array
    chi2: float
    freedom: float
    amplitude: float | None
    left: Array


@dataclass(frozen=True)
class Share:
    """A share of the excess chi^2 and its standard error from the noise."""

    value: float
    stderr: float


@dataclass(frozen=True)
class Decomposition:
    """The linear problem: which directions explain a misfit, alone and together.

    Attributes:
        residual: e, (n,).
        noise: Σ, (n, n).
        directions: all.
        noise_at: Σ with the sampling noise of the columns at {kind: x}.
    """

    residual: Array
    noise: Array
    directions: tuple[Direction, ...]
    noise_at: Callable[[dict[str, Array]], Array]
    _cache: dict[tuple[str, ...], Solution] = field(default_factory=dict, compare=False, repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the directions."""
        return tuple(d.kind for d in self.directions)

    @cached_property
    def _lower(self) -> Array:
        return np.asarray(np.linalg.cholesky(self.noise))

    def whiten(self, values: Array) -> Array:
        """Σ^-1/2 times (n,) or (n, k)."""
        return np.asarray(solve_triangular(self._lower, values, lower=True))

    @cached_property
    def chi2(self) -> float:
        """Without any direction."""
        return float(np.sum(self.whiten(self.residual) ** 2))

    @property
    def excess(self) -> float:
        """chi^2 beyond what noise alone has on average."""
        return self.chi2 - len(self.residual)

    @property
    def significance(self) -> float:
        """The excess in standard deviations of chi^2 of pure noise."""
        return self.excess / float(np.sqrt(2.0 * len(self.residual)))

    def solve(self, kinds: Sequence[str]) -> Solution:
        """Fit directions together; the pair correction's prior by evidence."""
        wanted = tuple(k for k in self.kinds if k in kinds)
        if wanted not in self._cache:
            self._cache[wanted] = self._solve(wanted)
        return self._cache[wanted]

    def _solve(self, kinds: tuple[str, ...]) -> Solution:
        goal = self.whiten(self.residual)
        if not kinds:
            return Solution({}, {}, np.zeros((0, 0)), self.chi2, 0.0, None, self.residual)
        chosen = [d for d in self.directions if d.kind in kinds]
        amplitude = None
        if "pair" in kinds:
            evidences = [_log_evidence(self._columns(chosen, a)[1], goal) for a in AMPLITUDES]
            amplitude = float(AMPLITUDES[int(np.argmax(evidences))])
        root, z = self._columns(chosen, amplitude)
        k = z.shape[1]
        inverse = np.asarray(cho_solve((np.linalg.cholesky(np.eye(k) + z.T @ z), True), np.eye(k)))
        values = root @ (inverse @ (z.T @ goal))
        splits = np.cumsum([d.columns.shape[1] for d in chosen])[:-1]
        by_kind = dict(zip(kinds, np.split(values, splits), strict=True))
        # The estimate is gain . e plus the pull of the prior; e has the noise of y + X x, the columns' own included.
        gain = root @ inverse @ solve_triangular(self._lower.T, z, lower=False).T
        pull = root @ inverse
        covariance = gain @ self.noise_at(by_kind) @ gain.T + pull @ pull.T
        errors = np.split(np.sqrt(np.diag(covariance)), splits)
        left = self.residual - np.hstack([d.columns for d in chosen]) @ values
        return Solution(
            values=by_kind,
            stderr=dict(zip(kinds, errors, strict=True)),
            covariance=covariance,
            chi2=float(np.sum(self.whiten(left) ** 2)),
            freedom=float(k - np.sum(inverse**2)),
            amplitude=amplitude,
            left=left,
        )

    def _columns(self, chosen: Sequence[Direction], amplitude: float | None) -> tuple[Array, Array]:
        """Root of the prior covariance, and whitened columns in parameters of unit prior variance."""
        roots = [d.root if d.kind != "pair" or amplitude is None else amplitude * d.root for d in chosen]
        return np.asarray(block_diag(*roots)), np.hstack(
            [self.whiten(d.columns) @ r for d, r in zip(chosen, roots, strict=True)]
        )

    def alone(self, kind: str) -> Share:
        """Of the excess chi^2, what one kind explains by itself."""
        solution = self.solve([kind])
        return self._share(
            self.chi2 - solution.chi2, solution.freedom, solution.chi2, len(self.residual) - solution.freedom
        )

    def last(self, kind: str) -> Share:
        """Of the excess chi^2, what one kind adds when all the others are in."""
        full, without = self.solve(self.kinds), self.solve([k for k in self.kinds if k != kind])
        gained, free = without.chi2 - full.chi2, full.freedom - without.freedom
        return self._share(gained, free, self.chi2 - gained, len(self.residual) - free)

    def _share(self, gained: float, free: float, rest: float, rest_free: float) -> Share:
        """(gained - free)/excess; a sum of f squares of unit normals has the variance 4 (its excess) + 2 f."""
        excess = self.excess
        var_gained = max(0.0, 4.0 * (gained - free)) + 2.0 * max(0.0, free)
        var_rest = max(0.0, 4.0 * (rest - rest_free)) + 2.0 * max(0.0, rest_free)
        variance = (rest - rest_free) ** 2 * var_gained + (gained - free) ** 2 * var_rest
        return Share((gained - free) / excess, float(np.sqrt(variance)) / excess**2)

    def best(self) -> str:
        """The kind that explains most alone, per the parameters that it spends (Bayesian information criterion)."""
        n = len(self.residual)

        def cost(kind: str) -> float:
            solution = self.solve([kind])
            return solution.chi2 + solution.freedom * float(np.log(n))

        return min(self.kinds, key=cost)

    def overlap(self, kind: str, other: str) -> float:
        """Correlation between what one kind does to the curves and the nearest that another can do, both whitened.

        Of one column each: the cosine with its sign. Else of the first one's fitted effect, and then not negative. The
        pair correction answers within its prior.
        """
        first, second = (next(d for d in self.directions if d.kind == k) for k in (kind, other))
        solution = self.solve([kind])
        x = solution.values[kind]
        if len(x) == 1:
            x = np.ones(1)
        effect = self.whiten(first.columns @ x)
        if second.columns.shape[1] == 1:
            column = self.whiten(second.columns[:, 0])
            cosine = float(effect @ column / (np.linalg.norm(effect) * np.linalg.norm(column)))
            return cosine if first.columns.shape[1] == 1 else abs(cosine)
        # Of the size that it has in the data: what the prior allows depends on it.
        size = float(np.max(np.maximum(np.abs(solution.values[kind]), solution.stderr[kind]))) if len(x) == 1 else 1.0
        _, z = self._columns([second], self.solve([other]).amplitude)
        inside = z @ np.linalg.solve(np.eye(z.shape[1]) + z.T @ z, z.T @ (size * effect))
        left = float(np.sum((size * effect - inside) ** 2) / np.sum((size * effect) ** 2))
        return float(np.sqrt(max(0.0, 1.0 - left)))


def _log_evidence(z: Array, goal: Array) -> float:
    """ln p(e), up to a constant, of columns in parameters of unit prior variance."""
    lower = np.linalg.cholesky(np.eye(z.shape[1]) + z.T @ z)
    projected = solve_triangular(lower, z.T @ goal, lower=True)
    return float(0.5 * np.sum(projected**2) - np.sum(np.log(np.diag(lower))))
