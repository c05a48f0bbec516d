"""A measured curve together with the whole convention it is written in.

A `Curve` carries its quantity and its normalisation (`refine.curves.quantities`), and nothing in refine compares two
curves of different kinds without `refine.curves.convert`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.curves.forms import Form, form_of
from refine.curves.quantities import NORMALISATIONS, RADIATIONS, WINDOWS, is_q_space, quantity_of, why_undefined
from refine.curves.resolution import Resolution
from refine.curves.weights import Charges, Isotopes, amplitudes, distinct_factor, self_intensity, self_scattering
from refine.errors import ConversionError, InputError
from refine.formula import element_of

Array = NDArray[np.float64]
T = TypeVar("T")

MINIMUM_POINTS = 5
"""Fewer points are a mistake (a wrong file, a wrong delimiter), not a curve."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve and its convention. Immutable; checked when made.

    Attributes:
        x: (n,) Q in 1/Å or r in Å, increasing, not negative.
        y: (n,) values.
        sigma: (n,) standard errors, >= 0, or None where unknown.
        quantity: one of `refine.curves.quantities.QUANTITIES`.
        normalisation: "faber-ziman", "keen" or "<f^2>".
        radiation: "neutron" or "xray"; None only for a partial.
        window: "none" or "lorch": of the transform that made an r-space curve; for a Q-space curve the one to use when
            it is transformed to r.
        q_min, q_max: 1/Å; of an r-space curve the range of the transform that made it, None where unknown; of a
            Q-space curve always the range of x.
        number_density: ρ of the whole material, atoms/Å^3, or None.
        composition: atomic fractions by species (any positive amounts are accepted and scaled to sum one).
        isotopes: of species that are not natural: the mass number of a pure isotope, e.g. {"Ar": 36}, or shares by mass
            number, e.g. {"H": {1: 0.5, 2: 0.5}}.
        charges: of ions and of modified x-ray form factors (`refine.curves.weights.form_factors`).
        pair: the two species of a partial, or None for a total.
        per: atoms of the unit that I(Q) is of, a molecule or formula unit; one: per atom.
        incoherent: whether I(Q) of neutrons has the incoherent scattering in it.
        resolution: of the instrument, which a model is seen through and which stays in the curve.
        name: what messages and reports call the curve.
        source: where it came from, e.g. the path of its file.
        header: keys found in the file's header, as text.

    Raises:
        InputError: anything that contradicts the above; the message starts with the name or source.

    >>> x = np.arange(0.5, 10.0, 0.5)
    >>> curve = Curve(x, np.ones_like(x), quantity="S(Q)", composition={"Si": 1, "O": 2}, name="silica")
    >>> curve.species, curve.fractions.round(3).tolist(), (curve.q_min, curve.q_max)
    (('Si', 'O'), [0.333, 0.667], (0.5, 9.5))
    >>> len(curve.cropped(2.0, 8.0).x)
    13
    >>> Curve(x, np.ones_like(x), radiation="light")
    Traceback (most recent call last):
        ...
    refine.errors.InputError: S(Q): unknown radiation 'light'; use "neutron" or "xray"
    """

    x: Array
    y: Array
    sigma: Array | None = None
    quantity: str = "S(Q)"
    normalisation: str = "faber-ziman"
    radiation: str | None = "neutron"
    window: str = "none"
    q_min: float | None = None
    q_max: float | None = None
    number_density: float | None = None
    composition: Mapping[str, float] = field(default_factory=dict)
    isotopes: Isotopes = field(default_factory=dict)
    charges: Charges = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    per: float = 1.0
    incoherent: bool = False
    resolution: Resolution = field(default_factory=Resolution)
    name: str = ""
    source: str = ""
    header: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Frozen: fields are normalised once, here.
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("x", _column(self.x, "x", self.label))
        put("y", _column(self.y, "y", self.label))
        if self.sigma is not None:
            put("sigma", _column(self.sigma, "sigma", self.label))
        if self.pair is not None:
            put("pair", (self.pair[0], self.pair[1]))
        amount = sum(self.composition.values())
        if self.composition and not (all(v > 0 for v in self.composition.values()) and math.isfinite(amount)):
            raise InputError("amounts in the composition must be positive", where=self.label)
        put("composition", {element: value / amount for element, value in self.composition.items()})
        _check_convention(self)
        _check_values(self)
        if self.in_q_space:
            put("q_min", float(self.x[0]))
            put("q_max", float(self.x[-1]))

    @property
    def label(self) -> str:
        """What messages call the curve: its file, else its name, else its quantity."""
        return self.source or self.name or self.quantity

    @property
    def in_q_space(self) -> bool:
        """Whether x is Q (else r)."""
        return is_q_space(self.quantity)

    @property
    def species(self) -> tuple[str, ...]:
        """The species of the composition, in its order."""
        return tuple(self.composition)

    @property
    def fractions(self) -> Array:
        """Atomic fractions, (S,), in the order of `species`."""
        return np.array(list(self.composition.values()), dtype=np.float64)

    def distinct_factor(self, q: ArrayLike, normalisation: str | None = None) -> Array:
        """k(Q) of `refine.curves.quantities`, (nq,), in the curve's own or another normalisation.

        Raises:
            ConversionError: the composition is needed and unknown.
        """
        grid = np.atleast_1d(np.asarray(q, dtype=np.float64))
        wanted = self.normalisation if normalisation is None else normalisation
        if wanted == "faber-ziman" or self.pair is not None or self.radiation is None:
            return np.ones_like(grid)
        if not self.composition:
            raise ConversionError(
                f"the {wanted} normalisation needs the composition",
                where=self.label,
                fix='give composition, e.g. {"Si": 1, "O": 2}',
            )
        return distinct_factor(wanted, self.radiation, self.fractions, self.amplitudes(grid))

    def amplitudes(self, q: Array) -> Array:
        """Scattering amplitudes of its species on q (nq,) 1/Å, (S, nq) (`refine.curves.weights.amplitudes`)."""
        assert self.radiation is not None
        return amplitudes(
            self.radiation, self.species, q, isotopes=self._own(self.isotopes), charges=self._own(self.charges)
        )

    def self_scattering(self) -> Array:
        """Of neutrons, coherent and incoherent, (S,) fm^2 (`refine.curves.weights.self_scattering`)."""
        return self_scattering(self.species, self._own(self.isotopes))

    def self_intensity(self, q: Array) -> Array:
        """What an atom scatters by itself, (nq,) in electron units or barn/sr (`refine.curves.weights.self_intensity`).

        Raises:
            ConversionError: the composition is unknown.
        """
        if not self.composition or self.radiation is None:
            raise ConversionError(
                "I(Q) needs the composition", where=self.label, fix='give composition, e.g. {"Si": 1, "O": 2}'
            )
        isotopes, charges = self._own(self.isotopes), self._own(self.charges)
        return self_intensity(
            self.radiation,
            self.species,
            self.fractions,
            q,
            isotopes=isotopes,
            charges=charges,
            incoherent=self.incoherent,
        )

    def _own(self, table: Mapping[str, T]) -> dict[str, T]:
        """Entries of its own species."""
        known = {*self.species, *map(element_of, self.species)}
        return {name: given for name, given in table.items() if name in known}

    def form(self, quantity: str, normalisation: str, x: Array) -> Form:
        """How a quantity depends on i(Q) or D(r) of the same normalisation on the points x, (n,).

        Raises:
            ConversionError: the number density or the composition is needed and unknown.
        """
        # `why_undefined` has excluded T(r) and J(r) where k depends on Q.
        definition = quantity_of(quantity, normalisation)
        return form_of(
            definition,
            x,
            self.number_density,
            lambda: self.distinct_factor(0.0, normalisation)[0],
            self.label,
            alone=lambda: self.self_intensity(x),
            atoms=self.per,
        )

    def cropped(self, low: float, high: float) -> Curve:
        """The points with low <= x <= high; in r space the Q range of the transform stays as it is.

        Raises:
            InputError: fewer than `MINIMUM_POINTS` remain.
        """
        keep = (self.x >= low) & (self.x <= high)
        if keep.sum() < MINIMUM_POINTS:
            raise InputError(
                f"only {keep.sum()} points lie between {low:g} and {high:g}; the curve covers {self.x[0]:g} to "
                f"{self.x[-1]:g}",
                where=self.label,
                fix="widen the range",
            )
        sigma = None if self.sigma is None else self.sigma[keep]
        return replace(self, x=self.x[keep], y=self.y[keep], sigma=sigma)


def _column(values: object, name: str, where: str) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} must be one column, not an array of shape {array.shape}", where=where)
    array.flags.writeable = False
    return array


def _check_convention(curve: Curve) -> None:
    where, quantity, normalisation = curve.label, curve.quantity, curve.normalisation
    q_space = is_q_space(quantity)
    if normalisation not in NORMALISATIONS:
        raise InputError(
            f"unknown normalisation {normalisation!r}", where=where, fix=f"use one of {', '.join(NORMALISATIONS)}"
        )
    if curve.window not in WINDOWS:
        raise InputError(f"unknown window {curve.window!r}", where=where, fix='use "none" or "lorch"')
    if curve.pair is None and curve.radiation not in RADIATIONS:
        raise InputError(f"unknown radiation {curve.radiation!r}", where=where, fix='use "neutron" or "xray"')
    if curve.pair is not None and curve.composition:
        for element in curve.pair:
            if element not in curve.composition:
                raise InputError(f"{element!r} of the pair is not in the composition", where=where)
    if not (math.isfinite(curve.per) and curve.per > 0):
        raise InputError(f"{curve.per:g} atoms are no unit of I(Q)", where=where, fix="give how many atoms it has")
    objection = why_undefined(quantity, normalisation, curve.radiation, curve.pair)
    if objection is not None:
        raise InputError(objection[0], where=where, fix=f"declare {objection[1]}")
    if curve.number_density is not None and not (math.isfinite(curve.number_density) and curve.number_density > 0):
        raise InputError(f"the number density {curve.number_density} is not positive", where=where)
    if q_space:  # its Q range is that of x
        return
    low, high = curve.q_min, curve.q_max
    if (low is not None and not (math.isfinite(low) and low >= 0)) or (
        high is not None and not (math.isfinite(high) and high > (low or 0.0))
    ):
        raise InputError(f"the Q range {low} to {high} 1/Å is not a range", where=where, fix="give q_min < q_max")
    if curve.window == "lorch" and high is None:
        raise InputError(
            "the Lorch window of this curve ended at some Q_max, which is unknown",
            where=where,
            fix="give q_range = [q_min, q_max] of the transform that made the curve",
        )


def _check_values(curve: Curve) -> None:
    where, axis = curve.label, "Q" if curve.in_q_space else "r"
    x, y, sigma = curve.x, curve.y, curve.sigma
    if len(x) < MINIMUM_POINTS:
        raise InputError(f"only {len(x)} points; a curve needs at least {MINIMUM_POINTS}", where=where)
    for name, values in (("y", y), ("sigma", sigma)):
        if values is not None and len(values) != len(x):
            raise InputError(f"x has {len(x)} points and {name} has {len(values)}", where=where)
    for name, values in ((axis, x), (curve.quantity, y), ("sigma", sigma)):
        if values is not None and not np.all(np.isfinite(values)):
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(
                f"{name} is {values[at]} at point {at + 1}", where=where, fix="remove the point or mend its number"
            )
    steps = np.diff(x)
    if np.any(steps <= 0):
        at = int(np.flatnonzero(steps <= 0)[0])
        what = "appears twice" if steps[at] == 0 else f"follows {x[at]:g}"
        raise InputError(
            f"{axis} = {x[at + 1]:g} {what} (point {at + 2}); {axis} must increase",
            where=where,
            fix="sort the rows and keep one of each" if steps[at] else "keep one of the two rows",
        )
    if x[0] < 0:
        raise InputError(f"{axis} = {x[0]:g} is negative", where=where, fix="remove the rows below zero")
    if sigma is not None and np.any(sigma < 0):
        at = int(np.flatnonzero(sigma < 0)[0])
        raise InputError(
            f"sigma is {sigma[at]:g} at {axis} = {x[at]:g}; a standard error is not negative",
            where=where,
            fix="keep only the columns x, y[, sigma]",
        )
