"""Every direction planted alone is found again; every column is that of finite differences or of a closed form."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from refine.curves.curve import Curve
from refine.refinement.misfit import changes
from refine.refinement.misfit.ensemble import Ensemble
from refine.refinement.misfit.linear import linearise
from refine.refinement.misfit.views import Datum
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import Target
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.system import Box
from refine.units import BOLTZMANN

TEMPERATURE = 85.0
KT = BOLTZMANN * TEMPERATURE
SIGMA, SPACING = 0.004, 0.07

SHOWN: dict[float, CurveOperator] = {}
"""By the box's volume: from counts to a curve on all points, made once."""


def energy(r):
    """Pair energy of the liquid at 85 K, eV: deep enough for a few K to be seen."""
    return -0.012 * np.exp(-((r - 3.9) ** 2) / 0.5) + 0.004 * np.exp(-((r - 5.3) ** 2) / 0.6)


def slope(r):
    """Its derivative."""
    return (energy(r + 1e-4) - energy(r - 1e-4)) / 2e-4


@dataclass(frozen=True)
class Case:
    """The liquid's frames with energies and virials of `energy`, and measurements of it with one thing changed.

    Every bin is Poisson with a mean ~ volume of the shell/V exp(-u/kT), so Cov(h, U) = diag(<h>) u and Cov(h, W) =
    -diag(<h>) r u': the identities that the directions rest on hold exactly.
    """

    liquid: object

    def frames(self, count=800, seed=3) -> Frames:
        made = self.liquid.sample(self.liquid.basis(), count, seed).frames[0]
        r = made.centres
        return replace(made, energy=made.counts[:, 0] @ energy(r), virial=made.counts[:, 0] @ (-r * slope(r)))

    def mean(self, extra=None) -> np.ndarray:
        return self.liquid.mean_counts(self.liquid.basis(), extra)

    def curve(self, box, counts, sigma=SIGMA, seed=0, change=lambda q, s: s) -> Curve:
        known = {"composition": {"Ar": 1.0}, "number_density": box.number_density, "name": "synthetic"}
        q = np.arange(0.05, 14.0, SPACING)
        if box.volume not in SHOWN:
            blank = Curve(x=q, y=np.ones_like(q), **known)
            SHOWN[box.volume] = ForwardModel(blank, box).measurement(None).shown
        made = change(q, SHOWN[box.volume].predict(counts))
        noise = SIGMA * np.random.default_rng(seed).normal(size=len(q))
        errors = {} if sigma is None else {"sigma": np.full_like(q, sigma)}
        return Curve(x=q, y=made + noise, **errors, **known)

    def datum(self, curve) -> Datum:
        box = self.liquid.box
        fit = ForwardModel(curve, box).fit((0.5, 13.5), None)
        target = Target(
            "synthetic", 0, "S(Q)", None, fit.values, fit.covariance, fit.sigma_known, CurveObservable(fit.operator)
        )
        return Datum(target, curve, box, (0.5, 13.5), None)

    def problem(self, curve, seed=3, datum=None):
        basis = self.liquid.basis()
        ensemble = Ensemble.build(self.frames(seed=seed), self.liquid.box, TEMPERATURE, basis)
        return linearise([datum or self.datum(curve)], [ensemble], ["85K"], basis, 0.5)


@pytest.fixture
def case(liquid):
    return Case(replace(liquid, n=256))


def hotter(kelvin):
    """Extra energy (as the liquid takes it, over kT of 85 K) of the same liquid at another temperature."""
    return lambda r: energy(r) * (TEMPERATURE / (TEMPERATURE + kelvin) - 1.0)


PLANTED = {
    "temperature": (4.0, lambda case: case.curve(case.liquid.box, case.mean(hotter(4.0)))),
    "scale": (
        0.05,
        lambda case: case.curve(case.liquid.box, case.mean(), change=lambda q, s: 1.0 + 1.05 * (s - 1.0)),
    ),
    "background": (0.03, lambda case: case.curve(case.liquid.box, case.mean(), change=lambda q, s: s + 0.03)),
    "damping": (
        0.005,
        lambda case: case.curve(case.liquid.box, case.mean() + 0.005 * changes.damped(case.mean(), case.liquid.box)),
    ),
    "broadening": (
        0.008,
        lambda case: case.curve(
            case.liquid.box, case.mean(), change=lambda q, s: 1.0 + (s - 1.0) * np.exp(-0.008 * q**2 / 2.0)
        ),
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_alone_it_is_named_with_its_size(case, kind):
    size, make = PLANTED[kind]
    problem, factors = case.problem(make(case)).settled()
    assert factors.tolist() == [1.0]
    assert problem.significance > 5.0
    assert problem.best() == kind, {k: problem.alone(k) for k in problem.kinds}
    found = problem.solve([kind])
    assert abs(found.values[kind][0] - size) < 3.0 * found.stderr[kind][0], (found.values, found.stderr)
    assert problem.alone(kind).value > 0.9
    assert found.chi2 < len(problem.residual) + 4.0 * np.sqrt(2.0 * len(problem.residual))


def test_a_planted_bump_is_a_pair_correction(case):
    def bump(r):
        return 0.25 * KT * np.exp(-((r - 6.2) ** 2) / (2.0 * 0.4**2))

    problem, _ = case.problem(case.curve(case.liquid.box, case.mean(bump))).settled()
    assert problem.best() == "pair", {k: problem.alone(k) for k in problem.kinds}
    assert problem.alone("pair").value > 0.9
    found = problem.solve(["pair"])
    r = np.arange(5.0, 7.5, 0.1)
    phi = case.liquid.basis().with_theta(found.values["pair"]).energy(r)[0]
    assert np.sqrt(np.mean((phi - bump(r)) ** 2)) < 0.06 * KT


def test_a_planted_density_is_found(case):
    """The measurement is of a liquid 1.5 % denser, positions scaled; the study has the wrong density."""
    s, box, r = 1.015 ** (-1.0 / 3.0), case.liquid.box, case.liquid.box.centres
    true = changes.scaled_box(box, s - 1.0)
    # counts of the scaled box are Poisson with the mean of g at r/s, Boltzmann factor of the energy at r
    fine = np.repeat(case.mean() / 20.0, 20, axis=1)
    finer = replace(box, edges=np.linspace(0.0, box.r_max, 20 * len(r) + 1))
    moved = changes.scaled_counts(fine, finer, s - 1.0).reshape(1, len(r), 20).sum(axis=2)
    moved = moved * np.exp(-(energy(r) - energy(r / s)) / KT)
    problem, _ = case.problem(case.curve(true, moved)).settled()
    found = problem.solve(["density"])
    assert problem.best() == "density", {k: problem.alone(k) for k in problem.kinds}
    assert abs(found.values["density"][0] - 0.015) < 3.0 * found.stderr["density"][0], (found.values, found.stderr)


def test_no_misfit_is_not_explained(case):
    problem, _ = case.problem(case.curve(case.liquid.box, case.mean())).settled()
    assert abs(problem.significance) < 3.5
    for kind in ("temperature", "scale", "broadening"):
        found = problem.solve([kind])
        assert abs(found.values[kind][0]) < 3.0 * found.stderr[kind][0]


def test_unknown_noise_is_raised_until_everything_together_fits(case):
    curve = case.curve(case.liquid.box, case.mean(hotter(4.0)), sigma=None)
    linear = case.problem(curve)
    small = replace(linear.data[0].target, covariance=linear.data[0].target.covariance / 9.0)
    problem, factors = replace(linear, data=(replace(linear.data[0], target=small),)).settled()
    full = problem.solve(problem.kinds)
    assert factors[0] >= 1.0
    assert full.chi2 / (len(problem.residual) - full.freedom) < 1.1


def test_shares_overlaps_and_what_is_added_last(case):
    problem, _ = case.problem(PLANTED["temperature"][1](case)).settled()
    assert problem.overlap("temperature", "pair") > 0.95  # a pair correction proportional to the energy is the same
    assert -1.0 <= problem.overlap("temperature", "scale") <= 1.0
    assert problem.overlap("scale", "temperature") == pytest.approx(problem.overlap("temperature", "scale"))
    assert problem.last("temperature").value < 0.2 < problem.alone("temperature").value
    together = problem.solve(["temperature", "pair"])
    assert together.stderr["temperature"][0] > 2.0 * problem.solve(["temperature"]).stderr["temperature"][0]


def test_standard_errors_are_those_of_repeated_samples(case):
    curve = case.curve(case.liquid.box, case.mean(hotter(4.0)))
    datum = case.datum(curve)
    found = [case.problem(curve, 10 + i, datum).settled()[0].solve(["temperature"]) for i in range(6)]
    values = np.array([f.values["temperature"][0] for f in found])
    # six repeats of the sample with one measurement: a scatter known to a third, and its noise is not in it
    ratio = np.std(values, ddof=1) / found[0].stderr["temperature"][0]
    assert 0.3 < ratio < 1.6


def test_two_states_and_three_data_sets_have_their_own_shifts_and_scales(case):
    """The second state's liquid is 5 K colder than the study says; of its two curves one is scaled by 1.06."""
    basis, box = case.liquid.basis(), case.liquid.box
    curves = {
        "right": (0, case.curve(box, case.mean(), seed=1)),
        "cold": (1, case.curve(box, case.mean(hotter(-5.0)), seed=2)),
        "scaled": (1, case.curve(box, case.mean(hotter(-5.0)), seed=3, change=lambda q, s: 1.0 + 1.06 * (s - 1.0))),
    }
    data = []
    for name, (state, curve) in reversed(curves.items()):  # the order in the study does not matter
        datum = case.datum(curve)
        data.append(replace(datum, target=replace(datum.target, name=name, state=state)))
    ensembles = [Ensemble.build(case.frames(seed=s), box, TEMPERATURE, basis) for s in (3, 4)]
    problem, _ = linearise(data, ensembles, ["one", "two"], basis, 0.5).settled()
    directions = {d.kind: d for d in problem.directions}
    assert directions["temperature"].members == ("one", "two")
    together = problem.solve(["temperature", "scale"])
    for kind, planted in {"temperature": {"one": 0.0, "two": -5.0}, "scale": {"right": 0.0, "scaled": 0.06}}.items():
        for member, size in planted.items():
            i = directions[kind].members.index(member)
            assert abs(together.values[kind][i] - size) < 3.0 * together.stderr[kind][i], (kind, member, together)
    assert together.stderr["temperature"].max() < 2.0
    assert together.stderr["scale"].max() < 0.03
    # Two curves of one state share the columns' sampling noise, which is in the errors but not in the weights.
    assert together.chi2 < 2.0 * len(problem.residual)
    assert problem.chi2 > 3.0 * together.chi2


# -- columns -----------------------------------------------------------------------------------------------------------


def test_columns_against_finite_differences(case):
    """Fluctuation columns against the closed-form mean counts, in units of the column's largest value."""
    basis, box = case.liquid.basis(), case.liquid.box
    ensemble = Ensemble.build(case.frames(4000), box, TEMPERATURE, basis)
    view = case.datum(case.curve(box, case.mean())).view
    columns, _ = ensemble.columns(view)
    predict = view.operator.predict
    exact = (predict(case.mean(hotter(0.05))) - predict(case.mean(hotter(-0.05)))) / 0.1
    # 4000 frames leave a covariance uncertain by 1/sqrt(4000) of the product of standard deviations
    spread = np.std(ensemble.variables["temperature"]) * predict(ensemble.frames.counts).std(axis=0) / np.sqrt(4000)
    assert np.max(np.abs(columns["temperature"][:, 0] - exact) / spread) < 4.5
    wide = basis.with_theta(1e-3 * KT * np.eye(len(basis.theta))[8])
    narrow = basis.with_theta(-1e-3 * KT * np.eye(len(basis.theta))[8])
    mean = case.liquid.mean_counts
    exact = (predict(mean(wide)) - predict(mean(narrow))) / (2e-3 * KT)
    spread = np.std(ensemble.variables["pair"][:, 8]) * predict(ensemble.frames.counts).std(axis=0) / np.sqrt(4000)
    assert np.max(np.abs(columns["pair"][:, 8] - exact) / spread) < 4.5
    signal = predict(ensemble.counts) - view.operator.baseline
    q = view.operator.x
    # broadening in Q, but for the box filter's taper and the finite Gaussian at high Q
    low = q < 6.0
    expected = -0.5 * q**2 * signal
    assert np.max(np.abs(columns["broadening"][:, 0] - expected)[low]) < 0.08 * np.max(np.abs(expected[low]))


def test_damping_is_the_derivative_of_a_damped_g(case):
    """D(r) of the infinite system times exp(-Qdamp^2 r^2/2), by finite differences through the operators."""
    box = case.liquid.box
    counts, r = case.mean(), box.centres
    change = changes.damped(counts, box)
    infinite = lambda h: (h / box.ideal_counts - 1.0) @ (np.eye(len(r)) + np.outer(box.closure, np.ones(len(r))))  # noqa: E731
    np.testing.assert_allclose(
        infinite(counts + 1e-6 * change), infinite(counts) * (1.0 - 1e-6 * r**2 / 2.0), atol=1e-12, rtol=1e-9
    )
    # in S(Q) a damping of r (g - 1) is a convolution with a Gaussian: half of the second derivative of Q (S - 1)
    q = np.arange(0.05, 14.0, 0.02)
    blank = Curve(x=q, y=np.ones_like(q), composition={"Ar": 1.0}, number_density=box.number_density, name="synthetic")
    operator = ForwardModel(blank, box).measurement(None).in_box
    curve = CubicSpline(q, q * (operator.predict(counts) - 1.0))
    found = operator.predict(counts + change) - operator.predict(counts)
    inner = (q > 0.2) & (q < 13.8)  # a spline's second derivative at its ends
    expected = 0.5 * curve(q, 2) / q
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.01 * np.max(np.abs(expected[inner])))


def test_qmax_column_against_the_truncated_transform():
    """D(r) loses (2/pi) ∫ Q [S(Q) - 1] sin(Qr) dQ between 8.1 and 9 1/Å."""
    edges = np.linspace(0.0, 12.0, 601)
    box = Box(("Ar",), (300,), 24.1**3, edges)
    r = box.centres
    g = 1.0 - np.exp(-((r / 3.4) ** 12)) + 1.4 * np.exp(-((r - 3.8) ** 2) / (2 * 0.15**2))
    counts = box.ideal_counts * g
    x = np.arange(0.02, 11.9, 0.02)
    curve = Curve(
        x=x, y=0.0 * x, sigma=0.01 + 0.0 * x, quantity="D(r)", composition={"Ar": 1.0}, number_density=0.0214,
        q_min=0.0, q_max=9.0, name="d", radiation="neutron",
    )  # fmt: skip
    fit = ForwardModel(curve, box).fit(None, (2.0, 10.0))
    datum = Datum(
        Target("d", 0, "D(r)", None, fit.values, fit.covariance, True, CurveObservable(fit.operator)),
        curve,
        box,
        None,
        (2, 10),
    )
    zeros = np.zeros(8)
    frames = Frames(
        np.repeat(counts[None], 8, axis=0).astype(np.float32), zeros, zeros, zeros, zeros.astype(int), 12.0, (300,),
        box.volume,
    )  # fmt: skip
    ensemble = Ensemble(frames, box, TEMPERATURE, np.zeros((8, 1)))
    found = ensemble.columns(datum.view)[0]["truncation"][:, 0]
    q = np.linspace(8.1, 9.0, 91)
    model = ForwardModel(Curve(x=q, y=np.ones(91), composition={"Ar": 1.0}, number_density=0.0214), box)
    distinct = CurveOperator.from_g(q, model.bound.distinct, np.zeros(91), np.zeros(91), box).predict(counts)
    integrand = q * distinct * np.sin(np.outer(fit.operator.x, q))
    expected = (2.0 / np.pi) * np.trapezoid(integrand, q, axis=1) / 0.9
    np.testing.assert_allclose(found, expected, atol=0.03 * np.max(np.abs(expected)))


def test_density_of_two_particles_is_exact():
    """Two particles in a box: p(r) = 4 pi r^2 exp(-beta u)/Z, Z = V + ∫ 4 pi r^2 (exp(-beta u) - 1), any V.

    d<h>/d ln rho at fixed edges follows from Z alone; frames are quantiles of p(r), so nothing is random.
    """
    volume, edges = 16.0**3, np.linspace(0.0, 8.0, 161)
    box = Box(("Ar",), (2,), volume, edges)
    fine = np.linspace(0.0, 8.0, 160 * 40 + 1)
    r, shells = 0.5 * (fine[1:] + fine[:-1]), 4.0 / 3.0 * np.pi * np.diff(fine**3)
    u = energy(r) + 0.5 * KT * np.exp(-r / 3.0) * (r < 8.0)
    fade = np.clip((7.5 - r) / 3.0, 0.0, 1.0)
    u = u * fade**3 * (10.0 - 15.0 * fade + 6.0 * fade**2)  # nothing is left at the last edge
    weight = shells * np.exp(-u / KT)
    z = volume + np.sum(weight - shells)
    p = (weight / z).reshape(160, 40).sum(axis=1)
    exact = p * volume / z  # -d/d ln V of weight/Z(V), dZ/dV = 1

    quantiles = 400_000
    cdf = np.concatenate([[0.0], np.cumsum(weight / z)])
    at = (np.arange(quantiles) + 0.5) / quantiles
    bins = np.clip(np.searchsorted(cdf, at) - 1, 0, len(r))
    inside = at < cdf[-1]
    index = np.where(inside, bins, 0)
    derivative = np.gradient(u, r)
    w = np.where(inside, -r[np.minimum(index, len(r) - 1)] * derivative[np.minimum(index, len(r) - 1)], 0.0)
    coarse = np.minimum(index, len(r) - 1) // 40
    onehot_mean = np.bincount(coarse[inside], minlength=160) / quantiles
    covariance = np.bincount(coarse[inside], weights=w[inside], minlength=160) / quantiles - onehot_mean * w.mean()
    np.testing.assert_allclose(onehot_mean, p, atol=2e-5)

    # beta Cov(h, W) + geometry, per relative change of density: epsilon = -1/3 of it
    geometry = (
        changes.scaled_counts(onehot_mean[None], box, 1e-3) - changes.scaled_counts(onehot_mean[None], box, -1e-3)
    )[0] / -6e-3
    found = geometry - covariance / (3.0 * KT)
    assert np.max(np.abs(exact)) > 20 * 2e-5
    np.testing.assert_allclose(found[5:-1], exact[5:-1], atol=0.02 * np.max(exact))
