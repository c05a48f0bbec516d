"""Splines that begin below everything that was seen."""

from pathlib import Path

import numpy as np
import pytest

from refine import Study
from refine.errors import InputError
from refine.potentials.correction import SplineBasis
from refine.study.choices.replicas import MOST, SMALL, TOGETHER, replicas
from refine.study.choices.splines import BELOW, LEAST, STEP, first_r_min, knots, r_min
from tests import small_box


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


def test_the_usual_cutoff_ends_with_a_small_box(tmp_path: Path) -> None:
    """Half of the box of 108 argon atoms is 8.59 Å, of 60 atoms 7.07 Å: the second one's correction ends there, and its
    base with it; a cutoff that is given stands, and is refused where it is too long."""
    small_box.write(tmp_path)
    text = (tmp_path / "study.toml").read_text().replace("r_cut = 6.5\n", "")
    large, small = text, text.replace("108", "60").replace("7.5]", "6.5]").replace("7.0]", "6.5]")
    for name, written, expected in (("large", large, 8.0), ("small", small, 7.0)):
        (tmp_path / "study.toml").write_text(written)
        study = Study.from_toml(tmp_path / "study.toml")
        assert study.initial_correction().basis.r_cut == expected == study.config.correction.r_cut
        assert study.base_energies(np.array([expected - 0.01]))[0, 0] != 0.0
        assert study.base_energies(np.array([expected + 0.01]))[0, 0] == 0.0
        told = [choice.words() for choice in study.choices if choice.key == "correction.r_cut"]
        assert [("60 atoms" in words, "8 Å" in words) for words in told] == [(True, True)] * (name == "small")
        again = Study(study.config)
        assert again.digest() == study.digest()
    with pytest.raises(InputError, match="above half the box"):
        Study.from_toml(tmp_path / "study.toml", ["correction.r_cut=8"])


def test_copies_of_small_boxes() -> None:
    for atoms in range(10, 1000, 7):
        number = int(replicas(atoms, cheap=True, packed=True).value)
        assert number == 1 or (atoms < SMALL and (number * atoms >= TOGETHER or number == MOST))
    assert replicas(99, cheap=False, packed=True).value == 1
    assert replicas(99, cheap=True, packed=False).value == 1
