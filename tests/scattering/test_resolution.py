"""Resolution on the absolute scale: dimers, whose curves under a Gaussian are known in closed form."""

import math
from dataclasses import replace

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.resolution import Resolution
from refine.curves.transforms import q_to_r_matrix
from refine.errors import InputError
from refine.scattering.measurement import ForwardModel
from tests.scattering.test_measurement import RHO, argon_box, s_of_q

R0 = 6.71
Q = np.arange(0.05, 40.0, 0.03)
BOX = argon_box(1000)
IDEAL = BOX.ideal_counts * 998 / 999
DIMERS = IDEAL + 500.0 * (np.arange(len(BOX.centres)) == 335)  # the bin from 6.70 to 6.72 Å
ARGON = {"number_density": RHO, "composition": {"Ar": 1.0}, "isotopes": {"Ar": 36}, "name": "test"}


def in_r(quantity: str, r: np.ndarray, resolution: Resolution, **q_range: float) -> Curve:
    return Curve(r, np.zeros_like(r), quantity=quantity, resolution=resolution, **ARGON, **q_range)


@pytest.mark.parametrize(
    "resolution", [Resolution(0.06), Resolution(0.0, 0.02), Resolution(0.05, 0.01), Resolution(0.3)]
)
def test_dimers_in_q(resolution: Resolution) -> None:
    """The sum of each wave sin(Q'r)/r over a Gaussian about Q, by quadrature; S(Q) - 1 = that over Q."""
    curve = s_of_q(q=Q, resolution=resolution)
    shown = ForwardModel(curve, BOX).measurement((3.0, 8.0)).shown
    found = shown.predict(DIMERS) - 1.0
    t = np.linspace(-8.0, 8.0, 4001)
    weight = np.exp(-0.5 * t**2) / np.exp(-0.5 * t**2).sum()
    sigma = np.hypot(resolution.constant, resolution.proportional * Q)
    exact = np.array([weight @ np.sin((q + s * t) * R0) for q, s in zip(Q, sigma, strict=True)]) / (Q * R0)
    inside = Q > 1.0  # below, the correction for the closed box takes the dimers for compressibility
    np.testing.assert_allclose(found[inside], exact[inside], atol=2e-3)
    perfect = ForwardModel(s_of_q(q=Q), BOX).measurement((3.0, 8.0)).shown
    np.testing.assert_array_equal(ForwardModel(curve, BOX).bound.to_q, ForwardModel(s_of_q(q=Q), BOX).bound.to_q)
    assert np.abs(perfect.predict(DIMERS) - 1.0 - exact).max() > 0.01


def test_a_peak_in_r_is_wider_by_its_distance() -> None:
    """One neighbour at r_0: D(r) = N(r - r_0; q_broad r_0)/r_0, when Q reaches beyond what is left of it."""
    r = np.arange(5.0, 8.5, 0.02)
    curve = in_r("D(r)", r, Resolution(proportional=0.02), q_min=0.0, q_max=40.0)
    shown = ForwardModel(curve, BOX).measurement((5.0, 8.0)).shown
    found = shown.predict(DIMERS) - shown.predict(IDEAL)
    width = 0.02 * R0
    exact = np.exp(-0.5 * ((r - R0) / width) ** 2) / (math.sqrt(2.0 * math.pi) * width * R0)
    closure = float((DIMERS - IDEAL)[0] @ (BOX.closure / BOX.ideal_counts[0]))  # added to g everywhere
    np.testing.assert_allclose(found - 4.0 * math.pi * RHO * r * closure, exact, atol=3e-3 * exact.max())


def test_constant_resolution_is_damping_of_the_same_curve() -> None:
    """S(Q) of a constant resolution and D(r) of q_damp, of one instrument: T(r) of both, and exp(-(q_damp r)^2/2)."""
    resolution = Resolution(0.08)
    in_q = ForwardModel(s_of_q(q=Q, resolution=resolution), BOX).measurement((4.0, 9.0))
    r = np.arange(0.5, 9.5, 0.02)
    damped = in_r("D(r)", r, resolution, q_min=float(Q[0]), q_max=float(Q[-1]))
    of_r = ForwardModel(damped, BOX).measurement((4.0, 9.0))
    both = [m.total.predict(DIMERS) for m in (in_q, of_r)]
    np.testing.assert_allclose(both[0], both[1], atol=2e-2 * np.abs(both[0]).max())
    # the line by itself, through the transform of its shown S(Q), against a Gaussian times the sharp one
    sharp = ForwardModel(s_of_q(q=Q), BOX).measurement((4.0, 9.0))
    lines = [m.total.predict(DIMERS) - m.total.predict(IDEAL) for m in (in_q, sharp)]
    top = np.argmax(lines[1])
    assert lines[0][top] / lines[1][top] == pytest.approx(math.exp(-0.5 * (0.08 * R0) ** 2), rel=1e-3)
    transformed = q_to_r_matrix(Q, in_q.r) @ (in_q.shown.predict(DIMERS) - in_q.shown.predict(IDEAL))
    np.testing.assert_allclose(transformed, lines[0], atol=1e-9)


def test_g_of_r_without_a_q_range_is_damped_and_not_widened() -> None:
    r = np.arange(4.0, 9.0, 0.02)
    sharp, damped = (
        ForwardModel(in_r("g(r)", r, resolution), BOX).measurement((5.0, 8.0)).shown.predict(DIMERS)
        for resolution in (Resolution(), Resolution(0.05))
    )
    np.testing.assert_allclose(damped - 1.0, (sharp - 1.0) * np.exp(-0.5 * (0.05 * r) ** 2), atol=1e-12)
    with pytest.raises(InputError, match=r"widened in Q, and the Q range.*q_range"):
        ForwardModel(in_r("g(r)", r, Resolution(0.05, 0.01)), BOX)


def test_resolution_acts_before_the_q_range() -> None:
    """A curve to 12 1/Å is the first part of the curve to 40 1/Å, up to its last points: nothing is folded back."""
    resolution = Resolution(0.3, 0.03)
    short = s_of_q(q=Q[Q < 12.0], resolution=resolution)
    long = ForwardModel(s_of_q(q=Q, resolution=resolution), BOX).measurement((3.0, 8.0)).shown.predict(DIMERS)
    found = ForwardModel(short, BOX).measurement((3.0, 8.0)).shown.predict(DIMERS)
    np.testing.assert_allclose(found, long[: len(found)], atol=1e-12)


def test_every_comparison_has_it() -> None:
    """Fits in Q and in r, what is shown and scored, and the error of the cut: all but what is measured."""
    sharp = s_of_q(q=np.arange(0.3, 15.0, 0.05))
    models = [ForwardModel(replace(sharp, resolution=r), BOX) for r in (Resolution(), Resolution(0.1))]
    for fit in ((None, (3.0, 8.0)), ((1.0, 12.0), None)):
        one, other = (m.fit(*fit) for m in models)
        assert np.abs(one.operator.predict(DIMERS) - other.operator.predict(DIMERS)).max() > 1e-3
        np.testing.assert_array_equal(one.values, other.values)
    one, other = (m.measurement((3.0, 8.0)) for m in models)
    for name in ("shown", "in_box", "total"):
        assert np.abs(getattr(one, name).predict(DIMERS) - getattr(other, name).predict(DIMERS)).max() > 1e-3
        np.testing.assert_array_equal(getattr(one, f"{name}_values"), getattr(other, f"{name}_values"))
    assert np.all(other.cut_error(DIMERS) < one.cut_error(DIMERS))
