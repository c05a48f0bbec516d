"""The ripple that is noise, told from the ripple that a finite Q range makes of peaks known exactly."""

import math

import numpy as np
import pytest

from refine.curves.noise import ripple
from refine.curves.transforms import q_to_r_matrix

RHO = 0.0662
PEAKS = [(1.616, 2.67, 0.05), (2.64, 4.0, 0.09), (3.08, 2.0, 0.10), (4.0, 4.0, 0.25)]
"""Å, neighbours, Å: of silica, about."""

R = np.arange(0.02, 12.0, 0.02)
FINE = np.arange(0.001, 40.0, 0.002)


def distinct(q: np.ndarray) -> np.ndarray:
    """S(Q) - 1 of the peaks and an even density behind them."""
    total = 4.0 * math.pi * RHO * FINE / (1.0 + np.exp(-(FINE - 4.5) / 0.3))
    for r, n, width in PEAKS:
        total += n / (r * math.sqrt(2.0 * math.pi) * width) * np.exp(-0.5 * ((FINE - r) / width) ** 2)
    return np.sinc(np.outer(q, FINE) / math.pi) @ (FINE * (total - 4.0 * math.pi * RHO * FINE)) * 0.002


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize(("window", "raw"), [("none", 0.25), ("lorch", 0.014)])
@pytest.mark.parametrize("q_max", [15.0, 20.0, 25.0])
@pytest.mark.parametrize("q_min", [0.0, 0.6])
def test_peaks_alone_leave_next_to_nothing(q_min: float, q_max: float, window: str, raw: float):
    """1/Å^2; T(r) has a maximum of 13."""
    q = np.linspace(q_min, q_max, int(50 * q_max) + 1)
    d = q_to_r_matrix(q, R, window) @ distinct(q)
    slope = 4.0 * math.pi * RHO
    assert rms(ripple(R, d, slope)[1]) > raw  # what a Q range makes of them, taken for noise
    assert rms(ripple(R, d, slope, (q_min, q_max), window)[1]) < 0.01


@pytest.mark.parametrize("window", ["none", "lorch"])
@pytest.mark.parametrize("q_range", [(0.0, 20.0), (0.6, 25.0), (0.6, 40.0)])
def test_noise_is_found_beside_them(q_range: tuple[float, float], window: str):
    """White noise on S(Q), mean of eight draws: up to half of it is taken for peaks, none is added."""
    q = np.linspace(*q_range, 1500)
    back, rng = q_to_r_matrix(q, R, window), np.random.default_rng(3)
    exact = back @ distinct(q)
    quiet, _ = ripple(R, exact, 4.0 * math.pi * RHO, q_range, window)
    inside = np.isin(R, quiet)
    true, found = [], []
    for _ in range(8):
        drawn = back @ rng.normal(0.0, 0.02, len(q))
        true.append(rms(drawn[inside]))
        found.append(rms(ripple(R, exact + drawn, 4.0 * math.pi * RHO, q_range, window)[1]))
    assert 0.45 < rms(np.array(found)) / rms(np.array(true)) < 1.1


def test_without_a_place_for_it_there_is_none():
    """A curve that begins where atoms are."""
    r = R[R > 1.5]
    quiet, found = ripple(r, 20.0 * np.exp(1.5 - r), 4.0 * math.pi * RHO, (0.0, 20.0))
    assert len(quiet) == len(found) == 0
