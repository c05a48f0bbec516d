"""Behind `refine sensitivity STUDY`: one derivative three ways, on the same state, with errors and costs.

The derivative of a curve point, a peak or R_chi, f(<h>), with respect to a coefficient of the correction or a parameter
of a classical base, p, at the base model (phi = 0):

    fluctuation          -beta v . Cov(h, N),     v = df/d<h>,  N = dU/dp = Σ_pairs du/dp     (averages of frames)
    backprop             mean of dO(R_n)/dp over windows of n steps, O = Σ v(r_ij)            (`sampling.adjoint`)
    finite differences   [f(p + delta) - f(p - delta)] / 2 delta, independent runs

A window of finite length estimates -beta v . [Cov(h, N) - Cov(h(t), N(0))] and not yet the first line; the fluctuation
formula is also given in that form, from the same frames, to tell such a bias from a defect. f is not linear in <h>
where it is a peak or R_chi: its errors are those of its jackknife over frames, correlations counted. Backprop
is of use only where v is smooth in r: for curves in Q and those in r that are seen through a Q range; a point of a g(r)
without one is a spike of a few bins, and single windows scatter with its steepness.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.correction import PairCorrection, bin_average
from refine.potentials.pairs import PairForceField
from refine.progress import NullProgress, Progress
from refine.sampling.averages import FRAMES_FOR_COVARIANCES, error_of, standard_error
from refine.sampling.frames import Frames, by_replica
from refine.sampling.jax.random_numbers import seed_of_state
from refine.scattering.compared import Measurement
from refine.scattering.peaks import peak

if TYPE_CHECKING:
    from refine.potentials.protocols import CorrectedForceField
    from refine.sampling.jax.sampler import Sampler
    from refine.sampling.state import MDState
    from refine.study.datasets import DataSet
    from refine.study.study import Study

Array = NDArray[np.float64]

FEWEST_WINDOWS = 4
"""Windows of the gradient through the trajectory, whose scatter is its error."""

DELTA_KT, DELTA_BASE = 0.3, 0.02
"""Default displacement in finite differences: kT of a coefficient, and share of a parameter of the base."""

DERIVATIVE = 1e-4
"""Relative step in d(pair energy)/d(parameter of the base)."""

GROWTH_WINDOWS, GROWTH_LENGTHS = 16, 5
"""Windows and lengths for the growth of the variance."""

SEED_OF_PLUS, SEED_OF_MINUS = 104_729, 224_737
"""Added to the study's seed for the two runs of the finite differences."""


# ---- what is asked for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantity:
    """What is differentiated.

    Attributes:
        data: name of the data set.
        kind: "point", "height" or "position" (of the highest maximum in a range), or "R_chi".
        curve: the data set's own quantity, or "T(r)"; "" for R_chi.
        x: of a point, 1/Å or Å.
        limits: of the range of a peak.
    """

    data: str
    kind: str
    curve: str = ""
    x: float | None = None
    limits: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.kind == "R_chi":
            return f"{self.data}:R_chi"
        if self.limits is None:
            return f"{self.data}:{self.curve}@{self.x:g}"
        return f"{self.data}:{self.curve}:{self.kind}@{self.limits[0]:g}..{self.limits[1]:g}"


@dataclass(frozen=True)
class Parameter:
    """What it is differentiated by.

    Attributes:
        name: "phi" for a coefficient of the correction (phi_0 where it depends on temperature), or a parameter of the
            base, such as "sigma".
        pair, r: of a coefficient: the species pair and a distance, Å; the spline centred nearest to it is meant.
        key: species or pair, for a parameter of the base that is given as a table.
    """

    name: str
    pair: tuple[str, str] | None = None
    r: float | None = None
    key: str | None = None

    def __str__(self) -> str:
        if self.pair is not None:
            return f"{'-'.join(self.pair)}@{self.r:g}"
        return self.name if self.key is None else f"{self.name}:{self.key}"


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(
    rf"(?P<data>.+):(?:(?P<chi>R_chi)|(?P<curve>[^:@]+)(?::(?P<kind>height|position)@(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})"
    rf"|@(?P<x>{_NUMBER})))"
)
_COEFFICIENT = re.compile(rf"(?P<a>[A-Z][a-z]?)-(?P<b>[A-Z][a-z]?)@(?P<r>{_NUMBER})")
_BASE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?::(?P<key>[A-Z][a-z]?(?:-[A-Z][a-z]?)?))?")


def parse_quantity(text: str) -> Quantity:
    """From the command line: "argon:S(Q)@2.0", "argon:S(Q):height@1.5..2.5", "argon:S(Q):position@1.5..2.5",
    "argon:R_chi"."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found["curve"] in ("height", "position"):
        raise InputError(
            f"'{text}' names no quantity",
            fix='write it like "argon:S(Q)@2.0", "argon:S(Q):height@1.5..2.5", "argon:R_chi"',
        )
    if found["chi"]:
        return Quantity(found["data"], "R_chi")
    if found["kind"]:
        low, high = float(found["low"]), float(found["high"])
        if low >= high:
            raise InputError(f"the range {low:g}..{high:g} in '{text}' is empty", fix="give the smaller number first")
        return Quantity(found["data"], found["kind"], found["curve"].strip(), limits=(low, high))
    return Quantity(found["data"], "point", found["curve"].strip(), x=float(found["x"]))


def parse_parameter(text: str) -> Parameter:
    """From the command line: "Ar-Ar@3.8" (coefficient of the pair near 3.8 Å), "epsilon", "sigma:Ar"."""
    coefficient = _COEFFICIENT.fullmatch(text.strip())
    if coefficient is not None:
        return Parameter("phi", (coefficient["a"], coefficient["b"]), float(coefficient["r"]))
    base = _BASE.fullmatch(text.strip())
    if base is None:
        raise InputError(f"'{text}' names no parameter", fix='write it like "Ar-Ar@3.8", "epsilon", "sigma:Ar"')
    return Parameter(base["name"], key=base["key"])


# ---- f(<h>) and its derivative ---------------------------------------------------------------------------------------


class _Observable:
    """f and df/d<h> of a quantity."""

    def __init__(self, of: Quantity, data: DataSet) -> None:
        self.of = of
        self.measurement: Measurement = data.measurement
        measurement = self.measurement
        if of.kind == "R_chi":
            return
        own = measurement.curve.quantity
        if of.curve not in (own, "T(r)"):
            raise InputError(f"'{of.curve}' is no curve of data set '{of.data}'", fix=f"use {own} or T(r)")
        self.operator = measurement.shown if of.curve == own else measurement.total
        x = self.operator.x
        for limit in (of.x,) if of.limits is None else of.limits:
            assert limit is not None
            if not x[0] <= limit <= x[-1]:
                raise InputError(
                    f"{of.curve} of '{of.data}' is known from {x[0]:g} to {x[-1]:g}, not at {limit:g}",
                    fix="choose a point in that range",
                )

    def __call__(self, counts: Array) -> tuple[float, Array]:
        """f and df/d<h> (pairs, bins) at mean counts (pairs, bins)."""
        if self.of.kind == "R_chi":
            m = self.measurement
            misfit = m.total_values - m.total.predict(counts)
            value = m.r_chi(counts)
            by_y = -misfit / (value * np.sum(m.total_values**2))
            return value, (by_y @ m.total.matrix).reshape(counts.shape)
        y, x = self.operator.predict(counts), self.operator.x
        if self.of.kind == "point":
            assert self.of.x is not None
            by_y = np.array([np.interp(self.of.x, x, row) for row in np.eye(len(x))])
            return float(by_y @ y), (by_y @ self.operator.matrix).reshape(counts.shape)
        assert self.of.limits is not None
        found = peak(x, y, *self.of.limits, where=str(self.of))
        value, by_y = (found.height, found.d_height) if self.of.kind == "height" else (found.position, found.d_position)
        return value, (by_y @ self.operator.matrix).reshape(counts.shape)


# ---- the potential along the parameter -------------------------------------------------------------------------------


class _Direction(Protocol):
    """The potential as a function of one parameter."""

    unit: str
    value: float
    delta: float
    step: float
    """For the derivative of params: any for a coefficient, in which they are linear, small for the base."""

    def number(self, edges: Array) -> Array:
        """dU/dp of a pair in each bin, (pairs, bins): N = Σ h times it."""

    def params(self, field: CorrectedForceField, shift: float) -> Any:
        """A force field's params with the parameter shifted."""


class _Coefficient:
    unit = "eV"

    def __init__(self, study: Study, parameter: Parameter, state: int) -> None:
        assert parameter.pair is not None
        assert parameter.r is not None
        temperature = study.problem.temperatures[state]
        self.correction: PairCorrection = study.initial_correction().at(temperature)
        c = self.correction
        matching = [p for p in c.active_pairs if sorted(c.pairs[p]) == sorted(parameter.pair)]
        if not matching:
            known = ", ".join("-".join(c.pairs[p]) for p in c.active_pairs)
            raise InputError(f"{'-'.join(parameter.pair)} is no corrected pair", fix=f"one of {known}")
        centres = c.basis.centres
        if not centres[0] <= parameter.r <= c.basis.r_cut:
            raise InputError(
                f"no coefficient is near r = {parameter.r:g} Å", fix=f"use {centres[0]:.2f} to {c.basis.r_cut:.2f} Å"
            )
        self.pair, self.k = matching[0], int(np.argmin(np.abs(centres - parameter.r)))
        self.value = float(c.coefficients[self.pair, self.k])
        self.delta = DELTA_KT * study.problem.kt(state)
        self.step = 0.01

    def number(self, edges: Array) -> Array:
        basis = self.correction.binned_basis(edges)
        weights = np.zeros(basis.shape[:2])
        weights[self.pair] = basis[self.pair, :, self.k]
        return weights

    def params(self, field: CorrectedForceField, shift: float) -> Any:
        coefficients = self.correction.coefficients.copy()
        coefficients[self.pair, self.k] += shift
        return field.params(replace(self.correction, coefficients=coefficients))


class _BaseParameter:
    def __init__(self, study: Study, parameter: Parameter, state: int) -> None:
        self.study, self.parameter = study, parameter
        self.correction = study.initial_correction().at(study.problem.temperatures[state])
        given: Any = study.config.model.parameters
        if study.base_energies(np.array([1.0])) is None:
            raise InputError(
                f"base '{study.config.model.base}' has no parameter '{parameter.name}'",
                where="[model]",
                fix='only classical bases without dispersion have; ask for a coefficient like "Ar-Ar@3.8"',
            )
        if parameter.name not in given:
            raise InputError(
                f"'{parameter.name}' is no parameter of the base",
                where="[model.parameters]",
                fix=f"one of {', '.join(given)}" if given else "write it there, with the value that the base has",
            )
        entry = given[parameter.name]
        if isinstance(entry, int | float):
            if parameter.key is not None:
                raise InputError(f"'{parameter.name}' is one number for all", fix=f"ask for '{parameter.name}' alone")
            self.value = float(entry)
        else:
            if parameter.key not in entry:
                names = ", ".join(f"{parameter.name}:{key}" for key in entry)
                raise InputError(
                    f"'{parameter}' is not given in the study", where="[model.parameters]", fix=f"one of {names}"
                )
            self.value = float(entry[parameter.key])
        self.unit = {"epsilon": "eV", "sigma": "Å"}.get(parameter.name, "its unit")
        self.delta = DELTA_BASE * abs(self.value)
        self.step = DERIVATIVE * abs(self.value)

    def _base(self, shift: float) -> Any:
        study, parameter = self.study, self.parameter
        parameters: dict[str, Any] = dict(study.config.model.parameters)
        moved = self.value + shift
        parameters[parameter.name] = (
            moved if parameter.key is None else {**parameters[parameter.name], parameter.key: moved}
        )
        model = study.config.model.model_copy(update={"parameters": parameters})
        return study.base_kind.read(model, study.species, study.pairs, study.config.correction.r_cut)

    def number(self, edges: Array) -> Array:
        up, down, inner = self._base(self.step), self._base(-self.step), self.study.base.inner

        def slope(r: Array) -> Array:
            outside = np.maximum(r, inner)
            return (up.energy(outside) - down.energy(outside)) / (2.0 * self.step)

        return bin_average(slope, edges)

    def params(self, field: CorrectedForceField, shift: float) -> Any:
        assert isinstance(field, PairForceField)
        return field.params(self.correction, self._base(shift))


# ---- the answer ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """One way's answer.

    Attributes:
        method: "fluctuation", "fluctuation, window", "backprop" or "finite differences".
        value, stderr: in units of the quantity per unit of the parameter.
        md_steps: of dynamics, all replicas together, equilibration included; for backprop those of its windows and of
            the frames that they start from.
        seconds: wall time.
        words: what belongs to it.
    """

    method: str
    value: float
    stderr: float
    md_steps: int
    seconds: float
    words: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """The derivative of one quantity by one parameter.

    Attributes:
        of, parameter: as given.
        value, stderr: of the quantity itself.
        unit: of the parameter.
        estimates: the three ways, and the fluctuation formula for the window's length where frames are close enough.
        growth_ps, growth_norm: lengths of windows and the rms derivative of single ones.
        growth_exponent, growth_stderr: lambda of exp(lambda t), 1/ps; the variance grows with 2 lambda.
    """

    of: str
    parameter: str
    value: float
    stderr: float
    unit: str
    estimates: tuple[Estimate, ...]
    growth_ps: tuple[float, ...]
    growth_norm: tuple[float, ...]
    growth_exponent: float
    growth_stderr: float

    def by(self, method: str) -> Estimate:
        """The estimate of one method."""
        return next(estimate for estimate in self.estimates if estimate.method == method)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Plain text."""
        lines = [
            f"{self.of} = {self.value:.5g} ± {self.stderr:.2g}; its derivative by {self.parameter}, per {self.unit}:",
            f"{'method':<22}{'value':>12}{'error':>11}{'MD steps':>11}{'seconds':>9}",
        ]
        for e in self.estimates:
            words = f"  {e.words}" if e.words else ""
            lines.append(f"{e.method:<22}{e.value:>12.5g}{e.stderr:>11.2g}{e.md_steps:>11d}{e.seconds:>9.1f}{words}")
        lengths = ", ".join(f"{n:.3g} ({t:.2f} ps)" for t, n in zip(self.growth_ps, self.growth_norm, strict=True))
        lines.append(f"rms derivative of a single window: {lengths}")
        lines.append(
            f"it grows as exp(lambda t), lambda = {self.growth_exponent:.2f} ± {self.growth_stderr:.2f} 1/ps; "
            "the variance with twice that"
        )
        return "\n".join(lines)


def sensitivity(
    study: Study,
    *,
    of: Quantity,
    parameter: Parameter,
    frames: int = 1000,
    windows: int = 64,
    steps: int = 200,
    delta: float | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """The derivative of a quantity by a parameter in three ways, on the base model's liquid in the data set's state.

    Args:
        frames: for averages, all replicas together; the finite differences take as many twice, from own starts.
        windows, steps: of backprop; spread over the frames.
        delta: displacement in finite differences, in the parameter's unit; default 0.3 kT of a coefficient, 2 % of a
            parameter of the base. Its error falls with 1/delta and the bias of the difference grows with delta^2.

    Raises:
        InputError: an unknown data set, curve, point or parameter, or too little of something.
        SimulationError: dynamics failed.
    """
    progress = progress or NullProgress()
    data = _find(study, of.data)
    observable, state = _Observable(of, data), data.state
    make = _Coefficient if parameter.pair is not None else _BaseParameter
    direction: _Direction = make(study, parameter, state)
    if frames < FRAMES_FOR_COVARIANCES:
        raise InputError(f"{frames} frames are too few for an error", fix=f"use {FRAMES_FOR_COVARIANCES} or more")
    if windows < FEWEST_WINDOWS:
        raise InputError(f"{windows} windows are too few for an error", fix=f"use {FEWEST_WINDOWS} or more")
    delta = direction.delta if delta is None else delta
    if not delta > 0:
        raise InputError(f"delta is {delta:g}; it must be above zero")

    from refine.sampling.jax.adjoint import Adjoint, LinearParams  # the dynamics are slow to import

    field, sampler = study.samplers()[state]
    config, system = study.config, study.systems[state]
    temperature, beta = study.problem.temperatures[state], 1.0 / study.problem.kt(state)
    adjoint = Adjoint(
        system,
        study.base_kind.force_field(study.base, config.correction.r_cut, system, "float64"),
        thermostat=sampler.thermostat,
        temperature=temperature,
        timestep=config.sampling.timestep,
        steps=steps,
        n_bins=sampler.n_bins,
        r_max=sampler.r_max,
    )
    seed = seed_of_state(config.sampling.seed, state)
    sampling = _Sampling(study, sampler, temperature, progress)

    base = sampling.run(direction.params(field, 0.0), seed, frames, math.ceil(windows / sampler.replicas), "sampling")
    value, stderr = _average(base.counts, base.frames.replica, observable)
    began = time.monotonic()
    number = np.einsum("fpb,pb->f", base.counts, direction.number(base.frames.edges))
    fluctuation = _fluctuation(base.counts, base.frames.replica, number, observable, beta)
    solved = time.monotonic() - began
    _, cotangent = observable(base.counts.mean(axis=0))

    progress.stage("backprop", len(base.starts) * sampler.replicas)
    up, down = (direction.params(adjoint.force_field, sign * direction.step) for sign in (1, -1))
    linear = LinearParams.build(down, [up], 2 * direction.step)
    linear = linear._replace(point=direction.params(adjoint.force_field, 0.0))
    made = adjoint.gradients_of(base.starts, linear, cotangent, on_window=lambda _: progress.advance(1))
    gradients = made.gradients[:, 0]
    md = adjoint.steps * len(gradients)
    words = f"{len(gradients)} windows of {adjoint.steps * adjoint.timestep / 1000:.2f} ps"
    backprop = Estimate(
        "backprop", made.mean[0], float(standard_error(gradients)), base.steps + md, base.seconds + made.seconds, words
    )
    few = base.starts[: math.ceil(GROWTH_WINDOWS / sampler.replicas)]
    progress.stage("growth with the window", len(few) * sampler.replicas * GROWTH_LENGTHS)
    growth = adjoint.growth(few, linear, cotangent, lengths=GROWTH_LENGTHS, on_window=lambda _: progress.advance(1))

    ends = [
        sampling.run(
            direction.params(field, sign * delta), seed + own, frames, 1, f"finite difference {'-+'[sign > 0]}"
        )
        for sign, own in ((1, SEED_OF_PLUS), (-1, SEED_OF_MINUS))
    ]
    (high, high_error), (low, low_error) = (_average(end.counts, end.frames.replica, observable) for end in ends)
    differences = Estimate(
        "finite differences",
        (high - low) / (2.0 * delta),
        math.hypot(high_error, low_error) / (2.0 * delta),
        sum(end.steps for end in ends),
        sum(end.seconds for end in ends),
        f"delta = {delta:.3g} {direction.unit}",
    )
    estimates = [Estimate("fluctuation", *fluctuation, base.steps, base.seconds + solved)]
    window = _window_formula(base.frames, number, cotangent, beta, adjoint.steps / sampler.stride)
    if window is not None:
        estimates.append(
            Estimate("fluctuation, window", *window, base.steps, base.seconds + solved, "what backprop expects")
        )
    return Sensitivity(
        of=str(of),
        parameter=str(parameter),
        value=value,
        stderr=stderr,
        unit=direction.unit,
        estimates=(*estimates, backprop, differences),
        growth_ps=tuple(growth.times.tolist()),
        growth_norm=tuple(growth.norms.tolist()),
        growth_exponent=growth.exponent,
        growth_stderr=growth.stderr,
    )


def _find(study: Study, name: str) -> DataSet:
    for data in study.datasets:
        if data.name == name:
            return data
    known = ", ".join(data.name for data in study.datasets)
    raise InputError(f"no data set is called '{name}'", where="[[data]]", fix=f"one of {known}")


@dataclass(frozen=True)
class _Sampled:
    """Frames of one potential, the states between their parts, and what they cost."""

    frames: Frames
    starts: list[MDState]
    steps: int
    seconds: float

    @property
    def counts(self) -> Array:
        return self.frames.counts.astype(np.float64)


class _Sampling:
    """Equilibrates and samples as a run does."""

    def __init__(self, study: Study, sampler: Sampler, temperature: float, progress: Progress) -> None:
        self.config, self.sampler, self.stages = study.config.sampling, sampler, study.stages_at_volume()
        self.temperature, self.progress = temperature, progress

    def run(self, params: Any, seed: int, frames: int, parts: int, label: str) -> _Sampled:
        """At least `frames` frames of all replicas, in `parts` parts of equal length."""
        from refine.sampling.starts import equilibrate

        sampler, began = self.sampler, time.monotonic()
        each = math.ceil(frames / (parts * sampler.replicas))
        self.progress.stage(label, parts)
        state = equilibrate(sampler, params, self.temperature, seed, self.config.equilibration, self.stages)
        pieces, starts = [], []
        for _ in range(parts):
            state, piece = sampler.run(state, params, self.temperature, each)
            pieces.append(piece)
            starts.append(state)
            self.progress.advance(1)
        return _Sampled(by_replica(pieces), starts, state.step * sampler.replicas, time.monotonic() - began)


def _average(counts: Array, replica: NDArray[np.integer], observable: _Observable) -> tuple[float, float]:
    """f of the mean counts and its error."""
    return observable(counts.mean(axis=0))[0], error_of(lambda h: observable(h)[0], counts, replica)


def _fluctuation(
    counts: Array, replica: NDArray[np.integer], number: Array, observable: _Observable, beta: float
) -> tuple[float, float]:
    """-beta v . Cov(h, N), v taken at the mean of the same frames, and its error."""
    number = (number - number.mean())[:, None, None]
    # one array a frame: h, h N and N
    samples = np.stack([counts, counts * number, np.broadcast_to(number, counts.shape)], axis=1)

    def value(means: Array) -> float:
        h, product, mean = means
        _, v = observable(h)
        return -beta * float(np.sum(v * (product - h * mean)))

    return value(samples.mean(axis=0)), error_of(value, samples, replica)


def _window_formula(
    frames: Frames, number: Array, cotangent: Array, beta: float, length: float
) -> tuple[float, float] | None:
    """-beta [Cov(O, N) - Cov(O(t), N(0))] at t = `length` frames (to the nearest), v fixed; None below half of one."""
    lag = round(length)
    if lag < 1:
        return None
    o = np.einsum("fpb,pb->f", frames.counts.astype(np.float64), cotangent)
    o, number = o - o.mean(), number - number.mean()
    series = []
    for replica in np.unique(frames.replica):
        of, nf = o[frames.replica == replica], number[frames.replica == replica]
        if len(of) > lag:
            series.append(-beta * (of[:-lag] - of[lag:]) * nf[:-lag])
    if sum(map(len, series)) < FRAMES_FOR_COVARIANCES:
        return None
    joined, owner = np.concatenate(series), np.repeat(np.arange(len(series)), [len(one) for one in series])
    return float(joined.mean()), float(standard_error(joined, owner))
