"""Rigidities of the last layer: beside Bayesian linear regression written out, and what they are calibrated to."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from refine.learning.batches import Shapes, graph_of, pack
from refine.learning.features import features_of
from refine.learning.frames import species_of
from refine.learning.rigidity import FEWEST, Rigidity, calibration, committee
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace
from tests.learning.labelled import atoms_of, unlabelled
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

KINDS = ("cubic", "a molecule")
FRAMES = unlabelled([atoms_of(kind) for kind in KINDS])


def test_it_is_the_variance_of_bayesian_linear_regression() -> None:
    """Posterior of w with y = F w + noise and the prior N(0, alpha^2 / c), from the stacked design, by inversion."""
    rng = np.random.default_rng(0)
    features, query = rng.normal(size=(12, 5)), rng.normal(size=(3, 5))
    alpha, ridge = 0.3, 0.7
    design = np.concatenate([features / alpha, np.sqrt(ridge) / alpha * np.eye(5)])
    covariance = np.linalg.inv(design.T @ design)
    expected = np.sqrt(np.diag(query @ covariance @ query.T))
    found = Rigidity(features.T @ features + ridge * np.eye(5), alpha).sigma(query)
    assert found == pytest.approx(expected, rel=1e-12)


def test_errors_of_a_linear_model_are_what_is_expected_of_them() -> None:
    """Targets drawn from the prior, a fit with the right c, and 400 errors that took no part: alpha and c come back,
    and two thirds of the errors lie within sigma. To four sigma: alpha is known to 1/sqrt(800), c to a decade."""
    rng = np.random.default_rng(1)
    n, m, p = 30, 400, 20
    scales = np.geomspace(1.0, 0.05, p)
    training, apart = (rng.normal(size=(k, p)) * scales for k in (n, m))
    ridge = 1e-2 * float(np.mean(np.sum(training**2, axis=0)))
    alpha = 0.02
    errors = np.empty(m)
    matrix = training.T @ training + ridge * np.eye(p)
    for k in range(m):  # a model of its own for each, so that errors are independent
        weights = alpha / np.sqrt(ridge) * rng.normal(size=p)
        y = training @ weights + alpha * rng.normal(size=n)
        errors[k] = apart[k] @ (np.linalg.solve(matrix, training.T @ y) - weights)
    found = Rigidity.of(training, apart, errors)
    assert found.calibrated
    assert found.alpha == pytest.approx(alpha, rel=4 / np.sqrt(2 * m))
    assert ridge / 10.1 < found.ridge < ridge * 10.1
    judged = calibration(found.sigma(apart), errors)
    assert judged is not None
    assert judged.rms == pytest.approx(1.0, abs=0.01)  # alpha is theirs
    assert judged.within[0] == pytest.approx(0.683, abs=4 * np.sqrt(0.683 * 0.317 / m))
    assert judged.within[1] == pytest.approx(0.954, abs=4 * np.sqrt(0.954 * 0.046 / m))


def test_without_labels_it_tells_more_from_less() -> None:
    rng = np.random.default_rng(2)
    training = rng.normal(size=(8, 3)) * [1.0, 1.0, 0.0]
    found = Rigidity.of(training, np.empty((0, 3)), np.empty(0))
    assert not found.calibrated
    known, unknown = found.sigma(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert unknown > 100 * known
    assert calibration(np.ones(FEWEST - 1), np.ones(FEWEST - 1)) is None
    nothing = Rigidity.of(np.empty((0, 3)), np.empty((0, 3)), np.empty(0))  # before the first label
    assert nothing.sigma(np.array([[0.0, 0.0, 2.0]])) == pytest.approx(2.0 * nothing.sigma(np.eye(3)[:1]))


def test_a_frame_without_neighbours_calibrates_nothing() -> None:
    """Its features are zero, and its error nothing that the last layer could tell of: no variance is there for it."""
    rng = np.random.default_rng(0)
    training, apart = rng.normal(size=(3, 20)), rng.normal(size=(5, 20))
    apart[2] = 0.0
    rigidity = Rigidity.of(training, apart, rng.normal(size=5))
    assert not rigidity.calibrated
    assert np.all(np.isfinite(rigidity.sigma(apart)))


def test_a_frame_left_out_is_judged_by_the_others() -> None:
    errors, sigma = np.array([1.0, -1.0, 1.0, 9.0, 1.0]), np.ones(5)
    found = calibration(sigma, errors)
    assert found is not None
    assert found.within == (0.8, 0.8)  # 9 beside an alpha of 1
    assert found.rms == pytest.approx(np.sqrt((81.0 + 4 / 21) / 5))


@pytest.mark.parametrize(
    "checkpoint",
    [
        random_checkpoint(1, species=("H", "O", "Fe"), channels=3, max_ell=1, l_hidden=0, correlation=1, r_max=4.0),
        random_checkpoint(2, species=("H", "O", "Fe"), channels=2, max_ell=1, correlation=1, nonlinear=True, r_max=3.5),
    ],
    ids=["linear and nonlinear readouts", "biased readout"],
)
def test_features_are_derivatives_of_the_energy_by_the_last_weights(checkpoint: Checkpoint) -> None:
    """Of frames of any sizes, in their order, beside differences along random changes of the last maps in the file."""
    found = features_of(checkpoint, FRAMES)
    assert [len(one) for one in found.last] == [len(frame.symbols) for frame in FRAMES]
    assert [len(one) for one in found.points(environments=False)] == [1] * len(FRAMES)
    number = {"linear": 0, "nonlinear": 1, "biased": 2}
    last = [f"layers.{t}.readout.{number[layer.readout]}" for t, layer in enumerate(checkpoint.architecture.layers)]
    rng, step = np.random.default_rng(0), 1e-3
    directions = [{name: rng.normal(size=checkpoint.weights[name].shape) for name in last} for _ in range(3)]
    flat = np.array([np.concatenate([one[name].ravel() for name in last]) for one in directions])
    for k, frame in enumerate(FRAMES):
        species = species_of([frame])
        counts = tuple(frame.symbols.count(symbol) for symbol in species)
        mace = Mace(checkpoint, species, counts, precision="float64", table=False)
        graph = graph_of(frame, species, mace.cutoff)
        packed = pack([graph], Shapes.sharing([[graph]], 1).all[0], np.zeros(len(species)), mace.cutoff, "float64")
        program = jax.jit(mace.site_energies)

        def energy(changed: dict[str, np.ndarray]) -> float:
            weights = {name: checkpoint.weights[name] + change for name, change in changed.items()}
            with jax.enable_x64(True):
                return float(program(mace.load(weights), packed.vectors, packed.senders).sum())  # noqa: B023

        for direction, along in zip(directions, flat, strict=True):
            steps = [energy({name: sign * step * change for name, change in direction.items()}) for sign in (1, -1)]
            slope = (steps[0] - steps[1]) / (2 * step)
            assert found.last[k].sum(axis=0) @ along == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_a_committee_that_agrees_is_sure() -> None:
    forces = np.random.default_rng(3).normal(size=(4, 5, 3))
    assert committee([forces[0], forces[0]]) == 0
    expected = np.sqrt(np.mean([np.var(forces[:, i, a], ddof=1) for i in range(5) for a in range(3)]))
    assert committee(list(forces)) == pytest.approx(expected)
