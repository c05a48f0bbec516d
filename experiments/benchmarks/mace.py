"""Energy and forces of MACE here and in mace-torch, side by side in one run.

    python experiments/benchmarks/mace.py --torch-python .venv-torch/bin/python [--models mp-0-small,mp-0-medium]
        [--atoms 64,216] [--dtypes float32,float64] [--device cuda] [--processor] [--folder FOLDER]
        [--out experiments/benchmarks/mace.md]

Models: the published architectures in full size, with random weights (tests/torch/models.py). Boxes: 40 % Fe, 60 % O,
0.09 atoms/Å^3, so about 80 neighbours within 6 Å. Each program runs in a process of its own that has the model, the box
and its neighbour list loaded; neither searches neighbours while it is timed, nor derives by weights. The two take
turns, and the shortest time of each counts: another program on the machine makes a time longer and never shorter.
With --processor it is the time of the processor, all threads together, and not that of the clock: where other programs
want the processor all the time, nothing else can be compared. Models are made in --folder, and those there used again.

- ms: positions in, energy and forces out.
- MD: one step of ten in a compiled velocity-Verlet loop.
- dE, dF: largest deviation of the two from each other, of the energy by |E| and of a force by the largest force.
- MiB: the most that the process held beyond what it held when model and box were loaded and nothing was evaluated yet;
  in brackets during the first evaluation, when programs are compiled, before them since then. On CUDA, of the device.

With --device cuda mace-torch runs there (and, where cuequivariance_torch is installed, once more converted to
cuEquivariance); refine runs where its JAX runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TORCH_SIDE = ROOT / "tests" / "torch"
sys.path.append(str(TORCH_SIDE))
MD_STEPS = 10
TIMESTEP = 0.01  # Å sqrt(u/eV); the atoms' mass is 1 u. Only the time that it takes matters here


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(options, options.folder or Path(temporary))
        lines = run.heading()
        print("\n".join(lines), flush=True)
        for name in options.models.split(","):
            for atoms in map(int, options.atoms.split(",")):
                for dtype in options.dtypes.split(","):
                    for row in run.compare(name, atoms, dtype):
                        lines.append(row)
                        print(row, flush=True)
    if options.out is not None:
        options.out.write_text("\n".join([*PREFACE, *lines]) + "\n", encoding="utf-8")


PREFACE = ["# MACE here against mace-torch", "", *(__doc__ or "").split("\n\n", 1)[1].rstrip().splitlines(), ""]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path, default=ROOT / ".venv-torch" / "bin" / "python")
    parser.add_argument("--models", default="mp-0-small,mp-0-medium,mpa-0-medium")
    parser.add_argument("--atoms", default="64,216")
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of mace-torch")
    parser.add_argument("--processor", action="store_true", help="time the processor and not the clock")
    parser.add_argument("--folder", type=Path, help="of models and boxes, which are used again; else a temporary one")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn, at least two evaluations")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    return parser.parse_args()


@dataclass
class Run:
    """The models and boxes of a run, in a folder, and the programs that evaluate them."""

    options: argparse.Namespace
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in self.options.models.split(",") if not (self.folder / f"{name}.model").exists()]
        boxes = [n for n in self.options.atoms.split(",") if not (self.folder / f"oxide{n}.npz").exists()]
        if missing or boxes:
            self._torch("build", str(self.folder), ",".join(missing), ",".join(boxes))
        self.torch = json.loads(self._torch("info", self.options.device).splitlines()[-1])
        info = subprocess.run([sys.executable, __file__, "--info"], check=True, stdout=subprocess.PIPE, text=True)
        self.refine = json.loads(info.stdout)

    def heading(self) -> list[str]:
        versions = [f"{name} {version}" for name, version in (self.refine["versions"] | self.torch["versions"]).items()]
        where = f"mace-torch on {self.torch['device']}, refine on {self.refine['device']}"
        where += "; of the processor" if self.options.processor else ""
        columns = ("model", "atoms", "precision", "against", "ms", "refine ms", "ratio", "MD ms", "ratio")
        columns += ("dE", "dF", "MiB", "refine MiB")
        return [
            f"{', '.join(versions)}; {_processor()}, {os.cpu_count()} cores; {where}",
            "",
            f"| {' | '.join(columns)} |",
            f"| {' | '.join('---' if k in (0, 2, 3) else '--:' for k in range(len(columns)))} |",
        ]

    def compare(self, name: str, atoms: int, dtype: str) -> list[str]:
        """Rows of the table: one for mace-torch, and one for it with cuEquivariance."""
        model, box = self.folder / f"{name}.model", self.folder / f"oxide{atoms}.npz"
        arguments = [str(model), str(box), dtype]
        ours = Worker("refine", [sys.executable, __file__, "--serve", *arguments])
        python = str(self.options.torch_python)
        serve = [python, "-W", "ignore", str(TORCH_SIDE / "timing.py"), "serve", *arguments, self.options.device]
        others = [Worker("mace-torch", serve)]
        if self.torch["cueq"]:
            others.append(Worker("with cuEquivariance", [*serve, "cueq"]))
        best = {worker.name: float("inf") for worker in [*others, ours]}
        for _ in range(self.options.rounds):
            for worker in [*others, ours]:
                best[worker.name] = min(best[worker.name], self._seconds(worker, "forces"))
        held = {worker.name: worker.ask("memory") for worker in [*others, ours]}
        for worker in [*others, ours]:
            worker.ask(f"save {self.folder / worker.name.replace(' ', '-')}.npz")
        loop = min(self._seconds(ours, "loop") for _ in range(self.options.rounds)) / MD_STEPS
        for worker in [*others, ours]:
            worker.end()
        rows = []
        for other in others:
            energy, force = self._difference(other.name.replace(" ", "-"))
            theirs, mine = best[other.name], best["refine"]
            cells = [name, str(atoms), dtype, other.name]
            cells += [f"{1e3 * theirs:.1f}", f"{1e3 * mine:.1f}", f"{theirs / mine:.2f}"]
            cells += [f"{1e3 * loop:.1f}", f"{theirs / loop:.2f}", f"{energy:.0e}", f"{force:.0e}"]
            cells += [_megabytes(held[other.name]), _megabytes(held["refine"])]
            rows.append(f"| {' | '.join(cells)} |")
        return rows

    def _seconds(self, worker: Worker, task: str) -> float:
        of_clock, of_processor = worker.ask(f"time {task} {self.options.seconds}")
        return of_processor if self.options.processor else of_clock

    def _difference(self, other: str) -> tuple[float, float]:
        """Of the energy by |E|, and of a force by the largest one."""
        import numpy as np

        with np.load(self.folder / f"{other}.npz") as theirs, np.load(self.folder / "refine.npz") as ours:
            energy = abs(float(ours["energy"]) / float(theirs["energy"].squeeze()) - 1)
            scale = np.max(np.abs(theirs["forces"]))
            return energy, float(np.max(np.abs(ours["forces"] - theirs["forces"])) / scale)

    def _torch(self, *arguments: str) -> str:
        command = [str(self.options.torch_python), "-W", "ignore", str(TORCH_SIDE / "timing.py"), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class Worker:
    """A process that answers the commands of tests/torch/workers.py."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        # else JAX takes most of an accelerator's memory when it starts
        env = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith(("{", '"', "[")) or line[:1].isdigit():
                return json.loads(line)
        raise SystemExit(f"{self.name} ended with exit code {self._process.wait()}")

    def end(self) -> None:
        self._process.communicate()


def _megabytes(held: dict[str, float]) -> str:
    first = f" ({held['first']:.0f})" if "first" in held else ""
    return f"{held['later']:.0f}{first}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def info() -> None:
    """Versions and the device of refine's side, which is not started in the process that keeps the time table."""
    import jax

    device = jax.devices()[0]
    where = "cpu" if device.platform == "cpu" else device.device_kind
    print(json.dumps({"versions": {"jax": jax.__version__}, "device": where}))


def serve(model_path: str, box_path: str, dtype: str) -> None:
    """refine's side: as a study evaluates it, with a list built once."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import workers
    from ase.data import chemical_symbols

    from kernels.neighbors import build, choose_images, most_neighbors
    from refine.potentials.mace.model import Mace
    from refine.potentials.mace.reader import read_torch
    from refine.potentials.sites import edges, forces_of

    jax.config.update("jax_enable_x64", dtype == "float64")
    with np.load(box_path) as arrays:
        order = np.argsort(arrays["numbers"], kind="stable")
        positions = jnp.asarray(arrays["positions"][order], dtype)
        cell = jnp.asarray(arrays["cell"], dtype)
        present, counts = np.unique(arrays["numbers"], return_counts=True)
    symbols, n_per_species = [chemical_symbols[z] for z in present], tuple(counts.tolist())
    checkpoint = read_torch(Path(model_path))
    head = checkpoint.architecture.heads[0]  # of several, as on the other side
    model = Mace(checkpoint, symbols, n_per_species, head=head, precision=dtype)
    images = choose_images(np.asarray(cell, np.float64), model.cutoff, len(positions))
    capacity = int(most_neighbors(positions, cell, model.cutoff, orthorhombic=True, images=images))
    neighbors = build(positions, cell, model.cutoff, capacity=capacity, orthorhombic=True, images=images)
    assert not bool(neighbors.overflow)

    def evaluate(params: object, positions: jax.Array, neighbors: object) -> tuple[jax.Array, jax.Array]:
        vectors, senders = edges(positions, neighbors, cell, True, model.cutoff)
        sites, gradients = model.energies_and_gradients(params, vectors, senders)
        return jnp.sum(sites), forces_of(gradients, senders)

    def steps(params: object, positions: jax.Array, neighbors: object) -> jax.Array:
        def step(_: int, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            positions, velocities, forces = state
            velocities = velocities + 0.5 * TIMESTEP * forces
            positions = positions + TIMESTEP * velocities
            forces = evaluate(params, positions, neighbors)[1]
            return positions, velocities + 0.5 * TIMESTEP * forces, forces

        start = (positions, jnp.zeros_like(positions), jnp.zeros_like(positions))
        return jax.lax.fori_loop(0, MD_STEPS, step, start)[0]

    run, loop = jax.jit(evaluate), jax.jit(steps)

    def save(target: Path) -> None:
        energy, forces = run(model.params, positions, neighbors)
        total = float(energy) + float(np.dot(model.isolated, n_per_species))
        np.savez(target, energy=total, forces=np.asarray(forces)[np.argsort(order)])

    def memory() -> dict[str, float]:
        statistics = jax.devices()[0].memory_stats()
        return {"later": statistics["peak_bytes_in_use"] / 2**20}

    tasks = {
        "forces": lambda: jax.block_until_ready(run(model.params, positions, neighbors)),
        "loop": lambda: jax.block_until_ready(loop(model.params, positions, neighbors)),
    }
    workers.serve(tasks, save, None if jax.default_backend() == "cpu" else memory)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:] == ["--info"]:
        info()
    else:
        main()
