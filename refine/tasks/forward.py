"""`refine forward TRAJECTORY STUDY`: what the study's measurements would have seen of a trajectory; no dynamics.

Pair counts of the frames (`refine.sampling.trajectories`) take the place of a sample in the very operators that a run
is scored with: the box is that of the trajectory, everything else - Q range, window, weights, score range, free scale -
the study's. Standard errors are those of averages over correlated frames; of fewer than `FRAMES_FOR_ERRORS` none is
given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import r_to_q_matrix
from refine.curves.weights import amplitudes, pair_weights
from refine.errors import CheckpointError, InputError
from refine.files import exclusive, make_folder, write_text
from refine.progress import Progress
from refine.refinement.inference.nuisance import Nuisance
from refine.refinement.problem import Target
from refine.results.derived import Coordination, Propagation, coordination_numbers, shells_of
from refine.results.writer import csv_text, plain
from refine.sampling.averages import FRAMES_FOR_ERRORS, error_of
from refine.sampling.frames import Frames
from refine.sampling.periodic import distances_to_atoms
from refine.sampling.structure_files import DENSITY_TOLERANCE
from refine.sampling.trajectories import CountedTrajectory, count_trajectory
from refine.scattering.compared import Cut
from refine.scattering.measurement import ForwardModel
from refine.scattering.metrics import chi_squared
from refine.scattering.operator import CurveOperator
from refine.scattering.points import R_CHI_STEP
from refine.study.datasets import DataSet, Prediction, read_datasets, read_predictions, scored, target_of
from refine.study.schema import StudyConfig
from refine.study.schema.models import State
from refine.study.systems import read_system
from refine.system import Box

Array = NDArray[np.float64]

FRACTION_TOLERANCE = 0.005
"""Difference of an atomic fraction beyond which trajectory and study are of two materials."""

LARGEST_RESCALING = 0.03
"""Of lengths: more is another density, and not an inaccurate one."""

HOLLOW_SPACINGS, HOLLOW_SHARE, GAP_SPACINGS = 1.6, 0.05, 1.2
"""A box is hollow when more than this share of it is farther from every atom than so many density^(-1/3) of the study:
in an ideal gas of that density a share exp(-4 pi 1.6^3/3) = 4e-8 is. It is, too, when a whole plane of the lattice is
farther than the last number of them, at the smaller density; that is a gap of twice as much. A framework with wide
pores has no such plane."""

USUAL_Q_MAX, PHASE = 30.0, 0.1
"""1/Å, as far as curves are taken to reach whose range the study does not say; and Q times the width of a bin there."""

Q_STEP, Q_MAX = 0.05, 25.0
"""1/Å: grid of the table of partial structure factors, which ends where the data end, and where none says so."""


@dataclass(frozen=True)
class Score:
    """One data set against the trajectory.

    Attributes:
        r_chi, r_chi_stderr: of T(r); the error is None with too few frames.
        chi2: of the points that a fit would take, `points` of them; None where the data state no errors.
        free: scale and background, fitted where the study leaves them free.
    """

    data: DataSet
    target: Target
    r_chi: float
    r_chi_stderr: float | None
    chi2: float | None
    free: Nuisance

    @property
    def points(self) -> int:
        """Number of points behind chi2."""
        return len(self.target.y)

    @property
    def span(self) -> tuple[float, float]:
        """Å, range of R_chi."""
        r = self.data.measurement.r
        return float(r[0]), float(r[-1])


@dataclass(frozen=True)
class Forward:
    """A trajectory as the data sets of one state see it."""

    trajectory: Path
    config: StudyConfig
    counted: CountedTrajectory
    box: Box
    scores: tuple[Score, ...]
    predictions: tuple[Prediction, ...]
    coordination: tuple[Coordination, ...]
    frames: Frames
    finer: int
    factor: float = 1.0

    @property
    def state(self) -> State:
        """The study's state that the trajectory stands for."""
        return self.config.states[0]

    def write(self, folder: Path) -> None:
        """forward.json, and the tables curves/, t_r/ (by data set), g_r/ and s_q/ (by state), in `folder`."""
        with exclusive(folder):
            if (folder / "run.h5").exists():
                raise CheckpointError("this folder holds a run", where=str(folder), fix="give another --out")
            for name in ("curves", "t_r", "g_r", "s_q"):
                make_folder(folder / name)
            for score in self.scores:
                write_text(folder / "curves" / f"{score.data.name}.csv", self._curve_table(score))
                write_text(folder / "t_r" / f"{score.data.name}.csv", self._total_table(score))
            for one in self.predictions:
                write_text(folder / "curves" / f"{one.name}.csv", self._prediction_table(one))
            write_text(folder / "g_r" / f"{self.state.name}.csv", self._g_table())
            write_text(folder / "s_q" / f"{self.state.name}.csv", self._s_table())
            write_text(folder / "forward.json", json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    def to_json(self) -> dict[str, Any]:
        """What forward.json holds."""
        system = self.counted.system
        table = {
            "title": self.config.title,
            "trajectory": str(self.trajectory),
            "state": self.state.name,
            "frames": self.counted.read,
            "atoms": dict(zip(system.species, system.n_per_species, strict=True)),
            "number_density": system.number_density,
            "cell": system.cell,
            "volumes": self.counted.volumes,
            "rescaled_by": self.factor,
            "r_box": self.box.r_max,
            "data": [
                {
                    "name": score.data.name,
                    "quantity": score.data.measurement.curve.quantity,
                    "normalisation": score.data.measurement.curve.normalisation,
                    "radiation": score.data.measurement.curve.radiation or "partial",
                    "r_chi": score.r_chi,
                    "r_chi_stderr": score.r_chi_stderr,
                    "score_r": score.span,
                    "chi2": score.chi2,
                    "points": score.points,
                    "compared": score.data.fit.words,
                    "scale": score.free.scale,
                    "background": score.free.background,
                    "warnings": list(score.data.doubts),
                }
                for score in self.scores
            ],
            "predictions": [one.name for one in self.predictions],
            "coordination": [
                {
                    "centre": one.centre,
                    "other": one.other,
                    "radius": one.radius,
                    "number": one.number,
                    "stderr": one.sampling_stderr if self._has_errors else None,
                }
                for one in self.coordination
            ],
        }
        return dict(plain(table))

    def table(self) -> str:
        """What the terminal shows."""
        system, low, high = self.counted.system, *self.counted.volumes
        atoms = ", ".join(f"{n} {name}" for name, n in zip(system.species, system.n_per_species, strict=True))
        density = f"{system.number_density:.5f} atoms/Å^3"
        if high > low * (1 + 1e-9):
            density += f" on average (volume {low:.0f} to {high:.0f} Å^3)"
        known = f"g(r) to {self.box.r_max:.2f} Å"
        lines = [f"{self.trajectory.name}: {_frames(self.counted.read)} of {atoms}, {density}, {known}", ""]
        if self.factor != 1.0:
            lines.insert(
                1, f"all lengths times {self.factor:.5f}: the density is the study's, and every bond longer or shorter"
            )
        rows = [("data", "curve", "R_chi", "over", "chi2/point")]
        for score in self.scores:
            chi2 = "-" if score.chi2 is None else f"{score.chi2 / score.points:.2f}"
            span = f"{score.span[0]:.3g} to {score.span[1]:.4g} Å"
            quantity = score.data.measurement.curve.quantity
            rows.append((score.data.name, quantity, _with_error(score.r_chi, score.r_chi_stderr), span, chi2))
        lines += [*_aligned(rows), ""]
        found = [
            (f"n({c.centre}-{c.other})", _with_error(c.number, c.sampling_stderr if self._has_errors else None, 3))
            for c in self.coordination
        ]
        radii = [f"within {c.radius:.2f} Å" for c in self.coordination]
        lines += _aligned([(*row, radius) for row, radius in zip(found, radii, strict=True)])
        for score in self.scores:
            lines += [f"warning: {doubt}" for doubt in score.data.doubts]
        free = [s for s in self.scores if s.free != Nuisance()]
        lines += [f"{one.name}: predicted, nothing to compare with" for one in self.predictions]
        lines += [f"{s.data.name}: scale {s.free.scale:.4f}, background {s.free.background:.4g}" for s in free]
        if not self._has_errors:
            lines.append(f"no standard errors: {_frames(len(self.frames))}, and {FRAMES_FOR_ERRORS} are needed")
        return "\n".join(lines)

    # -- tables --------------------------------------------------------------------------------------------------------

    @property
    def _has_errors(self) -> bool:
        return len(self.frames) >= FRAMES_FOR_ERRORS

    @property
    def _mean(self) -> Array:
        return np.asarray(self.frames.counts.mean(axis=0, dtype=np.float64))

    def _errors(self, matrix: Array) -> Array:
        """Standard errors (n,) of matrix @ <h>; NaN with too few frames."""
        return _propagation(self.frames).errors(matrix)[1] if self._has_errors else np.full(len(matrix), np.nan)

    def _curve_table(self, score: Score) -> str:
        """Measured and model as they are, then as they are compared (`Measurement.in_box`)."""
        measurement, scale = score.data.measurement, abs(score.free.scale)
        shown, in_box, sigma = measurement.shown, measurement.in_box, measurement.shown_sigma
        columns = [
            shown.x,
            measurement.shown_values,
            np.full(len(shown.x), np.nan) if sigma is None else sigma,
            _seen(shown, self._mean, score.free, measurement.shown_background),
            scale * np.hypot(self._errors(shown.matrix), measurement.cut_error(self._mean)),
            measurement.in_box_values,
            _seen(in_box, self._mean, score.free, measurement.in_box_background),
            scale * self._errors(in_box.matrix),
        ]
        header = ["x", "measured", "sigma", "model", "model_stderr", "measured_box", "model_box", "model_box_stderr"]
        return csv_text(header, columns)

    def _prediction_table(self, one: Prediction) -> str:
        """The standard error is that of sampling and of the cut of g(r) at half the box together."""
        shown, cut = one.measurement.shown, one.measurement.cut_error(self._mean)
        columns = [shown.x, shown.predict(self._mean), np.hypot(self._errors(shown.matrix), cut)]
        return csv_text(["x", "model", "model_stderr"], columns)

    def _total_table(self, score: Score) -> str:
        """D(r) and T(r), Faber-Ziman, through the data set's Q range and window, over all r that both sides know.

        The measured ones as R_chi takes them, with the periodic images of the box.
        """
        curve = score.data.measurement.curve
        reach = self.box.r_max if curve.in_q_space else min(self.box.r_max, float(curve.x[-1]))
        whole = ForwardModel(curve, self.box).measurement((R_CHI_STEP, reach))
        model = _seen(whole.total, self._mean, score.free, whole.total_background)
        uniform = 4.0 * math.pi * self.box.number_density * whole.r
        columns = [
            whole.r,
            whole.total_values - uniform,
            model - uniform,
            whole.total_values,
            model,
            abs(score.free.scale) * self._errors(whole.total.matrix),
        ]
        return csv_text(["r", "D measured", "D model", "T measured", "T model", "model_stderr"], columns)

    def _g_table(self) -> str:
        """In bins of the study's width, whatever the curves were made of."""
        frames = self.frames.merged(self.finer)
        header, columns = ["r"], [frames.centres]
        ideal = frames.ideal_counts()
        per_count = np.divide(1.0, ideal, out=np.zeros_like(ideal), where=ideal > 0.0)
        errors = np.full(ideal.size, np.nan)
        if self._has_errors:
            errors = _propagation(frames).errors_of_counts()[1]
        g, stderr = frames.pair_distribution(), errors.reshape(ideal.shape) * per_count
        for p, (a, b) in enumerate(self.box.pairs):
            header += [f"{a}-{b}", f"{a}-{b} stderr"]
            columns += [g[p], stderr[p]]
        return csv_text(header, columns)

    def _s_table(self) -> str:
        """Faber-Ziman A_ij(Q), and S(Q) with the weights of every data set that is a total; g = 1 beyond r_max.

        Standard errors of sampling and of that cut.
        """
        q = self._q_points()
        box, pairs = self.box, self.box.pairs
        to_q = r_to_q_matrix(box.edges, q, box.number_density, of="means")
        header, columns = ["Q"], [q]

        def add(name: str, weights: Array) -> None:
            """weights: (pairs, nq)."""
            one = np.ones(len(q))
            operator = CurveOperator.from_g(q, weights.T[:, :, None] * to_q[:, None, :], one, one, box)
            header.extend([name, f"{name} stderr"])
            error = np.hypot(self._errors(operator.matrix), Cut(q, weights.T, box).error(self._mean))
            columns.extend([operator.predict(self._mean), error])

        for p, (a, b) in enumerate(pairs):
            add(f"{a}-{b}", np.repeat(np.eye(len(pairs))[p][:, None], len(q), axis=1))
        for score in self.scores:
            curve = score.data.measurement.curve
            if curve.pair is None and curve.radiation is not None:
                f = amplitudes(curve.radiation, box.species, q, isotopes=curve.isotopes, charges=curve.charges)
                add(score.data.name, pair_weights(box.fractions, f))
        return csv_text(header, columns)

    def _q_points(self) -> Array:
        """From the box's longest wave, 2 r_max."""
        curves = [score.data.measurement.curve for score in self.scores]
        last = max((float(c.q_max) for c in curves if c.q_max is not None), default=Q_MAX)
        first = math.ceil(math.pi / self.box.r_max / Q_STEP)
        return Q_STEP * np.arange(first, max(first + 1, math.floor(last / Q_STEP + 1e-9)) + 1, dtype=np.float64)


def forward(
    config: StudyConfig,
    trajectory: str | Path,
    *,
    state: str | None = None,
    types: Sequence[str] | None = None,
    kind: str | None = None,
    first: int = 1,
    last: int | None = None,
    every: int = 1,
    rescale: bool = False,
    rescale_by_more: bool = False,
    progress: Progress | None = None,
) -> Forward:
    """Compare a trajectory with the data sets of one state of a study.

    Args:
        state: name of the state; needed where the study has several.
        types, kind, first, last, every: see `refine.sampling.trajectories.count_trajectory`.
        rescale: multiply all lengths by one factor so that the number density is the study's; by more than 3 % is an
            error. Without, a density that differs by more than 0.5 % is one: the measured T(r) would be drawn with the
            wrong one.
        rescale_by_more: the same, by any factor.

    Raises:
        InputError: the trajectory cannot be read, is of another material or density, or the box is too small for what
            the study asks of it.
    """
    one = _of_state(config, state)
    species, fractions, density = _declared(one)
    finer = _finer(one)
    counted = count_trajectory(
        trajectory,
        one.sampling.bin_width / finer,
        species=species,
        types=types,
        kind=kind,
        first=first,
        last=last,
        every=every,
        progress=progress,
    )
    _check_composition(counted, fractions, str(trajectory))
    _refuse_vacuum(counted, density, str(trajectory))
    factor = 1.0
    if rescale or rescale_by_more:
        factor = (counted.system.number_density / density) ** (1 / 3)
        _check_rescaling(counted, density, factor, rescale_by_more, str(trajectory))
        counted = counted.rescaled(density)
    else:
        _check_density(counted, density, config, one.states[0].name, str(trajectory))
    system, wide = counted.system, counted.frames.merged(finer)
    frames = counted.frames.within(wide.r_max)
    box = Box(system.species, system.n_per_species, frames.volume, frames.edges, system.cell)
    scores = tuple(_score(one, data, box, frames) for data in read_datasets(one, [box]))
    coordination = coordination_numbers(
        box.species, box.pairs, _propagation(wide), shells_of(wide, box.pairs, one.coordination.radii)
    )
    predictions = tuple(read_predictions(one, [box]))
    return Forward(Path(trajectory), one, counted, box, scores, predictions, tuple(coordination), frames, finer, factor)


def _finer(config: StudyConfig) -> int:
    """Into how many bins each of `sampling.bin_width` is divided for the curves.

    A distance is taken to be anywhere in its bin, which is an error of phase of Q w/sqrt(12) for each pair. It averages
    out over the frames of a run; a trajectory may be one frame.
    """
    ranges = [data.q_range[1] for data in config.data if data.q_range is not None]
    ranges += [data.fit_q[1] for data in config.data if data.fit_q is not None]
    q_max = max([USUAL_Q_MAX, *ranges])
    return max(1, math.ceil(config.sampling.bin_width * q_max / PHASE - 1e-9))


def default_out(config: StudyConfig, trajectory: Path) -> Path:
    """runs/<name of the study's folder>-<name of the trajectory>."""
    study = config.default_out()
    return study.with_name(f"{study.name}-{trajectory.stem or trajectory.name}")


def _of_state(config: StudyConfig, name: str | None) -> StudyConfig:
    """The study with one of its states and the data measured in it."""
    names = [state.name for state in config.states]
    if name is None and len(names) > 1:
        raise InputError("the study has several states", where="--state", fix=f"give one of {', '.join(names)}")
    if name is not None and name not in names:
        raise InputError(f"the study has no state {name!r}", where="--state", fix=f"give one of {', '.join(names)}")
    state = config.states[0 if name is None else names.index(name)]
    data = tuple(data for data in config.data if config.state_of(data).name == state.name)
    if not data:
        raise InputError(f"no data set belongs to state '{state.name}'", where="--state")
    return config.model_copy(update={"states": (state,), "data": data})


def _declared(config: StudyConfig) -> tuple[tuple[str, ...], dict[str, float], float]:
    """Elements, atomic fractions and number density (atoms/Å^3) that the study states."""
    system = read_system(config, config.states[0])
    return system.species, system.composition, system.number_density


def _check_composition(counted: CountedTrajectory, fractions: dict[str, float], where: str) -> None:
    found = counted.system.composition
    if any(abs(found[name] - fraction) > FRACTION_TOLERANCE for name, fraction in fractions.items()):
        theirs, ours = (", ".join(f"{100 * f:.1f} % {name}" for name, f in c.items()) for c in (found, fractions))
        raise InputError(
            f"the trajectory is {theirs}, the study {ours}", where=where, fix="give the study of this material"
        )


def _check_density(counted: CountedTrajectory, density: float, config: StudyConfig, name: str, where: str) -> None:
    found = counted.system.number_density
    if abs(found / density - 1) <= DENSITY_TOLERANCE:
        return
    change = (found / density) ** (1 / 3) - 1
    fix = f"--rescale brings the trajectory to the study's density, its lengths changed by {100 * change:+.1f} %"
    if abs(change) > LARGEST_RESCALING:
        fix = "check which of them is right"
    index = [state.name for state in config.states].index(name)
    state = config.states[index]
    if config.structure_of(state) is None and config.number_density_of(state) is not None:
        table = "system" if state.number_density is None else f"states.{index}"
        fix += f", --set {table}.number_density={found:.6f} compares both at its own"
    raise InputError(f"the trajectory has {found:.5f} atoms/Å^3, the study {density:.5f}", where=where, fix=fix)


def _check_rescaling(counted: CountedTrajectory, density: float, factor: float, by_more: bool, where: str) -> None:
    if abs(factor - 1) > LARGEST_RESCALING and not by_more:
        raise InputError(
            f"the trajectory has {counted.system.number_density:.5f} atoms/Å^3, the study {density:.5f}: --rescale "
            f"would multiply every length, bonds included, by {factor:.4f}",
            where=where,
            fix="check which density is right; --rescale-by-more does it all the same",
        )


def _refuse_vacuum(counted: CountedTrajectory, density: float, where: str) -> None:
    """InputError for particles and slabs: their density is that of a box, and g(r) there does not tend to one."""
    wide = HOLLOW_SPACINGS * density ** (-1 / 3)
    reach = GAP_SPACINGS * min(density, counted.system.number_density) ** (-1 / 3)
    nearest = distances_to_atoms(*counted.first, max(wide, reach))
    share, beyond = float(np.mean(nearest > wide)), nearest > reach
    gap = any(np.any(beyond.all(axis=plane)) for plane in ((0, 1), (0, 2), (1, 2)))
    dense = abs(counted.system.number_density / density - 1) <= DENSITY_TOLERANCE
    if gap or (share > HOLLOW_SHARE and not dense):
        raise InputError(
            f"{100 * np.mean(beyond):.0f} % of the box is farther than {reach:.1f} Å from every atom: a "
            "particle or a slab in vacuum, of which there is no g(r) of the bulk",
            where=where,
            fix="give a periodic sample of the material",
        )


def _score(config: StudyConfig, data: DataSet, box: Box, frames: Frames) -> Score:
    target = target_of(config, box.pairs, data)
    mean = frames.counts.mean(axis=0, dtype=np.float64)
    predicted = target.predict(mean)
    free, r_chi = scored(data, target, mean)
    error = error_of(r_chi, frames.counts, frames.replica) if len(frames) >= FRAMES_FOR_ERRORS else None
    chi2 = chi_squared(target.y - free.apply(target, predicted), target.covariance) if target.sigma_known else None
    return Score(data, target, r_chi(mean), error, chi2, free)


def _propagation(frames: Frames) -> Propagation:
    """Errors of sampling alone."""
    return Propagation(frames, np.zeros((0, 0)), None)


def _seen(operator: CurveOperator, counts: Array, free: Nuisance, background: Array) -> Array:
    """The model as the instrument would report it."""
    signal = operator.predict(counts) - operator.baseline
    return np.asarray(operator.baseline + free.scale * signal + free.background * background)


def _with_error(value: float, stderr: float | None, decimals: int = 4) -> str:
    return f"{value:.{decimals}f}" + ("" if stderr is None else f" ± {stderr:.{decimals}f}")


def _frames(count: int) -> str:
    return f"{count} frame{'s' if count != 1 else ''}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows]
