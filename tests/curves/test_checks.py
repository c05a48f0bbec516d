"""A wrong declaration is refused with the numbers and the right one; a right one is silent; doubt is a warning."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.curves.checks import check_curve
from refine.curves.curve import Curve
from refine.curves.weights import amplitudes, mean_amplitude, mean_square_amplitude
from refine.errors import InputError

MakeCurve = Callable[..., Curve]

NEUTRON = {"radiation": "neutron", "composition": {"Ar": 1.0}, "isotopes": {"Ar": 36}}
K = 0.01 * 24.9**2  # barn; <b>^2 of 36Ar

DECLARATIONS = [
    ("S(Q)", "faber-ziman"),
    ("F(Q)", "faber-ziman"),
    ("i(Q)", "faber-ziman"),
    ("Q[S(Q)-1]", "faber-ziman"),
    ("F(Q)", "keen"),
    ("Q[S(Q)-1]", "keen"),
    ("g(r)", "faber-ziman"),
    ("G(r)", "faber-ziman"),
    ("D(r)", "faber-ziman"),
    ("T(r)", "faber-ziman"),
    ("J(r)", "faber-ziman"),
    ("G(r)", "keen"),
    ("D(r)", "keen"),
    ("T(r)", "keen"),
    ("J(r)", "keen"),
]

# The same numbers under two names.
SAME = [
    {("F(Q)", "faber-ziman"), ("i(Q)", "faber-ziman")},
    {("G(r)", "faber-ziman"), ("D(r)", "faber-ziman")},
]

CONFUSIONS = [
    (true, declared)
    for true in DECLARATIONS
    for declared in DECLARATIONS
    if true != declared and ("Q" in true[0]) == ("Q" in declared[0]) and {true, declared} not in SAME
]


@pytest.fixture(scope="module")
def liquid(hard_spheres: Any) -> MakeCurve:
    """The hard-sphere liquid as any of `DECLARATIONS`; in r from the exact S(Q), cut smoothly at about 20 1/Å."""
    rho = hard_spheres.number_density
    q = np.arange(0.05, 30.0, 0.05)
    distinct = hard_spheres.structure_factor(q) - 1.0
    r, fine = np.arange(0.05, 25.0, 0.05), np.arange(0.01, 40.0, 0.02)
    damped = fine * (hard_spheres.structure_factor(fine) - 1.0) * np.exp(-((fine / 15.0) ** 2))
    d = 2.0 / math.pi * (np.sin(np.outer(r, fine)) @ damped) * 0.02
    uniform = 4.0 * math.pi * rho * r

    def values(quantity: str, normalisation: str, k: float) -> np.ndarray:
        if normalisation == "keen" and quantity == "G(r)":
            return k * d / uniform
        return {
            "S(Q)": 1.0 + k * distinct,
            "F(Q)": k * distinct,
            "i(Q)": k * distinct,
            "Q[S(Q)-1]": k * q * distinct,
            "g(r)": 1.0 + d / uniform,
            "G(r)": k * d,
            "D(r)": k * d,
            "T(r)": k * (d + uniform),
            "J(r)": k * r * (d + uniform),
        }[quantity]

    def make(quantity: str, normalisation: str, **changes: Any) -> Curve:
        y = values(quantity, normalisation, K if normalisation == "keen" else 1.0)
        facts = {**NEUTRON, "number_density": rho, "source": "liquid.csv", **changes}
        return Curve(x=q if "Q" in quantity else r, y=y, quantity=quantity, normalisation=normalisation, **facts)

    return make


@pytest.mark.parametrize(("quantity", "normalisation"), DECLARATIONS)
def test_right_declarations_are_silent(liquid: MakeCurve, quantity: str, normalisation: str) -> None:
    assert check_curve(liquid(quantity, normalisation)) == []
    assert check_curve(liquid(quantity, normalisation, number_density=None, composition={}, isotopes={})) == []


@pytest.mark.parametrize(("true", "declared"), CONFUSIONS)
def test_wrong_declarations_are_refused(liquid: MakeCurve, true: tuple[str, str], declared: tuple[str, str]) -> None:
    curve = replace(liquid(*true), quantity=declared[0], normalisation=declared[1])
    with pytest.raises(InputError, match=r"liquid\.csv: .*declare quantity = ") as refusal:
        check_curve(curve)
    remedy = str(refusal.value).rsplit("; ", 1)[1]
    right = [true[0], "F(Q)"] if true[0] == "i(Q)" else ["D(r)", "G(r)"] if true[0] in ("D(r)", "G(r)") else [true[0]]
    # S(Q) declared where it tends to 0 can be any distinct scattering: the remedy names the commonest.
    assert any(name in remedy for name in right) or (declared[0] == "S(Q)" and "F(Q)" in remedy)


@pytest.mark.parametrize(
    ("true", "declared", "number"),
    [
        ("F(Q)", "S(Q)", r"S\(Q\) tends to (-0\.00|0\.00)\d at high Q"),
        ("S(Q)", "F(Q)", r"F\(Q\) tends to 1\.00\d at high Q"),
        ("G(r)", "g(r)", r"g\(r\) tends to -?0\.00\d at large r"),
        ("g(r)", "G(r)", r"G\(r\) tends to 1\.00\d at large r"),
    ],
)
def test_limits_need_no_density(liquid: MakeCurve, true: str, declared: str, number: str) -> None:
    curve = replace(liquid(true, "faber-ziman"), quantity=declared, number_density=None, composition={}, isotopes={})
    with pytest.raises(InputError, match=number):
        check_curve(curve)


def test_barn_declared_as_normalised_gives_the_factor(liquid: MakeCurve) -> None:
    curve = replace(liquid("F(Q)", "keen"), normalisation="faber-ziman")
    with pytest.raises(InputError, match=r'slope of D\(r\) is 6\.\d\d of .*normalisation = "keen"'):
        check_curve(curve)


@pytest.mark.parametrize(
    ("quantity", "inverse_lengths"), [("S(Q)", 0), ("F(Q)", 0), ("g(r)", 0), ("T(r)", 2), ("J(r)", 1)]
)
def test_nanometres_are_refused(liquid: MakeCurve, quantity: str, inverse_lengths: int) -> None:
    curve = liquid(quantity, "faber-ziman")
    nanometres = replace(curve, x=curve.x * (10.0 if curve.in_q_space else 0.1), y=curve.y * 10.0**inverse_lengths)
    with pytest.raises(InputError, match="divide the Q column by 10" if curve.in_q_space else "multiply the r column"):
        check_curve(nanometres)


@pytest.mark.parametrize("scale", [0.85, 1.15])
def test_scales_of_good_measurements_are_silent(liquid: MakeCurve, scale: float) -> None:
    curve = liquid("F(Q)", "keen")
    assert check_curve(replace(curve, y=scale * curve.y)) == []


def test_a_doubtful_scale_is_a_warning_with_its_number(liquid: MakeCurve) -> None:
    curve = liquid("F(Q)", "keen")
    (warning,) = check_curve(replace(curve, y=0.7 * curve.y))
    assert "liquid.csv: " in warning
    assert "slope of D(r) is 0.7" in warning
    assert "free_scale" in warning


def test_a_curve_that_has_not_settled_is_not_judged_by_its_limit() -> None:
    q = np.arange(0.4, 12.0, 0.05)
    curve = Curve(q, 0.05 * np.sin(6.0 * q), quantity="F(Q)", normalisation="keen", composition={"Si": 1, "O": 2})
    assert check_curve(curve) == []


def test_forgotten_isotopes_are_doubted(liquid: MakeCurve) -> None:
    """Natural argon scatters 170 times less than 36Ar: the declared barns cannot be; no other quantity fits."""
    (warning,) = check_curve(replace(liquid("F(Q)", "keen", isotopes={})))
    assert "isotopes" in warning


def test_self_scattering_is_recognised(liquid: MakeCurve) -> None:
    curve = liquid("F(Q)", "keen")
    with pytest.raises(InputError, match=r"follows <b\^2> \(mean ratio 1.00 .* self \+ distinct scattering, per atom"):
        check_curve(replace(curve, y=curve.y + K))
    assert any("F(Q) tends to 1.2" in text for text in check_curve(replace(curve, y=curve.y + 0.2 * K)))


def molecules(radiation: str, quantity: str = "F(Q)", b: dict[str, float] | None = None) -> Curve:
    """Keen's F(Q) of water-like molecules: an O-H bond of 0.97 Å, H-H of 1.53 Å, beyond 1.9 Å a uniform liquid.

    x-rays with form factors of their own, 8 and 1 electrons times Gaussians; neutrons with b (fm).
    """
    q, rho = 0.05 * np.arange(5, 600), 0.1
    f = {"O": 8.0 * np.exp(-((q / 9.0) ** 2)) + 0.3, "H": np.exp(-((q / 3.5) ** 2)) + 0.02}
    if radiation == "neutron":
        f = {name: np.full(len(q), value) for name, value in (b or {}).items()}
    hole = -4 * np.pi * rho * (np.sin(1.9 * q) - 1.9 * q * np.cos(1.9 * q)) / q**3 * np.exp(-((0.1 * q) ** 2))
    mean = f["O"] / 3 + 2 * f["H"] / 3

    def bond(r: float, width: float) -> np.ndarray:
        return np.sinc(q * r / np.pi) * np.exp(-((width * q) ** 2) / 2)

    pairs = 4 / 3 * f["O"] * f["H"] * bond(0.97, 0.07) + 2 / 3 * f["H"] ** 2 * bond(1.53, 0.11)
    y = (mean**2 * hole + pairs) * (0.01 if radiation == "neutron" else 1.0)
    known = {"composition": {"O": 1, "H": 2}, "number_density": rho, "radiation": radiation, "name": "water"}
    return Curve(x=q, y=y, quantity=quantity, normalisation="keen", **known)


def test_an_intensity_per_molecule_is_named() -> None:
    """x-rays: three atoms' self scattering in it, whatever it is declared to be; without, nothing is said of it."""
    curve = molecules("xray")
    alone = mean_square_amplitude(curve.fractions, amplitudes("xray", curve.species, curve.x))
    whole = replace(curve, y=3 * (0.02 * curve.y + alone))
    for quantity, normalisation in (("F(Q)", "keen"), ("i(Q)", "<f^2>"), ("S(Q)", "faber-ziman")):
        with pytest.raises(InputError, match=r"3 times <f\^2> .*whole intensity, self \+ distinct .*unit of 3 atoms"):
            check_curve(replace(whole, quantity=quantity, normalisation=normalisation))
    assert not any("self" in text for text in check_curve(replace(curve, y=0.02 * curve.y)))


def test_deuterium_that_was_not_declared() -> None:
    """Heavy water as natural water: refused with the isotopes to declare; declared, nothing is said."""
    heavy = molecules("neutron", b={"O": 5.805, "H": 6.671})
    with pytest.raises(InputError, match=r"natural hydrogen .* with deuterium .*declare isotopes = \{ H = 2 \}"):
        check_curve(heavy)
    assert check_curve(replace(heavy, isotopes={"H": 2})) == []
    light = molecules("neutron", b={"O": 5.805, "H": -3.739})
    assert check_curve(light) == []


@pytest.mark.parametrize("density", [0.0204, None])
def test_square_femtometres_for_barn(liquid: MakeCurve, density: float | None) -> None:
    curve = replace(liquid("F(Q)", "keen"), number_density=density)
    assert check_curve(curve) == []
    with pytest.raises(
        InputError, match=r"times the lowest value possible in barn.*fm\^2.*divide the y column .* by 100"
    ):
        check_curve(replace(curve, y=100 * curve.y))


@pytest.mark.parametrize("density", [0.0204, None])
def test_millibarn_for_barn(liquid: MakeCurve, density: float | None) -> None:
    curve = replace(liquid("F(Q)", "keen"), number_density=density)
    with pytest.raises(InputError, match=r"the curve is in mb.*divide the y column .* by 1000"):
        check_curve(replace(curve, y=1000 * curve.y))


def test_a_normalised_curve_is_not_called_one_in_other_units(liquid: MakeCurve) -> None:
    """S(Q) - 1 of argon is 27 times its cross section in barn, and a third of it in fm^2: the density tells."""
    curve = replace(liquid("F(Q)", "faber-ziman"), normalisation="keen")
    with pytest.raises(InputError, match=r'declare quantity = "F\(Q\)" and normalisation = "faber-ziman"$'):
        check_curve(curve)


@pytest.mark.parametrize(("factor", "unit"), [(100, r"fm\^2"), (1000, "mb")])
def test_other_units_of_curves_in_r(liquid: MakeCurve, factor: float, unit: str) -> None:
    curve = liquid("G(r)", "keen")
    assert check_curve(curve) == []
    with pytest.raises(InputError, match=f"divide the y column by {factor} if it is in {unit}"):
        check_curve(replace(curve, y=factor * curve.y))


def test_distances_in_picometres(liquid: MakeCurve) -> None:
    """g(r) is zero at small r and one at large r all the same."""
    curve = liquid("g(r)", "faber-ziman")
    with pytest.raises(InputError, match="r seems to be in pm"):
        check_curve(replace(curve, x=100.0 * curve.x))


def test_weights_in_the_place_of_errors(liquid: MakeCurve) -> None:
    curve = liquid("S(Q)", "faber-ziman")
    assert check_curve(replace(curve, sigma=np.full_like(curve.x, 0.02))) == []
    (doubt,) = check_curve(replace(curve, sigma=np.ones_like(curve.x)))
    assert "sigma is 1 (median), more than the curve itself varies" in doubt


def networks() -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """(r, g, density) of a liquid, a network with sharp bonds, and a cold solid, of one element."""
    r = 0.005 * np.arange(1, 6001)

    def shells(*peaks: tuple[float, float, float]) -> np.ndarray:
        total = 1.0 / (1.0 + np.exp(-(r - peaks[-1][0]) / 0.15))
        for at, height, width in peaks:
            total = total + height * np.exp(-((r - at) ** 2) / (2 * width**2))
        return total

    return {
        "liquid": (r, shells((3.7, 1.6, 0.25), (4.2, 0.3, 0.5)), 0.021),
        "network": (r, shells((1.61, 25.0, 0.05), (2.63, 4.0, 0.09), (3.1, 0.4, 0.2)), 0.066),
        "cold solid": (r, shells((2.35, 40.0, 0.03), (3.84, 4.0, 0.15), (4.5, 0.3, 0.3)), 0.05),
    }


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("q_min", [0.3, 0.8, 1.25])
@pytest.mark.parametrize("q_max", [15.0, 25.0])
def test_f_and_q_times_s_minus_one_are_told_apart(name: str, q_min: float, q_max: float) -> None:
    """The right name is never refused, the wrong one always, with the right one in the message."""
    r, g, rho = networks()[name]
    q = q_min + 0.02 * np.arange(int((q_max - q_min) / 0.02))
    distinct = 4 * np.pi * rho * 0.005 * (np.sin(np.outer(q, r)) @ (r * (g - 1))) / q
    known = {"radiation": "neutron", "composition": {"Ar": 1}, "number_density": rho, "name": name}
    f, product = (
        Curve(x=q, y=y, quantity=quantity, **known) for quantity, y in (("F(Q)", distinct), ("Q[S(Q)-1]", q * distinct))
    )
    for curve in (f, product):
        check_curve(curve)
    with pytest.raises(InputError, match=r"as F\(Q\) g\(r\) falls to -.* as Q\[S\(Q\)-1\]"):
        check_curve(replace(product, quantity="F(Q)"))
    if q_min < 1.0:  # with less of the first peak of S(Q) a missing factor of Q shows in sharp bonds only
        with pytest.raises(InputError, match=r'declare quantity = "F\(Q\)"'):
            check_curve(replace(f, quantity="Q[S(Q)-1]"))


def test_an_angle_is_no_q(liquid: MakeCurve) -> None:
    """2θ of Mo radiation (0.71 Å) in degrees: the first peak at 2 1/Å is at 13 degrees."""
    curve = liquid("F(Q)", "faber-ziman").cropped(0.5, 16.0)
    angle = np.degrees(2 * np.arcsin(curve.x * 0.71 / (4 * np.pi)))
    with pytest.raises(InputError, match="2θ in degrees"):
        check_curve(replace(curve, x=angle))


@pytest.mark.parametrize("q_max", [1.2, 1.9, 2.2, 2.6, 3.5, 5.0])
def test_a_short_measurement_is_not_judged_by_its_end(liquid: MakeCurve, q_max: float) -> None:
    assert check_curve(liquid("S(Q)", "faber-ziman").cropped(0.0, q_max)) == []


@pytest.mark.parametrize("scale", [0.3, 2.5, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("quantity", ["F(Q)", "Q[S(Q)-1]"])
def test_a_wrong_scale_is_not_a_factor_of_q(liquid: MakeCurve, quantity: str, scale: float) -> None:
    """Doubted, or refused with a scale as the reason, never as the other quantity."""
    curve = liquid(quantity, "faber-ziman")
    try:
        words = " ".join(check_curve(replace(curve, y=scale * curve.y)))
    except InputError as refusal:
        words = str(refusal)
    assert "low-r slope" in words
    assert "the columns are" not in words


def test_every_remedy_that_fits_is_named(liquid: MakeCurve) -> None:
    """Of silica, i(Q) per formula unit is nearly S(Q) - 1 as well: 3 for 1/<b>^2 = 3.5."""
    curve = liquid("F(Q)", "keen", composition={"Si": 1, "O": 2}, isotopes={})
    b2 = 0.01 * ((4.1491 + 2 * 5.803) / 3) ** 2
    per_unit = replace(curve, y=3.0 * b2 / K * curve.y)
    with pytest.raises(InputError, match=r"divide the y column by 3 if it is per formula unit or .*faber-ziman"):
        check_curve(per_unit)
    with pytest.raises(InputError, match="divide the y column by 4π"):
        check_curve(replace(curve, y=4 * math.pi * b2 / K * curve.y))


@pytest.mark.parametrize("first", [0.05, 1.2, 2.0])
def test_square_femtometres_are_seen_wherever_the_curve_begins(liquid: MakeCurve, first: float) -> None:
    curve = liquid("F(Q)", "keen").cropped(first, 30.0)
    assert check_curve(curve) == []
    with pytest.raises(InputError, match="the curve is in fm"):
        check_curve(replace(curve, y=100.0 * curve.y))


def test_no_instrument_reaches_beyond(liquid: MakeCurve) -> None:
    """Copper's radiation: an angle to 175 degrees, or a curve in 1/nm without its first peaks."""
    curve = liquid("F(Q)", "keen").cropped(9.0, 30.0)
    with pytest.raises(InputError, match=r"(no instrument measures|distance of 0\.\d\d Å): Q seems to be in 1/nm"):
        check_curve(replace(curve, x=10.0 * curve.x))


def test_noise_is_not_taken_for_a_scale(liquid: MakeCurve) -> None:
    """A gas a thousand times thinner than its noise allows to see: no verdict, whatever the noise looks like."""
    curve = liquid("F(Q)", "faber-ziman")
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(scale=0.02, size=len(curve.x))
        assert check_curve(replace(curve, y=1e-3 * curve.y + noise, number_density=2e-5)) == []


def test_null_scattering_mixture_is_not_judged_by_its_scale(liquid: MakeCurve) -> None:
    """Light water: <b>^2 is 1.5 % of <b^2>."""
    curve = liquid("F(Q)", "keen", composition={"H": 2, "O": 1}, isotopes={})
    assert check_curve(replace(curve, y=0.1 * curve.y)) == []


def test_partials_and_xrays(liquid: MakeCurve) -> None:
    partial = liquid("g(r)", "faber-ziman", pair=("Ar", "Ar"), radiation=None)
    assert check_curve(replace(partial, q_min=0.0, q_max=20.0)) == []
    with pytest.raises(InputError, match=r'declare quantity = "T\(r\)"'):
        check_curve(replace(liquid("T(r)", "faber-ziman", pair=("Ar", "Ar"), radiation=None), quantity="J(r)"))
    xray = liquid("S(Q)", "faber-ziman", radiation="xray", isotopes={})
    assert check_curve(xray) == []
    factor = replace(xray, quantity="F(Q)").distinct_factor(xray.x, "keen")
    electrons = replace(xray, quantity="F(Q)", normalisation="keen", y=factor * (xray.y - 1.0))
    assert check_curve(electrons) == []
    with pytest.raises(InputError, match='normalisation = "keen"'):
        check_curve(replace(electrons, normalisation="faber-ziman"))


def test_a_partial_without_a_q_range_is_told_what_that_may_cost() -> None:
    """Against the convolution of D(r) with the kernel of the cut, sin(20 x)/(pi x), of a bond 0.05 Å wide."""
    r, rho = 0.01 * np.arange(1, 1201), 0.05
    g = 1.0 / (1.0 + np.exp(-(r - 2.5) / 0.1)) + 8.0 * np.exp(-((r - 1.6) ** 2) / (2 * 0.05**2))
    curve = Curve(x=r, y=g, quantity="g(r)", pair=("O", "Si"), radiation=None, number_density=rho, name="bond")
    d = 4 * np.pi * rho * r * (g - 1)
    kernel = (np.sinc(20 * (r[:, None] - r) / np.pi) - np.sinc(20 * (r[:, None] + r) / np.pi)) * 20 / np.pi
    change = np.sqrt(np.mean((0.01 * kernel @ d - d) ** 2) / np.mean((4 * np.pi * rho * r * g) ** 2))
    (warning,) = check_curve(curve)
    assert "Q range of the transform behind it is not known" in warning
    assert float(warning.split("about ")[1].split(":")[0]) == pytest.approx(change, abs=0.002)
    assert change > 0.05


def test_zero_errors_are_pointed_out(liquid: MakeCurve) -> None:
    curve = liquid("S(Q)", "faber-ziman")
    (warning,) = check_curve(replace(curve, sigma=np.where(curve.x < 0.22, 0.0, 0.01)))
    assert "sigma is 0 at 4 of" in warning


def test_ripple_at_low_r_does_not_make_another_quantity_of_a_curve() -> None:
    """G(r) of silicon between whose ripples no slope is seen: as D(r) in barn it would average to the right one by
    accident, and is not taken for it."""
    r = np.arange(0.01, 30.0, 0.01)
    edges = 1.0 / (1.0 + np.exp(-(r - 2.2) / 0.05))
    peaks = sum(2.0 * np.exp(-((r - x) ** 2) / 0.01) for x in (2.35, 3.84, 4.5))
    ripple = 0.5 * np.exp(-r / 3.0) * np.sin(2.0 * np.pi * (r - 0.45) / 0.225)
    curve = Curve(
        r,
        edges * peaks - 0.17 * 4.0 * np.pi * 0.05 * (1.0 - edges) * r + ripple,
        quantity="G(r)",
        radiation="neutron",
        number_density=0.05,
        composition={"Si": 1.0},
        q_max=34.0,
    )
    doubts = check_curve(curve)
    assert len(doubts) == 1
    assert "check normalisation, number density" in doubts[0]


def xray_of(structure: Any, by: Callable[[np.ndarray, np.ndarray, float], np.ndarray], declared: str) -> Curve:
    """A liquid of GeO2's composition whose S(Q) - 1 is multiplied by a function of <f>, <f^2> and <Z>."""
    q = np.arange(0.3, 22.0, 0.05)
    species, fractions = ["Ge", "O"], np.array([1.0, 2.0]) / 3.0
    f = amplitudes("xray", species, q)
    y = (structure.structure_factor(q) - 1.0) * by(
        mean_amplitude(fractions, f), mean_square_amplitude(fractions, f), 16
    )
    return Curve(
        q,
        y,
        quantity="F(Q)",
        normalisation=declared,
        radiation="xray",
        composition={"Ge": 1.0, "O": 2.0},
        number_density=structure.number_density,
        source="x.csv",
    )


@pytest.mark.parametrize(
    ("by", "declared", "remedy", "never"),
    [
        (
            lambda f, ff, z: z**2 + 0.0 * f,
            "faber-ziman",
            "divide the y column by 256 and declare normalisation",
            "keen",
        ),
        (lambda f, ff, z: z**2 + 0.0 * f, "<f^2>", "divide the y column by 256 and declare normalisation", "keen"),
        (lambda f, ff, z: f**2 / z**2, "keen", "multiply the y column by 256 and declare normalisation", "Q[S(Q)-1]"),
        (lambda f, ff, z: f**2 / ff, "keen", 'declare quantity = "F(Q)" and normalisation = "<f^2>"', "Q[S(Q)-1]"),
        (lambda f, ff, z: f**2, "<f^2>", 'declare quantity = "F(Q)" and normalisation = "keen"', "faber-ziman"),
    ],
)
def test_scales_of_electrons_are_named(hard_spheres: Any, by: Any, declared: str, remedy: str, never: str) -> None:
    """S(Q) - 1 times Z^2, electron units over Z^2, and over <f^2>: none of them is called what it is not."""
    with pytest.raises(InputError) as refusal:
        check_curve(xray_of(hard_spheres, by, declared))
    told = str(refusal.value).rsplit("; ", 1)[1]
    assert remedy in told
    assert never not in told


@pytest.mark.parametrize("declared", ["faber-ziman", "keen", "<f^2>"])
def test_right_scales_of_xrays_are_silent(hard_spheres: Any, declared: str) -> None:
    right = {
        "faber-ziman": lambda f, ff, z: 1.0 + 0.0 * f,
        "keen": lambda f, ff, z: f**2,
        "<f^2>": lambda f, ff, z: f**2 / ff,
    }
    assert check_curve(xray_of(hard_spheres, right[declared], declared)) == []


def test_a_bound_alone_names_no_other_quantity(liquid: MakeCurve) -> None:
    """A curve too short for its low-r slope that falls below what is possible: any smaller number would do."""
    curve = liquid("F(Q)", "faber-ziman")
    short = replace(curve, y=10.0 * curve.y).cropped(0.0, 5.5)
    (warning,) = check_curve(short)
    assert "times the lowest value possible; check normalisation" in warning
