"""The potential along the parameter that is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.correction import PairCorrection, bin_average
from refine.potentials.pairs import PairForceField
from refine.tasks.sensitivity.asked import Parameter

if TYPE_CHECKING:
    from refine.sampling.engine import EngineField
    from refine.study.study import Study

Array = NDArray[np.float64]

DELTA_KT, DELTA_BASE = 0.3, 0.02
"""Default displacement in finite differences: kT of a coefficient, and share of a parameter of the base."""

DERIVATIVE = 1e-4
"""Relative step in d(pair energy)/d(parameter of the base)."""


class Direction(Protocol):
    """The potential as a function of one parameter."""

    unit: str
    """Of the parameter."""
    value: float
    """Of the parameter, where the derivative is taken."""
    delta: float
    """Default displacement in finite differences."""
    step: float
    """For the derivative of params: any for a coefficient, in which they are linear, small for the base."""

    def number(self, edges: Array) -> Array:
        """dU/dp of a pair in each bin, (pairs, bins): N = Σ h times it."""

    def params(self, field: EngineField, shift: float) -> Any:
        """A potential's params with the parameter shifted."""


class Coefficient(Direction):
    """The correction along one of its coefficients, the one whose centre is nearest to the r asked for (eV).

    The derivative is taken at the initial correction of the study. Raises InputError where the pair is not corrected,
    or no coefficient is near.
    """

    unit = "eV"

    def __init__(self, study: Study, parameter: Parameter, state: int) -> None:
        assert parameter.pair is not None
        assert parameter.r is not None
        temperature = study.problem.temperatures[state]
        self.correction: PairCorrection = study.initial_correction().at(temperature)
        c = self.correction
        matching = [p for p in c.active_pairs if sorted(c.pairs[p]) == sorted(parameter.pair)]
        if not matching:
            names = ", ".join("-".join(c.pairs[p]) for p in c.active_pairs)
            raise InputError(f"{'-'.join(parameter.pair)} is no corrected pair", fix=f"one of {names}")
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

    def params(self, field: EngineField, shift: float) -> Any:
        coefficients = self.correction.coefficients.copy()
        coefficients[self.pair, self.k] += shift
        return field.params(replace(self.correction, coefficients=coefficients))


class BaseParameter(Direction):
    """A classical base along one of the numbers of its [model.parameters].

    The derivative of its pair energies is a central difference over `step`. Raises InputError where the base has no
    such number, or the study does not give it.
    """

    def __init__(self, study: Study, parameter: Parameter, state: int) -> None:
        self.study, self.parameter = study, parameter
        self.correction = study.initial_correction().at(study.problem.temperatures[state])
        model: Any = study.config.model
        if study.base_energies(np.array([1.0])) is None:
            raise InputError(
                f"base '{model.base}' has no parameter '{parameter.name}'",
                where="[model]",
                fix='only classical bases without dispersion have; ask for a coefficient like "Ar-Ar@3.8"',
            )
        given = model.parameters  # which every sum of pair functions has
        if parameter.name not in given:
            fix = f"one of {', '.join(given)}" if given else "write it there, with the value that the base has"
            if model.pairs:  # whose numbers are those of one pair each
                fix = 'ask for a coefficient like "Ar-Ar@3.8"'
            raise InputError(f"'{parameter.name}' is no parameter of the base", where="[model.parameters]", fix=fix)
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
        model: Any = study.config.model
        parameters: dict[str, Any] = dict(model.parameters)
        moved = self.value + shift
        parameters[parameter.name] = (
            moved if parameter.key is None else {**parameters[parameter.name], parameter.key: moved}
        )
        moved_model = model.model_copy(update={"parameters": parameters})
        return study.base_kind.read(moved_model, study.species, study.pairs, study.config.correction.r_cut)

    def number(self, edges: Array) -> Array:
        up, down, inner = self._base(self.step), self._base(-self.step), self.study.base.inner

        def slope(r: Array) -> Array:
            outside = np.maximum(r, inner)
            return np.asarray((up.energy(outside) - down.energy(outside)) / (2.0 * self.step))

        return bin_average(slope, edges)

    def params(self, field: EngineField, shift: float) -> Any:
        assert isinstance(field, PairForceField)
        return field.params(self.correction, self._base(shift))
