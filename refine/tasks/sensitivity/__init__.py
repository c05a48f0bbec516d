"""Behind `refine sensitivity STUDY`: one derivative three ways, on the same state, with errors and costs.

The derivative of a curve point, a peak or R_chi, f(<h>), with respect to a coefficient of the correction or a parameter
of a classical base, p, at the base model (phi = 0):

    fluctuation          -beta v . Cov(h, N),     v = df/d<h>,  N = dU/dp = Σ_pairs du/dp     (averages of frames)
    backprop             mean of dO(R_n)/dp over windows of n steps, O = Σ v(r_ij)            (`sampling.jax.adjoint`)
    finite differences   [f(p + delta) - f(p - delta)] / 2 delta, independent runs

A window of finite length estimates -beta v . [Cov(h, N) - Cov(h(t), N(0))] and not yet the first line; the fluctuation
formula is also given in that form, from the same frames, to tell such a bias from a defect. f is not linear in <h>
where it is a peak or R_chi: its errors are those of its jackknife over frames, correlations counted. Backprop
is of use only where v is smooth in r: for curves in Q and those in r that are seen through a Q range; a point of a g(r)
without one is a spike of a few bins, and single windows scatter with its steepness.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refine.errors import InputError
from refine.files import make_folder
from refine.progress import NullProgress, Progress
from refine.sampling.averages import FRAMES_FOR_COVARIANCES, standard_error
from refine.sampling.jax.random_numbers import seed_of_state
from refine.study.choices.engine import refuse_elsewhere
from refine.study.datasets import tell_doubts
from refine.study.systems import notes_of
from refine.tasks.outputs import refuse_foreign, refuse_inputs, write_files
from refine.tasks.pilot import pilot
from refine.tasks.sensitivity.answer import Estimate, Sensitivity
from refine.tasks.sensitivity.asked import Parameter, Quantity, parse_parameter, parse_quantity
from refine.tasks.sensitivity.directions import BaseParameter, Coefficient, Direction
from refine.tasks.sensitivity.estimates import average, fluctuation, window_formula
from refine.tasks.sensitivity.sampling import Sampled, sampled
from refine.tasks.sensitivity.scalar import ScalarOfCurve

if TYPE_CHECKING:
    from refine.study.datasets import DataSet
    from refine.study.study import Study

__all__ = ["Parameter", "Quantity", "Sensitivity", "parse_parameter", "parse_quantity", "sensitivity"]

FEWEST_WINDOWS = 4
"""Windows of the gradient through the trajectory, whose scatter is its error."""

GROWTH_WINDOWS, GROWTH_LENGTHS = 16, 5
"""Windows and lengths for the growth of the variance."""

SEED_OF_PLUS, SEED_OF_MINUS = 104_729, 224_737
"""Added to the study's seed for the two runs of the finite differences: primes, the 10 000th and the 20 000th, that no
other seed of a study is likely to differ by."""


def sensitivity(
    study: Study,
    *,
    of: Quantity,
    parameter: Parameter,
    frames: int = 1000,
    windows: int = 64,
    steps: int = 200,
    delta: float | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """The derivative of a quantity by a parameter in three ways, on the base model's liquid in the data set's state.

    Args:
        frames: for averages, all replicas together; the finite differences take as many twice, from own starts.
        windows, steps: of backprop; spread over the frames.
        delta: displacement in finite differences, in the parameter's unit; default 0.3 kT of a coefficient, 2 % of a
            parameter of the base. Its error falls with 1/delta and the bias of the difference grows with delta^2.
        out: folder for sensitivity.json and sensitivity/*.csv, each written atomically; None: nothing is written.

    Raises:
        InputError: an unknown data set, curve, point or parameter, or too little of something.
        SimulationError: dynamics failed.
    """
    refuse_elsewhere(study.config.sampling.engine)
    if not study.engine.differentiates:
        raise InputError(
            f"engine {study.settings.engine!r} has no gradients through trajectories",
            where="[sampling] engine",
            fix='set engine = "jax"',
        )
    progress = progress or NullProgress()
    data = _find(study, of.data)
    scalar, state = ScalarOfCurve(of, data, study.targets[data.name]), data.state
    make = Coefficient if parameter.pair is not None else BaseParameter
    direction: Direction = make(study, parameter, state)
    if frames < FRAMES_FOR_COVARIANCES:
        raise InputError(f"{frames} frames are too few for an error", fix=f"use {FRAMES_FOR_COVARIANCES} or more")
    if windows < FEWEST_WINDOWS:
        raise InputError(f"{windows} windows are too few for an error", fix=f"use {FEWEST_WINDOWS} or more")
    delta = direction.delta if delta is None else delta
    if not delta > 0:
        raise InputError(f"delta is {delta:g}; it must be above zero")

    if out is not None:
        refuse_inputs(study.config, [out / "sensitivity.json", out / "sensitivity"])
        refuse_foreign(out, ("sensitivity",), "sensitivity.json")
        make_folder(out / "sensitivity")  # or refused now, and not after the dynamics

    from refine.sampling.jax.windows import LinearParams  # the dynamics are slow to import

    tell_doubts([data], progress, notes_of(study.systems))
    study = pilot(study, progress).study
    field, sampler = study.samplers()[state]
    adjoint = study.adjoints(steps, clip=None)[state]
    beta = 1.0 / study.problem.kt(state)
    seed = seed_of_state(study.settings.seed, state)

    def run(shift: float, offset: int, parts: int, label: str) -> Sampled:
        params = direction.params(field, shift)
        return sampled(study, state, sampler, params, seed + offset, frames, parts, label, progress)

    base = run(0.0, 0, math.ceil(windows / sampler.replicas), "sampling")
    progress.doing("averages and covariances")
    value, stderr = average(base.counts, base.frames.replica, scalar)
    began = time.monotonic()
    number = np.einsum("fpb,pb->f", base.counts, direction.number(base.frames.edges))
    covariance = fluctuation(base.counts, base.frames.replica, number, scalar, beta)
    solved = time.monotonic() - began
    _, cotangent = scalar(base.counts.mean(axis=0))

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
        run(sign * delta, offset, 1, f"finite difference {'-+'[sign > 0]}")
        for sign, offset in ((1, SEED_OF_PLUS), (-1, SEED_OF_MINUS))
    ]
    progress.doing("differences")
    (high, high_error), (low, low_error) = (average(end.counts, end.frames.replica, scalar) for end in ends)
    differences = Estimate(
        "finite differences",
        (high - low) / (2.0 * delta),
        math.hypot(high_error, low_error) / (2.0 * delta),
        sum(end.steps for end in ends),
        sum(end.seconds for end in ends),
        f"delta = {delta:.3g} {direction.unit}",
    )
    estimates = [Estimate("fluctuation", *covariance, base.steps, base.seconds + solved)]
    window = window_formula(base.frames, number, cotangent, beta, adjoint.steps / sampler.stride)
    if window is not None:
        estimates.append(
            Estimate("fluctuation, window", *window, base.steps, base.seconds + solved, "what backprop expects")
        )
    found = Sensitivity(
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
    if out is not None:
        write_files(out, found.files())
    return found


def _find(study: Study, name: str) -> DataSet:
    for data in study.datasets:
        if data.name == name:
            return data
    names = ", ".join(data.name for data in study.datasets)
    raise InputError(f"no data set is called '{name}'", where="[[data]]", fix=f"one of {names}")
