"""Closure and fluctuations as one response: who is believed, and what earlier samples mend."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import averages
from refine.refinement.keys import Shared
from refine.refinement.problem import Sample, Target
from refine.refinement.responses.beliefs import Belief, Opinion, Record, network
from refine.refinement.responses.combined import Combined
from refine.refinement.responses.tangent import BENT, STRAIGHT, straight
from refine.refinement.rules.gauss_newton import FOLLOWED, NEARBY, GaussNewtonKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of
from tests.refinement.test_responses import IdealGas, direction

FRAMES = 400


def truth(liquid: PoissonLiquid, delta: np.ndarray, target: Target) -> np.ndarray:
    return np.asarray(target.operator.predict(liquid.mean_counts(liquid.basis().with_theta(delta))))


def samples_at(liquid: PoissonLiquid, *shares: float, frames: int = FRAMES) -> list[Sample]:
    """With corrections that are shares of `direction`."""
    return [
        liquid.sample(liquid.basis().with_theta(share * direction(liquid)), frames, seed)
        for seed, share in enumerate(shares)
    ]


@pytest.fixture
def poisson() -> tuple[PoissonLiquid, Target]:
    """A bin of it knows nothing of another one, and S(Q) is not what the closure thinks of it: the closure is wrong."""
    liquid = PoissonLiquid(n=150)
    return liquid, liquid.target(liquid.mean_counts(liquid.basis()), 0.01)


def test_an_earlier_sample_mends_what_both_get_wrong(poisson: tuple[PoissonLiquid, Target]) -> None:
    """On the way on from it, as far as it lies behind: the error is at most 0.6 of that without it, and so is what is
    stated of the error."""
    liquid, target = poisson
    correction = liquid.basis()
    before, here = samples_at(liquid, -0.5, 0.0)
    alone, both = (
        Combined(problem_of(target), ordered, 0, correction, [target]) for ordered in ([here], [before, here])
    )
    along = 0.5 * direction(liquid)
    exact = truth(liquid, along, target)
    errors = [float(np.linalg.norm(r.curves(along) - exact)) for r in (alone, both)]
    assert errors[1] < 0.6 * errors[0]
    stated = [float(np.trace(r.noise(along) - r.noise())) for r in (alone, both)]
    assert stated[1] < 0.6 * stated[0]


def test_no_change_is_the_sample_whatever_came_before(poisson: tuple[PoissonLiquid, Target]) -> None:
    liquid, target = poisson
    response = Combined(problem_of(target), samples_at(liquid, -0.3, 0.2, 0.0), 0, liquid.basis(), [target])
    np.testing.assert_array_equal(response.curves(np.zeros(len(liquid.basis().theta))), response.y)


@pytest.mark.parametrize(
    ("liquid", "closure_is_right"), [(IdealGas(n=150, rho=0.001), True), (PoissonLiquid(n=150), False)]
)
def test_the_one_that_predicted_better_is_believed(liquid: PoissonLiquid, closure_is_right: bool) -> None:
    """After a sample, and after three: the closure where it is exact, a dilute gas, linear response where it is wrong;
    and the words say so. The record is the same out of JSON."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    problem = problem_of(target)
    delta, record = (0.8 if closure_is_right else 0.4) * direction(liquid), Record()  # what is linear is no test
    assert record.closure
    for seed in range(3):
        here = liquid.sample(liquid.basis(), FRAMES, seed)
        response = Combined(problem, [here], 0, liquid.basis(), [target], record.beliefs)
        said = Record.from_json(json.loads(json.dumps(replace(record, opinions=response.opinions(delta)).to_json())))
        came = liquid.sample(liquid.basis().with_theta(delta), FRAMES, 100 + seed)
        record, words = said.after(problem, came)
        assert record.closure is closure_is_right
        assert words.endswith("the closure is believed" if closure_is_right else "linear response is believed")
        assert words.startswith("of the change the closure missed ")
    assert record.beliefs[target.name].predictions > 2.0


@pytest.mark.parametrize(
    ("missed", "noise", "closure"), [(0.5, 0.5, False), (0.5, 0.1, True), (0.9, 0.9, True), (3.0, 3.0, True)]
)
def test_the_noise_of_its_slope_is_no_fault_of_linear_response(
    poisson: tuple[PoissonLiquid, Target], missed: float, noise: float, closure: bool
) -> None:
    """Of a change of rms one the closure missed 0.3, linear response more. Where that is the noise of its slope it is
    believed nevertheless; not where that noise explains nothing, makes the closure the better one by more than two, or
    is as large as the change, which says nothing."""
    liquid, target = poisson
    came = liquid.sample(liquid.basis(), FRAMES, 0)
    y = averages(came, 0, [target])[0]
    weights = 1.0 / np.diag(target.covariance)
    change, error = (
        v / np.sqrt(np.average(v**2, weights=weights)) for v in np.random.default_rng(2).normal(size=(2, len(y)))
    )
    opinion = Opinion(y - change, 0.7 * change, change + missed * error, noise**2, 0.0)
    record, words = Record(opinions={target.name: opinion}).after(problem_of(target), came)
    assert record.closure is closure
    np.testing.assert_allclose(record.missed, [0.3**2, missed**2, missed**2 - noise**2], rtol=0.02, atol=0.02)
    assert "beyond its slope's noise" in words


def test_a_change_within_the_noise_says_little(poisson: tuple[PoissonLiquid, Target]) -> None:
    """Where nothing changed, beliefs stay within a tenth."""
    liquid, target = poisson
    here, again = (liquid.sample(liquid.basis(), FRAMES, seed) for seed in (0, 1))
    response = Combined(problem_of(target), [here], 0, liquid.basis(), [target])
    said = Record(opinions=response.opinions(1e-3 * direction(liquid)))
    belief = said.after(problem_of(target), again)[0].beliefs[target.name]
    assert belief.share == pytest.approx(Belief().share, rel=0.1)
    assert belief.predictions < 1.1


def test_a_solid_is_left_to_fluctuations() -> None:
    """With `auto`, by itself."""
    kinds = {solid: GaussNewtonKeys().rule(Shared(2.0, 0.5, "auto", solid)) for solid in (False, True)}
    assert {solid: rule.response for solid, rule in kinds.items()} == {False: "auto", True: "fluctuation"}
    assert kinds[True].start()["trust_radius"] == pytest.approx(GaussNewtonKeys().trust_radius)


def test_what_is_bent_of_a_change_is_known() -> None:
    """In a dilute gas, where g = exp(-phi/kT): to 10 % of sampling noise; nothing is of a small change."""
    gas = IdealGas(n=150, rho=0.001)
    target = gas.target(gas.mean_counts(gas.basis()), 0.01)
    both = Combined(problem_of(target), [gas.sample(gas.basis(), FRAMES, 0)], 0, gas.basis(), [target])
    way = 3.0 * direction(gas)
    small = 1e-4 * way
    nothing = truth(gas, 0.0 * way, target)
    linear = (truth(gas, small, target) - truth(gas, -small, target)) / 2e-4
    exact = float(np.linalg.norm(truth(gas, way, target) - nothing - linear) / np.linalg.norm(linear))
    assert exact > STRAIGHT
    assert both.bent(way) == pytest.approx(exact, rel=0.1)
    assert both.bent(small) < 1e-3
    assert both.bent(0.0 * way) == 0.0


@pytest.mark.parametrize(("height", "bent"), [(0.05, False), (3.0, True)])
def test_linear_response_is_not_followed_where_the_way_is_bent(height: float, bent: bool) -> None:
    """Linear response is believed: it makes the small step. A gas that is to have 20 times as many pairs somewhere is
    beyond it: the step is the closure's, and a shorter one on the same line where linear response made one before."""
    gas = IdealGas(n=150, rho=0.001)
    target = gas.target(gas.mean_counts(gas.basis().with_theta(-height * direction(gas))), 0.001)
    problem, here = problem_of(target), gas.sample(gas.basis(), FRAMES, 0)
    both = Combined(problem, [here], 0, gas.basis(), [target])
    ways, words = {}, {}
    for name, response, closure, by_linear in [
        ("by default", "auto", False, False),
        ("later", "auto", False, True),
        ("closure", "auto", True, False),
        ("linear", "fluctuation", False, False),
    ]:
        rule = rule_of(GaussNewtonKeys, trust_radius=3.0, response=response)
        memory = rule.start() | {"trust_radius": 3.0, "by_linear": by_linear}
        record = Record({target.name: Belief()}, closure=closure)
        memory["responses"] = record.to_json() if response == "auto" else None
        update = rule.update(memory, problem, [here])
        ways[name], words[name] = update.correction.theta, update.reason
    assert not np.allclose(ways["closure"], ways["linear"], rtol=1e-3)
    assert (both.bent(ways["linear"]) > STRAIGHT) is bent
    np.testing.assert_allclose(ways["by default"], ways["closure" if bent else "linear"], rtol=1e-10)
    assert (FOLLOWED in words["by default"], BENT in words["later"]) == (bent, bent)
    if bent:
        assert 0.25 * STRAIGHT < both.bent(ways["later"]) <= STRAIGHT
    else:
        np.testing.assert_allclose(ways["later"], ways["linear"], rtol=1e-10)


@dataclass(frozen=True)
class Bonds(IdealGas):
    """A gas with a shell at 3.5 Å and a gap behind it, in which g is `passing`."""

    passing: float = 0.05

    def mean_counts(self, correction: PairCorrection, extra: Any = None) -> np.ndarray:
        r = self.box.centres
        shape = 1.0 + np.exp(-(((r - 3.5) / 0.2) ** 2)) + (self.passing - 1.0) * np.exp(-(((r - 4.6) / 0.4) ** 4))
        return np.asarray(super().mean_counts(correction) * shape)


@pytest.mark.parametrize(
    ("height", "frames", "passing", "near"),
    [(0.05, FRAMES, 0.05, True), (0.05, FRAMES, 0.5, False), (0.5, 8, 0.05, False), (3.0, FRAMES, 0.05, False)],
)
def test_a_network_begins_with_linear_response_where_that_promises_enough(
    height: float, frames: int, passing: float, near: bool
) -> None:
    """Near the solution; not where eight frames hardly know its slope, nor where the way is bent; other liquids begin
    with the closure."""
    gas = Bonds(n=150, rho=0.001, passing=passing)
    target = gas.target(gas.mean_counts(gas.basis().with_theta(-height * direction(gas))), 0.001)
    problem, here = problem_of(target), gas.sample(gas.basis(), frames, 0)
    rule = rule_of(GaussNewtonKeys, response="auto")
    updates = [rule.update(rule.start(), problem, [here])]
    for closure in (False, True):
        record = Record({target.name: Belief()}, closure=closure)
        updates.append(rule.update(rule.start() | {"responses": record.to_json()}, problem, [here]))
    first, linear, closed = (update.correction.theta for update in updates)
    assert not np.allclose(linear, closed, rtol=1e-3) or not near
    np.testing.assert_allclose(first, linear if near else closed, rtol=1e-6)
    assert (NEARBY in updates[0].reason) is near
    assert Record.from_json(updates[0].state["responses"]).closure is not near
    if near:  # and after that step came to nothing
        again = rule.withdrawn(updates[0].state, problem, [here])
        assert not Record.from_json(again.state["responses"]).closure


@pytest.mark.parametrize(("passing", "is_network"), [(0.05, True), (0.15, True), (0.3, False), (1.0, False)])
def test_in_a_network_pairs_seldom_pass(passing: float, is_network: bool) -> None:
    """Whatever the bins; of frames with the pairs within molecules left out; a gas without a shell is none."""
    gas = Bonds(n=400, rho=0.001, passing=passing)
    frames = gas.sample(gas.basis(), FRAMES, 0).frames[0]
    assert network(frames) is network(frames.merged(3)) is is_network
    assert not network(replace(frames, bonded=frames.counts.copy()))


def test_a_way_is_shortened_on_its_own_line() -> None:
    gas = IdealGas(n=150, rho=0.001)
    target = gas.target(gas.mean_counts(gas.basis()), 0.01)
    both = Combined(problem_of(target), [gas.sample(gas.basis(), FRAMES, 0)], 0, gas.basis(), [target])
    way = 5.0 * direction(gas)
    shorter, words = straight([both], way)
    assert words == BENT
    assert shorter / np.linalg.norm(shorter) == pytest.approx(way / np.linalg.norm(way))
    np.testing.assert_array_equal(straight([both], 1e-4 * way)[0], 1e-4 * way)
    np.testing.assert_array_equal(straight([], way)[0], way)
