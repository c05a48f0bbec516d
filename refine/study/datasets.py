"""What was measured, bound to the boxes that it is compared with: curves, predicted curves, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refine.curves.checks import check_curve
from refine.curves.checks.common import forbidden_below
from refine.curves.curve import Curve
from refine.curves.quantities import is_q_space
from refine.curves.readers import read_curve
from refine.curves.resolution import Resolution
from refine.curves.weights import Isotopes
from refine.errors import InputError
from refine.formula import atoms_in, element_of
from refine.progress import Progress
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.observables.keys import MeasuredNumber
from refine.refinement.problem import Target
from refine.scattering.background import Background, flat_background, smooth_background
from refine.scattering.compared import Fit, Measurement
from refine.scattering.measurement import ForwardModel
from refine.study.choices.choice import Choice
from refine.study.choices.measured import first_r, isotopes, sigma
from refine.study.schema import Data, StudyConfig
from refine.system import Box

Array = NDArray[np.float64]

BACKGROUND_SHARE = 0.1
"""Default prior of a flat background, as a share of the curve's rms signal; that of a smooth one is the rms itself."""


PREDICTED_STEP = 0.02
"""1/Å and Å between the points of a predicted curve."""


@dataclass(frozen=True)
class Prediction:
    """A [[data]] entry of role "predict": a curve of the model that nothing is compared with.

    Attributes:
        measurement: of a curve without features in place of a measured one, which is the mean-field continuation of
            g(r) = 1 beyond the box; its `shown` and `total` are the prediction, its values mean nothing.
    """

    name: str
    state: int
    measurement: Measurement


@dataclass(frozen=True)
class DataSet:
    """One [[data]] entry bound to its state's box.

    doubts: what looks odd in the curve for what it is declared to be, in words (`refine.curves.checks`).
    background: modes that a free background has; None of a curve in r.
    whole, spread: of a curve with a free background of which a part is fitted, all of it, and the prior standard
        deviation of its background (`scored`).
    choices: what was decided where the entry says nothing (`refine.study.choices.measured`).
    """

    name: str
    state: int
    role: str
    measurement: Measurement
    fit: Fit
    doubts: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    background: Background | None = None
    whole: Fit | None = None
    spread: float = 0.0


@dataclass(frozen=True)
class NumberSet:
    """One [[data]] entry of a number, bound to its state's box.

    Attributes:
        entry: as it was measured.
        target: as an update rule sees it, a curve of one point: in the unit of its observable, which for a density is
            that of a pressure.
    """

    name: str
    state: int
    role: str
    entry: MeasuredNumber
    target: Target


def tell_doubts(datasets: Sequence[DataSet], progress: Progress, notes: Sequence[str] = ()) -> None:
    """Say what looks odd in measured curves before anything is sampled.

    notes: of the systems (`refine.study.systems.notes_of`).
    """
    for note in notes:
        progress.message(f"note: {note}")
    for data in datasets:
        for doubt in data.doubts:
            progress.message(f"warning: {data.name}: {doubt}")


def read_numbers(config: StudyConfig, boxes: Sequence[Box]) -> list[NumberSet]:
    """Every measured number bound to the box of its state; one box for each state.

    Raises:
        InputError: the box cannot tell it, or the state contradicts it.
    """
    names = [state.name for state in config.states]
    states = [names.index(config.state_of(entry).name) for entry in config.numbers]
    return [
        number_set(entry, s, boxes[s], config.states[s].temperature)
        for entry, s in zip(config.numbers, states, strict=True)
    ]


def number_set(entry: MeasuredNumber, state: int, box: Box, temperature: float) -> NumberSet:
    """A measured number bound to the box of its state at a temperature (K)."""
    value, sigma = entry.goal(box)
    measured, variance = np.array([value]), np.array([[sigma**2]])
    observable = entry.observable(box, temperature)
    target = Target(entry.name, state, entry.quantity, None, measured, variance, True, observable, entry.weight)
    return NumberSet(entry.name, state, entry.role, entry, target)


def read_datasets(config: StudyConfig, boxes: Sequence[Box]) -> list[DataSet]:
    """Every measured [[data]] entry read, checked and bound to the box of its state; one box for each state.

    Raises:
        InputError: a curve that cannot be read, or contradicts its declaration (`check_curve`).
    """
    names = [state.name for state in config.states]
    datasets = []
    for data in config.curves:
        if data.role == "predict":
            continue
        state = names.index(config.state_of(data).name)
        box = boxes[state]
        curve = read_curve(
            data.path,
            quantity=data.quantity,
            normalisation=data.normalisation,
            radiation=data.radiation,
            number_density=box.number_density,
            composition=dict(zip(box.species, box.fractions.tolist(), strict=True)),
            isotopes=isotopes_of(data, box),
            charges=data.charges,
            pair=data.pair,
            window=data.window,
            q_range=data.q_range,
            columns=data.columns,
            block=data.block,
            abscissa=data.abscissa,
            per=atoms_of(data, box),
            incoherent=bool(data.incoherent),
            name=data.name,
            check=False,  # with the errors that the study states, below
        )
        if not curve.in_q_space and curve.pair is None and curve.q_max is None:
            raise InputError(
                f"the Q range of the transform behind this {curve.quantity} is not known, and without it the model "
                "would be compared unbroadened",
                where=f"[[data]] {data.name}",
                fix="give q_range = [Q_min, Q_max]",
            )
        curve = replace(curve, sigma=_errors(data, curve), resolution=Resolution(*data.widths))
        doubts = tuple(check_curve(curve))
        background = background_of(data, curve)
        model = ForwardModel(curve, box, background)
        measurement = model.measurement(data.score_r)
        begins = first_r(curve) if data.fit_r is None else None
        fit = model.fit(data.fit_q, data.fit_r if begins is None else (begins[0], min(box.r_max, float(curve.x[-1]))))
        chosen = (sigma(curve, fit), None if begins is None else begins[1], *isotopes(curve, data.isotopes))
        choices = tuple(filter(None, chosen))
        narrower = data.fit_q is not None or data.fit_r is not None
        whole = model.fit(None, None) if narrower and data.free_background else None
        spread = 0.0 if whole is None else _spread(data, whole)
        found = DataSet(data.name, state, data.role, measurement, fit, doubts, choices, background, whole, spread)
        datasets.append(found)
    return datasets


def atoms_of(data: Data, box: Box) -> float:
    """Of the unit that an intensity is of.

    Raises:
        InputError: it is a formula of another material than the box.
    """
    if data.per is None or data.per == "atom":
        return 1.0
    atoms = atoms_in(data.per, dict(zip(box.species, box.fractions.tolist(), strict=True)))
    if atoms is None:
        raise InputError(
            f"per = {data.per!r} is no formula of this material",
            where=f"[[data]] {data.name}",
            fix='give its formula unit, or per = "atom"',
        )
    return atoms


def background_of(data: Data, curve: Curve) -> Background | None:
    """The modes of a curve's background, whether or not it is free; None of a curve in r."""
    if not curve.in_q_space:
        return None
    if isinstance(data.free_background, bool):
        return flat_background(curve.x)
    degree = int(data.free_background.partition(":")[2])
    return smooth_background(curve.x, degree, data.background_below or forbidden_below(curve))


def isotopes_of(data: Data, box: Box) -> Isotopes:
    """Those that an entry states; of elements of which it says nothing, what the start structure says."""
    if data.radiation != "neutron":
        return data.isotopes
    stated = {element_of(name) for name in data.isotopes}
    return {
        **{name: number for name, number in box.isotopes.items() if element_of(name) not in stated},
        **data.isotopes,
    }


def _errors(data: Data, curve: Curve) -> Array | None:
    """Standard errors (n,) of the measured points: what the study states of them, else the file's, if any."""
    where = f"[[data]] {data.name}"
    if data.sigma == "file" and curve.sigma is None:
        raise InputError(
            'sigma = "file" and no standard errors are read from the file',
            where=where,
            fix='use sigma = "auto", a number or points, or name their column as the third of columns',
        )
    if isinstance(data.sigma, str):
        return curve.sigma
    if isinstance(data.sigma, float):
        return np.full(len(curve.x), data.sigma)
    x, errors = np.transpose(data.sigma)
    if x[-1] < curve.x[0] or x[0] > curve.x[-1]:
        raise InputError(
            f"the points of sigma lie from {x[0]:g} to {x[-1]:g}, and the curve from {curve.x[0]:g} to {curve.x[-1]:g}",
            where=where,
            fix="give them in the units of the curve's x, 1/Å or Å",
        )
    return np.asarray(np.interp(curve.x, x, errors))


def read_predictions(config: StudyConfig, boxes: Sequence[Box]) -> list[Prediction]:
    """Every [[data]] entry of role "predict", bound to the box of its state; one box for each state."""
    names = [state.name for state in config.states]
    found = []
    for data in config.curves:
        if data.role == "predict":
            state = names.index(config.state_of(data).name)
            model = ForwardModel(_featureless(data, boxes[state]), boxes[state])
            found.append(Prediction(data.name, state, model.measurement(data.score_r)))
    return found


def _featureless(data: Data, box: Box) -> Curve:
    """What would have been measured of atoms that know nothing of each other, on the points of the prediction."""
    in_q = is_q_space(data.quantity)
    if in_q:
        assert data.q_range is not None  # the config refuses a prediction without
        low, high = data.q_range
        points = low + PREDICTED_STEP * np.arange(1.0 + int((high - low) / PREDICTED_STEP + 1e-9))
    else:
        points = PREDICTED_STEP * np.arange(1.0, 1.0 + int(box.r_max / PREDICTED_STEP))
    curve = Curve(
        x=points,
        y=np.zeros(len(points)),
        quantity=data.quantity,
        normalisation=data.normalisation,
        radiation=data.radiation,
        window=data.window,
        q_min=None if in_q or data.q_range is None else data.q_range[0],
        q_max=None if in_q or data.q_range is None else data.q_range[1],
        number_density=box.number_density,
        composition=dict(zip(box.species, box.fractions.tolist(), strict=True)),
        isotopes=isotopes_of(data, box),
        charges=data.charges,
        pair=data.pair,
        per=atoms_of(data, box),
        incoherent=bool(data.incoherent),
        resolution=Resolution(*data.widths),
        name=data.name,
    )
    return replace(curve, y=curve.form(data.quantity, data.normalisation, points).offset)


def target_of(config: StudyConfig, pairs: Sequence[tuple[str, str]], data: DataSet) -> Target:
    """A data set as an update rule sees it, whether it is fitted or not."""
    entry = next(entry for entry in config.curves if entry.name == data.name)
    curve, pair, index = data.measurement.curve, data.measurement.curve.pair, None
    if pair is not None:
        index = next(i for i, p in enumerate(pairs) if sorted(p) == sorted(pair))
    elif len(pairs) == 1:
        index = 0
    fit = data.fit
    return Target(
        data.name,
        data.state,
        "T(r)" if curve.in_q_space and entry.fit_r is not None else curve.quantity,
        index,
        fit.values,
        fit.covariance,
        fit.sigma_known,
        CurveObservable(fit.operator),
        entry.weight,
        entry.free_scale,
        entry.scale_prior,
        fit.background if entry.free_background else None,
        _spread(entry, fit) * data.background.spreads if entry.free_background and data.background else np.zeros(0),
    )


def scored(data: DataSet, target: Target) -> Target:
    """What the scale and background that R_chi is taken at are the most probable for: the target, on all measured Q
    where a background is free.

    T(r) is a transform of all of them. A background that a narrower fit found grows like a polynomial beyond its range,
    ends in a step at the last Q, and T(r) has the ripples of that step at all r.
    """
    if data.whole is None or data.background is None:
        return target
    return replace(
        target,
        quantity=data.measurement.curve.quantity,
        y=data.whole.values,
        covariance=data.whole.covariance,
        sigma_known=data.whole.sigma_known,
        observable=CurveObservable(data.whole.operator),
        background=data.whole.background,
        background_prior=data.spread * data.background.spreads,
    )


def _spread(entry: Data, fit: Fit) -> float:
    """Prior standard deviation of a background, in units of the curve."""
    return entry.background_prior or (BACKGROUND_SHARE if entry.free_background is True else 1.0) * _rms(fit)


def _rms(fit: Fit) -> float:
    """rms signal of a fitted curve, in its units."""
    return float(np.sqrt(np.mean((fit.values - fit.operator.baseline) ** 2)))
