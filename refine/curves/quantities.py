"""The names that a measured curve goes by: quantities, normalisations, radiations, windows; the only table of them.

Names collide in this field ("G(r)" is three functions, "F(Q)" two): docs/theory/conventions.md defines each of them,
with its limits and where it is defined, after Keen, J. Appl. Cryst. 34, 172 (2001). k(Q) there is
`refine.curves.weights.distinct_factor`. Units: Q in 1/Å, r in Å, D, T in 1/Å^2 (keen: barn/Å^2), J in 1/Å, ρ in
atoms/Å^3.

Every quantity is c times x^a / (4πρ x)^b plus an offset, with the canonical quantity c of its space: i(Q) in Q, D(r) in
r. The entries below say a, b and the offset; `refine.curves.forms` makes arrays of them. This module is plain Python,
so that the study file is checked against it before anything slow is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refine.errors import InputError

NORMALISATIONS = ("faber-ziman", "keen", "<f^2>")
RADIATIONS = ("neutron", "xray")
WINDOWS = ("none", "lorch")
ABSCISSAE = ("auto", "points", "left-edges", "centres")
"""What x of a file can be: points; left edges or centres of bins that y is the mean over; "auto" goes by the file."""


@dataclass(frozen=True)
class Quantity:
    """A quantity y as a function of the canonical one c of its space, i(Q) or D(r): y = c x^a / (4πρ x)^b + offset.

    Attributes:
        name: as users write it.
        space: "Q" or "r".
        times_x: a, 0 or 1.
        per_uniform: b, whether c is divided by 4πρ x.
        offset: "zero", "one", "uniform": 4πρ k x^(1 + a), or "self": what the atoms scatter by themselves, with c times
            the atoms of the unit.
        same_as: the first name of a quantity that has two.
        called: what files call it, a regular expression.

    >>> QUANTITIES["D(r)"].in_q_space, QUANTITIES["g(r)"].limit, QUANTITIES["Q[S(Q)-1]"].symbol
    (False, 1.0, 'Q[S(Q) − 1]')
    """

    name: str
    space: Literal["Q", "r"]
    times_x: int = 0
    per_uniform: bool = False
    offset: Literal["zero", "one", "uniform", "self"] = "zero"
    same_as: str | None = None
    called: str = ""

    @property
    def in_q_space(self) -> bool:
        """Whether it is a function of Q (else of r)."""
        return self.space == "Q"

    @property
    def limit(self) -> float | None:
        """What it tends to at large x; None where that is no number."""
        return {"zero": 0.0, "one": 1.0, "uniform": None, "self": None}[self.offset]

    @property
    def power_of_length(self) -> int:
        """n of the unit Å^n where S(Q) is dimensionless.

        >>> {name: quantity.power_of_length for name, quantity in QUANTITIES.items() if quantity.power_of_length}
        {'Q[S(Q)-1]': -1, 'G(r)': -2, 'D(r)': -2, 'T(r)': -2, 'J(r)': -1}
        """
        canonical, x = (0, -1) if self.in_q_space else (-2, 1)
        return canonical + self.times_x * x + (2 if self.per_uniform else 0)

    @property
    def symbol(self) -> str:
        """As it is typeset: Q[S(Q) − 1]."""
        return self.name.replace("-", " − ")


_TABLE = (
    Quantity("S(Q)", "Q", offset="one", called=r"S\s*\(\s*Q\s*\)(?!\s*-\s*1)"),
    Quantity("F(Q)", "Q", called=r"(?:F|i)K?\s*\(\s*Q\s*\)|S\s*\(\s*Q\s*\)\s*-\s*1|DCS"),
    Quantity("i(Q)", "Q", same_as="F(Q)"),
    Quantity("Q[S(Q)-1]", "Q", times_x=1, called=r"Q\s*\*?\s*[\[(]\s*S\s*\(\s*Q\s*\)\s*-\s*1"),
    Quantity("I(Q)", "Q", offset="self", called=r"\bI\w*\s*\(\s*Q\s*\)|\b[Ii]ntensity"),
    Quantity("g(r)", "r", per_uniform=True, offset="one", called=r"\bg\w*\s*\(\s*r\s*\)"),
    Quantity("G(r)", "r", called=r"\bG\w*\s*\(\s*r\s*\)"),
    Quantity("D(r)", "r", called=r"\bD\s*\(\s*r\s*\)"),
    Quantity("T(r)", "r", offset="uniform", called=r"\bT\s*\(\s*r\s*\)"),
    Quantity("J(r)", "r", times_x=1, offset="uniform", called=r"\bJ\s*\(\s*r\s*\)|\bRDF\b"),
)

QUANTITIES = {quantity.name: quantity for quantity in _TABLE}
"""By name, those of Q first. `quantity_of` gives the definition that goes with a normalisation."""

Q_QUANTITIES = tuple(quantity.name for quantity in _TABLE if quantity.in_q_space)
R_QUANTITIES = tuple(quantity.name for quantity in _TABLE if not quantity.in_q_space)

_KEEN = {"G(r)": Quantity("G(r)", "r", per_uniform=True)}
"""Names that mean another thing in the keen normalisation."""


def quantity_of(name: str, normalisation: str = "faber-ziman") -> Quantity:
    """The definition that a name has in a normalisation.

    Raises:
        InputError: the name is none of `QUANTITIES`.

    >>> quantity_of("G(r)").power_of_length, quantity_of("G(r)", "keen").power_of_length
    (-2, 0)
    """
    if name not in QUANTITIES:
        raise InputError(f"unknown quantity {name!r}", where="quantity", fix=f"use one of {', '.join(QUANTITIES)}")
    return _KEEN.get(name, QUANTITIES[name]) if normalisation == "keen" else QUANTITIES[name]


def units(name: str, normalisation: str, radiation: str | None) -> tuple[str, int]:
    """The unit of a curve's numbers: of the scattering, empty where there is none, times this power of Å.

    Keen's normalisation keeps Σ c c b b: barn per steradian and atom for neutrons, electron units for x-rays. His G(r)
    is that sum times g - 1, with no 4 pi rho r.

    >>> units("T(r)", "faber-ziman", "xray"), units("D(r)", "keen", "neutron")
    (('', -2), ('barn/sr', -2))
    """
    keen = normalisation == "keen" and name != "g(r)"
    scattering = {"neutron": "barn/sr", "xray": "e.u."}.get(radiation or "", "") if keen else ""
    return scattering, quantity_of(name, normalisation).power_of_length


def is_q_space(name: str) -> bool:
    """Whether the quantity is a function of Q (else of r).

    Raises:
        InputError: the name is none of `QUANTITIES`.

    >>> is_q_space("Q[S(Q)-1]"), is_q_space("D(r)")
    (True, False)
    """
    return quantity_of(name).in_q_space


def same_quantity(first: str, second: str) -> bool:
    """Whether two names, each one of `QUANTITIES`, are of one quantity.

    >>> same_quantity("i(Q)", "F(Q)"), same_quantity("i(Q)", "S(Q)")
    (True, False)
    """
    one, other = quantity_of(first), quantity_of(second)
    return (one.same_as or one.name) == (other.same_as or other.name)


def why_undefined(
    quantity: str, normalisation: str, radiation: str | None, pair: tuple[str, str] | None
) -> tuple[str, str] | None:
    """Why a quantity does not exist in a normalisation, and what to use instead; None where it does (module table).

    >>> why_undefined("S(Q)", "faber-ziman", "neutron", None) is None
    True
    >>> why_undefined("S(Q)", "keen", "neutron", None)[1]
    'quantity = "F(Q)", or normalisation = "faber-ziman"'
    """
    if quantity == "I(Q)" and pair is not None:
        return f"I(Q) is of all atoms, and {'-'.join(pair)} is a partial", 'quantity = "S(Q)"'
    if quantity == "I(Q)" and normalisation != "keen":
        what = (
            f"I(Q) is an intensity in electron units or barn/sr, and not defined in the {normalisation} normalisation"
        )
        return what, 'normalisation = "keen"'
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
    if quantity_of(quantity).offset == "uniform" and radiation == "xray":
        what = f"{quantity} of x-rays is not defined in the {normalisation} normalisation, whose factor depends on Q"
        return what, 'quantity = "D(r)", or normalisation = "faber-ziman"'
    return None
