"""One argon and one silica study under every engine, side by side: do g(r), energy, pressure and φ agree?

    python experiments/engines/run.py [--only argon] [--engines lammps ase] [--seeds 4] [--out FOLDER] [--budget small]

The data of both studies were made under a hidden correction (`measure.py`). Every run is a command as a user gives it,
`refine run STUDY --set sampling.engine=...`; under `files` it is `refine step`, with a LAMMPS between two steps that
runs the very input that was written. Runs go one after the other; one that is done is not run again.

Every run is compared with the others that jax made with other seeds: under the base model, where all engines have the
same potential, g(r), the energy and the pressure; and the corrected φ. The runs of jax are the control that has to
agree. `warmer` is the control that must not: jax at a temperature 5 % too high. What the σ are is in `agreement.py`.
The exit code is 1 if an engine is more than 3 σ off in something, or the second control is not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

import refine
from refine.api.result import Result
from refine.files import make_folder, write_text
from refine.results.schema import RESULT
from refine.sampling.frames import Frames
from refine.sampling.lammps.program import command
from refine.tasks.run import store

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from engines import agreement
from engines.measure import HIDDEN, laboratory

Array = NDArray[np.float64]

FOLDER = Path(__file__).parent
STUDIES = tuple(HIDDEN)

ENGINES: Mapping[str, Sequence[str]] = {
    "lammps": ["sampling.engine=lammps"],
    "lammps, mpirun -n 2": ["sampling.engine=lammps", "sampling.processes=2"],
    "ase": ["sampling.engine=ase"],
    "files": ["sampling.engine=files"],
}
"""What is set in the study. jax is what all are compared with."""

WARMER, BY = "jax, 5 % warmer", 1.05

LIMIT = 3.0
"""σ."""

END = 0.5
"""Å before its cutoff in which φ is not compared: it goes to zero there for everyone."""

SMALL = {
    "sampling.equilibration": "0.1",
    "sampling.reequilibration": "0.02",
    "sampling.frames": "40",
    "sampling.stride": "2",
    "refinement.iterations": "1",
}
"""Keys of a run that only shows that everything works."""

ENDED = (0, 3, 4)
"""Exit codes of a refinement that came to an end."""

CLOCK = "seconds.json"


@dataclass(frozen=True)
class Ran:
    """A finished run.

    name: of its row.  folder: of the run.  result: what it found.  base: its frames under the base model.
    seconds, processors: of all of its commands, on the clock and of all processors together.
    """

    name: str
    folder: Path
    result: Result
    base: Frames
    seconds: float
    processors: float


@dataclass(frozen=True)
class Row:
    """A run beside the others: g(r), mean square difference in errors; σ of the others; φ in deviations of the
    posterior, its own and that among the seeds, both None where a run has no errors of φ."""

    ran: Ran
    g: tuple[float, float]
    energy: float
    pressure: float
    phi: tuple[float, float, float] | None

    @property
    def worst(self) -> float:
        """The largest σ of all."""
        return max(self.g[1], abs(self.energy), abs(self.pressure), -np.inf if self.phi is None else self.phi[2])


# ---- running


def refined(*words: str) -> int:
    """The exit code of a command `refine`, an error where it came to no end."""
    done = subprocess.run([sys.executable, "-m", "refine", *words], capture_output=True, text=True, check=False)
    if done.returncode not in ENDED:
        raise RuntimeError(f"refine {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.returncode


def ran(name: str, study: Path, folder: Path, changes: Sequence[str], *, by_files: bool) -> Ran:
    """A run, from before where it is done."""
    clock = folder.with_name(f"{folder.name}-{CLOCK}")
    if not clock.is_file():
        begin = time.perf_counter(), spent()
        settings = [word for change in changes for word in ("--set", change)]
        if by_files:
            stepped(study, folder, settings)
        else:
            refined("run", str(study), "--out", str(folder), "--overwrite", *settings)
        write_text(clock, json.dumps([time.perf_counter() - begin[0], spent() - begin[1]]))
    frames = store.load(folder / store.CHECKPOINT).samples[0]["frames"]["0000"]
    return Ran(
        name, folder, refine.open(folder), Frames.from_arrays(frames), *json.loads(clock.read_text(encoding="utf-8"))
    )


def spent() -> float:
    """Seconds of processors that all commands so far have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stepped(study: Path, folder: Path, settings: Sequence[str]) -> None:
    """A run by steps: LAMMPS runs the input of each as it stands."""
    refined("step", str(study), "--out", str(folder), "--overwrite", *settings)
    while not (folder / RESULT).is_file():
        at = next(path for path in max((folder / "steps").glob("[0-9]*")).iterdir() if path.is_dir())
        lammps = [*command(1), "-in", "in.lammps", "-log", "log.refine"]
        subprocess.run(lammps, cwd=at, check=True, stdout=subprocess.DEVNULL)
        refined("step", str(folder), "--trajectory", str(at / "dump.lammpstrj"), "--energies", str(at / "log.refine*"))


def runs_of(
    study: Path, folder: Path, engines: Sequence[str], seeds: int, changes: Sequence[str]
) -> tuple[list[Ran], list[Ran], Ran]:
    """Those of jax, those of other engines, and the one that is too warm; folder: of all."""
    temperature = tomllib.loads(study.read_text(encoding="utf-8"))["states"][0]["temperature"]
    jax = ["sampling.engine=jax", *changes]
    plan = [(f"jax, seed {k}", f"jax-{k}", [*jax, f"sampling.seed={k}"]) for k in range(1, seeds + 1)]
    plan += [
        (name, re.sub(r"\W+", "-", name), [*ENGINES[name], *changes, f"sampling.seed={seeds + k}"])
        for k, name in enumerate(ENGINES, start=1)
        if name in engines
    ]
    plan += [(WARMER, "warmer", [*jax, f"states.0.temperature={BY * temperature}", "sampling.seed=100"])]
    found = []
    for name, short, keys in plan:
        print(f"{study.stem}: {name}", file=sys.stderr, flush=True)
        found.append(ran(name, study, folder / short, keys, by_files=name == "files"))
    return found[:seeds], found[seeds:-1], found[-1]


# ---- comparing


def points(name: str, reference: Frames) -> tuple[Array, list[NDArray[np.bool_]]]:
    """r (n,), Å, and which of them each pair of species has: where it has pairs, to before the cutoff."""
    wide = reference.merged(round(agreement.BIN / (reference.r_max / reference.counts.shape[2])))
    cutoff = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))["correction"]["r_cut"]
    r = wide.centres[wide.centres < cutoff - END]
    return r, [row[: len(r)] > agreement.SEEN for row in np.maximum.accumulate(wide.pair_distribution(), axis=1)]


def phi_of(result: Result, r: Array, seen: Sequence[NDArray[np.bool_]]) -> Array:
    """φ at the points of all pairs, one after the other, eV."""
    return np.concatenate([row[chosen] for row, chosen in zip(result.correction.energy(r), seen, strict=True)])


def covariance_of(result: Result, r: Array, seen: Sequence[NDArray[np.bool_]]) -> Array | None:
    """That of `phi_of`, eV²."""
    if result.covariance is None:
        return None
    basis = block_diag(*[row[chosen] for row, chosen in zip(result.correction.basis_values(r), seen, strict=True)])
    return np.asarray(basis @ result.covariance @ basis.T)


def rows_of(name: str, seeds: Sequence[Ran], others: Sequence[Ran]) -> list[Row]:
    """Every run beside those of jax with other seeds than its own."""
    r, seen = points(name, agreement.pooled([one.base for one in seeds]))
    phi = {one.name: phi_of(one.result, r, seen) for one in (*seeds, *others)}
    known = [c for c in (covariance_of(one.result, r, seen) for one in seeds) if c is not None]
    scalars: list[Callable[[Frames], Array]] = [lambda frames: frames.energy, lambda frames: frames.pressure()]
    factors = {of: agreement.birge([of(one.base) for one in seeds]) for of in scalars}
    rows = []
    for one in (*seeds, *others):
        beside = [other for other in seeds if other is not one]
        bases = [other.base for other in beside]
        energy, pressure = (
            agreement.scalar(of(one.base), [of(base) for base in bases]) / factor for of, factor in factors.items()
        )
        apart = None
        if known:
            apart = agreement.correction(
                phi[one.name], np.array([phi[other.name] for other in beside]), np.mean(known, axis=0)
            )
        rows.append(Row(one, agreement.g_of_r(one.base, bases), energy, pressure, apart))
    return rows


def rms(r_chi: Mapping[str, float | None]) -> float:
    """R_χ of all curves together."""
    return float(np.sqrt(np.mean([value**2 for value in r_chi.values() if value is not None])))


def table(name: str, rows: Sequence[Row]) -> str:
    """As Markdown."""
    base = rows[0].ran.base
    hidden = laboratory(name).hidden
    r, seen = points(name, agreement.pooled([row.ran.base for row in rows if row.ran.name.startswith("jax, seed")]))
    truth = np.concatenate([row[chosen] for row, chosen in zip(hidden.energy(r), seen, strict=True)])
    size = float(np.sqrt(np.mean(truth**2)))
    head = [
        "engine", "g(r): χ²/n", "σ", "energy, σ", "pressure, GPa", "σ", "φ: rms in σ of the posterior", "σ",
        "φ - hidden", "R_χ", "pressure after, GPa", "samples", "s", "CPU s",
    ]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        result, state = row.ran.result, row.ran.result.summary.states[0]
        off = phi_of(result, r, seen) - truth
        covariance = covariance_of(result, r, seen)
        widths = "–" if covariance is None else f"{np.sqrt(np.mean(off**2 / np.diag(covariance))):.1f}"
        cells = [
            row.ran.name,
            f"{row.g[0]:.2f}",
            f"{row.g[1]:+.1f}",
            f"{row.energy:+.1f}",
            f"{state.pressure_initial_GPa:.4f} ± {state.pressure_initial_GPa_stderr:.4f}",
            f"{row.pressure:+.1f}",
            *(["–", "–"] if row.phi is None else [f"{row.phi[0]:.2f}; {row.phi[1]:.2f}", f"{row.phi[2]:+.1f}"]),
            f"{100 * np.sqrt(np.mean(off**2)) / size:.0f} %; {widths}",
            f"{rms(result.initial.r_chi):.4f} → {rms(result.final.r_chi):.4f}",
            f"{state.pressure_GPa:.4f} ± {state.pressure_GPa_stderr:.4f}",
            f"{len(result.iterations)}",
            f"{row.ran.seconds:.0f}",
            f"{row.ran.processors:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    kt = size / laboratory(name).kt
    lines += ["", f"{base.n_atoms} atoms; the hidden φ has an rms of {kt:.2f} kT where pairs are."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--seeds", type=int, default=4, help="runs of jax, 3 at least")
    parser.add_argument("--out", type=Path, default=Path("runs/engines"))
    parser.add_argument("--budget", choices=["full", "small"], default="full")
    options = parser.parse_args(arguments)
    if options.seeds < 3:
        parser.error("--seeds: two other runs of jax are compared with each, so at least 3 are needed")
    changes = [f"{key}={value}" for key, value in SMALL.items()] if options.budget == "small" else []
    failed = False
    for name in options.only:
        make_folder(options.out / name)
        jax, others, warmer = runs_of(
            FOLDER / f"{name}.toml", options.out / name, options.engines, options.seeds, changes
        )
        rows = rows_of(name, jax, [*others, warmer])
        load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
        print(f"\n## {name}\n\n{table(name, rows)}\n\n{os.cpu_count()} cores; load now {load}\n", flush=True)
        for row in rows:
            if (row.worst > LIMIT) != (row.ran is warmer):
                failed = True
                print(f"{name}: {row.ran.name}: {row.worst:.1f} σ at the most", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
