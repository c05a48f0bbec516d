"""Form factors, scattering lengths and weights against published numbers, on the absolute scale."""

from __future__ import annotations

import numpy as np
import pytest

from refine.curves.weights import (
    amplitudes,
    distinct_factor,
    form_factors,
    mean_amplitude,
    mean_square_amplitude,
    pair_weights,
    scattering_lengths,
    self_intensity,
    self_scattering,
)
from refine.errors import InputError
from refine.system import species_pairs

Q = np.array([0.0, 1.0, 2.0, 5.0, 10.0, 20.0])

# International Tables values as xraylib (neutral atoms) and Waasmaier & Kirfel 1995 (ions) give them.
FORM_FACTORS = {
    ("O", 0): [8.0000, 7.5040, 6.3161, 3.0212, 1.5718, 0.9339],
    ("O", -2): [9.9984, 9.0216, 6.9749, 2.9511, 1.5747, 0.9325],
    ("Fe", 0): [26.0000, 24.3841, 21.4732, 13.8650, 7.6350, 4.3826],
    ("Fe", 2): [24.0007, 23.2826, 21.3875, 13.9383, 7.6702, 4.4030],
    ("Al", 0): [13.0000, 11.7454, 9.8687, 6.7849, 3.2362, 1.4135],
    ("Ar", 0): [18.0000, 16.8721, 14.3217, 8.5688, 5.6455, 2.2030],
}


@pytest.mark.parametrize(("symbol", "charge"), FORM_FACTORS)
def test_form_factors_match_the_tables(symbol: str, charge: int) -> None:
    f = form_factors([symbol], Q, {symbol: charge} if charge else None)
    np.testing.assert_allclose(f[0], FORM_FACTORS[symbol, charge], atol=5.1e-5)


OF_MELTS = "Li1 Na1 K1 Rb1 Cs1 Be2 Mg2 Ca2 Sr2 Ba2 Zn2 Ni2 Cd2 Al3 La3 Zr4 Si4 Ge4 Ag1 Pb2 F-1 Cl-1 Br-1 I-1 O-2"


@pytest.mark.parametrize("ion", OF_MELTS.split())
def test_ions_of_common_melts_are_served(ion: str) -> None:
    """f(0) is the number of electrons, and at high Q the core of the neutral atom (xraylib's table) scatters alone."""
    symbol = ion.rstrip("-0123456789")
    charge = int(ion.removeprefix(symbol))
    f = form_factors([symbol], [0.0, 12.0, 20.0], {symbol: charge})[0]
    neutral = form_factors([symbol], [0.0, 12.0, 20.0])[0]
    assert f[0] == pytest.approx(neutral[0] - charge, abs=0.02)
    np.testing.assert_allclose(f[1:], neutral[1:], rtol=0.05)


def test_potassium_lies_between_the_ions_of_as_many_electrons() -> None:
    """Cl-, Ar, K+ and Ca2+ have 18 electrons, the more compact the larger the nucleus."""
    q = np.linspace(0.5, 5.0, 10)
    f = form_factors(["Cl", "Ar", "K", "Ca"], q, {"Cl": -1, "K": 1, "Ca": 2})
    assert np.all(np.diff(f, axis=0) > 0)
    with pytest.raises(InputError, match=r"for K with charge \+2; use one of the charges \[1\]"):
        form_factors(["K"], q, {"K": 2})


@pytest.mark.parametrize(
    ("symbol", "charge", "electrons"), [("Na", 1, 10), ("Cl", -1, 18), ("Ca", 2, 18), ("Si", 0, 14)]
)
def test_forward_scattering_counts_the_electrons(symbol: str, charge: int, electrons: int) -> None:
    f = form_factors([symbol], [0.0], {symbol: charge})
    assert f[0, 0] == pytest.approx(electrons, abs=0.007)


def test_neutral_and_waasmaier_kirfel_agree_within_two_percent() -> None:
    """Two independent tables, so that a wrong unit of Q cannot hide; Fe3+ and Fe differ by the outer electrons only."""
    q = np.linspace(6.0, 25.0, 20)
    np.testing.assert_allclose(form_factors(["Fe"], q), form_factors(["Fe"], q, {"Fe": 3}), rtol=0.02)


def test_scattering_lengths() -> None:
    natural = scattering_lengths(["Fe", "O", "Al", "Ar", "Na", "Cl", "Li", "K", "Ge", "Hf"])
    np.testing.assert_allclose(natural, [9.45, 5.8037, 3.449, 1.909, 3.63, 9.5792, -1.93, 3.67, 8.185, 7.77], atol=1e-3)
    enriched = scattering_lengths(["Ar", "Cl", "Li", "H"], {"Ar": 36, "Cl": 37, "Li": 6, "H": 2})
    np.testing.assert_allclose(enriched, [24.9, 3.08, 2.27, 6.671], atol=0.03)


MIXTURES = [
    # Sears, Neutron News 3 (3), 26 (1992): 1H -3.7406, 2H 6.671, 6Li 2.00 and 7Li -2.22, 10B -0.1 and 11B 6.65 fm
    # (the real parts; 6Li has 2.27 in later tables), 35Cl 11.65, 37Cl 3.08.
    ("H", {1: 0.5, 2: 0.5}, 0.5 * (-3.7406 + 6.671), 0.01),
    ("H", {1: 0.36, 2: 0.64}, 0.36 * -3.7406 + 0.64 * 6.671, 0.01),
    ("Li", {7: 0.95, 6: 0.05}, 0.95 * -2.22 + 0.05 * 2.00, 0.08),
    ("B", {11: 0.99, 10: 0.01}, 0.99 * 6.65 - 0.01 * 0.1, 0.01),
    ("Cl", {35: 0.7577, 37: 0.2423}, 9.577, 0.05),  # the natural element
]


@pytest.mark.parametrize(("symbol", "shares", "length", "tolerance"), MIXTURES)
def test_mixtures_have_the_mean_scattering_length(
    symbol: str, shares: dict[int, float], length: float, tolerance: float
) -> None:
    assert scattering_lengths([symbol], {symbol: shares})[0] == pytest.approx(length, abs=tolerance)


def test_a_mixture_of_one_is_the_pure_isotope() -> None:
    assert scattering_lengths(["Ar"], {"Ar": {36: 1.0}}) == scattering_lengths(["Ar"], {"Ar": 36})
    rounded = scattering_lengths(["H"], {"H": {1: 0.3333, 2: 0.6664}})  # adds up to 0.9997
    assert rounded[0] == pytest.approx(scattering_lengths(["H"], {"H": {1: 3333 / 9997, 2: 6664 / 9997}})[0], abs=1e-12)


def test_self_scattering_of_mixtures_has_their_isotopic_incoherence() -> None:
    """Sears: σ_s of 1H 82.03, 2H 7.64, O 4.232 barn, bound; by hand for water of half H, half D, barn/sr and atom."""
    alone = self_scattering(["H", "O"], {"H": {1: 0.5, 2: 0.5}}) * 0.01
    np.testing.assert_allclose(alone, np.array([0.5 * (82.03 + 7.64), 4.232]) / (4.0 * np.pi), rtol=2e-3)
    # spin incoherence 80.27 and 2.05 barn, and the variance of the two lengths: (10.41 fm / 2)^2
    incoherent = 0.5 * (80.27 + 2.05) / (4.0 * np.pi) + 0.01 * (0.5 * (6.671 + 3.7406)) ** 2
    assert alone[0] - 0.01 * 1.4652**2 == pytest.approx(incoherent, rel=5e-3)


def test_weights_of_water_of_half_h_half_d() -> None:
    """By hand: b_H = 1.465, b_O = 5.803 fm, <b> = (2 b_H + b_O)/3 = 2.911 fm."""
    b = amplitudes("neutron", ["H", "O"], [1.0], isotopes={"H": {1: 0.5, 2: 0.5}})
    w = pair_weights([2 / 3, 1 / 3], b)[:, 0]
    by_hand = np.array([(2 * 1.4652) ** 2, 2 * 2 * 1.4652 * 5.803, 5.803**2]) / (2 * 1.4652 + 5.803) ** 2
    np.testing.assert_allclose(w, by_hand, atol=1e-3)
    np.testing.assert_allclose(w.sum(), 1.0, atol=1e-14)


def test_isotopes_that_cancel_scatter_exactly_nothing() -> None:
    light, heavy = scattering_lengths(["H"], {"H": 1})[0], scattering_lengths(["H"], {"H": 2})[0]
    share = heavy / (heavy - light)  # of 1H; 0.64 by hand
    assert share == pytest.approx(0.641, abs=1e-3)
    b = scattering_lengths(["H", "O"], {"H": {1: share, 2: 1.0 - share}})
    assert b[0] == 0.0
    weights = pair_weights([2 / 3, 1 / 3], b[:, None]).ravel()
    assert weights[:2].tolist() == [0.0, 0.0]
    assert weights[2] == pytest.approx(1.0)


def test_pairs_are_in_row_order() -> None:
    assert species_pairs(("Fe", "O")) == (("Fe", "Fe"), ("Fe", "O"), ("O", "O"))
    assert len(species_pairs(("A", "B", "C", "D"))) == 10


@pytest.mark.parametrize(
    ("charges", "q", "expected"),
    [
        (None, 0.0, [0.585, 0.360, 0.055]),
        (None, 5.0, [0.675, 0.294, 0.032]),
        (None, 20.0, [0.681, 0.288, 0.031]),
        ({"Fe": 2, "O": -2}, 0.0, [0.498, 0.415, 0.087]),
    ],
)
def test_xray_weights_of_feo(charges: dict[str, int] | None, q: float, expected: list[float]) -> None:
    """The numbers at 5 and 20 1/Å were made with Waasmaier-Kirfel form factors, hence the tolerance."""
    w = pair_weights([0.5, 0.5], form_factors(["Fe", "O"], [q], charges))
    np.testing.assert_allclose(w[:, 0], expected, atol=2e-3)


def test_charge_that_has_moved_in_a_molecule() -> None:
    """f'(0) = Z - q, the neutral atom's at high Q, and in between α = 1 - q/Z as Sorenson et al. write it."""
    given = {"O": (-0.86, 2.01), "H": (0.43, 2.01)}
    q = np.array([0.0, 2.01, 20.0])
    free, moved = form_factors(["O", "H"], q), form_factors(["O", "H"], q, given)
    np.testing.assert_allclose(moved[:, 0], [8.86, 0.57], rtol=1e-4)
    np.testing.assert_allclose(moved[:, 2], free[:, 2], rtol=1e-12)
    alpha = np.array([1.1075, 0.57])
    np.testing.assert_allclose(moved[:, 1], free[:, 1] * (1.0 + (alpha - 1.0) * np.exp(-0.5)), rtol=1e-12)
    intensity = self_intensity("xray", ["O", "H"], [1 / 3, 2 / 3], [0.0], charges=given)
    assert intensity[0] == pytest.approx((8.86**2 + 2 * 0.57**2) / 3, rel=1e-4)


def test_neutron_weights_of_feo() -> None:
    w = pair_weights([0.5, 0.5], amplitudes("neutron", ["Fe", "O"], Q))
    np.testing.assert_allclose(w, np.repeat([[0.384], [0.471], [0.145]], len(Q), axis=1), atol=6e-4)


def test_weights_sum_to_one_at_every_q() -> None:
    fractions = [0.2, 0.5, 0.3]
    w = pair_weights(fractions, form_factors(["Li", "Fe", "O"], Q))
    assert w.shape == (6, len(Q))
    np.testing.assert_allclose(w.sum(axis=0), 1.0, atol=1e-14)


def test_distinct_factors_of_feo() -> None:
    """Dividing by <f^2> instead of <f>^2 is a factor of 1.28 at Q = 0 and 1.43 at Q = 10 for FeO."""
    fractions, f = [0.5, 0.5], form_factors(["Fe", "O"], [0.0, 10.0])
    np.testing.assert_allclose(1.0 / distinct_factor("<f^2>", "xray", fractions, f), [1.280, 1.434], atol=2e-3)
    np.testing.assert_allclose(distinct_factor("keen", "xray", fractions, f), mean_amplitude(fractions, f) ** 2)
    np.testing.assert_array_equal(distinct_factor("faber-ziman", "xray", fractions, f), 1.0)
    np.testing.assert_allclose(mean_square_amplitude(fractions, f)[0], (26**2 + 8**2) / 2, rtol=1e-6)


def test_keen_neutron_factor_is_in_barn() -> None:
    """36Ar: b = 24.9 fm, b^2 = 6.2 barn."""
    b = amplitudes("neutron", ["Ar"], [1.0], isotopes={"Ar": 36})
    assert distinct_factor("keen", "neutron", [1.0], b)[0] == pytest.approx(0.01 * 24.9**2)


def test_null_scattering_mixture_is_refused() -> None:
    lengths = np.array([[-1.93], [3.86]])
    with pytest.raises(InputError, match="keen"):
        pair_weights([2 / 3, 1 / 3], lengths)
    with pytest.raises(InputError, match="mean scattering amplitude"):
        distinct_factor("<f^2>", "neutron", [2 / 3, 1 / 3], lengths)
    assert distinct_factor("keen", "neutron", [2 / 3, 1 / 3], lengths)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: form_factors(["Xx"], Q), "unknown species 'Xx'"),
        (lambda: form_factors(["fe"], Q), "unknown species 'fe'"),
        (lambda: form_factors(["n"], Q), "unknown species 'n'"),
        (lambda: scattering_lengths(["D"]), "isotopes = { H = 2 }"),
        (lambda: form_factors(["Og"], Q), "no form factor is tabulated for Og"),
        (lambda: form_factors(["Fe"], Q, {"Fe": 7}), r"charge \+7; use one of the charges \[2, 3\]"),
        (lambda: form_factors(["Ar"], Q, {"Ar": 1}), "leave Ar out of charges"),
        (lambda: form_factors(["Fe"], [80.0], {"Fe": 2}), "75.4 1/Å and 80.0"),
        (lambda: form_factors(["Fe"], Q, {"O": -2}), "'O' is not one of the species Fe"),
        (lambda: scattering_lengths(["Ar"], {"Ar": 99}), "no isotope 99Ar"),
        (lambda: scattering_lengths(["Ar"], {"Ar": {36: 0.5, 99: 0.5}}), "no isotope 99Ar"),
        (lambda: scattering_lengths(["H"], {"H": {1: 0.5, 2: 0.4}}), "isotopes of H add up to 0.9; give atomic frac"),
        (lambda: scattering_lengths(["H"], {"H": {1: 1.5, 2: -0.5}}), "shares of the isotopes of H"),
        (lambda: scattering_lengths(["Ar"], {"Fe": 56}), "'Fe' is not one of the species Ar"),
        (lambda: scattering_lengths(["Po"]), "no coherent scattering length is known for Po"),
        (lambda: amplitudes("gamma", ["Ar"], Q), "unknown radiation 'gamma'"),
        (lambda: distinct_factor("barn", "neutron", [1.0], np.ones((1, 1))), "unknown normalisation 'barn'"),
    ],
)
def test_refusals_say_what_and_how_to_mend(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
