"""What every update rule must do: each entry of RULES, without dynamics, on the Poisson liquid.

A new rule is tested here without a line of its own; `SETTINGS` is for those whose defaults need a longer run.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.keys import Refinement
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import MovingRule, Problem, Rule, Sample, Target, TrajectoryRule, Update
from refine.refinement.rules import RULES
from refine.results.schema import Iteration
from refine.scattering.measurement import ForwardModel
from tests.refinement.conftest import SHARED, TEMPERATURE, PoissonLiquid, problem_of

SETTINGS: dict[str, dict[str, Any]] = {
    "difftre": {"learning_rate": 0.003},
    "backprop": {"windows": 16, "learning_rate": 0.05},
}

LIQUID = PoissonLiquid(n=150)

HEIGHT = 0.2
"""kT of the hidden bump, 0.11 kT rms over `R`."""

R = np.arange(3.4, 7.5, 0.05)


@pytest.fixture(params=RULES.entries)
def rule(request: pytest.FixtureRequest) -> Rule:
    table = RULES.table(request.param)
    made = table.model_validate(SETTINGS.get(request.param, {}))
    assert isinstance(made, Refinement)
    return made.rule(SHARED)


def bump(r: np.ndarray, share: float = 1.0) -> np.ndarray:
    return share * HEIGHT * LIQUID.kt * np.exp(-((r - 4.6) ** 2) / 0.5)


def partial_g() -> Target:
    box, counts = LIQUID.box, LIQUID.mean_counts(LIQUID.basis(), bump)
    about = {"composition": {"Ar": 1.0}, "number_density": LIQUID.rho, "radiation": "neutron"}
    g = (counts / box.ideal_counts)[0]
    curve = Curve(x=box.centres, y=g, sigma=np.full_like(g, 0.01), quantity="g(r)", name="g", **about)
    fit = ForwardModel(curve, box).fit(None, (2.9, 8.5))
    return Target("g", 0, "g(r)", 0, fit.operator.predict(counts), fit.covariance, True, CurveObservable(fit.operator))


CURVES = LIQUID.target(LIQUID.mean_counts(LIQUID.basis(), bump), 0.004), partial_g()


def problem_for(rule: Rule) -> Problem:
    """S(Q) and g(r), or S(Q) alone for a rule that takes nothing in r."""
    both = problem_of(*CURVES)
    try:
        rule.check(both, LIQUID.basis())
    except InputError:
        rule.check(problem_of(CURVES[0]), LIQUID.basis())
        return problem_of(CURVES[0])
    return both


def sampled(rule: Rule, problem: Problem, correction: PairCorrection, frames: int, number: int) -> Sample:
    """What an engine would make: of moved atoms nearer to the data each time, for a trajectory its gradients."""
    share = 1.0 - 0.3**number if isinstance(rule, MovingRule) else 0.0
    sample = LIQUID.sample(correction, frames, number, lambda r: bump(r, share))
    if not isinstance(rule, TrajectoryRule):
        return sample
    (cotangents,) = rule.cotangents(problem, sample)
    counts, basis = LIQUID.mean_counts(correction), correction.binned_basis(LIQUID.box.edges)
    exact = -np.einsum("pb,pb,pbk->k", cotangents, counts, basis) / LIQUID.kt
    scatter = np.random.default_rng(number).normal(size=(rule.windows, len(exact)))
    return replace(sample, gradients=(exact * (1.0 + scatter),))


def refine(rule: Rule, updates: int, frames: int = 300, *, through_json: bool = True) -> list[Update]:
    """The loop without its files."""
    problem = problem_for(rule)
    correction, memory = LIQUID.basis(), rule.start()
    samples: list[Sample] = []
    answers: list[Update] = []
    for number in range(updates):
        samples.append(sampled(rule, problem, correction, frames, number))
        update = rule.update(memory, problem, samples)
        memory = json.loads(json.dumps(update.state, allow_nan=False)) if through_json else update.state
        correction = update.correction
        answers.append(update)
        if update.converged:
            break
    return answers


def left(correction: PairCorrection) -> float:
    """Share of the hidden bump that is not found, rms."""
    error = correction.energy(R)[0] - bump(R)
    return float(np.sqrt(np.mean(error**2) / np.mean(bump(R) ** 2)))


def test_recovery(rule: Rule) -> None:
    """More than half of what is hidden is found in 25 updates of 300 frames; where no potential comes out, phi stays
    zero and the rule sees that the curves are met."""
    answers = refine(rule, 25)
    if rule.yields_potential:
        assert min(left(update.correction) for update in answers) < 0.5
        return
    assert not any(update.correction.theta.any() for update in answers)
    assert answers[-1].converged


def test_memory_is_json_and_a_resumed_run_is_the_same(rule: Rule) -> None:
    """Bit for bit, with the memory through JSON between all calls or never."""
    plain, resumed = (refine(rule, 3, 100, through_json=through) for through in (False, True))
    for one, other in zip(plain, resumed, strict=True):
        np.testing.assert_array_equal(one.correction.theta, other.correction.theta)
        assert json.dumps(one.state) == json.dumps(other.state)
        assert one.fitted == other.fitted
        assert (one.reason, one.accepted, one.restart, one.converged) == (
            *(other.reason, other.accepted, other.restart, other.converged),
        )


def test_what_it_found_is_json(rule: Rule) -> None:
    (update,) = refine(rule, 1, 100)
    row = asdict(update.fitted)
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert not update.fitted.numbers.keys() & Iteration.model_fields.keys()
    assert 0.0 < update.fitted.effective_sample_size <= 100.0
    assert update.fitted.step >= 0.0
    assert update.frames_factor > 0.0


def test_inputs_are_left_alone(rule: Rule) -> None:
    problem = problem_for(rule)
    samples = [sampled(rule, problem, LIQUID.basis(), 60, 0)]
    memory = rule.start()
    before = copy.deepcopy((memory, samples))
    rule.update(memory, problem, samples)
    assert memory == before[0]
    for one, other in zip(samples, before[1], strict=True):
        np.testing.assert_array_equal(one.correction.theta, other.correction.theta)
        for field in fields(one.frames[0]):
            np.testing.assert_array_equal(getattr(one.frames[0], field.name), getattr(other.frames[0], field.name))


def test_two_starts_have_nothing_in_common(rule: Rule) -> None:
    """A memory that is changed in place would carry over into the next run."""
    first = rule.start()
    refine(rule, 1, 60)
    assert rule.start() == first
    assert rule.start() is not rule.start()


@pytest.mark.parametrize("name", RULES.entries)
@pytest.mark.parametrize("wrong", ["method", "iterations"])
def test_keys_of_all_rules_are_checked(name: str, wrong: str) -> None:
    """As those of its own are, by pydantic: see tests/study/test_schema.py."""
    with pytest.raises(ValueError, match=wrong):
        RULES.table(name).model_validate(SETTINGS.get(name, {}) | {wrong: 0})


def refusal(rule: Rule, problem: Problem, correction: PairCorrection) -> InputError | None:
    try:
        rule.check(problem, correction)
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize("curves", [(), CURVES[:1], CURVES[1:], CURVES], ids=["none", "Q", "r", "both"])
@pytest.mark.parametrize("temperatures", [None, (TEMPERATURE, 50.0)], ids=["constant", "linear in T"])
def test_what_it_cannot_use_is_refused_in_a_line_and_the_rest_is_used(
    rule: Rule, curves: tuple[Target, ...], temperatures: tuple[float, float] | None
) -> None:
    problem, constant = problem_of(*curves), LIQUID.basis()
    stiffness = constant.stiffness
    correction = PairCorrection.zero(constant.pairs, constant.basis, stiffness=stiffness, temperatures=temperatures)
    refused = refusal(rule, problem, correction)
    if refused is not None:
        assert str(refused.where).startswith("[")
        assert refused.what
        assert refused.fix
        assert "\n" not in str(refused)
    elif curves and temperatures is None:
        update = rule.update(rule.start(), problem, [sampled(rule, problem, correction, 60, 0)])
        assert np.isfinite(update.correction.theta).all()
