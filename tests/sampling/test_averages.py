"""Errors of averages of correlated frames, against the scatter of averages that is known exactly."""

import numpy as np
import pytest

from refine.sampling.averages import error_of, inefficiency, influences, standard_error


def correlated(decay: float, frames: int, replicas: int, series: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponentially correlated normal series (replicas * frames, series), replica after replica, and the replicas."""
    rng, keep = np.random.default_rng(seed), np.exp(-1.0 / decay)
    x = np.empty((frames, replicas, series))
    x[0] = rng.normal(size=x.shape[1:])
    for t in range(1, frames):
        x[t] = keep * x[t - 1] + np.sqrt(1.0 - keep**2) * rng.normal(size=x.shape[1:])
    return x.swapaxes(0, 1).reshape(-1, series), np.repeat(np.arange(replicas), frames)


def exact(decay: float, frames: int, replicas: int) -> float:
    """Standard deviation of the mean of such a series."""
    lags = np.arange(1 - frames, frames)
    return float(np.sqrt(np.sum((1.0 - np.abs(lags) / frames) * np.exp(-np.abs(lags) / decay)) / frames / replicas))


@pytest.mark.parametrize("decay", [0.2, 2.0, 10.0, 20.0])
@pytest.mark.parametrize(("frames", "replicas"), [(200, 1), (100, 2), (50, 4), (400, 1)])
def test_stated_errors_are_the_true_ones(decay: float, frames: int, replicas: int) -> None:
    """Mean of the stated over the true error, and their mean square, within 15 % and 4 sigma of 600 series.

    A jackknife over ten blocks has 0.75 (decay 10) and 0.59 (decay 20) for one replica.
    """
    x, replica = correlated(decay, frames, replicas, 600, seed=round(10 * decay) + frames)
    ratio = standard_error(x, replica) / exact(decay, frames, replicas)
    known_to = 4.0 * ratio.std() / np.sqrt(600)
    assert abs(ratio.mean() - 1.0) < 0.15 + known_to
    assert abs(np.sqrt(np.mean(ratio**2)) - 1.0) < 0.15 + known_to


@pytest.mark.parametrize("decay", [2.0, 10.0, 20.0])
def test_errors_of_a_function_of_a_mean(decay: float) -> None:
    """R_chi-like: the distance of a mean of twelve bins from a curve, against its scatter over 200 samples, 15 %.

    The scatter of 200 is known to 5 %: 4 sigma on top.
    """
    curve = np.linspace(1.0, 2.0, 12)
    series = correlated(decay, 200, 1, 12 * 200, seed=5)[0].reshape(200, 12, 200)

    def distance(mean: np.ndarray) -> float:
        return float(np.linalg.norm(mean - curve) / np.linalg.norm(curve))

    values = np.array([distance(series[:, :, k].mean(axis=0)) for k in range(200)])
    stated = np.array([error_of(distance, series[:, :, k]) for k in range(200)])
    assert abs(stated.mean() / values.std(ddof=1) - 1.0) < 0.15 + 4 * 0.05


def test_few_frames_do_not_make_an_error_run_away() -> None:
    """75 frames, decay 3.5: of 4000 series a tenth states more than 1.47 times the true error, known to 0.03.

    A window that grows with what the mean took out grows its own answer: there it was 1.71 times.
    """
    x, replica = correlated(3.5, 75, 1, 4000, seed=75)
    ratio = standard_error(x, replica) / exact(3.5, 75, 1)
    assert np.quantile(ratio, 0.9) < 1.58


def test_replicas_that_differ_are_seen() -> None:
    """Four replicas, each stuck near its own value: their spread is the error, however many frames each has."""
    rng = np.random.default_rng(1)
    own = np.array([-1.0, 0.3, 1.1, 2.0])
    x = np.repeat(own, 100) + 0.01 * rng.normal(size=400)
    assert standard_error(x, np.repeat(np.arange(4), 100)) > 0.7 * own.std() / 2


def test_frames_of_different_replicas_are_not_paired() -> None:
    """The order of the replicas makes no difference."""
    x, replica = correlated(5.0, 60, 3, 4, seed=2)
    order = np.argsort((replica + 1) % 3, kind="stable")
    np.testing.assert_allclose(standard_error(x, replica), standard_error(x[order], replica[order]))


def test_independent_and_constant_series() -> None:
    x = np.random.default_rng(3).normal(size=(5000, 40))
    assert inefficiency(x).mean() == pytest.approx(1.0, abs=0.05)
    assert inefficiency(np.full(50, 3.7)) == 1.0
    assert inefficiency(np.full((50, 2, 3), 1e8)).shape == (2, 3)
    assert standard_error(np.full(50, 3.7)) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match="at least 2"):
        standard_error(np.zeros(1))


def test_influences_of_a_mean_are_the_frames() -> None:
    x = np.random.default_rng(4).normal(size=(30, 2))
    np.testing.assert_allclose(influences(lambda mean: float(mean[0]), x), x[:, 0], atol=1e-12)
    # of a square, to first order: x^2 -> <x>^2 + 2 <x> (x_f - <x>)
    m = x[:, 0].mean()
    found = influences(lambda mean: float(mean[0] ** 2), x)
    np.testing.assert_allclose(found, m**2 + 2 * m * (x[:, 0] - m), atol=2 * (x[:, 0] ** 2).max() / 29)
