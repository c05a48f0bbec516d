"""R_chi against MD steps and seconds: every update rule on the same data, from the same start, with the same MD budget.

    python experiments/benchmarks/methods.py --system argon [--methods gauss-newton ibi] [--steps N] [--out FILE]

Systems (`liquids.py`): Lennard-Jones argon at 85 K; equimolar 36Ar-Kr at 220 K seen by x-rays and neutrons; molten
CaCl2 and molten NaCaCl3 at 1100 K, whose base models are crude (Born-Mayer, full charges); molten silica at 3500 K
(Pedone and others), a network whose correction is small, seen by both. Data: made by the engine from a larger box and
another seed under a hidden smooth pair correction, with white noise. Of all but the salts these are S(Q); IBI cannot
take total curves and gets every partial g(r) of the same frames instead, without added noise: more than the others
know. Of the salts every rule gets all partial g(r), IBI again without noise; EPSR wants curves in Q and fails.

R_chi is of T(r) from the same S(Q), or of the same g(r), before the noise, in curves that are compared and never
fitted, the same ones for every rule; of several curves it is the rms. What is scored is the potential, not the short
sample that the rule saw of it: every correction on the way is run on for --score frames, outside the budget, and what
the sampling noise of all its frames adds to R_chi^2 is taken off (RMC, which has no potential, and a liquid that comes
apart meanwhile: its own frames only).
No rule stops by itself before its budget is spent; where it would have is in the table.

MD steps are all that the rule used after the common equilibration: of the samples, of settling after each change and,
for backprop, of the windows and between them; those of a window cost several times a plain one, which only the seconds
show. RMC has no MD steps: it counts attempted moves of each atom, after one sample of the base model. Seconds are of
sampling and solving, and each rule's first sample has the compilation of its sampler in them.

The yardstick is IBI's plateau, the median R_chi of the last third of its samples. A rule is there at its first sample
that is below 1.1 times the plateau, with the median of all its later ones below it too. Targets: on systems of several
species gauss-newton is there with a fifth of IBI's MD steps, on argon with at most the 7,100 that linear response
needed. Gauss-Newton runs with its default response and with each of them alone (`fluctuation`, `closure`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.errors import RefineError, SimulationError
from refine.progress import NullProgress
from refine.refinement.problem import Rule
from refine.sampling.frames import concatenate
from refine.tasks.run.loop import Run

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from benchmarks.liquids import LIQUIDS, Liquid

Array = NDArray[np.float64]

LEVEL = 1.1
"""A rule has reached IBI's plateau below this times it."""

AGAINST_IBI, AGAINST_ADAM = 1 / 5, 1 / 10
"""Targets: gauss-newton's MD steps to the plateau as a share of IBI's and of DiffTRe-Adam's; where a liquid has `most`,
that stands instead of IBI's."""

BLOCKS = 10
"""Successive pieces of a sample, for its noise."""


@dataclass(frozen=True)
class Settings:
    """What is run: frames of a sample (argon; twice as many elsewhere), a rule and its keys of [refinement]."""

    frames: int
    rule: str
    refinement: Mapping[str, Any] = field(default_factory=dict)


SETTINGS = {
    "gauss-newton": Settings(50, "gauss-newton"),
    "fluctuation": Settings(50, "gauss-newton", {"response": "fluctuation"}),
    "closure": Settings(50, "gauss-newton", {"response": "closure"}),
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


def steps_of(liquid: Liquid, settings: Settings, frames: Array) -> Array:
    """MD steps (or attempted moves of each atom) of successive samples with so many frames, the first one included."""
    keys, later = settings.refinement, np.arange(len(frames)) > 0
    if settings.rule == "rmc":
        return later * keys["moves"] * (frames + frames // 4)
    stride = liquid.stride
    settling = int(np.ceil(liquid.settle * 1000.0 / (liquid.laboratory.timestep * stride)))
    windows = 0
    if settings.rule == "backprop":
        apart = max(1, keys["window_steps"] // (2 * stride)) * stride
        windows = keys["windows"] * (keys["window_steps"] + apart)
    return stride * (frames + later * settling) + windows


def keep_going(rule: Rule, found: list[bool]) -> Rule:
    """The rule, with its finding that it has converged written down instead of followed."""
    kind: Any = type(rule)

    class KeepsGoing(kind):
        def update(self, *arguments: Any) -> Any:
            update = super().update(*arguments)
            found.append(update.converged)
            return replace(update, converged=False)

    return KeepsGoing(**{f.name: getattr(rule, f.name) for f in fields(kind)})


def settings_of(liquid: Liquid, method: str) -> Settings:
    """An entry of `SETTINGS`, for this system."""
    found = SETTINGS[method]
    return replace(found, frames=liquid.frames_factor * found.frames)


def trace(liquid: Liquid, folder: Path, method: str, budget: int, extra: int) -> Trace:
    """Refine with one rule until its budget is spent, then score every correction on the way."""
    settings = settings_of(liquid, method)
    first, each = steps_of(liquid, settings, np.array([settings.frames] * 2)).tolist()
    share = MOVES_SHARE if method == "rmc" else 1.0
    updates = max(1, int((share * budget - first) // each))
    refinement = {"method": settings.rule, "iterations": updates, **settings.refinement}
    study = liquid.study(folder, settings.frames, refinement)
    found: list[bool] = []
    study.rule = keep_going(study.rule, found)
    rows = study.run(folder / method).iterations
    steps = np.cumsum(steps_of(liquid, settings, np.array([row.frames for row in rows])))
    seconds = np.cumsum([row.seconds_sampling + row.seconds_solving for row in rows])
    r_chi, error = scores(liquid, study, folder / method, 0 if method == "rmc" else extra)
    stopped = found.index(True) if any(found) else None
    return Trace(steps.tolist(), seconds.tolist(), r_chi.tolist(), error.tolist(), stopped)


def scores(liquid: Liquid, study: Study, folder: Path, extra: int) -> tuple[Array, Array]:
    """R_chi of every sample of a finished run and its standard error; `extra` frames more are taken of each."""
    run = Run(study, folder, resume=True, overwrite=False, progress=NullProgress())
    measurements = [d.measurement for d in study.datasets if d.role == "score"]
    ((forces, strict),) = study.samplers()
    sampler = strict.lenient()  # a potential that was taken back is scored like any other
    found = []
    for sample, (end,) in zip(run.samples, run.ends, strict=True):
        frames = sample.frames[0]
        if extra:
            params = study.force_field_params(forces, 0, sample.correction)
            with suppress(SimulationError):  # a liquid that comes apart later: by its own frames alone
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


def verdicts(traces: Mapping[str, Trace], most: int | None = None) -> list[str]:
    """Steps of gauss-newton to the level with every response, as a share of the other rules' or beside `most`, and
    whether that is what was aimed at."""
    responses = [name for name in traces if SETTINGS[name].rule == "gauss-newton"]
    if not responses or "ibi" not in traces:
        return ["no ratios: they need gauss-newton and ibi"]
    level = LEVEL * traces["ibi"].plateau
    others = [("ibi", AGAINST_IBI), ("ibi-short", AGAINST_IBI), ("difftre", AGAINST_ADAM)]
    lines = []
    for name in responses:
        at = traces[name].reaches(level)
        if at is None:
            lines.append(f"{name} does not reach IBI's plateau within its budget: no target is met")
            continue
        own = traces[name].steps[at]
        if most is not None:
            lines.append(f"{name}: {own}, target {most}: {'met' if own <= most else 'not met'}")
        for other, target in others:
            if other in traces and not (most is not None and target == AGAINST_IBI):
                lines.append(f"{name} / {other}: {_ratio(own, traces[other], level, target)}")
    return lines


def _ratio(own: int, other: Trace, level: float, target: float) -> str:
    at = other.reaches(level)
    steps = other.steps[-1 if at is None else at]
    ratio, bound = own / steps, "<" if at is None else ""
    met = "met" if ratio <= target else "not met" if at is not None else "open, the budget is too small to tell"
    theirs = f"> {steps} (never, within the budget)" if at is None else f"{steps}"
    return f"{own} / {theirs} = {bound}{ratio:.3f}, target {target:g}: {met}"


def report(name: str, methods: list[str], budget: int, extra: int) -> dict[str, Any]:
    """Run one system and print its table; what --out keeps."""
    liquid = LIQUIDS[name]
    lab = liquid.laboratory
    species = " + ".join(f"{n} {name}" for name, n in lab.tree["system"]["species"].items())
    curves = f"{' + '.join(liquid.radiations)} S(Q)" if liquid.radiations else "partial g(r)"
    print(
        f"\n{name}: {species}, {liquid.temperature:g} K; {curves} from {lab.size} times the atoms, "
        f"noise {liquid.noise:g}; budget {budget} MD steps of {lab.timestep:g} fs "
        f"(rmc: {MOVES_SHARE * budget:g} moves of each atom), {liquid.settle:g} ps to settle after each change",
        flush=True,
    )
    if "ibi" in methods:
        print(f"ibi is given the {len(lab.pairs)} partial g(r) without noise, which the others do not have")
    traces: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        liquid.measure(folder)
        for method in methods:
            settings = settings_of(liquid, method)
            words = ", ".join(f"{key} {value}" for key, value in settings.refinement.items())
            print(f"{method}: {settings.frames} frames {liquid.stride} steps apart" + (f", {words}" if words else ""))
            try:
                traces[method] = trace(liquid, folder, method, budget, extra)
            except RefineError as error:
                print(f"  failed: {error}", flush=True)
                continue
            print("  R_chi " + " ".join(f"{x:.4f}" for x in traces[method].r_chi), flush=True)
    lines = verdicts(traces, liquid.most)
    print(table(traces), *lines, sep="\n", flush=True)
    return {
        "budget": budget,
        "score_frames": extra,
        "settings": {m: asdict(settings_of(liquid, m)) for m in methods},
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
