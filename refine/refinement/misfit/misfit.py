"""The misfit between a model and its measurements, taken apart into named directions, by generalised least squares.

    e = measured - predicted = Σ_d X_d x_d + noise,   noise ~ N(0, Σ),   x_d ~ N(0, R_d R_d')

Directions, each one column X = -de/dx for a state or a data set (h counts, y = A h + y0, Cov over frames):

    temperature  K     Cov(y, U)/(k T^2), at fixed volume; of a state
    density      1     relative change of number density at fixed structure scale; of a state. With positions and box
                       times 1 + ε, d<h>/dε = <∂h/∂ε> + β Cov(h, W), as dU/dε = -W, W = Σ r.f the virial; operator and
                       measured values are rebuilt for the scaled box with the same histogram edges, so the explicit
                       rho0 is in; density changes by -3ε
    scale        1     y - baseline; of a data set
    background   declared unit; of a data set in Q
    damping      Å^-2  Qdamp^2: D(r) exp(-Qdamp^2 r^2/2) to first order, the resolution in Q
    broadening   Å^2   s^2: D(r) convolved with a Gaussian of variance s^2, S(Q)-1 times exp(-Q^2 s^2/2), to first
                       order: resolution in r, what a window or a low Q_max does (Lorch: s^2 = pi^2/(3 Q_max^2) at
                       leading order), or thermal and quantum smearing
    truncation   1/Å   Q_max of the transform behind r-space data that state one, by a tenth lower
    pair         eV    -β Cov(y, N), under the smoothness prior, one common amplitude by evidence

Damping and broadening describe what the measurement does to the true curve: positive values are physical, negative
ones say that the model is the one that is too smooth. All other signs can be either. Scalars have priors (`PRIORS`) too
wide to shift a determined value; they only keep collinear directions solvable.

Shares are of the excess chi^2_0 - n. A fit takes k - tr(A^-2), A = I + R'X'Σ^-1 X R, off chi^2 even of pure noise;
that is subtracted. Standard errors contain the sampling noise of the columns (at the fitted x), those of shares do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, cho_solve, solve_triangular

from kernels.shells import ideal_pair_counts
from refine.curves.curve import Curve
from refine.potentials.correction import PairCorrection
from refine.refinement.inference.linearisation import AMPLITUDES
from refine.refinement.inference.posterior import SmoothnessPrior
from refine.refinement.inference.statistics import Response, coefficient_counts, statistical_inefficiency
from refine.refinement.problem import Target
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.system import Box
from refine.units import BOLTZMANN

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

PRIORS = {"temperature": 0.5, "density": 0.3, "scale": 0.5, "damping": 0.05, "broadening": 0.2, "truncation": 0.3}
"""Standard deviations: of temperature and truncation as a share of their values, of the others in their unit. A flat
background has the curve's rms signal."""

EPSILON = 1e-3
"""Scaling of positions for the central difference by density."""

BROADENING_STEP = 0.05
"""Å, standard deviation of the Gaussian from which the derivative by s^2 is taken (at least a bin): the exact second
derivative would amplify the noise of the histogram beyond any Q that is measured."""

CUT = 0.1
"""Share of Q_max by which it is lowered for the difference: at points pi/Q_max apart the derivative itself vanishes, as
sin(Q_max r) = 0 there."""

LARGEST_FACTOR = 10.0**1.5
"""Of the noise of data that state none, as in Gauss-Newton."""


# -- how a curve responds ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """One curve of one state: what is needed to differentiate it.

    Attributes:
        operator: from mean counts to the curve.
        rebuild: operator and measured values, on the same points, for another box with the same edges.
        background: (n,) response to a flat background, or None.
        truncated: the operator with Q_max times a factor, on the same points; None where no Q_max is stated.
        q_max: 1/Å, likewise.
    """

    operator: CurveOperator
    rebuild: Callable[[Box], tuple[CurveOperator, Array]]
    background: Array | None = None
    truncated: Callable[[float], CurveOperator] | None = None
    q_max: float | None = None


@dataclass(frozen=True)
class Datum:
    """One fitted data set with what its operators are made of."""

    target: Target
    curve: Curve
    box: Box
    fit_q: tuple[float, float] | None = None
    fit_r: tuple[float, float] | None = None

    @cached_property
    def view(self) -> View:
        """The fitted points."""

        def rebuild(box: Box) -> tuple[CurveOperator, Array]:
            fit = ForwardModel(self.curve, box).fit(self.fit_q, self.fit_r)
            return fit.operator, fit.values

        def truncated(factor: float) -> CurveOperator:
            # The fitted points move with Q_max, the measured ones do not: interpolated, as the values are.
            shown = ForwardModel(truncated_curve(self.curve, factor), self.box).measurement(None).shown
            return shown.interpolated(self.target.x)

        in_q = self.curve.in_q_space
        background = ForwardModel(self.curve, self.box).fit(self.fit_q, self.fit_r).background if in_q else None
        q_max = None if in_q else self.curve.q_max
        return View(self.target.operator, rebuild, background, truncated if q_max else None, q_max)


def truncated_curve(curve: Curve, factor: float) -> Curve:
    """The curve with another Q_max of its transform."""
    assert curve.q_max is not None
    return replace(curve, q_max=factor * curve.q_max)


def scaled_box(box: Box, epsilon: float) -> Box:
    """The box with all lengths times 1 + epsilon and the same histogram edges."""
    s = 1.0 + epsilon
    return replace(box, volume=box.volume * s**3, cell=None if box.cell is None else box.cell * s)


def scaled_counts(counts: Array, box: Box, epsilon: float) -> Array:
    """Mean counts (pairs, bins) on the same edges after all distances grew by 1 + epsilon.

    Cumulative counts H(r) become H(r/(1 + epsilon)); beyond the last edge they go on with the ideal density.
    """
    edges, inner = box.edges, box.edges / (1.0 + epsilon)
    cumulative = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    moved = np.array([np.interp(inner, edges, row) for row in cumulative])
    if inner[-1] > edges[-1]:
        moved[:, -1] += ideal_pair_counts(box.n_per_species, box.volume, np.array([edges[-1], inner[-1]]))[:, 0]
    return np.diff(moved, axis=1)


def damped(counts: Array, box: Box) -> Array:
    """Change of counts (pairs, bins) per unit of Qdamp^2 (1/Å^2): g - 1 times -r^2/2, of the infinite system."""
    return _opened(-0.5 * box.centres**2 * _infinite(counts, box), box)


def broadened(counts: Array, box: Box) -> Array:
    """Change of counts (pairs, bins) per unit of s^2 (Å^2): half of the second derivative of r (g - 1).

    From a Gaussian of `BROADENING_STEP`; r (g - 1) is odd about r = 0 and goes on with its last value.
    """
    r, width = box.centres, float(box.edges[1] - box.edges[0])
    step = max(BROADENING_STEP, width)
    reach = int(np.ceil(5.0 * step / width))
    kernel = np.exp(-0.5 * (width * np.arange(-reach, reach + 1) / step) ** 2)
    kernel /= kernel.sum()
    d = r * _infinite(counts, box)
    padded = np.concatenate([-d[:, :reach][:, ::-1], d, np.repeat(d[:, -1:], reach, axis=1)], axis=1)
    smooth = np.array([np.convolve(row, kernel, mode="valid") for row in padded])
    return _opened((smooth - d) / step**2 / r, box)


def _infinite(counts: Array, box: Box) -> Array:
    """g - 1 of the infinite system, (pairs, bins): the closed box taken off."""
    ideal = box.ideal_counts
    distinct = np.divide(counts, ideal, out=np.ones_like(ideal), where=ideal > 0.0) - 1.0
    return distinct + (distinct @ box.closure)[:, None]


def _opened(change: Array, box: Box) -> Array:
    """Counts whose g - 1 of the infinite system changes by `change`: the operators add the closed box's share again."""
    share = (change @ box.closure) / (1.0 + box.closure.sum())
    return box.ideal_counts * (change - share[:, None])


@dataclass(frozen=True)
class Ensemble:
    """Sampled frames of one state with the variables whose covariance with a curve is its derivative.

    Attributes:
        frames: equally weighted.
        temperature: K.
        number: (frames, k) N of the correction's coefficients.
    """

    frames: Frames
    box: Box
    temperature: float
    number: Array

    @classmethod
    def build(cls, frames: Frames, box: Box, temperature: float, correction: PairCorrection) -> Ensemble:
        """With the correction's basis."""
        return cls(frames, box, temperature, coefficient_counts((frames,), correction, temperature))

    @cached_property
    def counts(self) -> Array:
        """<h>, (pairs, bins)."""
        return np.asarray(self.frames.counts.mean(axis=0, dtype=np.float64))

    @cached_property
    def variables(self) -> dict[str, Array]:
        """V (frames, m) with d<y> = Cov(y, V) for the kinds that change the ensemble."""
        kt = BOLTZMANN * self.temperature
        return {
            "temperature": _column(self.frames.energy / (kt * self.temperature)),
            "density": _column(-self.frames.virial / (3.0 * kt)),
            "pair": -self.number / kt,
        }

    def columns(self, view: View) -> tuple[dict[str, Array], Array]:
        """d(predicted)/dx of every kind that applies, {kind: (n, m)}, and d(measured)/d(density), (n,)."""
        y = view.operator.predict(self.frames.counts)
        mean = y.mean(axis=0)
        found = {kind: (y - mean).T @ (v - v.mean(axis=0)) / len(y) for kind, v in self.variables.items()}
        geometry, measured = self._geometry(view)
        found["density"] = found["density"] + _column(geometry)
        found["scale"] = _column(mean - view.operator.baseline)
        found["damping"] = _column(damped(self.counts, self.box).ravel() @ view.operator.matrix.T)
        found["broadening"] = _column(broadened(self.counts, self.box).ravel() @ view.operator.matrix.T)
        if view.background is not None and np.any(view.background):
            found["background"] = _column(view.background)
        if view.truncated is not None and view.q_max is not None:
            lost = mean - view.truncated(1.0 - CUT).predict(self.counts)
            found["truncation"] = _column(lost / (CUT * view.q_max))
        return found, measured

    def _geometry(self, view: View) -> tuple[Array, Array]:
        """Scaling alone, weights kept: d predicted and d measured, (n,) each, per relative change of density."""
        ends = []
        for epsilon in (EPSILON, -EPSILON):
            operator, values = view.rebuild(scaled_box(self.box, epsilon))
            ends.append((operator.predict(scaled_counts(self.counts, self.box, epsilon)), values))
        (plus, plus_values), (minus, minus_values) = ends
        return (plus - minus) / (-6.0 * EPSILON), (plus_values - minus_values) / (-6.0 * EPSILON)


def _column(values: Array) -> Array:
    return np.asarray(values, float)[:, None]


# -- least squares -----------------------------------------------------------------------------------------------------


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
class Misfit:
    """The linear problem.

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
        found = self.solve([kind])
        return self._share(self.chi2 - found.chi2, found.freedom, found.chi2, len(self.residual) - found.freedom)

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
            found = self.solve([kind])
            return found.chi2 + found.freedom * float(np.log(n))

        return min(self.kinds, key=cost)

    def overlap(self, kind: str, other: str) -> float:
        """Correlation between what one kind does to the curves and the nearest that another can do, both whitened.

        Of one column each: the cosine with its sign. Else of the first one's fitted effect, and then not negative. The
        pair correction answers within its prior.
        """
        first, second = (next(d for d in self.directions if d.kind == k) for k in (kind, other))
        found = self.solve([kind])
        x = found.values[kind]
        if len(x) == 1:
            x = np.ones(1)
        effect = self.whiten(first.columns @ x)
        if second.columns.shape[1] == 1:
            column = self.whiten(second.columns[:, 0])
            cosine = float(effect @ column / (np.linalg.norm(effect) * np.linalg.norm(column)))
            return cosine if first.columns.shape[1] == 1 else abs(cosine)
        # Of the size that it has in the data: what the prior allows depends on it.
        size = float(np.max(np.maximum(np.abs(found.values[kind]), found.stderr[kind]))) if len(x) == 1 else 1.0
        _, z = self._columns([second], self.solve([other]).amplitude)
        inside = z @ np.linalg.solve(np.eye(z.shape[1]) + z.T @ z, z.T @ (size * effect))
        left = float(np.sum((size * effect - inside) ** 2) / np.sum((size * effect) ** 2))
        return float(np.sqrt(max(0.0, 1.0 - left)))


def _log_evidence(z: Array, goal: Array) -> float:
    """ln p(e), up to a constant, of columns in parameters of unit prior variance."""
    lower = np.linalg.cholesky(np.eye(z.shape[1]) + z.T @ z)
    projected = solve_triangular(lower, z.T @ goal, lower=True)
    return float(0.5 * np.sum(projected**2) - np.sum(np.log(np.diag(lower))))


# -- from frames and data to the linear problem ------------------------------------------------------------------------


@dataclass(frozen=True)
class Linearised:
    """All data sets of all states about one sample.

    Attributes:
        data: sorted by state.
        residual, directions: as in `Misfit`.
        factors: on the stated or estimated noise of each data set; one where it is stated.
    """

    data: tuple[Datum, ...]
    residual: Array
    directions: tuple[Direction, ...]
    ensembles: tuple[Ensemble, ...]
    states: tuple[str, ...]

    def misfit(self, factors: Array) -> Misfit:
        """With the measured noise of each data set times its factor."""
        measured = block_diag(
            *[d.target.covariance * f**2 / d.target.weight for d, f in zip(self.data, factors, strict=True)]
        )
        return Misfit(
            self.residual,
            measured + self._sampling({}),
            self.directions,
            lambda x: measured + self._sampling(x),
        )

    def _sampling(self, x: dict[str, Array]) -> Array:
        """Sampling noise of y + X x, block by state."""
        blocks = []
        for s, ensemble in enumerate(self.ensembles):
            own = [d.target for d in self.data if d.target.state == s]
            if not own:
                continue
            y = np.hstack([t.predict(ensemble.frames.counts) for t in own])
            weights = np.full(len(y), 1.0 / len(y))
            shift = np.zeros(len(y))
            for kind, v in ensemble.variables.items():
                if kind in x:
                    at = x[kind] if kind == "pair" else x[kind][[self._member(kind, s)]]
                    shift = shift + (v - v.mean(axis=0)) @ at
            inefficiency = statistical_inefficiency(y, ensemble.frames.replica)
            response = Response(
                y.mean(axis=0),
                np.zeros((y.shape[1], 1)),
                1.0,
                weights,
                y - y.mean(axis=0),
                -shift[:, None],
                inefficiency,
            )
            blocks.append(response.noise(np.ones(1)))
        return np.asarray(block_diag(*blocks))

    def _member(self, kind: str, state: int) -> int:
        direction = next(d for d in self.directions if d.kind == kind)
        return direction.members.index(self.states[state])

    def settled(self, rounds: int = 6) -> tuple[Misfit, Array]:
        """The problem, and the noise factors, at least one, for which chi^2 of all directions together is as expected.

        Only data that state no errors have a factor.
        """
        factors = np.ones(len(self.data))
        misfit = self.misfit(factors)
        lengths = np.cumsum([0, *(len(d.target.y) for d in self.data)])
        for _ in range(rounds if not all(d.target.sigma_known for d in self.data) else 0):
            full = misfit.solve(misfit.kinds)
            free = 1.0 - full.freedom / lengths[-1]
            for i, (datum, low, high) in enumerate(zip(self.data, lengths[:-1], lengths[1:], strict=True)):
                if not datum.target.sigma_known:
                    left, block = full.left[low:high], misfit.noise[low:high, low:high]
                    ratio = float(left @ np.linalg.solve(block, left)) / ((high - low) * free)
                    factors[i] = np.clip(factors[i] * np.sqrt(ratio), 1.0, LARGEST_FACTOR)
            misfit = self.misfit(factors)
        return misfit, factors


def linearise(
    data: Sequence[Datum],
    ensembles: Sequence[Ensemble],
    states: Sequence[str],
    correction: PairCorrection,
    length: float,
) -> Linearised:
    """Residual and columns of all data sets, one after the other, states in order.

    Args:
        data: fitted data sets; `target.state` indexes `ensembles` and `states`.
        correction: whose basis the pair direction has.
        length: Å, of its smoothness prior.
    """
    data = sorted(data, key=lambda d: d.target.state)
    lengths = [len(d.target.y) for d in data]
    starts = np.cumsum([0, *lengths])
    residual = np.concatenate([d.target.y - d.target.predict(ensembles[d.target.state].counts) for d in data])
    found: dict[str, list[tuple[str, int, Array]]] = {kind: [] for kind in KINDS}
    for datum, start in zip(data, starts[:-1], strict=True):
        ensemble = ensembles[datum.target.state]
        columns, measured = ensemble.columns(datum.view)
        columns["density"] = columns["density"] - _column(measured)
        for kind, column in columns.items():
            member = states[datum.target.state] if kind in ("temperature", "density") else datum.target.name
            found[kind].append((member, int(start), column))
    directions = []
    for kind, parts in found.items():
        if not parts:
            continue
        members = tuple(dict.fromkeys(member for member, _, _ in parts)) if kind != "pair" else ()
        width = parts[0][2].shape[1] if kind == "pair" else len(members)
        matrix = np.zeros((len(residual), width))
        for member, start, column in parts:
            where = slice(None) if kind == "pair" else [members.index(member)]
            matrix[start : start + len(column), where] = column
        directions.append(
            Direction(kind, members, matrix, _root(kind, members, data, ensembles, states, correction, length))
        )
    return Linearised(tuple(data), residual, tuple(directions), tuple(ensembles), tuple(states))


def _root(
    kind: str,
    members: tuple[str, ...],
    data: Sequence[Datum],
    ensembles: Sequence[Ensemble],
    states: Sequence[str],
    correction: PairCorrection,
    length: float,
) -> Array:
    """Root of the prior covariance of a kind, see `PRIORS`."""
    if kind == "pair":
        base = ensembles[0].frames
        prior = SmoothnessPrior.build(correction, base.centres, base.pair_distribution(), length)
        kt = BOLTZMANN * float(np.mean([e.temperature for e in ensembles]))
        return prior.scaled_root(np.full(correction.terms * len(correction.active_pairs), kt))
    by_name = {d.target.name: d for d in data}
    if kind == "temperature":
        return np.diag([PRIORS[kind] * ensembles[list(states).index(m)].temperature for m in members])
    if kind == "background":
        sizes = []
        for member in members:
            datum = by_name[member]
            assert datum.view.background is not None
            signal = datum.target.y - datum.target.baseline
            sizes.append(float(np.sqrt(np.mean(signal**2) / np.mean(datum.view.background**2))))
        return np.diag(sizes)
    if kind == "truncation":
        return np.diag([PRIORS[kind] * float(by_name[m].view.q_max or 0.0) for m in members])
    return PRIORS[kind] * np.eye(len(members))
