"""A measured curve together with the whole convention it is written in.

Names collide in this field ("G(r)" is three functions, "F(Q)" two), so a `Curve` carries them and nothing in refine
compares two curves of different kinds without `refine.curves.convert`. With S(Q) the Faber-Ziman structure factor,
g(r) the (radiation-weighted) pair distribution function, ρ the number density, and k(Q) the factor of the declared
normalisation (`refine.curves.weights.distinct_factor`: 1 for "faber-ziman", <f>^2 for "keen", <f>^2/<f^2> for "<f^2>"):

| quantity | definition | limits | defined for |
| --- | --- | --- | --- |
| S(Q) | 1 + k [S(Q) - 1] | -> 1 at high Q | faber-ziman, <f^2> |
| F(Q), i(Q) (one quantity, two names) | k [S(Q) - 1] | -> 0 at high Q | all |
| Q[S(Q)-1] | Q k [S(Q) - 1]; PDFgetX3 calls it F(Q) | -> 0 at high Q | all |
| D(r) | (2/π) ∫ Q k [S(Q) - 1] M(Q) sin(Qr) dQ | -4πρ k r at low r, 0 at high r | all |
| G(r), faber-ziman and <f^2> | D(r), the G(r) of PDFgui and PDFgetX3 | as D(r) | |
| G(r), keen | D(r) / (4πρ r), eq. 10 of Keen: Σ c c b b [g_ij - 1] | -k at low r, 0 at high r | |
| g(r) | 1 + D(r) / (4πρ r) | 0 at low r, 1 at high r | faber-ziman |
| T(r) | D(r) + 4πρ k r | 0 at low r, 4πρ k r at high r | k independent of Q |
| J(r) | r T(r) = 4πρ k r^2 g(r), the radial distribution function | 0 at low r | k independent of Q |

k does not depend on Q for neutrons, for partials (k = 1) and for "faber-ziman". A partial (`pair` given) is the
Faber-Ziman A_ij(Q) or its transform with the number density of the whole material. Units: Q in 1/Å, r in Å, D, T in
1/Å^2 (keen: barn/Å^2), J in 1/Å, ρ in atoms/Å^3.

Source: Keen, J. Appl. Cryst. 34, 172 (2001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.curves.weights import NORMALISATIONS, RADIATIONS, amplitudes, distinct_factor
from refine.errors import ConversionError, InputError

Array = NDArray[np.float64]

Q_QUANTITIES = ("S(Q)", "F(Q)", "i(Q)", "Q[S(Q)-1]")
R_QUANTITIES = ("g(r)", "G(r)", "D(r)", "T(r)", "J(r)")
QUANTITIES = Q_QUANTITIES + R_QUANTITIES

MINIMUM_POINTS = 5
"""Fewer points are a mistake (a wrong file, a wrong delimiter), not a curve."""


def is_q_space(quantity: str) -> bool:
    """Whether the quantity is a function of Q (else of r).

    Raises:
        InputError: the name is none of `QUANTITIES`.
    """
    if quantity not in QUANTITIES:
        raise InputError(f"unknown quantity {quantity!r}", where="quantity", fix=f"use one of {', '.join(QUANTITIES)}")
    return quantity in Q_QUANTITIES


def why_undefined(
    quantity: str, normalisation: str, radiation: str | None, pair: tuple[str, str] | None
) -> tuple[str, str] | None:
    """Why a quantity does not exist in a normalisation, and what to use instead; None where it does (module table)."""
    if normalisation == "faber-ziman":
        return None
    if pair is not None:
        return f"a partial ({'-'.join(pair)}) is Faber-Ziman by definition", 'normalisation = "faber-ziman"'
    if quantity == "S(Q)" and normalisation == "keen":
        what = "S(Q) is not defined in the keen normalisation (it would tend to neither 0 nor 1)"
        return what, 'quantity = "F(Q)", or normalisation = "faber-ziman"'
    if quantity == "g(r)":
        what = f"g(r) is not defined in the {normalisation} normalisation"
        return what, 'quantity = "G(r)", or normalisation = "faber-ziman"'
    if quantity in ("T(r)", "J(r)") and radiation == "xray":
        what = f"{quantity} of x-rays is not defined in the {normalisation} normalisation, whose factor depends on Q"
        return what, 'quantity = "D(r)", or normalisation = "faber-ziman"'
    return None


@dataclass(frozen=True)
class Form:
    """A quantity y as an affine function of the canonical one c of its space, i(Q) or D(r): y = c / gain + offset.

    Attributes:
        gain: (n,); infinite or zero at x = 0 where the relation is 0/0.
        offset: (n,), in the unit of y.
    """

    gain: Array
    offset: Array


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve and its convention (module docstring). Immutable; checked when made.

    Attributes:
        x: (n,) Q in 1/Å or r in Å, increasing, not negative.
        y: (n,) values.
        sigma: (n,) standard errors, >= 0, or None where unknown.
        quantity: one of `QUANTITIES`.
        normalisation: "faber-ziman", "keen" or "<f^2>".
        radiation: "neutron" or "xray"; None only for a partial.
        window: "none" or "lorch": of the transform that made an r-space curve; for a Q-space curve the one to use when
            it is transformed to r.
        q_min, q_max: 1/Å; of an r-space curve the range of the transform that made it, None where unknown; of a
            Q-space curve always the range of x.
        number_density: ρ of the whole material, atoms/Å^3, or None.
        composition: atomic fractions by element (any positive amounts are accepted and scaled to sum one).
        isotopes: mass number of isotopically pure species, e.g. {"Ar": 36}.
        charges: ionic charges for x-ray form factors, e.g. {"Fe": 2, "O": -2}.
        pair: the two species of a partial, or None for a total.
        name: what messages and reports call the curve.
        source: where it came from, e.g. the path of its file.
        header: keys found in the file's header, as text.

    Raises:
        InputError: anything that contradicts the above; the message starts with the name or source.
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
    isotopes: Mapping[str, int] = field(default_factory=dict)
    charges: Mapping[str, int] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
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
        """k(Q) of the module docstring, (nq,), in the curve's own or another normalisation.

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
        species = self.species
        isotopes = {element: number for element, number in self.isotopes.items() if element in species}
        charges = {element: charge for element, charge in self.charges.items() if element in species}
        f = amplitudes(self.radiation, species, grid, isotopes=isotopes, charges=charges)
        return distinct_factor(wanted, self.radiation, self.fractions, f)

    def form(self, quantity: str, normalisation: str, x: Array) -> Form:
        """The table of the module as numbers: how a quantity depends on i(Q) or D(r) of the same normalisation.

        Raises:
            ConversionError: the number density or the composition is needed and unknown.
        """
        one, zero = np.ones_like(x), np.zeros_like(x)
        with np.errstate(divide="ignore"):
            if quantity == "S(Q)":
                return Form(one, one)
            if quantity == "Q[S(Q)-1]":
                return Form(1.0 / x, zero)
            if quantity in ("F(Q)", "i(Q)", "D(r)") or (quantity == "G(r)" and normalisation != "keen"):
                return Form(one, zero)
            if self.number_density is None:
                raise ConversionError(
                    f"{quantity} needs the number density", where=self.label, fix="give number_density in atoms/Å^3"
                )
            uniform = 4.0 * math.pi * self.number_density * x
            if quantity == "G(r)":
                return Form(uniform, zero)
            if quantity == "g(r)":
                return Form(uniform, one)
            # `why_undefined` has excluded T(r) and J(r) where k depends on Q.
            uniform = uniform * self.distinct_factor(0.0, normalisation)[0]
            return Form(one, uniform) if quantity == "T(r)" else Form(1.0 / x, uniform * x)

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
    if curve.window not in ("none", "lorch"):
        raise InputError(f"unknown window {curve.window!r}", where=where, fix='use "none" or "lorch"')
    if curve.pair is None and curve.radiation not in RADIATIONS:
        raise InputError(f"unknown radiation {curve.radiation!r}", where=where, fix='use "neutron" or "xray"')
    if curve.pair is not None and curve.composition:
        for element in curve.pair:
            if element not in curve.composition:
                raise InputError(f"{element!r} of the pair is not in the composition", where=where)
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
