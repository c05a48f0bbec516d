"""The size of a change of phi in kT: against phi itself, species pairs together and each, and with temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.steps import step_size, step_sizes
from tests.refinement.conftest import PoissonLiquid


def test_the_size_of_a_step(liquid: PoissonLiquid):
    """Against phi(r) at the bins' centres, in kT."""
    basis = liquid.basis()
    frames = liquid.sample(basis, 5, 0).frames[0]
    r, h = frames.centres, frames.counts.mean(axis=0, dtype=float)[0]
    theta = liquid.kt * np.random.default_rng(0).normal(size=len(basis.theta))
    phi = basis.with_theta(theta).energy(r)[0] - basis.energy(r)[0]
    inside = r < basis.basis.r_cut
    expected = np.sqrt(np.sum((h * phi**2)[inside]) / h[inside].sum()) / liquid.kt
    assert step_sizes(basis, theta, frames, liquid.kt) == pytest.approx([expected], rel=0.01)
    assert step_sizes(basis, 3 * theta, frames, liquid.kt) == pytest.approx(
        3 * step_sizes(basis, theta, frames, liquid.kt)
    )
    assert step_size(basis, theta, frames, liquid.kt) == pytest.approx(expected, rel=0.01)
    assert step_size(basis, theta, frames, liquid.kt, reach="centre") == pytest.approx(expected, rel=0.01)


def test_pairs_that_are_not_sampled_do_not_count(liquid: PoissonLiquid):
    """Three species pairs: one sampled, one not, one not corrected. The mean square is over sampled pairs of atoms."""
    basis, one = liquid.basis(), liquid.sample(liquid.basis(), 5, 0).frames[0]
    pairs = (("A", "A"), ("A", "B"), ("B", "B"))
    three = PairCorrection.zero(pairs, basis.basis, active=(True, True, False), stiffness=1.0)
    counts = np.concatenate([one.counts, 0 * one.counts, one.counts], axis=1)
    frames = replace(one, counts=counts, n_per_species=(one.n_atoms - 1, 1))
    theta = liquid.kt * np.random.default_rng(0).normal(size=len(three.theta))
    alone = step_size(basis, theta[: len(basis.theta)], one, liquid.kt)
    assert step_sizes(three, theta, frames, liquid.kt) == pytest.approx([alone, 0.0])
    assert step_size(three, theta, frames, liquid.kt) == pytest.approx(alone)


def test_a_change_that_depends_on_temperature(liquid: PoissonLiquid):
    """At the reference phi_0 alone, a span above it phi_0 + phi_1."""
    basis, frames = liquid.basis(), liquid.sample(liquid.basis(), 5, 0).frames[0]
    changing = PairCorrection.zero(basis.pairs, basis.basis, stiffness=1.0, temperatures=(100.0, 10.0))
    first, second = liquid.kt * np.random.default_rng(0).normal(size=(2, len(basis.theta)))
    both = np.concatenate([first, second])
    at_reference = step_size(basis, first, frames, liquid.kt)
    assert step_size(changing, both, frames, liquid.kt) == pytest.approx(at_reference)
    assert step_size(changing, both, frames, liquid.kt, temperature=110.0) == pytest.approx(
        step_size(basis, first + second, frames, liquid.kt)
    )
