"""Gradients through windows of dynamics: against differences of the very same steps, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.classical import LennardJones
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.pairs import PairForceField
from refine.sampling.jax import adjoint as module
from refine.sampling.jax.adjoint import Adjoint
from refine.sampling.jax.growth import fit_growth
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, NoseHoover, VelocityVerlet
from refine.sampling.jax.windows import LinearParams
from refine.sampling.starts import starts_along
from refine.system import make_system

R_CUT, BINS, R_MAX, TEMPERATURE = 5.5, 60, 6.0, 95.0


@pytest.fixture(autouse=True)
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of windows without LLVM's optimisation: compiling is nearly all of the time here."""
    monkeypatch.setattr(module, "CPU_OPTIONS", {"xla_backend_optimization_level": 0})


def mixture_field(system: Any, precision: str = "float64") -> PairForceField:
    pairs = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
    base = LennardJones(pairs, np.array([0.0103, 0.0120, 0.0141]), np.array([3.40, 3.50, 3.60]), R_CUT)
    return PairForceField(base, R_CUT, system.n_per_species, orthorhombic=True, precision=precision)


STRIDE, STEPS = 8, 64
"""A window of STEPS has blocks of STRIDE steps; the sampler, made once, has frames as far apart."""


@pytest.fixture(scope="module")
def mixture_and_sampler() -> tuple[Any, Any, Any, Sampler]:
    """32 argon and 32 krypton atoms after 1 ps from a lattice: system, start, a correction of two of the pairs, and
    the sampler."""
    lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.75
    lattice = lattice[np.random.default_rng(0).permutation(64)]
    system = make_system({"Ar": 32, "Kr": 32}, np.eye(3) * 15.0, lattice)
    basis = SplineBasis(2.8, R_CUT, 6)
    active = (True, True, False)
    zero = PairCorrection.zero(
        (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr")), basis, active=active, stiffness=8.0, temperatures=(90.0, 20.0)
    )
    correction = zero.with_theta(0.002 * np.random.default_rng(1).normal(size=len(zero.theta)))
    field = mixture_field(system)
    sampler = Sampler(
        system, field, thermostat=Langevin(0.5), timestep=5.0, stride=STRIDE, n_bins=BINS, r_max=R_MAX, dtype="float64"
    )
    params = field.params(correction.at(TEMPERATURE))
    state = sampler.start(lattice, TEMPERATURE, seed=3)
    state, _ = sampler.run(state, params, TEMPERATURE, 25, observe=False)
    return system, state, correction, sampler


@pytest.fixture(scope="module")
def mixture(mixture_and_sampler: Any) -> Any:
    return mixture_and_sampler[:3]


@pytest.fixture(scope="module")
def sampler(mixture_and_sampler: Any) -> Any:
    return mixture_and_sampler[3]


def adjoint_of(system: Any, steps: int, thermostat: Any = None, **settings: Any) -> Adjoint:
    return Adjoint(
        system,
        mixture_field(system, settings.get("dtype", "float64")),
        thermostat=thermostat or Langevin(0.5),
        temperature=TEMPERATURE,
        **{"timestep": 5.0, "steps": steps, "n_bins": BINS, "r_max": R_MAX} | settings,
    )


def weights() -> np.ndarray:
    """A smooth cotangent, other for every pair, that is zero at r_max."""
    r = (np.arange(BINS) + 0.5) * R_MAX / BINS
    return np.array([np.exp(-((r - c) ** 2) / 0.5) for c in (3.8, 3.9, 4.2)])


def smooth_count(positions: np.ndarray, cell: np.ndarray, v: np.ndarray) -> float:
    """Σ_{i<j} v(r_ij) by numpy for 32 + 32 atoms."""
    d = positions[:, None] - positions[None]
    d -= np.round(d / np.diag(cell)) * np.diag(cell)
    i, j = np.triu_indices(64, 1)
    r, row = np.linalg.norm(d[i, j], axis=1), (i >= 32).astype(int) + (j >= 32)
    nodes = np.append((np.arange(BINS) + 0.5) * R_MAX / BINS, R_MAX)
    return sum(np.interp(r[row == p], nodes, np.append(v[p], 0.0)).sum() for p in range(3))


@pytest.fixture(scope="module")
def langevin(mixture: Any) -> Adjoint:
    with pytest.MonkeyPatch.context() as patch:  # the fixture of each test comes too late
        patch.setattr(module, "CPU_OPTIONS", {"xla_backend_optimization_level": 0})
        return adjoint_of(mixture[0], STEPS)


def test_a_window_is_the_samplers_own_trajectory(mixture: Any, sampler: Any, langevin: Adjoint) -> None:
    system, state, correction = mixture
    params = sampler.force_field.params(correction.at(TEMPERATURE))
    end, _ = sampler.run(state, params, TEMPERATURE, STEPS // STRIDE)
    windows = langevin.gradients([state], correction, weights())
    assert windows.steps == langevin.steps == STEPS
    assert langevin.block == STRIDE
    assert windows.values[0] == pytest.approx(smooth_count(end.positions[0], system.cell, weights()), rel=1e-9)


def test_the_gradient_is_that_of_the_discrete_steps(mixture: Any, langevin: Adjoint) -> None:
    """Against central differences of the same window, two species, both temperature terms, nothing compiled again."""
    _, state, correction = mixture
    gradient = langevin.gradients([state], correction, weights()).gradients[0]
    compiled = langevin.compilations
    theta, h = correction.theta, 1e-6
    assert gradient.shape == (24,)  # two terms of two pairs of six
    for k in (2, 9, 15):
        ends = [
            langevin.gradients([state], correction.with_theta(theta + sign * h * np.eye(24)[k]), weights()).values[0]
            for sign in (1, -1)
        ]
        # the tabulated force is continuous and its derivative is not: differences see a little of that
        assert gradient[k] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-3, abs=1e-3 * np.abs(gradient).max())
    assert langevin.compilations == compiled
    np.testing.assert_allclose(gradient[12:], correction.factors(TEMPERATURE)[1] * gradient[:12])


def test_shorter_windows_need_no_other_program(mixture: Any, sampler: Any, langevin: Adjoint) -> None:
    system, state, correction = mixture
    compiled = langevin.compilations
    short = langevin.gradients([state], correction, weights(), steps=1)
    assert short.steps == langevin.block
    params = sampler.force_field.params(correction.at(TEMPERATURE))
    end, _ = sampler.run(state, params, TEMPERATURE, 1)
    assert short.values[0] == pytest.approx(smooth_count(end.positions[0], system.cell, weights()), rel=1e-9)
    assert np.linalg.norm(short.gradients) < np.linalg.norm(
        langevin.gradients([state], correction, weights()).gradients
    )
    averaged = langevin.gradients([state], correction, weights(), last=2)
    ends = [
        langevin.gradients([state], correction, weights(), steps=langevin.steps - back * langevin.block)
        for back in (0, 1)
    ]
    np.testing.assert_allclose(averaged.gradients, (ends[0].gradients + ends[1].gradients) / 2, rtol=1e-9, atol=1e-9)
    assert langevin.compilations == compiled


@pytest.mark.slow
def test_constant_energy(mixture: Any) -> None:
    """Velocity Verlet: the derivative by one coefficient against differences."""
    system, state, correction = mixture
    state = replace(state, thermostat={})
    adjoint = adjoint_of(system, 40, VelocityVerlet())
    gradient = adjoint.gradients([state], correction, weights()).gradients[0]
    theta, h = correction.theta, 1e-6
    ends = [
        adjoint.gradients([state], correction.with_theta(theta + sign * h * np.eye(24)[3]), weights()).values[0]
        for sign in (1, -1)
    ]
    assert gradient[3] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-3, abs=1e-3 * np.abs(gradient).max())


@pytest.mark.slow
def test_memory_grows_like_the_root_of_the_steps(mixture: Any) -> None:
    """Sixteen times the steps in less than four times the memory; and nothing near a force's residuals a step."""
    system, state, correction = mixture
    bytes_of = {}
    for steps in (64, 1024):
        adjoint = adjoint_of(system, steps)
        bytes_of[steps] = adjoint.memory(state, adjoint.linear(correction), weights())
    print(bytes_of)
    assert bytes_of[1024] < 4 * bytes_of[64]
    states = 2 * 32 * 6 * 64 * 8  # two times sqrt(n) of positions and momenta in float64
    assert bytes_of[1024] - bytes_of[64] < 8 * states


def test_clipping_shortens_the_longest_and_says_how_many(mixture: Any, sampler: Any, langevin: Adjoint) -> None:
    _, state, correction = mixture
    params = sampler.force_field.params(correction.at(TEMPERATURE))
    starts, end = starts_along(sampler, state, params, TEMPERATURE, windows=6, frames=5)
    assert len(starts) == 6
    assert end.step == state.step + 6 * 5 * STRIDE
    free = langevin.gradients(starts, correction, weights())
    norms = np.linalg.norm(free.gradients, axis=1)
    np.testing.assert_allclose(free.norms, norms)
    assert free.clipped == 0
    langevin.clip = 1.0
    try:
        clipped = langevin.gradients(starts, correction, weights())
    finally:
        langevin.clip = None
    assert clipped.clipped == 3
    np.testing.assert_allclose(clipped.norms, norms)
    np.testing.assert_allclose(np.linalg.norm(clipped.gradients, axis=1), np.minimum(norms, np.median(norms)))


@pytest.mark.slow
def test_a_list_that_is_too_small_grows(mixture: Any, langevin: Adjoint) -> None:
    """The same numbers after an overflow and after an atom outran a thin skin."""
    system, state, correction = mixture
    expected = langevin.gradients([state], correction, weights())
    tight = adjoint_of(system, STEPS)
    tight.capacity, tight.skin = 14, 0.05
    found = tight.gradients([state], correction, weights())
    assert tight.compilations > 1
    assert tight.capacity > 14
    assert tight.skin > 0.05
    np.testing.assert_allclose(
        found.gradients, expected.gradients, rtol=1e-6, atol=1e-6 * np.abs(expected.gradients).max()
    )


def test_the_exponent_is_found() -> None:
    times = np.linspace(0.2, 2.0, 8)
    scatter = 1 + 0.1 * np.random.default_rng(0).normal(size=(40, 8))
    growth = fit_growth(times, (3.0 * np.exp(1.3 * times)) ** 2 * scatter**2)
    assert abs(growth.exponent - 1.3) < 4 * growth.stderr
    assert growth.stderr < 0.1


@pytest.mark.slow
def test_mace_with_its_fast_kernels() -> None:
    """Second derivatives of MACE's energy enter: the gradient against differences of the same ten steps."""
    from refine.potentials.mace.model import Mace
    from refine.potentials.sites import SiteForceField
    from tests.potentials.mace.models import random_checkpoint

    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.7
    system = make_system({"Ar": 27}, np.eye(3) * 11.1, lattice + 0.2 * np.random.default_rng(0).normal(size=(27, 3)))
    checkpoint = random_checkpoint(2, r_max=4.5, channels=2, max_ell=1, l_hidden=0, layers=2, zbl=False, scale=0.02)
    field = SiteForceField(Mace(checkpoint, ("Ar",), (27,), precision="float64"), 5.0, orthorhombic=True)
    correction = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.8, 5.0, 5), stiffness=8.0)
    adjoint = Adjoint(
        system, field, thermostat=VelocityVerlet(), temperature=95.0, timestep=5.0, steps=9, n_bins=25, r_max=5.0
    )
    sampler = Sampler(
        system, field, thermostat=VelocityVerlet(), timestep=5.0, stride=1, n_bins=25, r_max=5.0, dtype="float64"
    )
    assert system.positions is not None
    state = sampler.start(system.positions, 95.0, seed=1)
    v = np.exp(-(((np.arange(25) + 0.5) * 0.2 - 3.7) ** 2) / 0.3)[None]
    gradient = adjoint.gradients([state], correction, v).gradients[0]
    assert adjoint.linear(correction).size == 5
    h = 1e-5
    ends = [adjoint.gradients([state], correction.with_theta(sign * h * np.eye(5)[2]), v).values[0] for sign in (1, -1)]
    assert gradient[2] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-3)
    assert adjoint.compilations == 1


def test_refusals(mixture: Any, langevin: Adjoint) -> None:
    system, state, correction = mixture
    for settings, words in (
        ({"thermostat": NoseHoover(0.3)}, "langevin"),
        ({"steps": 0}, "steps"),
        ({"clip": 0.0}, "clip"),
        ({"r_max": 9.0}, "r_max"),
    ):
        with pytest.raises(InputError, match=words):
            adjoint_of(system, **{"steps": 20} | settings)
    with pytest.raises(InputError, match="at the most"):
        langevin.gradients([state], correction, weights(), steps=10_000)
    with pytest.raises(InputError, match="blocks"):
        langevin.gradients([state], correction, weights(), last=1000)
    with pytest.raises(ValueError, match="cotangent"):
        langevin.gradients([state], correction, weights()[:1])
    with pytest.raises(ValueError, match="float32"):
        Adjoint(
            system,
            mixture_field(system, "float32"),
            thermostat=Langevin(0.5),
            temperature=95.0,
            timestep=5.0,
            steps=9,
            n_bins=BINS,
            r_max=R_MAX,
        )
    with pytest.raises(ValueError, match="no parameter"):
        LinearParams.build((np.ones(3),), [(np.ones(3),)], 1.0)
