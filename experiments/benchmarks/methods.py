"""R_chi against MD steps and seconds: every update rule on the same data, from the same start, with the same MD budget.

    python experiments/benchmarks/methods.py --system argon [--methods gauss-newton ibi] [--steps N] [--out FILE]

Systems: Lennard-Jones argon at 85 K, and equimolar 36Ar-Kr at 220 K seen by x-rays and neutrons. Data: S(Q) made by the
engine from a larger box and another seed under a hidden smooth pair correction, with white noise. IBI cannot take total
curves; it gets every partial g(r) of the same frames instead, without added noise: more than the others know.

R_chi is of T(r) from the same S(Q) before the noise, in curves that are compared and never fitted, the same ones for
every rule; of several curves it is the rms. What is scored is the potential, not the short sample that the rule saw of
it: every correction on the way is run on for --score frames, outside the budget, and what the sampling noise of all its
frames adds to R_chi^2 is taken off (RMC, which has no potential: its own frames only). No rule stops by itself before
its budget is spent; where it would have is in the table.

MD steps are all that the rule used after the common equilibration: of the samples, of settling after each change and,
for backprop, of the windows and between them; those of a window cost several times a plain one, which only the seconds
show. RMC has no MD steps: it counts attempted moves of each atom, after one sample of the base model. Seconds are of
sampling and solving, and each rule's first sample has the compilation of its sampler in them.

The yardstick is IBI's plateau, the median R_chi of the last third of its samples. A rule is there at its first sample
that is below 1.1 times the plateau, with the median of all its later ones below it too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.curves.curve import Curve
from refine.errors import RefineError
from refine.potentials.classical import LennardJones
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.pairs import PairForceField
from refine.progress import NullProgress
from refine.refinement.problem import Rule
from refine.sampling.frames import Frames, concatenate
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.sampling.starts import melt
from refine.scattering.measurement import ForwardModel
from refine.study.schema import StudyConfig
from refine.system import Box, make_system
from refine.tasks.run.loop import Run
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

TIMESTEP, STRIDE, SETTLE, EQUILIBRATION, BIN = 5.0, 20, 1.0, 12.0, 0.02
"""fs, MD steps between frames, ps after each change, ps before the first sample, Å."""

SCORE_R = (3.0, 10.0)
LEVEL = 1.1
"""A rule has reached IBI's plateau below this times it."""

AGAINST_IBI, AGAINST_ADAM = 1 / 5, 1 / 10
"""Targets: gauss-newton's MD steps to the plateau as a share of IBI's and of DiffTRe-Adam's."""

BLOCKS = 10
"""Successive pieces of a sample, for its noise."""

LAB_SEED, LAB_STRIDE, LAB_FRAMES = 1000, 40, 300


@dataclass(frozen=True)
class Settings:
    """What is run: frames of a sample (argon; twice as many for the mixture), a rule and its keys of [refinement]."""

    frames: int
    rule: str
    refinement: Mapping[str, Any] = field(default_factory=dict)


SETTINGS = {
    "gauss-newton": Settings(50, "gauss-newton"),
    "ibi": Settings(200, "ibi", {"damping": 1.0}),
    "ibi-short": Settings(50, "ibi", {"damping": 1.0}),
    "difftre": Settings(100, "difftre", {"optimiser": "adam", "learning_rate": 0.003, "inner_steps": 20}),
    "epsr": Settings(50, "epsr", {"feedback": 0.8, "confidence": 0.9}),
    "backprop": Settings(
        50, "backprop", {"optimiser": "adam", "learning_rate": 0.02, "windows": 16, "window_steps": 100}
    ),
    "rmc": Settings(20, "rmc", {"moves": 5}),
}
"""IBI ends where the noise of a single sample puts it, so it is run with two lengths; the long one is the yardstick.
DiffTRe has twice the frames: with fewer, each step of Adam soon takes the effective share below its threshold."""

MOVES_SHARE = 1 / 40
"""RMC's budget of attempted moves of each atom, as a share of the MD steps of the others."""


@dataclass(frozen=True)
class Liquid:
    """One of the two systems: its study, and the laboratory that makes its data.

    Attributes:
        atoms: of each species in the fit.  lab_atoms: in the larger box.
        radiations: radiation -> further keys of its curve.
        bumps: of the hidden correction by pair, (height in kT, centre in Å, width in Å).
        q: points of the curves, 1/Å.  noise: standard deviation of S(Q).
        base_cut, r_cut: of the base model and the correction, Å.
    frames_factor: length of all samples in those of `SETTINGS`.
    """

    species: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    atoms: int
    lab_atoms: int
    temperature: float
    rho: float
    parameters: Mapping[str, Any]
    radiations: Mapping[str, Mapping[str, Any]]
    bumps: tuple[tuple[float, float, float], ...]
    q: Array
    noise: float
    base_cut: float
    r_min: float
    r_cut: float
    knots: int
    frames_factor: int = 1

    @property
    def kt(self) -> float:
        """eV."""
        return BOLTZMANN * self.temperature

    def hidden(self) -> PairCorrection:
        """The bumps on the splines of the study."""
        basis = SplineBasis(self.r_min, self.r_cut, self.knots)
        r = np.linspace(self.r_min, self.r_cut, 20 * self.knots)
        wanted = [self.kt * a * np.exp(-((r - centre) ** 2) / (2 * width**2)) for a, centre, width in self.bumps]
        theta = [np.linalg.lstsq(basis.values(r), bump, rcond=None)[0] for bump in wanted]
        return PairCorrection.zero(self.pairs, basis, stiffness=1000 * self.kt).with_theta(np.concatenate(theta))

    @cached_property
    def measured(self) -> Frames:
        """Frames of the larger box under the hidden correction."""
        edge = (self.lab_atoms * len(self.species) / self.rho) ** (1 / 3)
        system = make_system(dict.fromkeys(self.species, self.lab_atoms), np.eye(3) * edge)
        bins = int(system.r_box / BIN)
        base = LennardJones.from_parameters(self.species, self.pairs, self.parameters, self.base_cut)
        forces = PairForceField(base, self.base_cut, system.n_per_species, orthorhombic=True)
        sampler = Sampler(
            system,
            forces,
            thermostat=Langevin(0.5),
            timestep=TIMESTEP,
            stride=LAB_STRIDE,
            n_bins=bins,
            r_max=bins * BIN,
        )
        params = forces.params(self.hidden())
        state = melt(sampler, params, self.temperature, seed=LAB_SEED, picoseconds=15.0)
        return sampler.run(state, params, self.temperature, LAB_FRAMES)[1]

    def measure(self, folder: Path) -> None:
        """The files of the study: every S(Q) with and without noise, and every partial g(r)."""
        frames = self.measured
        counts = frames.counts.mean(axis=0, dtype=np.float64)
        box = Box(self.species, frames.n_per_species, frames.volume, frames.edges)
        rng = np.random.default_rng([LAB_SEED, 3])
        composition = dict.fromkeys(self.species, 1.0 / len(self.species))
        for radiation, extra in self.radiations.items():
            blank = Curve(
                x=self.q,
                y=np.ones_like(self.q),
                composition=composition,
                number_density=self.rho,
                radiation=radiation,
                **extra,
            )
            s = ForwardModel(blank, box).measurement(SCORE_R).in_box.predict(counts)
            for name, y in ((radiation, s + self.noise * rng.normal(size=len(s))), (f"{radiation}-clean", s)):
                _write(folder / f"{name}.csv", self.q, y, self.noise)
        seen = box.centres > 1.0  # nearer, a bin's ideal count is nothing
        for pair, g in zip(self.pairs, frames.pair_distribution(), strict=True):
            _write(folder / f"{'-'.join(pair)}.csv", box.centres[seen], g[seen], 0.01)

    def settings(self, name: str) -> Settings:
        """Of an entry of `SETTINGS`, for this system."""
        found = SETTINGS[name]
        return replace(found, frames=self.frames_factor * found.frames)

    def study(self, folder: Path, settings: Settings, iterations: int) -> Study:
        """The base model refined with one rule; curves to compare with are those without noise."""
        names = {radiation: {"radiation": radiation, **extra} for radiation, extra in self.radiations.items()}
        common = {"quantity": "S(Q)", "score_r": list(SCORE_R), "sigma": "file"}
        scored = [
            {"name": f"{n}-clean", "file": f"{n}-clean.csv", "role": "score", **common, **e} for n, e in names.items()
        ]
        limits = [float(self.q[0]) + 0.3, float(self.q[-1]) - 0.1]
        fitted = [{"name": n, "file": f"{n}.csv", "fit_q": limits, **common, **e} for n, e in names.items()]
        if settings.rule == "ibi":
            fitted = [
                {
                    "name": f"g-{a}-{b}",
                    "file": f"{a}-{b}.csv",
                    "quantity": "g(r)",
                    "pair": [a, b],
                    "fit_r": [2.5, self.r_cut],
                    "sigma": "file",
                }
                for a, b in self.pairs
            ]
        tree = {
            "system": {"species": dict.fromkeys(self.species, self.atoms), "number_density": self.rho},
            "states": [{"name": "liquid", "temperature": self.temperature}],
            "data": [*fitted, *scored],
            "model": {"base": "lennard-jones", "parameters": self.parameters, "r_cut": self.base_cut},
            "correction": {"knots": self.knots, "r_min": self.r_min, "r_cut": self.r_cut},
            "sampling": {
                "timestep": TIMESTEP,
                "equilibration": EQUILIBRATION,
                "reequilibration": SETTLE,
                "frames": settings.frames,
                "stride": STRIDE,
                "bin_width": BIN,
                "final": 1,
                "replicas": 1,
            },
            "refinement": {"method": settings.rule, "iterations": iterations, **settings.refinement},
        }
        return Study(StudyConfig.parse(tree, folder=folder))


LIQUIDS = {
    "argon": Liquid(
        species=("Ar",),
        pairs=(("Ar", "Ar"),),
        atoms=256,
        lab_atoms=1000,
        temperature=85.0,
        rho=0.02125,
        parameters={"epsilon": 0.010324, "sigma": 3.405},
        radiations={"neutron": {"isotopes": {"Ar": 36}}},
        bumps=((0.5, 4.6, 0.5),),
        q=np.arange(0.05, 12.0, 0.03),
        noise=0.004,
        base_cut=8.5,
        r_min=2.8,
        r_cut=8.5,
        knots=32,
    ),
    "binary": Liquid(
        species=("Ar", "Kr"),
        pairs=(("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr")),
        atoms=150,
        lab_atoms=500,
        temperature=220.0,
        rho=0.0165,
        parameters={"epsilon": {"Ar": 0.010324, "Kr": 0.01408}, "sigma": {"Ar": 3.405, "Kr": 3.64}},
        radiations={"neutron": {"isotopes": {"Ar": 36}}, "xray": {}},
        bumps=((0.3, 4.4, 0.5), (-0.25, 4.3, 0.5), (0.3, 4.9, 0.6)),
        q=np.arange(0.3, 12.0, 0.04),
        noise=0.01,
        base_cut=8.5,
        r_min=2.8,
        r_cut=7.5,
        knots=24,
        frames_factor=2,
    ),
}


def _write(path: Path, x: Array, y: Array, sigma: float) -> None:
    np.savetxt(path, np.column_stack([x, y, np.full_like(x, sigma)]), delimiter=",", fmt="%.6f")


@dataclass(frozen=True)
class Trace:
    """One rule's way down, an entry for each sample; updates lie between them.

    Attributes:
        steps: MD steps done when the sample ends (RMC: attempted moves of each atom).
        seconds: likewise, sampling and solving.
        r_chi, error: of the sample's potential, with its standard error.
        stopped: number of the sample at which the rule would have stopped; None if it did not find it had converged.
    """

    steps: list[int]
    seconds: list[float]
    r_chi: list[float]
    error: list[float]
    stopped: int | None

    @property
    def best(self) -> int:
        """Its sample with the lowest R_chi."""
        return int(np.argmin(self.r_chi))

    @property
    def plateau(self) -> float:
        """Median R_chi of the last third."""
        return float(np.median(self.r_chi[-max(1, len(self.r_chi) // 3) :]))

    def reaches(self, level: float) -> int | None:
        """First sample below a level that the later ones stay below in the median; None if there is none."""
        below = (k for k, x in enumerate(self.r_chi) if x < level and np.median(self.r_chi[k:]) < level)
        return next(below, None)


def steps_of(settings: Settings, frames: Array) -> Array:
    """MD steps (or attempted moves of each atom) of successive samples with so many frames, the first one included."""
    keys, later = settings.refinement, np.arange(len(frames)) > 0
    if settings.rule == "rmc":
        return later * keys["moves"] * (frames + frames // 4)
    settling = int(np.ceil(SETTLE * 1000.0 / (TIMESTEP * STRIDE)))
    windows = 0
    if settings.rule == "backprop":
        apart = max(1, keys["window_steps"] // (2 * STRIDE)) * STRIDE
        windows = keys["windows"] * (keys["window_steps"] + apart)
    return STRIDE * (frames + later * settling) + windows


def keep_going(rule: Rule, found: list[bool]) -> Rule:
    """The rule, with its finding that it has converged written down instead of followed."""
    kind: Any = type(rule)

    class KeepsGoing(kind):
        def update(self, *arguments: Any) -> Any:
            update = super().update(*arguments)
            found.append(update.converged)
            return replace(update, converged=False)

    return KeepsGoing(**{f.name: getattr(rule, f.name) for f in fields(kind)})


def trace(liquid: Liquid, folder: Path, method: str, budget: int, extra: int) -> Trace:
    """Refine with one rule until its budget is spent, then score every correction on the way."""
    settings = liquid.settings(method)
    first, each = steps_of(settings, np.array([settings.frames] * 2)).tolist()
    share = MOVES_SHARE if method == "rmc" else 1.0
    updates = max(1, int((share * budget - first) // each))
    study = liquid.study(folder, settings, updates)
    found: list[bool] = []
    study.rule = keep_going(study.rule, found)
    rows = study.run(folder / method).iterations
    steps = np.cumsum(steps_of(settings, np.array([row["frames"] for row in rows])))
    seconds = np.cumsum([row["seconds_sampling"] + row["seconds_solving"] for row in rows])
    r_chi, error = scores(liquid, study, folder / method, 0 if method == "rmc" else extra)
    stopped = found.index(True) if any(found) else None
    return Trace(steps.tolist(), seconds.tolist(), r_chi.tolist(), error.tolist(), stopped)


def scores(liquid: Liquid, study: Study, folder: Path, extra: int) -> tuple[Array, Array]:
    """R_chi of every sample of a finished run and its standard error; `extra` frames more are taken of each."""
    run = Run(study, folder, resume=True, overwrite=False, progress=NullProgress())
    measurements = [d.measurement for d in study.datasets if d.role == "score"]
    ((forces, sampler),) = study.samplers()
    found = []
    for sample, (end,) in zip(run.samples, run.ends, strict=True):
        frames = sample.frames[0]
        if extra:
            params = study.force_field_params(forces, 0, sample.correction)
            frames = concatenate([frames, sampler.run(end, params, liquid.temperature, extra)[1]])
        blocks = np.array([b.mean(axis=0, dtype=np.float64) for b in np.array_split(frames.counts, BLOCKS)])
        mean = blocks.mean(axis=0)
        without = [(BLOCKS * mean - b) / (BLOCKS - 1) for b in blocks]
        noise = [
            m.total.predict(blocks).var(axis=0, ddof=1).sum() / BLOCKS / np.sum(m.total_values**2) for m in measurements
        ]
        plain = [_rms([m.r_chi(counts) for m in measurements]) for counts in (mean, *without)]
        found.append(
            (
                np.sqrt(max(plain[0] ** 2 - np.mean(noise), 0.0)),
                np.sqrt((BLOCKS - 1) * np.var(plain[1:])),
            )
        )
    r_chi, error = np.array(found).T
    return r_chi, error


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def table(traces: Mapping[str, Trace]) -> str:
    """The rules side by side; the level is that of IBI, if it is among them."""
    level = LEVEL * traces["ibi"].plateau if "ibi" in traces else None
    header = ("method", "updates", "to level", "to best", "s to best", "best", "final", "plateau", "s", "would stop")
    rows = [header]
    for method, t in traces.items():
        at = t.reaches(level) if level is not None else None
        unit = " moves" if method == "rmc" else ""
        rows.append(
            (
                method,
                str(len(t.r_chi) - 1),
                "-" if level is None else f"> {t.steps[-1]}{unit}" if at is None else f"{t.steps[at]}{unit}",
                f"{t.steps[t.best]}{unit}",
                f"{t.seconds[t.best]:.1f}",
                f"{t.r_chi[t.best]:.4f}±{t.error[t.best]:.4f}",
                f"{t.r_chi[-1]:.4f}±{t.error[-1]:.4f}",
                f"{t.plateau:.4f}",
                f"{t.seconds[-1]:.1f}",
                "no" if t.stopped is None else f"{t.steps[t.stopped]}{unit}",
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if level is not None:
        lines.append(f"level: {level:.4f}, {LEVEL:g} times IBI's plateau")
    return "\n".join(lines)


def verdicts(traces: Mapping[str, Trace]) -> list[str]:
    """gauss-newton's steps to the level as a share of the others', and whether that is what was aimed at."""
    if not {"gauss-newton", "ibi"} <= set(traces):
        return ["no ratios: they need gauss-newton and ibi"]
    level = LEVEL * traces["ibi"].plateau
    ours = traces["gauss-newton"].reaches(level)
    if ours is None:
        return ["gauss-newton does not reach IBI's plateau within its budget: no target is met"]
    own, lines = traces["gauss-newton"].steps[ours], []
    for other, target in (("ibi", AGAINST_IBI), ("ibi-short", AGAINST_IBI), ("difftre", AGAINST_ADAM)):
        if other not in traces:
            continue
        at = traces[other].reaches(level)
        steps = traces[other].steps[-1 if at is None else at]
        ratio, bound = own / steps, "<" if at is None else ""
        met = "met" if ratio <= target else "not met" if at is not None else "open, the budget is too small to tell"
        theirs = f"> {steps} (never, within the budget)" if at is None else f"{steps}"
        lines.append(f"gauss-newton / {other}: {own} / {theirs} = {bound}{ratio:.3f}, target {target:g}: {met}")
    return lines


def report(name: str, methods: list[str], budget: int, extra: int) -> dict[str, Any]:
    """Run one system and print its table; what --out keeps."""
    liquid = LIQUIDS[name]
    species = " + ".join(f"{liquid.atoms} {s}" for s in liquid.species)
    print(
        f"\n{name}: {species}, {liquid.temperature:g} K; {' + '.join(liquid.radiations)} S(Q) from "
        f"{liquid.lab_atoms * len(liquid.species)} atoms, noise {liquid.noise:g}; budget {budget} MD steps of "
        f"{TIMESTEP:g} fs (rmc: {MOVES_SHARE * budget:g} moves of each atom), {SETTLE:g} ps to settle "
        "after each change",
        flush=True,
    )
    if "ibi" in methods:
        print(f"ibi is given the {len(liquid.pairs)} partial g(r) without noise, which the others do not have")
    traces: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        liquid.measure(folder)
        for method in methods:
            settings = liquid.settings(method)
            words = ", ".join(f"{key} {value}" for key, value in settings.refinement.items())
            print(f"{method}: {settings.frames} frames {STRIDE} steps apart" + (f", {words}" if words else ""))
            try:
                traces[method] = trace(liquid, folder, method, budget, extra)
            except RefineError as error:
                print(f"  failed: {error}", flush=True)
                continue
            print("  R_chi " + " ".join(f"{x:.4f}" for x in traces[method].r_chi), flush=True)
    lines = verdicts(traces)
    print(table(traces), *lines, sep="\n", flush=True)
    return {
        "budget": budget,
        "score_frames": extra,
        "settings": {m: asdict(liquid.settings(m)) for m in methods},
        "traces": {m: asdict(t) for m, t in traces.items()},
        "verdicts": lines,
    }


def main() -> None:
    """Run the systems asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", choices=tuple(LIQUIDS), nargs="+", default=list(LIQUIDS))
    parser.add_argument("--methods", choices=tuple(SETTINGS), nargs="+", default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=24000, help="MD steps of each rule")
    parser.add_argument("--score", type=int, default=100, help="frames that every correction is scored with besides")
    parser.add_argument("--out", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    found = {name: report(name, options.methods, options.steps, options.score) for name in options.system}
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
