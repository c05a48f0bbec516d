"""Seconds of one Gauss-Newton update: `python experiments/benchmarks/solve.py [--frames 1000]`.

By default 1000 frames x 3 pairs x 400 bins x 90 coefficients: a binary mixture, one x-ray and one neutron curve. The
update reads stored pair counts only.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from refine.curves.curve import Curve
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.keys import Shared
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.system import Box

DENSITY = 0.05
SPECIES = ("Fe", "O")


def main() -> None:
    """Build a synthetic sample of the size asked for and time the update."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--bins", type=int, default=400)
    parser.add_argument("--knots", type=int, default=30, help="for each of the three pairs")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    r_box = 14.0
    volume = (2.0 * r_box) ** 3
    n = round(DENSITY * volume / 2)
    box = Box(SPECIES, (n, n), volume, np.linspace(0.0, r_box, options.bins + 1))
    g = 1.0 / (1.0 + np.exp(-(box.centres - 2.4) / 0.1))
    rng = np.random.default_rng(0)
    counts = rng.poisson(box.ideal_counts * g, (options.frames, 3, options.bins)).astype(np.float32)
    zeros = np.zeros(options.frames)
    frames = Frames(counts, zeros, zeros, zeros + 300.0, zeros.astype(int), box.r_max, (n, n), volume)
    correction = PairCorrection.zero(box.pairs, SplineBasis(2.0, 8.0, options.knots), stiffness=25.0)

    q = np.arange(0.5, 20.0, 0.02)
    targets = []
    for radiation in ("neutron", "xray"):
        values = 1.0 + 0.1 * np.sin(2.4 * q) / q + 0.01 * rng.normal(size=len(q))
        curve = Curve(
            x=q,
            y=values,
            sigma=np.full(len(q), 0.01),
            radiation=radiation,
            composition={"Fe": 1, "O": 1},
            number_density=DENSITY,
            name=radiation,
        )
        fit = ForwardModel(curve, box).fit(None, None)
        targets.append(
            Target(radiation, 0, "S(Q)", None, fit.values, fit.covariance, True, CurveObservable(fit.operator))
        )
    problem = Problem(tuple(targets), (300.0,))

    rule = GaussNewtonKeys().rule(Shared(final_factor=2.0, length=0.5, smoothness="auto"))
    seconds = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        rule.update(rule.start(), problem, [Sample(correction, (frames,))])
        seconds.append(time.perf_counter() - began)
    print(
        f"{options.frames} frames x 3 pairs x {options.bins} bins x {3 * options.knots} coefficients, "
        f"{problem.points} fitted points: best {min(seconds):.2f} s, median {np.median(seconds):.2f} s an update"
    )


if __name__ == "__main__":
    main()
