"""Splines that begin below everything that was seen."""

import numpy as np
import pytest

from refine.potentials.correction import SplineBasis
from refine.study.choices.replicas import MOST, SMALL, TOGETHER, replicas
from refine.study.choices.splines import BELOW, LEAST, STEP, first_r_min, knots, r_min


@pytest.mark.parametrize("shift", [0.0, 0.37, 1.2])
def test_r_min_follows_the_innermost_pairs(shift: float) -> None:
    nearest, onsets = np.array([2.9, 3.4]) + shift, np.array([np.inf, 3.1]) + shift
    value = r_min(nearest, onsets).value
    assert nearest.min() - BELOW - STEP < value <= nearest.min() - BELOW + 1e-9
    lower = r_min(nearest, onsets - 0.8)
    assert lower.value <= onsets.min() - 0.8 - BELOW + 1e-9
    assert "measured" in lower.reason


def test_r_min_of_hydrogen_stays_above_zero() -> None:
    assert r_min(np.array([0.7]), np.array([np.inf])).value == LEAST
    assert first_r_min(np.array([np.inf]), 0.1).value > LEAST


def test_unseen_pairs_say_nothing() -> None:
    assert r_min(np.array([np.inf, 3.0]), np.full(2, np.inf)).value == 2.5


def test_knots_are_finer_than_the_prior_and_no_finer_than_data() -> None:
    for length in (0.3, 0.5, 1.0):
        for q_max in (None, 8.0, 20.0, 50.0):
            spacing = SplineBasis(1.5, 8.0, int(knots(1.5, 8.0, length, q_max).value)).spacing
            assert 0.27 * length < spacing <= 0.4 * length + 1e-9
    assert knots(7.9, 8.0, 0.5, None).value == 4
    assert knots(1.0, 50.0, 0.01, None).value == 512


def test_copies_of_small_boxes() -> None:
    for atoms in range(10, 1000, 7):
        number = int(replicas(atoms, cheap=True, packed=True).value)
        assert number == 1 or (atoms < SMALL and (number * atoms >= TOGETHER or number == MOST))
    assert replicas(99, cheap=False, packed=True).value == 1
    assert replicas(99, cheap=True, packed=False).value == 1
