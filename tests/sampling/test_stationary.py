"""Samples that are short for their errors, or drift, are said to be; those that are long and at rest are not."""

from __future__ import annotations

import numpy as np
import pytest

from refine.sampling.frames import Frames
from refine.sampling.stationary import DECAYS, DRIFT, change_between_halves, doubts_of


def correlated(rng: np.random.Generator, frames: int, decay: float, replicas: int = 1) -> np.ndarray:
    """Series (frames,) of mean 0 and variance 1 whose autocovariance is exp(-t/decay), replica after replica."""
    a = np.exp(-1.0 / decay) if decay else 0.0
    kicks = rng.normal(size=(frames // replicas, replicas))
    series = np.empty_like(kicks)
    series[0] = kicks[0]
    for k in range(1, len(kicks)):
        series[k] = a * series[k - 1] + np.sqrt(1.0 - a * a) * kicks[k]
    return series.T.ravel()


def sample(energy: np.ndarray, virial: np.ndarray | None = None, replicas: int = 1) -> Frames:
    """108 atoms whose energy per atom is 0.01 eV times a series; nothing else is correlated."""
    rng, n = np.random.default_rng(7), len(energy)
    return Frames(
        counts=rng.poisson(20.0, size=(n, 1, 80)).astype(np.float32),
        energy=108 * (-0.06 + 0.01 * energy),
        virial=rng.normal(size=n) if virial is None else virial,
        temperature=np.full(n, 85.0),
        replica=np.repeat(np.arange(replicas), n // replicas),
        r_max=8.0,
        n_per_species=(108,),
        volume=108 / 0.02125,
    )


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize("decay", [0.0, 2.0, 10.0])
def test_series_at_rest_are_seldom_called_drifting(decay: float, replicas: int) -> None:
    """200 series of 400 frames: 3 % of alarms or more have a probability of 1 % were the rate 1 %."""
    rng = np.random.default_rng(3)
    replica = np.repeat(np.arange(replicas), 400 // replicas)
    alarms = 0
    for _ in range(200):
        change, error = change_between_halves(correlated(rng, 400, decay, replicas), replica)
        alarms += abs(change) > DRIFT * error
    assert alarms < 6


def test_the_error_of_the_change_is_its_scatter() -> None:
    """To 15 %, of series of 40 correlation times (standard error of the scatter of 300: 4 %)."""
    rng = np.random.default_rng(5)
    found = np.array([change_between_halves(correlated(rng, 400, 5.0), np.zeros(400, int)) for _ in range(300)])
    assert np.sqrt(np.mean(found[:, 1] ** 2)) == pytest.approx(found[:, 0].std(), rel=0.15)


def test_a_long_sample_at_rest_is_passed_over() -> None:
    rng = np.random.default_rng(1)
    for replicas in (1, 4):
        assert doubts_of(sample(correlated(rng, 400, 3.0, replicas), replicas=replicas), "melt") == ()


def test_a_sample_of_few_correlation_times_is_named() -> None:
    rng = np.random.default_rng(2)
    (doubt,) = doubts_of(sample(correlated(rng, 400, 80.0)), "melt")
    assert doubt.startswith("melt: the sample is only ")
    length = float(doubt.split("only ")[1].split()[0])
    assert length < DECAYS
    assert "of the energy correlation times long: errors of its means and curves may be too small" in doubt


def test_a_drift_is_named_with_its_size() -> None:
    """In every replica alike, 0.02 eV/atom over the sample: half of it between the means of the halves."""
    rng = np.random.default_rng(4)
    series = correlated(rng, 400, 2.0, 4) + 2.0 * np.tile(np.linspace(0.0, 1.0, 100), 4)
    (doubt,) = doubts_of(sample(series, replicas=4), "melt")
    assert doubt.startswith("melt: the energy drifts")
    change, error = doubt.split("first by ")[1].split(" eV/atom")[0].split(" ± ")
    assert float(change) == pytest.approx(0.01, abs=4.0 * float(error))
    assert 0.0005 < float(error) < 0.004
    (doubt,) = doubts_of(sample(np.linspace(0.0, 1.0, 60)), "melt")  # nothing but a drift
    assert "the energy drifts" in doubt


def test_what_is_not_known_is_not_judged() -> None:
    """Energies of a trajectory of others, and a sample too small for an error at all."""
    unknown = sample(np.full(60, np.nan), np.full(60, np.nan))
    assert doubts_of(unknown, "melt") == ()
    assert doubts_of(sample(np.arange(9.0)), "melt") == ()
