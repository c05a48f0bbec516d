"""What every entry of `OBSERVABLES` must pass: its linear response against finite differences of independent samples.

On the Poisson liquid, whose frames are independent and whose response is exact. Energy and virial of a frame are sums
over its counts, the correction's own share included, as those of atoms are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.observables import OBSERVABLES
from refine.refinement.observables.protocol import Observable
from refine.sampling.frames import Frames
from tests.refinement.conftest import TEMPERATURE, PoissonLiquid

every_observable = pytest.mark.parametrize("kind", OBSERVABLES.values(), ids=OBSERVABLES)

FRAMES, BLOCKS = 2000, 20
STEP = 0.1
"""kT: the finite difference's own error is its square over six, 0.2 % of a derivative; the statistical one is ten."""

SIGMA = 4.5
"""Standard errors between the two; the largest of a hundred points is 2.8 with these seeds."""


def frames_of(liquid: PoissonLiquid, correction: PairCorrection, seed: int) -> Frames:
    """Independent frames with energies and virials."""
    frames = liquid.sample(correction, FRAMES, seed).frames[0]
    r, counts = frames.centres, frames.counts.astype(np.float64)
    own = np.einsum("pbk,pk->pb", correction.binned_basis(frames.edges), correction.coefficients)
    energy = counts * (0.01 * np.exp(-((r - 4.0) ** 2)) + own)
    slope = -0.02 * np.exp(-((r - 3.3) ** 2) / 0.1) + 0.003 * np.exp(-((r - 4.6) ** 2) / 0.8)
    virial = -counts * r * (slope + correction.derivative(r))
    return replace(frames, energy=energy.sum(axis=(1, 2)), virial=virial.sum(axis=(1, 2)))


def directions(correction: PairCorrection) -> dict[str, np.ndarray]:
    centres, r_cut = correction.basis.centres, correction.basis.r_cut
    return {"ramp": 1.0 - centres / r_cut, "wave": np.cos(2.0 * centres), "bump": np.exp(-((centres - 4.0) ** 2))}


def mean_and_error(observable: Observable, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    values = observable.values(frames, TEMPERATURE)
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(frames))


def block(frames: Frames, k: int) -> Frames:
    chosen = slice(k * FRAMES // BLOCKS, (k + 1) * FRAMES // BLOCKS)
    return replace(frames, **{name: getattr(frames, name)[chosen] for name in frames.per_frame})


@every_observable
def test_values_are_a_row_for_each_frame(kind: type[Observable], liquid: PoissonLiquid) -> None:
    observable = kind.example(liquid.box)
    frames = frames_of(liquid, liquid.basis(), 0)
    values = observable.values(frames, TEMPERATURE)
    assert values.shape[0] == FRAMES
    np.testing.assert_allclose(observable.values(block(frames, 1), TEMPERATURE), values[100:200], rtol=1e-9)
    assert OBSERVABLES[kind.name] is kind


@every_observable
@pytest.mark.parametrize("direction", ["ramp", "wave", "bump"])
def test_derivative_is_that_of_independent_samples(
    kind: type[Observable], direction: str, liquid: PoissonLiquid
) -> None:
    observable, still = kind.example(liquid.box), liquid.basis()
    along = directions(still)[direction]
    base = still.with_theta(0.1 * liquid.kt * directions(still)["wave"])
    frames = frames_of(liquid, base, 1)
    response = observable.derivative(frames, base, TEMPERATURE, along)
    blocks = [observable.derivative(block(frames, k), base, TEMPERATURE, along) for k in range(BLOCKS)]
    step = STEP * liquid.kt
    (up, up_error), (down, down_error) = (
        mean_and_error(observable, frames_of(liquid, base.with_theta(base.theta + s * step * along), seed))
        for s, seed in ((1.0, 2), (-1.0, 3))
    )
    difference = (up - down) / (2.0 * step)
    error = np.hypot(np.std(blocks, axis=0, ddof=1) / np.sqrt(BLOCKS), np.hypot(up_error, down_error) / (2.0 * step))
    assert np.abs((response - difference) / error).max() < SIGMA
    assert np.linalg.norm(response) > 8.0 * np.linalg.norm(error)  # else the test would say nothing


@every_observable
def test_derivative_is_linear_in_the_direction(kind: type[Observable], liquid: PoissonLiquid) -> None:
    observable, base = kind.example(liquid.box), liquid.basis()
    frames = frames_of(liquid, base, 4)
    ramp, wave = directions(base)["ramp"], directions(base)["wave"]
    one, other, both = (observable.derivative(frames, base, TEMPERATURE, d) for d in (ramp, wave, ramp - 2.0 * wave))
    np.testing.assert_allclose(both, one - 2.0 * other, rtol=1e-8, atol=1e-9 * np.abs(one).max())
