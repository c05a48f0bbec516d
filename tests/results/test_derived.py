"""Errors of derived quantities against brute force, coordination numbers of a known g(r), and first minima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.problem import Problem, Sample
from refine.results.derived import Propagation, Shells, coordination_numbers, first_minima, shells_of
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

TEMPERATURE = 85.0
KT = BOLTZMANN * TEMPERATURE
RHO = 0.02125
N = (150, 100)
PAIRS = (("A", "A"), ("A", "B"), ("B", "B"))
VOLUME = sum(N) / RHO
BINS, R_MAX = 110, 11.0
EDGES = np.linspace(0.0, R_MAX, BINS + 1)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])


def frames_of(counts: np.ndarray, n: tuple[int, ...] = N) -> Frames:
    """Frames of one replica with counts (frames, pairs, bins)."""
    zeros = np.zeros(len(counts))
    return Frames(
        counts.astype(np.float32), zeros, zeros, zeros + TEMPERATURE, zeros.astype(int), R_MAX, n, sum(n) / RHO
    )


def correction_of(**options: object) -> PairCorrection:
    return PairCorrection.zero(PAIRS, SplineBasis(2.8, 7.0, 8), stiffness=1000 * KT, **options)


def mean_counts(correction: PairCorrection) -> np.ndarray:
    """Exact mean of every bin: independent Poisson variables, for which d<h>/d theta = -beta Cov(h, N) holds exactly
    and every frame is independent of the others."""
    g = (1 + 1.2 * np.exp(-((CENTRES - 3.8) ** 2) / 0.3)) / (1 + np.exp(-(CENTRES - 3.3) / 0.08))
    now = correction.at(TEMPERATURE)
    phi = np.einsum("pbk,pk->pb", now.binned_basis(EDGES), now.coefficients)
    return frames_of(np.zeros((1, 3, BINS))).ideal_counts() * g * np.exp(-phi / KT)


def sample_of(correction: PairCorrection, frames: int, seed: int, **fields: object) -> Sample:
    counts = np.random.default_rng(seed).poisson(mean_counts(correction), (frames, 3, BINS))
    return Sample(correction, (frames_of(counts),), **fields)


PROBLEM = Problem((), (TEMPERATURE,))


def functionals() -> np.ndarray:
    """Six linear functionals of the counts (6, pairs * bins): atoms within 5 Å of three kinds, and single bins."""
    rows = np.zeros((6, 3, BINS))
    for p in range(3):
        rows[p, p, EDGES[1:] <= 5.0 + 1e-9] = 1.0
    rows[3, 0, 38] = rows[4, 1, 50] = rows[5, 2, 44] = 1.0
    return rows.reshape(6, -1)


def covariance_of(correction: PairCorrection, seed: int = 8) -> np.ndarray:
    """A posterior covariance with correlations, standard deviations of 0.02 kT: small enough to be linear."""
    size = len(correction.theta)
    mixed = np.random.default_rng(seed).normal(size=(size, size)) / np.sqrt(size)
    return (0.02 * KT) ** 2 * (0.5 * np.eye(size) + 0.5 * mixed @ mixed.T)


@pytest.mark.parametrize("changing", [False, True])
def test_posterior_errors_are_those_of_potentials_drawn_from_the_posterior(changing):
    """Exact mean counts at 1500 draws of theta against the propagated standard errors from 3000 frames, to 10 %: the
    draws know them to 1.8 %, the rest is the noise of the Jacobian."""
    correction = correction_of(temperatures=(60.0, 50.0) if changing else None)
    covariance = covariance_of(correction)
    propagation = Propagation.build(PROBLEM, [sample_of(correction, 3000, 1)], 0, 0, covariance)
    posterior, _ = propagation.errors(functionals())
    draws = np.random.default_rng(2).multivariate_normal(correction.theta, covariance, 1500)
    exact = np.array([functionals() @ mean_counts(correction.with_theta(d)).ravel() for d in draws])
    np.testing.assert_allclose(posterior, exact.std(axis=0), rtol=0.1)
    assert np.all(posterior > 0.0)


def test_sampling_errors_are_those_of_repeated_samples():
    """Means of 300 samples of 50 frames: their spread is the stated sampling error to 20 %, never below 10 %."""
    correction = correction_of()
    stated, means = [], []
    for seed in range(300):
        propagation = Propagation.build(PROBLEM, [sample_of(correction, 50, seed)], 0, 0, None)
        posterior, sampling = propagation.errors(functionals())
        assert not np.any(posterior)
        stated.append(sampling)
        means.append(functionals() @ propagation.frames.counts.mean(axis=0, dtype=float).ravel())
    ratio = np.sqrt(np.mean(np.square(stated), axis=0)) / np.std(means, axis=0)
    # the inefficiency of independent frames is estimated as at least one, which makes errors larger, not smaller
    assert np.all(ratio > 0.9)
    assert np.all(ratio < 1.35)
    assert ratio.mean() < 1.25


def test_correlated_frames_have_larger_errors():
    """Every frame eight times in a row is worth an eighth of its frames."""
    counts = sample_of(correction_of(), 100, 3).frames[0].counts
    once, repeated = (
        Propagation(frames_of(c), np.zeros((0, 0)), None).errors(functionals())[1]
        for c in (counts, np.repeat(counts, 8, axis=0))
    )
    assert 0.75 < np.mean(repeated / once) < 1.35


def test_errors_of_counts_are_those_of_single_bins():
    correction = correction_of()
    propagation = Propagation.build(PROBLEM, [sample_of(correction, 200, 4)], 0, 0, covariance_of(correction))
    whole, single = propagation.errors_of_counts(), propagation.errors(functionals()[3:])
    places = [38, BINS + 50, 2 * BINS + 44]
    # each bin's inefficiency is raised towards the mean over the bins that it is estimated with
    np.testing.assert_allclose(whole[0][places], single[0], rtol=1e-6)
    np.testing.assert_allclose(whole[1][places], single[1], rtol=0.2)


def test_the_response_takes_frames_of_other_samples_and_leaves_those_of_other_base_parameters():
    """A neighbouring ensemble makes the response better; one under other parameters of the base does not enter."""
    here = correction_of()
    near = here.with_theta(0.01 * KT * np.cos(np.arange(len(here.theta))))
    covariance = covariance_of(here)
    few, many = sample_of(here, 100, 5), sample_of(near, 3000, 6)
    alone = Propagation.build(PROBLEM, [few], 0, 0, covariance)
    both = Propagation.build(PROBLEM, [many, few], 1, 0, covariance)
    exact = -(functionals() * mean_counts(here).ravel()) @ _basis_columns(here) / KT
    errors = [np.sqrt(np.mean((functionals() @ p.response - exact) ** 2)) for p in (alone, both)]
    assert errors[1] < 0.4 * errors[0]  # sqrt(100 / 3100) = 0.18, less what reweighting costs
    assert both.frames is few.frames[0]

    other = Propagation.build(PROBLEM, [replace(many, parameters=np.array([0.01])), few], 1, 0, covariance)
    np.testing.assert_allclose(other.response, alone.response, rtol=1e-12)
    own = Propagation.build(PROBLEM, [many, replace(few, parameters=np.array([0.01]))], 1, 0, covariance)
    np.testing.assert_allclose(own.response, alone.response, rtol=1e-12)


def _basis_columns(correction: PairCorrection) -> np.ndarray:
    """d phi/d theta of every bin, (pairs * bins, len(theta)): independent bins respond with -beta <h> times it."""
    basis = correction.binned_basis(EDGES)
    size = correction.basis.size
    columns = np.zeros((3, BINS, 3 * size))
    for p in range(3):
        columns[p, :, p * size : (p + 1) * size] = basis[p]
    return columns.reshape(3 * BINS, -1)


# --- coordination numbers ---------------------------------------------------------------------------------------------


def steps(inner: float, height: float, outer: float) -> np.ndarray:
    """(bins,) of g(r) = 0 below `inner`, `height` up to `outer`, 1 beyond; both on bin edges."""
    r = CENTRES
    return np.where(r < inner, 0.0, np.where(r < outer, height, 1.0))


def none(frames: Frames) -> Propagation:
    """Without a posterior."""
    return Propagation(frames, np.zeros((0, 0)), None)


def test_coordination_numbers_of_a_known_liquid():
    """n_ij = 4 pi rho_j ∫_0^R r^2 g_ij dr, both orders of an unlike pair, each within its own radius."""
    shells = 4 / 3 * np.pi * np.diff(EDGES**3)
    heights = (2.0, 3.5, 1.5)
    g = [steps(3.0, h, 4.0) for h in heights]
    density = np.array(N) / VOLUME
    counts = np.array(
        [
            0.5 * N[0] * density[0] * shells * g[0],
            N[0] * density[1] * shells * g[1],
            0.5 * N[1] * density[1] * shells * g[2],
        ]
    )
    frames = frames_of(np.repeat(counts[None], 12, axis=0))
    radii = np.array([4.5, 5.0, 4.0])
    found = coordination_numbers(
        ("A", "B"), PAIRS, Propagation(frames, np.zeros((0, 0)), None), Shells(radii, np.zeros(3))
    )
    names = [(one.centre, one.other, one.radius) for one in found]
    assert names == [("A", "A", 4.5), ("A", "B", 5.0), ("B", "A", 5.0), ("B", "B", 4.0)]

    def exact(rho: float, height: float, radius: float) -> float:
        return 4 / 3 * np.pi * rho * (height * (4.0**3 - 3.0**3) + radius**3 - 4.0**3)

    expected = [
        exact(density[0], 2.0, 4.5),
        exact(density[1], 3.5, 5.0),
        exact(density[0], 3.5, 5.0),
        exact(density[1], 1.5, 4.0),
    ]
    np.testing.assert_allclose([one.number for one in found], expected, rtol=1e-6)  # counts are float32
    assert max(max(one.posterior_stderr, one.sampling_stderr) for one in found) < 1e-9
    # every A-B contact is one B-A contact
    assert N[0] * found[1].number == pytest.approx(N[1] * found[2].number, rel=1e-12)


def test_errors_of_coordination_numbers_scale_like_the_numbers():
    """Posterior and sampling errors of both orders are in the ratio of the numbers; like pairs count twice."""
    correction = correction_of()
    propagation = Propagation.build(PROBLEM, [sample_of(correction, 400, 9)], 0, 0, covariance_of(correction))
    found = coordination_numbers(("A", "B"), PAIRS, propagation, Shells(np.full(3, 5.0), np.zeros(3)))
    rows = functionals()[:3]
    posterior, sampling = propagation.errors(rows)
    per_atom = [2.0 / N[0], 1.0 / N[0], 1.0 / N[1], 2.0 / N[1]]
    for one, p, factor in zip(found, (0, 1, 1, 2), per_atom, strict=True):
        assert one.posterior_stderr == pytest.approx(factor * posterior[p], rel=1e-9)
        # the inefficiency of one functional alone is not that of three together
        assert one.sampling_stderr == pytest.approx(factor * sampling[p], rel=0.2)
        assert one.posterior_stderr > 0.0


def test_pairs_without_a_radius_are_left_out():
    frames = frames_of(np.ones((5, 3, BINS)))
    shells = Shells(np.array([np.nan, 4.0, np.nan]), np.zeros(3))
    found = coordination_numbers(("A", "B"), PAIRS, none(frames), shells)
    assert [(one.centre, one.other) for one in found] == [("A", "B"), ("B", "A")]


# --- first minima -----------------------------------------------------------------------------------------------------


def minimum_of(g: np.ndarray) -> float:
    """First minimum of one g(r), the same in both halves of three identical frames."""
    ideal = frames_of(np.zeros((1, 1, BINS)), (sum(N),)).ideal_counts()
    return float(first_minima(frames_of(np.repeat((ideal * g)[None], 3, axis=0), (sum(N),))).radii[0])


def liquid(period: float, decay: float, height: float = 1.5, first: float = 3.7) -> np.ndarray:
    """A peak at `first`, minima at `first` + period/2, + 3 period/2, ...; zero below 0.85 first."""
    r = CENTRES
    wave = height * np.cos(2 * np.pi * (r - first) / period) * np.exp(-(r - first) / decay)
    return np.where(r < 0.85 * first, 0.0, np.maximum(1.0 + wave, 0.0))


@pytest.mark.parametrize(("period", "decay"), [(3.4, 40.0), (3.0, 8.0), (2.6, 4.0)])
def test_the_first_minimum_of_a_damped_oscillation(period, decay):
    """To within two bins of 0.1 Å of the curve's own minimum on a fine grid."""
    r = np.linspace(3.7, 3.7 + period, 20_001)
    wave = np.cos(2 * np.pi * (r - 3.7) / period) * np.exp(-(r - 3.7) / decay)
    assert minimum_of(liquid(period, decay, 0.9)) == pytest.approx(r[np.argmin(wave)], abs=0.2)


def test_it_is_the_first_minimum_and_not_the_deepest():
    g = liquid(3.0, 1000.0, 0.5)
    deeper = g - 0.4 * np.exp(-((CENTRES - 8.2) ** 2) / 0.1)
    assert minimum_of(deeper) == pytest.approx(5.2, abs=0.2)


def test_a_covalent_peak_ends_where_nothing_is_seen():
    """Peak at 1.6 Å, nothing between 2 and 3 Å: a radius in between, and the number of the peak."""
    g = 12.0 * np.exp(-((CENTRES - 1.6) ** 2) / 0.01) + np.where(CENTRES > 3.0, 1.2, 0.0)
    assert 1.7 < minimum_of(g) <= 3.0


@pytest.mark.parametrize(
    "g",
    [
        np.ones(BINS),
        np.zeros(BINS),
        steps(3.0, 1.0, 4.0),
        1.0 + 2.0 * np.exp(-((CENTRES - 3.7) ** 2) / 0.3),
        np.where(CENTRES < 3.0, 0.0, 1.0 + 0.03 * np.cos(2 * CENTRES)),
        np.where(CENTRES < 3.0, 0.0, np.exp(-(CENTRES - 3.0) / 2.0) * 3.0),
        np.where(CENTRES < 9.5, 0.0, 2.0),
    ],
    ids=["ideal gas", "never seen", "hard core", "peak alone", "ripple", "cluster", "first peak at the edge"],
)
def test_curves_without_a_first_minimum_have_none(g):
    assert np.isnan(minimum_of(g))


def test_noise_on_an_ideal_gas_is_no_shell():
    """Poisson counts of 200 frames: below 3 Å single bins stray by tens of percent."""
    ideal = frames_of(np.zeros((1, 1, BINS)), (sum(N),)).ideal_counts()
    for seed in range(20):
        counts = np.random.default_rng(seed).poisson(ideal * np.where(CENTRES < 3.0, 0.0, 1.0), (200, 1, BINS))
        assert np.isnan(first_minima(frames_of(counts, (sum(N),))).radii[0])


def test_every_pair_has_its_own_minimum():
    curves = [liquid(3.0, 20.0, 0.8, 3.7), np.ones(BINS), liquid(3.4, 20.0, 0.8, 4.3)]
    ideal = frames_of(np.zeros((1, 3, BINS))).ideal_counts()
    found = first_minima(frames_of(np.repeat((ideal * np.array(curves))[None], 2, axis=0))).radii
    assert found[0] == pytest.approx(5.2, abs=0.2)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(6.0, abs=0.2)


def small(depth: float, frames: int, seed: int) -> Frames:
    """63 atoms of one kind, bins of 0.02 Å: a peak at 2.9 Å, and a minimum at 3.7 Å `depth` below 1."""
    n, volume = 63, 63 / 0.033
    edges = 0.02 * np.arange(int(0.5 * volume ** (1 / 3) / 0.02) + 1)
    r = 0.5 * (edges[1:] + edges[:-1])
    g = (1 + 1.6 * np.exp(-((r - 2.9) ** 2) / 0.08) - depth * np.exp(-((r - 3.7) ** 2) / 0.18)) / (
        1 + np.exp(-(r - 2.5) / 0.04)
    )
    g = g + 0.25 * np.exp(-((r - 4.7) ** 2) / 0.2)
    empty = np.zeros(frames)
    ideal = Frames(np.zeros((1, 1, len(r)), np.float32), *[np.zeros(1)] * 3, np.zeros(1, int), edges[-1], (n,), volume)
    counts = np.random.default_rng(seed).poisson(ideal.ideal_counts() * g, (frames, 1, len(r))).astype(np.float32)
    return Frames(counts, empty, empty, empty, np.zeros(frames, int), edges[-1], (n,), volume)


@pytest.mark.parametrize("depth", [0.25, 0.5])
def test_minima_of_small_boxes_and_their_errors(depth):
    """60 samples of 100 frames: no minimum of noise, and radius and number within their errors of those of 40,000.

    The pull of the number has a mean square of 1 within a factor of 2; an error without the flatness has 20 and more.
    """
    exact = small(depth, 4000, 999)
    truth = shells_of(exact, [("Te", "Te")], {})
    radius = truth.radii[0]
    number = coordination_numbers(("Te",), [("Te", "Te")], Propagation(exact, np.zeros((0, 0)), None), truth)[0].number
    assert radius == pytest.approx(3.75, abs=0.1)
    radii, pulls = [], []
    for seed in range(60):
        frames = small(depth, 100, seed)
        shells = shells_of(frames, [("Te", "Te")], {})
        one = coordination_numbers(("Te",), [("Te", "Te")], Propagation(frames, np.zeros((0, 0)), None), shells)[0]
        radii.append(one.radius)
        pulls.append((one.number - number) / one.sampling_stderr)
        assert one.radius_stderr > 0
    assert np.abs(np.array(radii) - radius).max() < 0.6
    assert 0.5 < np.mean(np.square(pulls)) < 2.0


def test_given_radii():
    frames = small(0.5, 50, 0)
    shells = shells_of(frames, [("Te", "Te")], {"Te-Te": 3.21})
    assert (shells.radii[0], shells.errors[0]) == (3.21, 0.0)
    propagation = Propagation(frames, np.zeros((0, 0)), None)
    one = coordination_numbers(("Te",), [("Te", "Te")], propagation, shells)[0]
    mean = frames.counts.mean(axis=0)[0]
    assert one.number == pytest.approx(2 * (mean[:160].sum() + 0.5 * mean[160]) / 63, rel=1e-6)  # half of its bin
