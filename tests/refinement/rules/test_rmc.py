"""The rule that watches reverse Monte Carlo; the sampler has its own tests, and one here with a refinement's target."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import misfit
from refine.refinement.rules.rmc import RMC, RMCKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of

NEUTRON = {"radiation": "neutron", "isotopes": {"Ar": 36}}


def bump(r, kt):
    return 0.5 * kt * np.exp(-((r - 4.6) ** 2) / 0.5)


@pytest.fixture
def problem(liquid: PoissonLiquid):
    return problem_of(liquid.target(liquid.mean_counts(liquid.basis(), lambda r: bump(r, liquid.kt)), 0.004, **NEUTRON))


def test_it_converges_when_chi2_no_longer_falls_and_leaves_the_correction(liquid: PoissonLiquid, problem):
    """Samples that come nearer to the data, as those of moved atoms do, and then stay."""
    rule, correction = rule_of(RMCKeys), liquid.basis()
    rule.check(problem, correction)
    memory, samples, chi2 = rule.start(), [], []
    for k, share in enumerate((0.0, 0.6, 0.9, 1.0, 1.0, 1.0, 1.0)):
        samples.append(liquid.sample(correction, 200, k, lambda r, s=share: s * bump(r, liquid.kt)))
        update = rule.update(memory, problem, samples)
        memory = json.loads(json.dumps(update.state))
        chi2.append(misfit(samples[-1], problem.targets).chi2)
        assert not update.correction.theta.any()
        assert update.restart == k
        if update.converged:
            break
    assert update.converged
    assert k >= 4
    assert "no potential" in update.reason
    assert chi2[0] > chi2[1] > chi2[2] > chi2[3]
    assert chi2[-1] < 2 * problem.points
    assert not RMC.yields_potential


def test_scale_and_background_for_the_next_moves(liquid: PoissonLiquid):
    """A measurement at scale 1.1 on a background of 0.05: both are found."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.004, **NEUTRON)
    ones = np.ones(len(target.y))
    y = target.baseline + 1.1 * (target.y - target.baseline) + 0.05
    target = replace(target, y=y, free_scale=True, background=ones[:, None], background_prior=np.array([0.2]))
    problem, rule = problem_of(target, replace(target, state=1)), rule_of(RMCKeys)
    scale, background = rule.nuisances(problem, 0, liquid.sample(liquid.basis(), 500, 1).frames[0])
    assert scale == pytest.approx([1.1], abs=0.01)
    assert background == pytest.approx(np.array([[0.05]]), abs=0.005)


def test_minimum_distances_by_name():
    pairs = (("Fe", "Fe"), ("Fe", "O"), ("O", "O"))
    np.testing.assert_array_equal(rule_of(RMCKeys).distances(pairs), np.zeros(3))
    np.testing.assert_array_equal(
        rule_of(RMCKeys, minimum_distances={"O-Fe": 1.7, "O-O": 2.2}).distances(pairs), [0.0, 1.7, 2.2]
    )
    with pytest.raises(InputError, match="Fe-Al is no pair"):
        rule_of(RMCKeys, minimum_distances={"Fe-Al": 1.7}).distances(pairs)
    with pytest.raises(ValidationError, match="minimum_distances"):
        RMCKeys(minimum_distances={"O-O": 0.0})


def test_refusals(liquid: PoissonLiquid, problem):
    with pytest.raises(InputError, match="needs a curve"):
        rule_of(RMCKeys).check(problem_of(), liquid.basis())
    with pytest.raises(InputError, match="no pair"):
        rule_of(RMCKeys, minimum_distances={"Ar-Kr": 3.0}).check(problem, liquid.basis())
    basis = liquid.basis()
    changing = PairCorrection.zero(basis.pairs, basis.basis, stiffness=1.0, temperatures=(85.0, 10.0))
    with pytest.raises(InputError, match="temperature"):
        rule_of(RMCKeys).check(problem, changing)


def test_atoms_are_moved_to_a_target_of_a_refinement():
    """The whole loop without a study: sampler and rule on the S(Q) of hard spheres; chi^2 falls, theta stays zero."""
    from refine.refinement.problem import Sample
    from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo
    from refine.sampling.starts import random_packing

    liquid = PoissonLiquid(n=108, width=0.1)
    box, system = liquid.box, random_packing({"Ar": 108}, liquid.rho, seed=1)
    settings = {"stride": 5, "n_bins": len(box.centres), "r_max": box.r_max}
    spheres = ReverseMonteCarlo(
        system,
        [],
        minimum_distances=rule_of(RMCKeys, minimum_distances={"Ar-Ar": 3.2}).distances(box.pairs),
        **settings,
    )
    state, _ = spheres.run(spheres.start(system.positions, 85.0, 1), None, 85.0, 20, observe=False)
    truth = spheres.run(state, None, 85.0, 80)[1].counts.mean(axis=0, dtype=np.float64)
    target = replace(liquid.target(truth, 0.01, **NEUTRON), free_scale=True, scale_prior=0.1)
    problem, rule = problem_of(target), rule_of(RMCKeys, minimum_distances={"Ar-Ar": 2.8})

    mc = ReverseMonteCarlo(system, problem.targets, minimum_distances=rule.distances(box.pairs), **settings)
    state, memory, samples = mc.start(system.positions, 85.0, 2), rule.start(), []
    for _ in range(10):
        params = rule.nuisances(problem, 0, samples[-1].frames[0]) if samples else None
        length = int(30 * (memory["frames_factor"] if samples else 1.0))
        state, frames = mc.run(state, params, 85.0, length)
        samples.append(Sample(liquid.basis(), (frames,)))
        update = rule.update(memory, problem, samples)
        memory = update.state
        if update.converged:
            break
    assert update.converged
    assert not update.correction.theta.any()
    y = [target.predict(s.frames[0].counts.mean(axis=0, dtype=np.float64)) for s in (samples[0], samples[-1])]
    rms = [np.sqrt(np.mean((target.y - curve) ** 2)) for curve in y]
    assert rms[1] < 3 * 0.01, rms
