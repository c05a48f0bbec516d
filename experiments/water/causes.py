"""What of water's misfit has which cause: one sample of SPC/E, and the measurements looked at in different ways.

    python experiments/water/causes.py            # about two minutes on one idle core

Prints the numbers of "What is wrong with which curve" in README.md. Variants differ from the study as it was first: to
12 1/Å, a rigid molecule, x-rays of free atoms.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.optimize import least_squares
from scipy.special import ndtr

from refine import Study
from refine.curves.curve import Curve
from refine.progress import NullProgress
from refine.refinement.inference.nuisance import best
from refine.refinement.problem import Sample
from refine.results.scores import score
from refine.sampling.counting import counts_as_seen
from refine.sampling.frames import Frames
from refine.scattering.metrics import chi_squared
from refine.tasks.sample import sample_states

STUDY = Path(__file__).parent / "study.toml"
NEUTRONS = ("D2O", "HDO", "H2O")
AS_FIRST = ["model.intramolecular={}", "data.xray.charges={}", *(f"data.{n}.fit_q=[0.6, 12.0]" for n in NEUTRONS)]


def maff(charge: float, width: float = 2.01) -> str:
    """Charge (e) from each H to O, within a width in Q (1/Å)."""
    return f"data.xray.charges={{ O = [{-2 * charge}, {width}], H = [{charge}, {width}] }}"


def neutrons(key: str) -> list[str]:
    """A key for all three."""
    return [f"data.{name}.{key}" for name in NEUTRONS]


def study_of(*changes: str) -> Study:
    """The study as it was first, with changes."""
    return Study.from_toml(STUDY, [*AS_FIRST, *changes])


def scores(frames: Frames) -> None:
    """R_chi with the background of all of the curve, of the fitted part continued, and without."""
    study, counts = study_of(), frames.counts.mean(axis=0, dtype=np.float64)
    for data in study.datasets:
        target = study.targets[data.name]
        part = best(target, target.predict(counts))
        values = (
            score(data, target, frames, errors=False).r_chi,
            data.measurement.r_chi(counts, part.scale, part.background),
            data.measurement.r_chi(counts),
        )
        print(
            f"R_chi of {data.name:5}: whole, part, none {np.round(values, 4)}; floor {_lowest(data.measurement.curve)}"
        )


def _lowest(curve: Curve) -> str:
    """The lowest value of a neutron F(Q), and -Σ c b^2."""
    if curve.radiation != "neutron" or curve.pair is not None:
        return "-"
    bound = 0.01 * float(curve.fractions @ curve.amplitudes(np.zeros(1))[:, 0] ** 2)
    return f"{curve.y.min():.3f} measured, {-bound:.3f} possible"


def molecule(frames: Frames, names: Sequence[str], low: float = 9.0) -> None:
    """Distances and widths (Å) in the molecule that curves beyond `low` (1/Å) have, with a straight background."""
    study = study_of()
    measured = [data.measurement for data in study.datasets if data.name in names]
    between = frames.felt.counts.mean(axis=0, dtype=np.float64)
    edges, pairs, waters = frames.edges, study.pairs, frames.n_per_species[0]

    def counts(shape: np.ndarray) -> np.ndarray:
        found = between.copy()
        for pair, number, (d, u) in ((("O", "H"), 2 * waters, shape[:2]), (("H", "H"), waters, shape[2:])):
            z = (edges - d) / u
            below = ndtr(z) - u / d * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
            found[pairs.index(pair)] += number * np.diff(below)
        return found

    def misfit(shape: np.ndarray) -> np.ndarray:
        parts = []
        for m in measured:
            high = m.in_box.x > low
            line = chebvander(m.in_box.x[high], 1)
            e = (m.in_box_values - m.in_box.predict(counts(shape)))[high]
            parts.append(e - line @ np.linalg.lstsq(line, e, rcond=None)[0])
        return np.concatenate(parts)

    def rms(e: np.ndarray) -> float:
        return float(np.sqrt(np.mean(e**2)))

    bounds = ([0.9, 0.02, 1.4, 0.04], [1.1, 0.15, 1.75, 0.3])
    found = least_squares(misfit, [0.98, 0.07, 1.55, 0.12], bounds=bounds, x_scale=0.01)
    error = rms(found.fun) * np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac)))
    rigid = rms(misfit(np.array([1.0, 0.006, 1.633, 0.006])))
    words = f"{found.x.round(4)} ± {error.round(4)}, rms {rms(found.fun):.4f}, rigid {rigid:.4f}"
    print(f"{'+'.join(names)} beyond {low:g}: {words}")


def xrays(frames: Frames) -> None:
    """chi^2 of x-rays with charge that moved."""
    counts = frames.counts.mean(axis=0, dtype=np.float64)
    for charge, width in ((0.0, 2.01), (0.24, 2.0), (0.43, 2.01), (0.52, 2.0)):
        study = study_of(maff(charge, width))
        target = study.targets["xray"]
        print(f"{charge} e: chi^2 {chi_squared(target.y - target.predict(counts), target.covariance):.0f}")


def contradictions(frames: Frames, widened: Frames) -> None:
    """By how many σ each curve contradicts all others in the first update."""
    variants = {
        "first": ([], frames),
        "degree 1": (neutrons('free_background="polynomial:1"'), frames),
        "degree 6": (neutrons('free_background="polynomial:6"') + neutrons("background_below=0.85"), frames),
        "charges": ([maff(0.43)], frames),
        "molecule": ([], widened),
        "to 20, molecule": (neutrons("fit_q=[0.6, 20.0]"), widened),
        "to 20, molecule, charges": ([maff(0.43), *neutrons("fit_q=[0.6, 20.0]")], widened),
        "2.5 to 20, molecule, charges": ([maff(0.43), *neutrons("fit_q=[2.5, 20.0]")], widened),
    }
    for name, (changes, seen) in variants.items():
        study = study_of(*changes)
        update = study.rule.update(
            study.rule.start(), study.problem, [Sample(correction=study.initial_correction(), frames=(seen,))]
        )
        assert update.determination is not None
        tension = {one.data: round(one.sigma, 1) for one in update.determination.tension if one.given is None}
        print(f"{name}: {tension}")


def main() -> None:
    """One sample; its counts as the atoms are, and as scattering sees them."""
    (frames,) = sample_states(study_of(), 200, NullProgress(), positions=True)
    study = Study.from_toml(STUDY)
    ((field, _),) = study.samplers()
    molecules, between = field.molecules, frames.felt.counts
    seen = counts_as_seen(
        *(frames.positions, study.systems[0], molecules.pairs, molecules.share, *molecules.seen),
        *(between, frames.r_max),
    )
    widened = replace(frames, counts=between + seen, bonded=seen)
    scores(frames)
    for names in (["D2O"], ["H2O"]):
        molecule(frames, names)
    xrays(frames)
    contradictions(frames, widened)


if __name__ == "__main__":
    main()
