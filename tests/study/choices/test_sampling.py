"""Stride, frames and equilibration against series whose correlation time is known."""

import math

import numpy as np
import pytest

from refine.study.choices import sampling


def autoregressive(decay: float, frames: int, n: int, seed: int) -> np.ndarray:
    """(frames, n) with the autocorrelation exp(-t / decay) and variance one."""
    rng, a = np.random.default_rng(seed), math.exp(-1.0 / decay)
    x = np.empty((frames, n))
    x[0] = rng.normal(size=n)
    for t in range(1, frames):
        x[t] = a * x[t - 1] + math.sqrt(1.0 - a * a) * rng.normal(size=n)
    return x


def two_tau(decay: float) -> float:
    """Frames that are worth an independent one: coth(1 / 2 decay)."""
    return 1.0 / math.tanh(0.5 / decay)


@pytest.mark.parametrize("decay", [1.0, 4.0, 10.0])
def test_correlation_time_of_known_series(decay: float) -> None:
    """Of 40 series of 400 frames within a fifth: each g is known to a half at most, their mean to a tenth."""
    x = autoregressive(decay, 400, 40, seed=5)
    found = sampling.correlation_time(x, np.zeros(400, int), 0.05, np.ones(40))
    assert found == pytest.approx(0.05 * two_tau(decay), rel=0.2)
    assert sampling.stride(found, 10.0).value == pytest.approx(1000.0 * found / 10.0, abs=0.51)


def test_heavier_points_count_more() -> None:
    x = np.hstack([autoregressive(1.0, 400, 20, seed=1), autoregressive(8.0, 400, 20, seed=2)])
    weights = np.repeat([0.0, 1.0], 20)
    found = sampling.correlation_time(x, np.zeros(400, int), 1.0, weights)
    assert found == pytest.approx(two_tau(8.0), rel=0.3)


@pytest.mark.parametrize(("every", "noise"), [(1, 8.0), (8, 60.0)])
def test_the_frames_chosen_give_the_variance_that_is_allowed(every: int, noise: float) -> None:
    """Means of 300 series of so many frames, `every` intervals apart; a variance of 300 is known to 8 %, three sigma.

    The formula takes 2 tau in place of twice the decay, 1 % apart at a decay of 4.
    """
    decay, allowed = 4.0, 0.25
    choice = sampling.frames(noise, allowed, float(every), two_tau(decay))
    n = int(choice.value)
    assert sampling.FRAMES[0] < n < sampling.FRAMES[1]
    x = math.sqrt(noise) * autoregressive(decay, every * n, 300, seed=3)[::every]
    assert x.mean(axis=0).var() == pytest.approx(allowed, rel=0.27)


def test_frames_keep_within_limits_and_say_what_is_missing() -> None:
    low, high = sampling.FRAMES
    assert sampling.frames(0.01, 0.25, 0.1, 0.1).value == low
    found = sampling.frames(1e4, 0.25, 0.1, 0.1)
    assert found.value == high
    assert "0.5 would take" in found.reason


def test_equilibration_is_over_where_a_drift_has_decayed() -> None:
    """A drift of 10 sigma with a decay of 15 frames, on series with decays of 2: what remains at the start is small."""
    drift = 10.0 * np.exp(-np.arange(300) / 15.0)[:, None] * [1.0, 0.0]
    found = sampling.settled(autoregressive(2.0, 300, 2, seed=4) + drift)
    assert 30 <= found.start <= 120
    assert found.done


def test_a_steady_drift_is_no_equilibrium() -> None:
    slope = np.linspace(0.0, 6.0, 300)[:, None]
    found = sampling.settled(autoregressive(2.0, 300, 1, seed=4) + slope)
    assert not found.done
    assert "not settled" in sampling.equilibration(10.0, found).reason


def test_stationary_series_are_found_settled_nearly_always() -> None:
    """60 frames of decays of 1: within three standard errors in 9 of 10 cases at least, of 50."""
    found = [sampling.settled(autoregressive(1.0, 60, 3, seed=seed)) for seed in range(50)]
    assert sum(one.done for one in found) >= 45


def test_constant_series_do_not_drift() -> None:
    assert sampling.settled(np.ones((60, 2))).done
