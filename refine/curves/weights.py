"""How strongly each species scatters: x-ray form factors, neutron scattering lengths, Faber-Ziman pair weights.

Units: x-ray amplitudes f(Q) in electrons, neutron amplitudes b in fm (coherent, real part), Q in 1/Å. The Q grid is
whatever the caller hands in; tabulate once per grid and keep the result.

Sources: neutral atoms from xraylib (Schoonjans et al., Spectrochim. Acta B 66, 776 (2011)), ions from Waasmaier &
Kirfel, Acta Cryst. A 51, 416 (1995), as tabulated by periodictable, scattering lengths from periodictable (Sears 1992
with later revisions). Definitions of the averages: Keen, J. Appl. Cryst. 34, 172 (2001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import periodictable
import xraylib
from numpy.typing import ArrayLike, NDArray
from periodictable import cromermann

from refine.curves.quantities import NORMALISATIONS
from refine.errors import InputError
from refine.formula import D_IS_HYDROGEN, SHARES_ADD_UP, element_of
from refine.units import BARN_PER_FM2

Array = NDArray[np.float64]
T = TypeVar("T")

Isotopes = Mapping[str, int | Mapping[int, float]]
"""By species, or by element for all its sites that are not there: the mass number of a pure isotope, or the share of
each one of a mixture, {"H": {1: 0.5, 2: 0.5}}."""

Charges = Mapping[str, int | tuple[float, float]]
"""By species or element: a whole number, of an ion whose form factor is tabulated; or a charge q in e and a width δ in
1/Å, of a neutral atom's that is modified at low Q."""

_CANCELLED = 1e-12
"""Below this share of its terms the mean scattering length of a mixture is rounding: it is zero."""

_WAASMAIER_KIRFEL_Q_MAX = 24.0 * math.pi
"""1/Å; the fit of Waasmaier and Kirfel ends at sin(theta)/lambda = 6 1/Å."""

_UNREAD = {
    "K1+": cromermann.CromerMannFormula(  # type: ignore[no-untyped-call]
        "K1+",
        a=[-17.609339, 1.494873, 7.150305, 10.899569, 15.808228],
        b=[18.840979, 0.053453, 0.812940, 22.264105, 14.351593],
        c=0.257164,
    )
}
"""An ion of the table of Waasmaier and Kirfel that periodictable 2.1 ships and passes over: its reader takes rows that
begin with a blank, and this one begins with a minus sign."""

_XRAYLIB_Z_MAX = 98
"""Californium, the last element of xraylib's form factor table."""


def form_factors(species: Sequence[str], q: ArrayLike, charges: Charges | None = None) -> Array:
    """X-ray form factors f(Q), (S, nq) electrons; f(0) is the number of electrons.

    In a molecule charge has moved from atom to atom in the outer shells alone, which scatter at low Q. The modified
    form factor of an element with Z electrons in the neutral atom is (J. M. Sorenson, G. Hura, R. M. Glaeser and T.
    Head-Gordon, J. Chem. Phys. 113, 9149 (2000), with α - 1 = -q/Z)

        f'(Q) = f(Q) [1 - (q/Z) exp(-Q^2/2 δ^2)].

    Args:
        species: element symbols, or sites of elements, "H:methyl".
        q: (nq,) 1/Å, not negative.
        charges: of the species that are not neutral atoms: a whole number of an ion, e.g. {"Fe": 2, "O": -2}, or q and
            δ, e.g. {"O": (-0.86, 2.01), "H": (0.43, 2.01)}.

    Raises:
        InputError: an unknown element, an ion that is not tabulated, or an ion beyond Q = 75 1/Å.

    >>> form_factors(["Fe", "O"], [0.0], charges={"O": -1}).round(1).tolist()
    [[26.0], [9.0]]
    >>> form_factors(["O", "H"], [0.0, 20.0], charges={"O": (-0.86, 2.0), "H": (0.43, 2.0)}).round(2).tolist()
    [[8.86, 0.93], [0.57, 0.0]]
    """
    grid = np.atleast_1d(np.asarray(q, dtype=np.float64))
    charges = charges or {}
    _refuse_strangers("charges", charges, species)
    return np.array([_form_factor(element_of(name), grid, given_for(charges, name) or 0) for name in species])


def given_for(table: Mapping[str, T], species: str) -> T | None:
    """What a table by species or element has for a species: its own entry, else that of its element, or None.

    >>> given_for({"H": 2, "H:hydroxyl": 1}, "H:methyl"), given_for({"H": 2, "H:hydroxyl": 1}, "H:hydroxyl")
    (2, 1)
    """
    return table.get(species, table.get(element_of(species)))


def _form_factor(symbol: str, q: Array, charge: int | tuple[float, float]) -> Array:
    element = _element(symbol)
    if not isinstance(charge, int):
        moved, width = charge
        return _form_factor(symbol, q, 0) * (1.0 - moved / element.number * np.exp(-0.5 * (q / width) ** 2))
    if charge == 0:
        if element.number > _XRAYLIB_Z_MAX:
            raise InputError(f"no form factor is tabulated for {symbol}", where="species")
        # xraylib's argument is sin(theta)/lambda = Q / (4 pi).
        return np.array([xraylib.FF_Rayl(element.number, s) for s in q / (4.0 * math.pi)])
    ion = _ion(symbol, charge)
    if ion is None:
        charges = [c for c in range(-4, 9) if c and _ion(symbol, c) is not None]
        neutral = f"leave {symbol} out of charges (neutral atom)"
        raise InputError(
            f"no form factor is tabulated for {symbol} with charge {charge:+d}",
            where="charges",
            fix=f"use one of the charges {charges}, or {neutral}" if charges else neutral,
        )
    if q.max(initial=0.0) > _WAASMAIER_KIRFEL_Q_MAX:
        raise InputError(
            f"ionic form factors end at Q = {_WAASMAIER_KIRFEL_Q_MAX:.1f} 1/Å and {q.max():.1f} was asked for",
            where="charges",
            fix="cut the data there or use neutral atoms",
        )
    return np.asarray(ion.atstol(q / (4.0 * math.pi)), dtype=np.float64)


def _ion(symbol: str, charge: int) -> cromermann.CromerMannFormula | None:
    """What Waasmaier and Kirfel give for an ion; periodictable's own list of charge states holds many more."""
    name = f"{symbol}{abs(charge)}{'+' if charge > 0 else '-'}"
    try:
        return cromermann.getCMformula(name)
    except KeyError:
        return _UNREAD.get(name)


def scattering_lengths(species: Sequence[str], isotopes: Isotopes | None = None) -> Array:
    """Coherent bound scattering lengths b, (S,) fm (real part).

    Of a mixture of isotopes, which sit at random on the sites of their element, it is the mean b = Σ x_k b_k.

    Args:
        species: element symbols, or sites of elements, "H:methyl".
        isotopes: of the species that are not natural: the mass number of a pure isotope, e.g. {"Ar": 36}, or shares
            by mass number, e.g. {"Li": {7: 0.95, 6: 0.05}}.

    Raises:
        InputError: an unknown element or isotope, one without a measured scattering length, or shares that do not add
            up to one.

    >>> scattering_lengths(["H", "Si", "O"], isotopes={"H": 2}).round(2)
    array([6.67, 4.15, 5.8 ])
    >>> scattering_lengths(["H"], isotopes={"H": {1: 0.5, 2: 0.5}}).round(2)
    array([1.46])
    """
    isotopes = isotopes or {}
    _refuse_strangers("isotopes", isotopes, species)
    return np.array([_scattering_length(element_of(name), given_for(isotopes, name)) for name in species])


def _scattering_length(symbol: str, given: int | Mapping[int, float] | None) -> float:
    terms = []
    for share, name, neutron in _nuclei(symbol, given):
        if neutron.b_c is None:
            raise InputError(f"no coherent scattering length is known for {name}", where="isotopes")
        terms.append(share * float(neutron.b_c))
    length = math.fsum(terms)
    return 0.0 if abs(length) <= _CANCELLED * sum(map(abs, terms)) else length


def self_scattering(species: Sequence[str], isotopes: Isotopes | None = None) -> Array:
    """What a nucleus scatters by itself, coherent and incoherent, σ_s/4π (S,) in fm^2 (bound; Sears 1992).

    Of a mixture Σ x_k σ_s,k/4π: its incoherent part has the spin incoherence of each isotope and the variance
    Σ x_k b_k^2 - b^2 of the lengths. The distinct scattering knows b alone.

    Raises:
        InputError: as `scattering_lengths`.

    >>> self_scattering(["H", "H"], isotopes={"H": {1: 0.5, 2: 0.5}}).round(0)  # b^2 is 2 fm^2
    array([357., 357.])
    """
    isotopes = isotopes or {}
    _refuse_strangers("isotopes", isotopes, species)
    nuclei = [_nuclei(element_of(name), given_for(isotopes, name)) for name in species]
    barn = [math.fsum(share * float(neutron.total) for share, _, neutron in mixture) for mixture in nuclei]
    return np.array(barn) / (4.0 * math.pi * BARN_PER_FM2)


def self_intensity(
    radiation: str,
    species: Sequence[str],
    fractions: ArrayLike,
    q: ArrayLike,
    *,
    isotopes: Isotopes | None = None,
    charges: Charges | None = None,
    incoherent: bool = False,
) -> Array:
    """What the atoms scatter by themselves, on average of them, (nq,): <f^2> in electron units, <b^2> in barn/sr.

    Of a reduced measurement: Compton scattering (x-rays) and inelasticity (neutrons) are none of it.

    incoherent: with the incoherent scattering of neutrons, Σ c σ_s/4π in place of Σ c b^2.

    >>> self_intensity("xray", ["H", "O"], [2 / 3, 1 / 3], [0.0]).round(2).tolist()  # (2 + 64)/3
    [22.0]
    >>> [self_intensity("neutron", ["H"], [1], [0], incoherent=both).round(2).tolist() for both in (False, True)]
    [[0.14], [6.53]]
    """
    c, grid = np.asarray(fractions, dtype=np.float64), np.atleast_1d(np.asarray(q, dtype=np.float64))
    if incoherent and radiation == "neutron":
        return np.full(len(grid), BARN_PER_FM2 * float(c @ self_scattering(species, isotopes)))
    f = amplitudes(radiation, species, grid, isotopes=isotopes, charges=charges)
    return mean_square_amplitude(c, f) * square_unit(radiation)


def _nuclei(symbol: str, given: int | Mapping[int, float] | None) -> list[tuple[float, str, Any]]:
    """Share, name and neutron data of the natural element, of one isotope, or of each isotope of a mixture."""
    element = _element(symbol)
    if given is None:
        return [(1.0, symbol, element.neutron)]
    mixture = given if isinstance(given, Mapping) else {given: 1.0}
    amount = sum(mixture.values())
    if not (all(share >= 0.0 for share in mixture.values()) and abs(amount - 1.0) <= SHARES_ADD_UP):
        raise InputError(
            f"the shares of the isotopes of {symbol} add up to {amount:g}",
            where="isotopes",
            fix="give atomic fractions that add up to one, as in H = { 1 = 0.5, 2 = 0.5 }",
        )
    for mass_number in mixture:
        if mass_number not in element.isotopes:
            raise InputError(
                f"there is no isotope {mass_number}{symbol}", where="isotopes", fix="give the mass number, e.g. Ar = 36"
            )
    return [(share / amount, f"{number}{symbol}", element[number].neutron) for number, share in mixture.items()]


def amplitudes(
    radiation: str,
    species: Sequence[str],
    q: ArrayLike,
    *,
    isotopes: Isotopes | None = None,
    charges: Charges | None = None,
) -> Array:
    """Scattering amplitudes, (S, nq): f(Q) in electrons for "xray", b in fm (the same at every Q) for "neutron".

    >>> amplitudes("neutron", ["Si", "O"], [0.0, 5.0]).round(2).tolist()
    [[4.15, 4.15], [5.8, 5.8]]
    """
    if radiation == "xray":
        return form_factors(species, q, charges)
    if radiation == "neutron":
        lengths = scattering_lengths(species, isotopes)
        return np.repeat(lengths[:, None], np.size(q), axis=1)
    raise InputError(f"unknown radiation {radiation!r}", where="radiation", fix='use "neutron" or "xray"')


def mean_amplitude(fractions: ArrayLike, amplitudes: ArrayLike) -> Array:
    """<f>(Q) = Σ c_i f_i(Q), (nq,); fractions (S,) sum to one, amplitudes (S, nq).

    >>> mean_amplitude([0.5, 0.5], np.array([[26.0, 20.0], [8.0, 4.0]])).tolist()
    [17.0, 12.0]
    """
    return np.asarray(fractions, dtype=np.float64) @ np.asarray(amplitudes, dtype=np.float64)


def mean_square_amplitude(fractions: ArrayLike, amplitudes: ArrayLike) -> Array:
    """<f^2>(Q) = Σ c_i f_i(Q)^2, (nq,).

    >>> mean_square_amplitude([0.5, 0.5], np.array([[26.0, 20.0], [8.0, 4.0]])).tolist()
    [370.0, 208.0]
    """
    return np.asarray(fractions, dtype=np.float64) @ np.asarray(amplitudes, dtype=np.float64) ** 2


def pair_weights(fractions: ArrayLike, amplitudes: ArrayLike) -> Array:
    """Faber-Ziman weights of the i <= j pairs, (P, nq): w_ij = (2 - δ_ij) c_i c_j f_i f_j / (Σ c f)^2.

    Σ_{i<=j} w_ij = 1 at every Q, and S(Q) - 1 = Σ_{i<=j} w_ij(Q) [A_ij(Q) - 1]. Rows follow `species_pairs`.

    Raises:
        InputError: the mean amplitude vanishes (a null-scattering mixture), so that no normalised S(Q) exists.

    >>> silica = scattering_lengths(["Si", "O"])[:, None]
    >>> pair_weights([1 / 3, 2 / 3], silica).round(3).ravel().tolist()  # Si-Si, Si-O, O-O
    [0.069, 0.388, 0.543]
    """
    c = np.asarray(fractions, dtype=np.float64)
    f = np.asarray(amplitudes, dtype=np.float64)
    mean = _nonzero_mean(c, f)
    return _pair_products(c, f) / mean**2


def null_pair_weights(fractions: ArrayLike, amplitudes: ArrayLike) -> Array:
    """Weights of the i <= j pairs where <f> is zero, (P, nq): (2 - δ_ij) c_i c_j f_i f_j / <f^2>.

    They add up to zero, and Σ_{i<=j} w_ij [A_ij(Q) - 1] is i(Q)/<f^2>. Rows follow `species_pairs`.

    >>> null_pair_weights([2 / 3, 1 / 3], [[-1.0], [2.0]]).round(3).ravel().tolist()
    [0.222, -0.444, 0.222]
    """
    c = np.asarray(fractions, dtype=np.float64)
    f = np.asarray(amplitudes, dtype=np.float64)
    return _pair_products(c, f) / mean_square_amplitude(c, f)


def _pair_products(c: Array, f: Array) -> Array:
    """(2 - δ_ij) c_i c_j f_i f_j, (P, nq)."""
    first, second = np.triu_indices(len(c))
    multiplicity = np.where(first == second, 1.0, 2.0)
    return np.asarray((multiplicity * c[first] * c[second])[:, None] * f[first] * f[second])


def distinct_factor(normalisation: str, radiation: str, fractions: ArrayLike, amplitudes: ArrayLike) -> Array:
    """The factor k(Q), (nq,), that turns the Faber-Ziman S(Q) - 1 into the distinct scattering i(Q) as declared.

    - "faber-ziman": 1.
    - "keen": <f>^2: Keen's F(Q), barn per steradian and atom for neutrons, electron units per atom for x-rays.
    - "<f^2>": <f>^2 / <f^2>.

    >>> oxygen = scattering_lengths(["O"])[:, None]
    >>> distinct_factor("keen", "neutron", [1.0], oxygen).round(3).tolist()  # barn: 0.01 fm^2
    [0.337]
    """
    c = np.asarray(fractions, dtype=np.float64)
    f = np.asarray(amplitudes, dtype=np.float64)
    if normalisation == "faber-ziman":
        return np.ones(f.shape[1])
    if normalisation == "keen":
        return mean_amplitude(c, f) ** 2 * square_unit(radiation)
    if normalisation == "<f^2>":
        return _nonzero_mean(c, f) ** 2 / mean_square_amplitude(c, f)
    raise InputError(
        f"unknown normalisation {normalisation!r}", where="normalisation", fix=f"use one of {', '.join(NORMALISATIONS)}"
    )


def square_unit(radiation: str) -> float:
    """What f^2 is multiplied by in the keen normalisation: barn per fm^2 for neutrons, 1 for x-rays."""
    return BARN_PER_FM2 if radiation == "neutron" else 1.0


def scatters_null(fractions: ArrayLike, amplitudes: ArrayLike) -> bool:
    """Whether the mean amplitude Σ c f vanishes (below 1e-4 of the rms amplitude): no S(Q) is normalised by it.

    >>> scatters_null([2 / 3, 1 / 3], [[-1.0], [2.0]]), scatters_null([2 / 3, 1 / 3], [[-3.74], [5.8]])
    (True, False)
    """
    mean = mean_amplitude(fractions, amplitudes)
    return bool(np.any(mean**2 <= 1e-8 * mean_square_amplitude(fractions, amplitudes)))


def _nonzero_mean(fractions: Array, amplitudes: Array) -> Array:
    mean = mean_amplitude(fractions, amplitudes)
    if scatters_null(fractions, amplitudes):
        raise InputError(
            "the mean scattering amplitude Σ c b is zero, so S(Q) cannot be normalised by it",
            where="normalisation",
            fix='declare normalisation = "keen"',
        )
    return mean


def _element(symbol: str) -> periodictable.core.Element:
    try:
        element = periodictable.elements.symbol(symbol)
    except ValueError:
        element = None
    # periodictable also answers to "n" (the neutron) and "D", "T"; here deuterium is H with isotopes = { H = 2 }.
    if element is None or element.number == 0 or element.symbol != symbol or hasattr(element, "isotope"):
        fix = D_IS_HYDROGEN if symbol == "D" else "use element symbols such as Fe, O, Ar"
        raise InputError(f"unknown species {symbol!r}", where="species", fix=fix)
    return element


def _refuse_strangers(key: str, mapping: Mapping[str, object], species: Sequence[str]) -> None:
    known = {*species, *map(element_of, species)}
    for symbol in mapping:
        if symbol not in known:
            raise InputError(f"{symbol!r} is not one of the species {', '.join(species)}", where=key)
