"""The forward model beside independent codes on the same frames: how far they agree, and how long each takes.

    python experiments/benchmarks/forward.py [--atoms 2048] [--frames 40] [--output table.txt]

Frames are of liquid Lennard-Jones argon (85 K, 0.02125 atoms/Å^3), melted here. A code that is not installed is left
out and named. Nothing is normalised or shifted before it is compared, but for the known factor that is stated.

- freud: g(r) of the same frames in the same bins. Its counts are of the same pairs, so only pairs within float32 of a
  bin's edge may differ.
- dynasor, and a sum over atoms written here: S(Q) of the same frames at the box's own wave vectors, averaged over
  directions. Ours is the transform of g(r) up to half the box, corrected for the closed box; what is left
  of the box in it, and what waves know that g(r) within half the box does not, is the difference.
- DebyeCalculator: the Debye sum of one frame as a cluster without periodicity, half of the atoms labelled Na and half
  Cl, x-ray form factors. Ours: `kernels.histogram` in a cell that holds the cluster, and our weights. Two errors of
  version 1.1.1 are known: what it calls S(Q) is S(Q) - 1 at half (pairs are counted once), and its Lorch window has
  pi twice. Both are shown, not corrected for silently. Its form factors are fits of Waasmaier and Kirfel, ours those
  of xraylib.

Times are the best of rounds in which the codes take turns, after one that compiles and is not counted; each code uses
the threads that it takes by itself. Reading the file is the same for all (ASE) and is given in a row of its own.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import ase
import ase.io
import jax
import numpy as np
from numpy.typing import NDArray

from kernels.histogram import pair_histogram
from refine.curves.transforms import q_to_r_matrix, r_to_q_matrix
from refine.curves.weights import form_factors, pair_weights
from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.sampling.starts import equilibrate
from refine.sampling.trajectories import count_trajectory
from refine.scattering.compared import Cut
from refine.scattering.operator import CurveOperator
from refine.system import Box, make_system
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

EPSILON, SIGMA, CUTOFF = 119.8 * BOLTZMANN, 3.405, 8.5
TEMPERATURE, DENSITY, TIMESTEP = 85.0, 0.02125, 5.0
BIN, Q_MAX, Q_STEP, PER_SHELL = 0.02, 8.0, 0.05, 60
CLUSTER_BIN = 0.002
"""Å; the Debye sum up to 20 1/Å wants finer bins than g(r)."""

count = jax.jit(pair_histogram, static_argnames=("n_per_species", "n_bins", "orthorhombic"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=2048)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    positions, cell = frames(options.atoms, options.frames)
    lines: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    say(f"{options.atoms} atoms, {options.frames} frames, jax {jax.__version__}, {os.cpu_count()} cores")
    for comparison in (beside_freud, beside_waves, beside_debye):
        comparison(positions, cell, options.rounds, say)
    reading(positions, cell, options.rounds, say)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def package(name: str, module: str, say: Callable[[str], None]) -> ModuleType | None:
    """The package, or None and a line that says how to get it."""
    try:
        found = __import__(module)
    except ImportError as error:
        say(f"{name}: not installed ({error}), left out; get it by: pip install {name}")
        return None
    say(f"{name} {metadata.version(name)}")
    return found


def frames(atoms: int, number: int) -> tuple[Array, Array]:
    """Positions (frames, N, 3) and the cell, Å; frames are 1 ps apart."""
    side = (atoms / DENSITY) ** (1 / 3)
    system = make_system({"Ar": atoms}, side * np.eye(3))
    field = PairForceField(
        LennardJones((("Ar", "Ar"),), np.array([EPSILON]), np.array([SIGMA]), CUTOFF),
        correction_cutoff=CUTOFF,
        n_per_species=system.n_per_species,
        orthorhombic=True,
    )
    sampler = Sampler(
        system,
        field,
        thermostat=Langevin(0.5),
        timestep=TIMESTEP,
        stride=200,
        n_bins=int(system.r_box / BIN),
        r_max=BIN * int(system.r_box / BIN),
        positions=True,
    )
    params = field.params(None)
    _, found = sampler.run(equilibrate(sampler, params, TEMPERATURE, 1, 20.0), params, TEMPERATURE, number)
    assert found.positions is not None
    return np.asarray(found.positions, np.float64), system.cell


def best(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Shortest time of each task, s."""
    shortest = dict.fromkeys(tasks, math.inf)
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            begin = time.perf_counter()
            task()
            if turn:
                shortest[name] = min(shortest[name], time.perf_counter() - begin)
    return shortest


def table(times: dict[str, float], per: int, say: Callable[[str], None]) -> None:
    """ms a frame, and what of it ours takes."""
    ours = times["refine"]
    for name, seconds in times.items():
        ratio = "" if name == "refine" else f"   {seconds / ours:8.2f} times ours"
        say(f"  {name:28s} {1e3 * seconds / per:10.2f} ms a frame{ratio}")


def our_counts(positions: Array, cell: Array, bins: int, r_max: float) -> Array:
    """Mean counts (1, bins)."""
    total = np.zeros((1, bins))
    for frame in positions:
        total += np.asarray(count(frame.astype(np.float32), cell.astype(np.float32), (len(frame),), bins, r_max, True))
    return total / len(positions)


def box_of(positions: Array, cell: Array) -> Box:
    """The box with its bins to half of it."""
    bins = int(cell[0, 0] / 2 / BIN)
    edges = BIN * np.arange(bins + 1, dtype=np.float64)
    return Box(("Ar",), (positions.shape[1],), float(np.linalg.det(cell)), edges, cell)


def beside_freud(positions: Array, cell: Array, rounds: int, say: Callable[[str], None]) -> None:
    """g(r)."""
    say("\ng(r)")
    freud = package("freud-analysis", "freud", say)
    box = box_of(positions, cell)
    bins = len(box.edges) - 1

    def ours() -> Array:
        return our_counts(positions, cell, bins, box.r_max) / box.ideal_counts

    tasks: dict[str, Callable[[], object]] = {"refine": ours}
    if freud is not None:
        rdf = freud.density.RDF(bins, box.r_max, normalization_mode="finite_size")
        periodic = freud.box.Box.cube(cell[0, 0])
        wrapped = [periodic.wrap(frame) for frame in positions]

        def theirs() -> Array:
            for k, frame in enumerate(wrapped):
                rdf.compute((periodic, frame), reset=k == 0)
            return np.asarray(rdf.rdf, np.float64)

        tasks["freud"] = theirs
        difference = np.abs(ours()[0] - theirs())
        ordered = np.asarray(rdf.bin_counts, np.float64)
        moved = np.abs(ordered - 2 * len(positions) * our_counts(positions, cell, bins, box.r_max)[0])
        inside = box.centres > 3.0
        say(f"  largest |difference| of g(r) beyond 3 Å: {difference[inside].max():.1e}")
        say(f"  share of pairs in another bin: {moved.sum() / 2 / ordered.sum():.1e}")
    table(best(tasks, rounds), len(positions), say)


def beside_waves(positions: Array, cell: Array, rounds: int, say: Callable[[str], None]) -> None:
    """S(Q) at the box's own wave vectors."""
    say("\nS(Q)")
    dynasor = package("dynasor", "dynasor", say)
    box, q = box_of(positions, cell), np.arange(0.3, Q_MAX, Q_STEP)
    to_q = r_to_q_matrix(box.edges, q, box.number_density)
    operator = CurveOperator.from_g(q, to_q[:, None, :], np.ones(len(q)), np.ones(len(q)), box)

    def ours() -> Array:
        return operator.predict(our_counts(positions, cell, len(box.edges) - 1, box.r_max))

    vectors = waves(cell)
    per_wave = direct_sum(positions, vectors)
    summed, error = by_length(per_wave, np.linalg.norm(vectors, axis=1), q)
    known = np.isfinite(summed)
    say(f"  {len(vectors)} wave vectors up to {Q_MAX:g} 1/Å, g(r) to {box.r_max:.1f} Å")
    difference = (ours() - summed)[known]
    counts = our_counts(positions, cell, len(box.edges) - 1, box.r_max)
    cut = Cut(q, np.ones((len(q), 1)), box).error(np.asarray(counts, np.float64))
    for low, high in ((0.3, 1.0), (1.0, 4.0), (4.0, Q_MAX)):
        part = (q[known] >= low) & (q[known] < high)
        rms, noise, stated = (math.sqrt(float(np.mean(x[part] ** 2))) for x in (difference, error[known], cut[known]))
        say(f"  refine - direct sum, Q = {low:g} to {high:g}: rms {rms:.4f}, standard error of the sum {noise:.4f}")
        say(f"    error of the cut at half the box, as stated with a predicted curve: rms {stated:.4f}")
    tasks: dict[str, Callable[[], object]] = {"refine": ours}
    if dynasor is not None:
        logging.getLogger("dynasor").setLevel(logging.ERROR)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames.xyz"
            ase.io.write(path, images(positions, cell), format="extxyz")

            def theirs() -> Array:
                # its own reader of extended XYZ forks, which a process with JAX should not
                trajectory = dynasor.Trajectory(
                    str(path), trajectory_format="ase", length_unit="Angstrom", time_unit="fs"
                )
                sample = dynasor.compute_static_structure_factors(trajectory, vectors, logging_interval=0)
                return np.asarray(sample.Sq[:, 0], np.float64)

            largest = np.abs(theirs() - per_wave.mean(axis=0)).max()
            say(f"  dynasor - direct sum, largest at a wave vector: {largest:.1e}")
            times = best(tasks | {"dynasor, reading included": theirs}, rounds)
    else:
        times = best(tasks, rounds)
    table(times, len(positions), say)


def waves(cell: Array) -> Array:
    """Wave vectors (n, 3) of the cube, one of each two opposite ones, at most PER_SHELL in a shell of Q_STEP."""
    unit = 2 * math.pi / cell[0, 0]
    reach = np.arange(-math.floor(Q_MAX / unit), math.floor(Q_MAX / unit) + 1)
    steps = np.stack(np.meshgrid(reach, reach, reach[reach >= 0], indexing="ij"), axis=-1).reshape(-1, 3)
    length = unit * np.linalg.norm(steps, axis=1)
    rng = np.random.default_rng(1)
    order = rng.permutation(np.flatnonzero((length > 0) & (length < Q_MAX)))
    shell = np.floor(length[order] / Q_STEP).astype(int)
    kept = [order[shell == s][:PER_SHELL] for s in np.unique(shell)]
    return unit * steps[np.sort(np.concatenate(kept))].astype(np.float64)


def direct_sum(positions: Array, vectors: Array) -> Array:
    """|Σ exp(i q.r)|^2 / N, (frames, waves)."""
    found = []
    for frame in positions:
        parts = [np.exp(1j * (frame @ chunk.T)).sum(axis=0) for chunk in np.array_split(vectors, 32)]
        found.append(np.abs(np.concatenate(parts)) ** 2 / len(frame))
    return np.array(found)


def by_length(values: Array, norms: Array, q: Array) -> tuple[Array, Array]:
    """Mean over waves within half a step of each q and its standard error over frames; NaN where there are none."""
    mean, error = np.full(len(q), np.nan), np.full(len(q), np.nan)
    for k, length in enumerate(q):
        shell = np.abs(norms - length) < Q_STEP / 2
        if shell.sum() >= 3:
            series = values[:, shell].mean(axis=1)
            mean[k], error[k] = series.mean(), series.std(ddof=1) / math.sqrt(len(series))
    return mean, error


def beside_debye(positions: Array, cell: Array, rounds: int, say: Callable[[str], None]) -> None:
    """The Debye sum of a cluster, and the Lorch window."""
    say("\nDebye sum of one frame as a cluster, x-rays, half Na and half Cl")
    if package("debyecalculator", "debyecalculator", say) is None:
        return
    from debyecalculator import DebyeCalculator

    cluster = positions[0] - np.floor(positions[0] / cell[0, 0]) * cell[0, 0]
    n = len(cluster)
    half = (n // 2, n - n // 2)
    symbols = ["Na"] * half[0] + ["Cl"] * half[1]
    reach = math.sqrt(3) * cell[0, 0]
    bins = math.ceil(reach / CLUSTER_BIN)
    room = (2.01 * reach * np.eye(3)).astype(np.float32)
    settings = {"qmin": 0.5, "qmax": 20.0, "qstep": 0.05, "biso": 0.0, "qdamp": 0.0, "rmin": 0.0, "rmax": 10.0}
    theirs = {
        kind: DebyeCalculator(**settings, device="cpu", radiation_type="xray", pair_sum=kind)
        for kind in ("grid", "direct")
    }
    q = np.asarray(theirs["direct"].sq((symbols[:2], cluster[:2])).q, np.float64)
    r = (np.arange(bins) + 0.5) * (bins * CLUSTER_BIN / bins)
    sinc = np.sinc(np.outer(q, r) / math.pi)

    def ours() -> Array:
        """S(Q) - 1 = Σ_p w_p(Q) / (m_p c_i c_j) (2/N) Σ_b h_b sinc(Q r_b), m_p = 2 for unlike pairs."""
        h = np.asarray(count(cluster.astype(np.float32), room, half, bins, bins * CLUSTER_BIN, True), np.float64)
        c = np.array(half) / n
        weights = pair_weights(c, form_factors(("Na", "Cl"), q))
        share = np.array([c[0] ** 2, 2 * c[0] * c[1], c[1] ** 2])
        return np.einsum("pq,qp->q", weights / share[:, None], sinc @ h.T) * 2 / n

    def debye(kind: str) -> Array:
        return np.asarray(theirs[kind].sq((symbols, cluster)).s, np.float64)

    mine, direct = ours(), debye("direct")
    ratio = float(mine @ direct / (mine @ mine))
    say(f"  its S(Q) over our S(Q) - 1, least squares: {ratio:.4f} (half: pairs are counted once)")
    scale = float(np.abs(mine).max())
    say(f"  2 x its S(Q) - ours, largest: {np.abs(2 * direct - mine).max():.1e} where S(Q) - 1 reaches {scale:.2f}")
    say(
        f"    the same beyond Q = 2: {np.abs(2 * direct - mine)[q > 2].max():.1e}, rms of the signal there "
        f"{math.sqrt(float(np.mean(mine[q > 2] ** 2))):.2f}"
    )
    table(best({"refine": ours, **{f"DebyeCalculator, {k}": (lambda k=k: debye(k)) for k in theirs}}, rounds), 1, say)
    lorch(mine, q, symbols, cluster, settings, say)


def lorch(
    mine: Array, q: Array, symbols: list[str], cluster: Array, settings: dict[str, float], say: Callable[[str], None]
) -> None:
    """G(r) through a Lorch window, of the same S(Q) - 1 on both sides."""
    from debyecalculator import DebyeCalculator

    calculator = DebyeCalculator(**settings, device="cpu", radiation_type="xray", pair_sum="direct", lorch_mod=True)
    found = calculator.gr((symbols, cluster))
    r, theirs = np.asarray(found.r, np.float64), 2 * np.asarray(found.g, np.float64)
    shell = (r > 2.5) & (r < 9.5)
    once = q_to_r_matrix(q, r, "lorch", settings["qmax"]) @ mine
    window = np.sinc(math.pi * q / settings["qmax"])  # numpy's sinc contains a pi already: this has it twice
    twice = q_to_r_matrix(q, r) @ (window * mine)
    say(f"  Lorch G(r), r = 2.5 to 9.5 Å, rms of the signal {np.std(once[shell]):.3f}")
    for name, value in (("with pi once, as published by Lorch", once), ("with pi twice", twice)):
        rms = math.sqrt(float(np.mean((theirs - value)[shell] ** 2)))
        say(f"    2 x its G(r) - ours {name}: rms {rms:.4f}")


def images(positions: Array, cell: Array) -> list[ase.Atoms]:
    return [ase.Atoms(f"Ar{len(frame)}", positions=frame, cell=cell, pbc=True) for frame in positions]


def reading(positions: Array, cell: Array, rounds: int, say: Callable[[str], None]) -> None:
    """From a file to counts, as `refine forward` does."""
    say("\nfrom an extended XYZ file to counts")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.xyz"
        ase.io.write(path, images(positions, cell), format="extxyz")
        tasks: dict[str, Callable[[], object]] = {
            "refine": lambda: count_trajectory(path, BIN),
            "ASE reading alone": lambda: ase.io.read(path, ":"),
        }
        table(best(tasks, rounds), len(positions), say)


if __name__ == "__main__":
    main()
