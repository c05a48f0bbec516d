"""What the closure is worth on liquids of real molecular dynamics, beside the fluctuation formula.

Slope: all columns of the Jacobian of all partial g(r), as one vector. `ratio` is the projection of the sampled slope on
the closure's in units of the latter (1 if the closure is right; its noise averages out), `correlation` has the noise of
the sampled slope taken off; both with errors from a jackknife over ten blocks. Prediction: the share of the rms change
of all g(r), between two samples, that is not predicted. Fixed seeds; errors are one sigma.

Measured with what stands here, ratio and correlation, then shares that the closure and linear response leave:

    dilute argon   1.03 ± 0.05  0.99 (both are exact)
    argon          1.05 ± 0.06  0.94    there and back 0.21, 0.23   linear 0.54, 0.47
    CaCl2          1.06 ± 0.05  1.01                   0.26, 0.19          0.65, 0.49
    NaCaCl3        0.95 ± 0.05  0.95                   0.34, 0.33          1.27, 1.03
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Sample
from refine.refinement.responses import RESPONSES
from refine.refinement.responses.ornstein_zernike import Demixing
from refine.refinement.responses.protocol import Response

from . import liquids

pytestmark = pytest.mark.slow

FRAMES, BLOCKS = 200, 10


@dataclass(frozen=True)
class Case:
    """A liquid, and the bumps (kT, Å) that take it elsewhere. model: what the closure's slope may be off by."""

    liquid: liquids.Liquid
    heights: dict[str, float]
    centres: dict[str, float]
    model: float


IONS = {"Ca-Ca": 4.4, "Ca-Cl": 2.8, "Cl-Cl": 3.7}
CASES = {
    "dilute argon": Case(liquids.GAS, {"Ar-Ar": 2.5}, {"Ar-Ar": 4.2}, 0.0),
    "argon": Case(liquids.ARGON, {"Ar-Ar": 2.5}, {"Ar-Ar": 4.2}, 0.15),
    "CaCl2": Case(liquids.CACL2, {"Ca-Ca": -3.0, "Ca-Cl": 1.5, "Cl-Cl": 1.0}, IONS, 0.15),
    "NaCaCl3": Case(
        liquids.TERNARY,
        {"Na-Na": 2.0, "Na-Ca": -2.0, "Na-Cl": 1.5, "Ca-Ca": -2.5, "Ca-Cl": 1.5, "Cl-Cl": 1.0},
        {"Na-Na": 3.8, "Na-Ca": 4.0, "Na-Cl": 2.8, **IONS},
        0.15,
    ),
}


@cache
def sampled(name: str, share: float) -> Sample:
    """Frames under so much of the bumps of a case."""
    case = CASES[name]
    correction = case.liquid.bumps(case.heights, case.centres)
    return case.liquid.sample(correction.with_theta(share * correction.theta), FRAMES, seed=11 + round(share))


def response(which: str, name: str, sample: Sample) -> Response:
    """Of every partial g(r) about the sample's own correction."""
    problem, targets = CASES[name].liquid.partials(sample.frames[0])
    return RESPONSES[which](problem, [sample], 0, sample.correction, targets)


def without(sample: Sample, block: int) -> Sample:
    """The sample but for one of its blocks of frames."""
    frames = sample.frames[0]
    kept = np.arange(len(frames)) * BLOCKS // len(frames) != block
    return replace(sample, frames=(replace(frames, **{key: getattr(frames, key)[kept] for key in frames.per_frame}),))


@pytest.mark.parametrize("name", CASES)
def test_the_slope_is_that_of_the_fluctuations(name: str) -> None:
    """Ratio: 1 to three standard errors, in dense liquids and 0.15; the error is below 0.1. Correlation: above 0.85."""
    case, sample = CASES[name], sampled(name, 0.0)
    closure = response("closure", name, sample).jacobian
    sampled_slope = response("fluctuation", name, sample).jacobian
    slopes = np.array([response("fluctuation", name, without(sample, b)).jacobian for b in range(BLOCKS)])
    size = np.sum(closure**2)
    ratio = np.sum(sampled_slope * closure) / size
    ratios = np.sum(slopes * closure, axis=(1, 2)) / size
    stderr = np.sqrt((BLOCKS - 1) * np.var(ratios))
    noise = (BLOCKS - 1) * np.sum(np.var(slopes, axis=0))
    correlation = ratio * np.sqrt(size / (np.sum(sampled_slope**2) - noise))
    words = f"{name}: ratio {ratio:.2f} ± {stderr:.2f}, correlation {correlation:.2f}"
    print(words)
    assert stderr < 0.1, words
    assert abs(ratio - 1.0) < case.model + 3.0 * stderr, words
    assert correlation > 0.85, words


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "dilute argon"])
def test_a_change_of_kts_is_predicted(name: str, back: bool) -> None:
    """At most 0.4 of the change of g(r) is left, and 0.6 of what linear response leaves; sampling is 0.05 of it."""
    first, second = (sampled(name, share) for share in ((1.0, 0.0) if back else (0.0, 1.0)))
    step = second.correction.theta - first.correction.theta
    truth = response("fluctuation", name, second).y
    left = {}
    for which in RESPONSES:
        model = response(which, name, first)
        left[which] = np.sqrt(np.mean((model.curves(step) - truth) ** 2) / np.mean((model.y - truth) ** 2))
    words = f"{name}: " + ", ".join(f"{which} leaves {share:.2f}" for which, share in left.items())
    print(words)
    assert left["closure"] < 0.4, words
    assert left["closure"] < 0.6 * left["fluctuation"], words


ATTRACTED = {"Ar-Ar": 4.0, "Ar-Kr": 4.2, "Kr-Kr": 4.0}


@cache
def mixture() -> Sample:
    return liquids.MIXTURE.sample(liquids.MIXTURE.basis, 100, seed=1)


def weakened(height: float) -> PairCorrection:
    """The attraction of unlike atoms weaker by so many kT."""
    return liquids.MIXTURE.bumps({"Ar-Ar": 0.0, "Ar-Kr": height, "Kr-Kr": 0.0}, ATTRACTED, width=0.7)


def test_a_mixture_that_would_come_apart_is_refused() -> None:
    """0.2 kT less attraction of unlike atoms is followed, 1 kT is refused."""
    sample = mixture()
    problem, targets = liquids.MIXTURE.partials(sample.frames[0])
    closure = RESPONSES["closure"](problem, [sample], 0, sample.correction, targets)
    assert np.isfinite(closure.curves(weakened(0.2).theta)).all()
    with pytest.raises(Demixing, match="comes apart"):
        closure.curves(weakened(1.0).theta)


def test_a_run_towards_a_mixture_that_is_apart_goes_on(tmp_path: Path) -> None:
    """Wanted is g(r) of 2 kT less, which is two phases: steps stop where the liquid comes apart, and three of them
    bring the misfit to a tenth."""
    liquid = liquids.MIXTURE
    liquids.measure(tmp_path, liquid, liquid.sample(weakened(2.0), 100, 2), partials=True, noise=0.02, seed=1)
    study = liquids.study(
        tmp_path, liquid, partials=True, sampling={"frames": 100, "final": 1}, refinement={"iterations": 3}
    )
    result = study.run(tmp_path / "out")
    steps = result.iterations
    assert len(steps) == 4
    assert all(step.step_kT < 0.5 * step.trust_radius for step in steps[:2])
    assert steps[-1].chi2_fitted < 0.1 * steps[0].chi2_fitted
