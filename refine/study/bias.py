"""The collective variables that a study names, as sums over pairs (`refine.sampling.bias`)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.refinement.problem import Target
from refine.sampling.bias import Bias, Variable
from refine.sampling.frames import Frames
from refine.study.schema.bias import BiasVariable
from refine.study.study import Study
from refine.system import pair_index

Array = NDArray[np.float64]

MOST_VARIABLES = 2
"""Hills in three dimensions would never fill anything."""

KEPT = 1e-2
"""Directions of a curve that count less than this share of the largest are no part of the distance."""


def bias_of(study: Study, s: int) -> Bias:
    """The bias of a state of a study; a width that the study leaves open is nan (`with_widths`).

    Raises:
        InputError: no variables or too many, or a pair, a data set or a range that is not there.
    """
    asked, settings = study.config.variables, study.config.bias
    if not 1 <= len(asked) <= MOST_VARIABLES:
        raise InputError(
            f"the study has {len(asked)} variables, and a bias needs 1 or {MOST_VARIABLES}",
            where="[[variables]]",
            fix="give a coordination number: name, pair and within" if not asked else None,
        )
    width = float(study.boxes[s].edges[1])
    functions = [_variable(study, s, one) for one in asked]
    bins = max(int(np.flatnonzero(one.functions.any(axis=(0, 1))).max(initial=0)) + 1 for one in functions)
    variables = tuple(replace(one, functions=one.functions[:, :, :bins]) for one in functions)
    return Bias(variables, bins * width, settings.height, settings.factor)


def with_widths(bias: Bias, plain: Frames) -> Bias:
    """The bias with widths where they are open: half the standard deviation in frames without a bias.

    InputError where a variable does not change at all.
    """
    variables = []
    for one in bias.variables:
        width = one.width if math.isfinite(one.width) else 0.5 * float(one.values(plain.counts).std())
        if not width > 0:
            raise InputError("it does not change", where=f"[[variables]] {one.name!r}", fix="give a width, or another")
        variables.append(replace(one, width=width))
    return replace(bias, variables=tuple(variables))


def _variable(study: Study, s: int, asked: BiasVariable) -> Variable:
    width = math.nan if asked.width is None else asked.width
    if asked.pair is not None:
        return Variable(asked.name, _coordination(study, s, asked), np.zeros(1), None, width)
    target = _target(study, s, asked)
    shape = (-1, len(study.pairs), len(study.boxes[s].edges) - 1)
    matrix, constant = target.operator.matrix, target.operator.constant
    if asked.band is not None:
        inside = (target.x >= asked.band[0]) & (target.x <= asked.band[1])
        if not inside.any():
            raise InputError(
                f"no point of {asked.data!r} lies from {asked.band[0]:g} to {asked.band[1]:g}; it is fitted from "
                f"{target.x[0]:g} to {target.x[-1]:g}",
                where=f"[[variables]] {asked.name!r}",
            )
        return Variable(
            asked.name,
            matrix[inside].mean(axis=0).reshape(1, *shape[1:]),
            np.array([constant[inside].mean()]),
            None,
            width,
        )
    rows, constants, rest = _distance(target, study.boxes[s].ideal_counts.ravel())
    return Variable(asked.name, rows.reshape(shape), constants, rest, width)


def _coordination(study: Study, s: int, asked: BiasVariable) -> Array:
    """(1, pairs, bins): what a pair adds to the mean number of neighbours; a smooth step of fifth order."""
    assert asked.pair is not None
    assert asked.within is not None
    where = f"[[variables]] {asked.name!r}: pair"
    a, b = asked.pair
    row = pair_index(study.pairs, asked.pair, where)
    box = study.boxes[s]
    centres = (box.edges[1:] + box.edges[:-1]) / 2
    if asked.within + asked.softness / 2 > box.r_max:
        raise InputError(
            f"neighbours are counted to {asked.within + asked.softness / 2:g} Å, beyond half the box ({box.r_max:.2f})",
            where=f"[[variables]] {asked.name!r}: within",
        )
    x = np.clip((centres - asked.within) / asked.softness + 0.5, 0.0, 1.0)
    step = 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)
    functions = np.zeros((1, len(study.pairs), len(centres)))
    functions[0, row] = (2.0 if a == b else 1.0) * step / study.systems[s].n_per_species[study.species.index(a)]
    return functions


def _target(study: Study, s: int, asked: BiasVariable) -> Target:
    assert asked.data is not None
    target = study.targets.get(asked.data)
    if target is None or target.is_number or target.state != s:
        curves = [name for name, one in study.targets.items() if not one.is_number and one.state == s]
        raise InputError(
            f"{asked.data!r} is no measured curve of this state",
            where=f"[[variables]] {asked.name!r}: data",
            fix=f"give one of {', '.join(curves)}" if curves else "give a pair",
        )
    return target


def _distance(target: Target, ideal: Array) -> tuple[Array, Array, float]:
    """d = |A h + c - y| / |y - baseline| as sqrt(sum_l (v_l h + b_l)^2 + rest^2): rows v, constants b, and rest.

    The rows are the directions of A that matter, by its singular values: a curve of hundreds of points has a few tens.
    ideal: (pairs * bins,) counts of an ideal gas; a direction matters by how it changes with counts that scatter by the
    root of these.
    """
    scatter = np.sqrt(np.maximum(ideal, ideal[ideal > 0].min()))
    size = float(np.linalg.norm(target.y - target.baseline))
    apart = (target.operator.constant - target.y) / size
    left, values, right = np.linalg.svd(target.operator.matrix * scatter / size, full_matrices=False)
    kept = values > KEPT * values[0]
    rows = values[kept, None] * right[kept] / scatter
    constants = left[:, kept].T @ apart
    return rows, constants, math.sqrt(max(0.0, float(apart @ apart - constants @ constants)))
