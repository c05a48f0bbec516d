"""Mixtures of isotopes whose mean scattering length is zero: absolute units, and nothing is divided by zero."""

import math

import numpy as np
import pytest

from refine.curves.checks import check_curve
from refine.curves.convert import convert
from refine.curves.curve import Curve
from refine.curves.weights import scattering_lengths
from refine.errors import ConversionError, InputError
from refine.scattering.measurement import ForwardModel
from refine.system import Box

RHO = 0.1
Q = np.arange(0.3, 20.0, 0.05)
B_1H, B_2H, B_O = (
    float(scattering_lengths([element], isotopes)[0])
    for element, isotopes in (("H", {"H": 1}), ("H", {"H": 2}), ("O", None))
)
NULL = (-0.5 * B_O - B_1H) / (B_2H - B_1H)
"""Share of 2H in water with 2 b_H + b_O = 0; 0.08 by hand."""


@pytest.fixture(scope="module")
def box() -> Box:
    volume = 600 / RHO
    return Box(("H", "O"), (400, 200), volume, 0.02 * np.arange(int(0.5 * volume ** (1 / 3) / 0.02) + 1))


@pytest.fixture(scope="module")
def counts(box: Box) -> np.ndarray:
    """A shell of each pair above g = 1, and nothing before it."""
    r = box.centres
    shells = ((1.55, 2.0), (0.97, 6.0), (2.8, 2.0))
    g = [(r > at - 0.3) + height * np.exp(-0.5 * ((r - at) / 0.15) ** 2) for at, height in shells]
    return box.ideal_counts * np.array(g)


def water(heavy: float, y=None, **keys) -> Curve:
    known = {"quantity": "F(Q)", "normalisation": "keen", "composition": {"H": 2, "O": 1}, "number_density": RHO}
    known |= {"isotopes": {"H": {1: 1.0 - heavy, 2: heavy}}, "name": "water"}
    return Curve(x=Q, y=np.zeros_like(Q) if y is None else y, **(known | keys))


def test_a_mixture_without_mean_scattering_length_by_hand(box, counts):
    """i(Q) = Σ (2 - δ) c c b b [A - 1] in barn, with b_O = -2 b_H: of A_HH - 2 A_OH + A_OO over 9/4 b_O^2."""
    assert pytest.approx(0.0805, abs=1e-3) == NULL
    shown = ForwardModel(water(NULL), box).measurement(None).shown.predict(counts)
    partials = {
        pair: ForwardModel(
            Curve(x=Q, y=np.ones_like(Q), quantity="S(Q)", composition={"H": 2, "O": 1}, pair=pair, name="p"), box
        )
        .measurement(None)
        .shown.predict(counts)
        - 1.0
        for pair in (("H", "H"), ("H", "O"), ("O", "O"))
    }
    by_hand = 0.01 * B_O**2 / 9.0 * (partials["H", "H"] - 2.0 * partials["H", "O"] + partials["O", "O"])
    np.testing.assert_allclose(shown, by_hand, atol=1e-10)


def test_t_of_r_is_d_of_r_and_r_chi_finite(box, counts):
    model = ForwardModel(water(NULL), box).measurement(None)
    np.testing.assert_allclose(model.total.predict(box.ideal_counts), 0.0, atol=1e-12)
    seen = ForwardModel(water(NULL, model.shown.predict(counts)), box)
    measurement = seen.measurement(None)
    assert measurement.r_chi(counts) < 2e-3
    assert measurement.r_chi(box.ideal_counts) == pytest.approx(1.0)
    fit = seen.fit((0.8, 15.0), (1.0, 6.0))
    assert np.isfinite(fit.values).all()
    assert np.linalg.eigvalsh(fit.covariance)[0] > 0.0
    np.testing.assert_allclose(fit.operator.predict(counts), fit.values, atol=2e-3)


def test_zero_is_the_limit_of_small_mean_scattering_lengths(box, counts):
    exact = ForwardModel(water(NULL), box).measurement(None).shown.predict(counts)
    for apart in (1e-2, 1e-3):
        near = ForwardModel(water(NULL + apart), box).measurement(None).shown.predict(counts)
        # di/dx: 2 c_H (b_D - b_H) Σ c b [A - 1] over H and O, here below 0.5 barn
        np.testing.assert_allclose(near, exact, atol=0.5 * apart)


def test_t_of_r_of_the_curve_has_no_level(box, counts):
    curve = water(NULL, ForwardModel(water(NULL), box).measurement(None).shown.predict(counts))
    assert check_curve(curve) == []
    total, d = convert(curve, "T(r)"), convert(curve, "D(r)")
    np.testing.assert_allclose(total.y, d.y, atol=1e-12)
    assert ForwardModel(total, box).measurement(None).r_chi(counts) < 0.01


@pytest.mark.parametrize(("quantity", "normalisation"), [("S(Q)", "faber-ziman"), ("F(Q)", "<f^2>")])
def test_normalisations_by_the_mean_are_refused(box, quantity, normalisation):
    with pytest.raises(ConversionError, match=r"Σ c b is zero, so nothing is normalised by it; keep"):
        convert(water(NULL), quantity, normalisation=normalisation)
    declared = water(NULL, np.ones_like(Q), quantity=quantity, normalisation=normalisation)
    with pytest.raises(InputError, match=r'Σ c b is zero, .*declare normalisation = "keen"'):
        ForwardModel(declared, box)


def test_nothing_scatters(box):
    share = B_2H / (B_2H - B_1H)
    gas = Box(("H",), (400,), box.volume, box.edges)
    curve = water(1.0 - share, composition={"H": 1})
    with pytest.raises(InputError, match="every scattering length is zero"):
        ForwardModel(curve, gas)


def test_a_species_that_cancels_is_not_seen(box, counts):
    share = B_2H / (B_2H - B_1H)
    shown = ForwardModel(water(1.0 - share), box).measurement(None).shown
    assert not shown.matrix.reshape(len(Q), 3, -1)[:, :2].any()
    oxygen = 0.01 * B_O**2 / 9.0
    a_oo = ForwardModel(
        Curve(x=Q, y=np.ones_like(Q), quantity="S(Q)", composition={"H": 2, "O": 1}, pair=("O", "O"), name="p"), box
    ).measurement(None)
    np.testing.assert_allclose(shown.predict(counts), oxygen * (a_oo.shown.predict(counts) - 1.0), atol=1e-12)


def test_the_whole_intensity_of_a_mixture_is_refused():
    """Of half H, half D: (2/3 44.8 + 1/3 4.23)/4π = 2.49 barn/sr with the incoherent part, 0.13 without."""
    level = (2 / 3 * 0.5 * (82.03 + 7.64) + 4.232 / 3) / (4 * math.pi)
    structure = 0.1 * np.sin(2.0 * Q) * np.exp(-0.3 * Q) - 0.2 * np.exp(-Q)
    with pytest.raises(InputError, match=r"coherent and incoherent, is 2\.4\d barn/sr: .*subtract 2\.4"):
        check_curve(water(0.5, level + structure))
