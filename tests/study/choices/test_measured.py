"""Curves that were read off a figure, and where fits begin."""

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.noise import DIGITISED, digitised, digitised_error
from refine.scattering.measurement import ForwardModel
from refine.study.choices.measured import first_r, sigma
from refine.study.choices.splines import BELOW
from refine.system import Box, make_system


def g(r: np.ndarray, onset: float) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-(r - onset) / 0.05)) * (1.0 + 1.5 * np.exp(-((r - onset - 0.5) ** 2) / 0.1))


def read_off(seed: int, error: float) -> tuple[np.ndarray, np.ndarray]:
    """A g(r) as it is read off a figure: where the reader clicks, and next to the line."""
    rng = np.random.default_rng(seed)
    r = np.cumsum(np.concatenate([[2.0], rng.uniform(0.05, 0.3, 60)]))
    return r, g(r, 2.8) + error * rng.normal(size=61)


@pytest.mark.parametrize("error", [0.1, 0.2])
def test_the_error_of_a_digitised_curve_is_that_of_the_reader(error: float) -> None:
    """Within 40 %, mean of ten readings: the curve itself bends between its points, and adds to it."""
    found = np.mean([digitised_error(r, y - 1.0) for r, y in (read_off(seed, error) for seed in range(10))])
    assert 0.8 * error < found < 1.4 * error


def test_a_smooth_one_keeps_a_share_of_its_signal() -> None:
    r = np.cumsum(np.concatenate([[2.0], np.random.default_rng(0).uniform(0.01, 0.05, 200)]))
    y = np.sin(r)
    assert digitised_error(r, y) == pytest.approx(DIGITISED * np.sqrt(np.mean(y**2)))
    assert digitised_error(r[:5], y[:5]) == pytest.approx(DIGITISED * np.sqrt(np.mean(y[:5] ** 2)))


def test_measured_points_are_not_digitised() -> None:
    q = 0.025 * np.arange(1, 800)
    assert not digitised(q)
    assert not digitised(np.round(q, 2))
    assert not digitised(np.unique(np.round(0.0125 * np.arange(1, 800), 2)))
    assert not digitised(0.3 * 1.02 ** np.arange(200))  # bins of time of flight
    assert digitised_error(q, np.sin(q)) == 0.0


@pytest.fixture
def box() -> Box:
    return Box.of(make_system({"Ar": 200}, 20.0 * np.eye(3)), 0.02 * np.arange(501.0))


def curve(r: np.ndarray, y: np.ndarray, **more: object) -> Curve:
    return Curve(r, y, quantity="g(r)", pair=("Ar", "Ar"), composition={"Ar": 1.0}, name="gr", **more)  # type: ignore[arg-type]


def test_sigma_of_a_digitised_curve_is_said_and_one_that_is_stated_stands(box: Box) -> None:
    r, y = read_off(1, 0.1)
    one = curve(r, y)
    fit = ForwardModel(one, box).fit(None, None)
    said = sigma(one, fit)
    assert said is not None
    assert said.key == "data.gr.sigma"
    assert said.value == pytest.approx(np.sqrt(fit.covariance[0, 0]), rel=0.05)
    assert said.value >= 0.05
    stated = curve(r, y, sigma=np.full(len(r), 0.01))
    fit = ForwardModel(stated, box).fit(None, None)
    assert sigma(stated, fit) is None
    assert np.sqrt(fit.covariance[0, 0]) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("step", [0.05, 0.15])
@pytest.mark.parametrize("begins", [0.5, 2.75])
def test_without_ripple_the_error_is_the_scatter_of_the_points(box: Box, step: float, begins: float) -> None:
    """A g(r) that was set to zero below its onset, or begins there: mean of ten within 30 %, none off by a factor of
    two; an even one without noise has half a per cent of its signal, as before."""
    r, found = np.arange(begins, 9.8, step), []
    smooth = np.where(r > 2.6, g(r, 2.8), 0.0)
    for seed in range(10):
        noise = 0.03 * np.random.default_rng(seed).normal(size=len(r)) * (r > 2.6)
        found.append(np.sqrt(ForwardModel(curve(r, smooth + noise), box).fit(None, None).covariance[0, 0]))
    assert 0.7 * 0.03 < np.mean(found) < 1.3 * 0.03
    assert 0.5 * 0.03 < min(found) <= max(found) < 2.0 * 0.03
    fine = np.arange(begins, 9.8, 0.02)
    y = np.where(fine > 2.6, g(fine, 2.8), 0.0)
    least = np.sqrt(ForwardModel(curve(fine, y), box).fit(None, None).covariance[0, 0])
    assert least == pytest.approx(5e-3 * np.sqrt(np.mean((y - 1.0) ** 2)), rel=1e-3)


@pytest.mark.parametrize("quantity", ["G(r)", "D(r)", "T(r)"])
@pytest.mark.parametrize("begins", [0.5, 2.75])
def test_that_scatter_is_of_the_points_with_atoms_in_every_function_of_r(
    box: Box, quantity: str, begins: float
) -> None:
    """A straight line below the onset, which no atom makes, does not scatter; mean of ten within 30 %."""
    r, g_of_bins = np.arange(begins, 9.8, 0.05), np.where(box.centres > 2.6, g(box.centres, 2.8), 0.0)
    known = {"quantity": quantity, "composition": {"Ar": 1.0}, "number_density": box.number_density, "name": "of r"}
    blank = Curve(r, np.ones_like(r), **known)  # type: ignore[arg-type]
    smooth = ForwardModel(blank, box).measurement(None).shown.predict(box.ideal_counts * g_of_bins)
    error, found = 0.02 * np.std(smooth), []
    for seed in range(10):
        noise = error * np.random.default_rng(seed).normal(size=len(r)) * (r > 2.6)
        one = Curve(r, smooth + noise, **known)  # type: ignore[arg-type]
        found.append(np.sqrt(ForwardModel(one, box).fit(None, None).covariance[0, 0]))
    assert 0.8 * error < np.mean(found) < 1.3 * error
    assert 0.5 * error < min(found) <= max(found) < 2.0 * error


@pytest.mark.parametrize("onset", [2.4, 3.1])
def test_a_fit_begins_below_the_onset_and_not_in_the_ripple(onset: float) -> None:
    r = 0.02 * np.arange(1, 500)
    found = first_r(curve(r, g(r, onset) + 0.03 * np.sin(20.0 * r)))
    assert found is not None
    low, choice = found
    assert onset - 0.3 - BELOW < low < onset - BELOW + 0.1
    assert choice.key == "data.gr.fit_r"
    r = 2.7 + 0.02 * np.arange(400)  # nothing is left to cut
    assert first_r(curve(r, g(r, 2.9))) is None
