"""Structure and R_chi of one amorphous solid, melted and quenched anew: the rows of the tables in README.md.

    python experiments/a_si/glass.py experiments/a_si/study.toml
        [--model FILE] [--correction RUN] [--seed N] [--out CSV]

--model: a file with a [model] table, in place of that of the study. --correction: the folder of a finished run, whose
correction acts from the melt on. --seed: of packing and momenta; another seed is another solid. --out: a table of T(r)
for picture.py.

The solid is sampled at the temperature of the study, and once more at the effective temperature: there the bonds of
classical atoms vibrate as far as those of quantum atoms do at the temperature of the study (`effective_temperature`).

From the x-ray curve, model and measurement alike through the Q range and the window of the study, in steps of 0.01 Å:
    r1, r2: maxima of T(r);  height: of the first;  n = ∫ r T(r) dr over the first peak.
From the frames: neighbours within 2.85 Å, the share of atoms with 3, 4 and 5 of them, and the mean and standard
deviation of the angle between bonds.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.constants import physical_constants
from scipy.optimize import minimize

from kernels.neighbors import NeighborList, build, choose_images, most_neighbors
from refine import Study
from refine.curves.transforms import q_to_r_matrix
from refine.export.read import read_correction
from refine.potentials.correction import PairCorrection
from refine.sampling.averages import error_of
from refine.sampling.bonds import bond_angles, coordination_numbers
from refine.sampling.frames import Frames
from refine.sampling.periodic import close_pairs
from refine.sampling.starts import equilibrate
from refine.scattering.peaks import peak
from refine.study.datasets import DataSet
from refine.study.schema import ModelFile, StudyConfig
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

BOND = 2.85
"""Å, between the first and the second shell: T(r) of the measurement is lowest from 2.75 to 3.05 Å."""

FIRST, SECOND = (2.0, BOND), (3.3, 4.2)
"""Å, where the first two peaks of T(r) lie."""

FINE = np.arange(100, 901) / 100.0
"""Å, points of T(r) for peaks."""

MARGIN = 0.3
"""Å, by which two atoms of a cold solid may come closer on the way to its minimum."""

HBAR = physical_constants["reduced Planck constant in eV s"][0] * 1e15 / TIME_UNIT
"""eV in the unit of time of eV, Å and amu."""


def total(study: Study, structure_factor: Array) -> Array:
    """T(r) on `FINE`, 1/Å^2, of the S(Q) (nq,) of the study's first data set, through its Q range and window."""
    curve, density = study.datasets[0].measurement.curve, study.boxes[0].number_density
    return q_to_r_matrix(curve.x, FINE, curve.window) @ (structure_factor - 1.0) + 4.0 * math.pi * density * FINE


def from_curve(study: Study, structure_factor: Array) -> dict[str, float]:
    """Positions (Å), height (1/Å^2) and number of neighbours from an S(Q)."""
    t = total(study, structure_factor)
    first, second = (peak(FINE, t, *limits) for limits in (FIRST, SECOND))
    inside = slice(np.searchsorted(FINE, FIRST[0]), np.searchsorted(FINE, FIRST[1], side="right"))
    n = float(np.trapezoid((FINE * t)[inside], FINE[inside]))
    return {"r1": first.position, "height": first.height, "n": n, "r2": second.position}


def from_positions(system: System, frames: Frames) -> dict[str, float]:
    """Mean number of neighbours, shares of atoms with 3, 4 and 5, and mean and standard deviation of the angle, °."""
    assert frames.positions is not None
    numbers, angles = [], []
    for positions in frames.positions[::10]:
        structure = (positions, system.cell, ["Si"] * system.n_atoms, "Si", "Si", BOND)
        numbers.append(coordination_numbers(*structure))
        angles.append(bond_angles(*structure))
    every = np.concatenate(angles)
    shares = {f"share with {n}": float(np.mean(np.concatenate(numbers) == n)) for n in (3, 4, 5)}
    found = {"within 2.85 Å": float(np.mean(numbers)), **shares}
    return {**found, "angle": float(np.mean(every)), "its deviation": float(np.std(every))}


def effective_temperature(
    study: Study, correction: PairCorrection, positions: Array, kelvin: float
) -> tuple[float, float, float]:
    """The classical temperature, K, whose mean square change of bond lengths is the quantum one at `kelvin`.

    Of the harmonic solid at the nearest minimum, with modes e_q of squared frequency ω_q^2 (eigenvectors and
    eigenvalues of the mass-weighted Hessian), the mean over bonds of <(n · (u_i - u_j))^2> is Σ_q a_q b_q, where a_q is
    the mean of [n · (e_qi - e_qj)]^2 / m, and b_q = ħ coth(ħω_q / 2kT) / 2ω_q for quantum, kT / ω_q^2 for classical
    atoms. The zero-point limit, with one frequency alone, is ħω / 2k.

    positions: (N, 3) Å, a frame of the cold solid.
    Returns it, and the root mean square, Å, along a bond: quantum and classical at `kelvin`.
    """
    system = study.systems[0]
    field = study.base_kind.force_field(study.base, study.config.correction.r_cut, system, "float64")
    with jax.enable_x64(True):
        cell, start = jnp.asarray(system.cell), jnp.asarray(positions, jnp.float64)

        def around(cutoff: float) -> NeighborList:
            images = choose_images(system.cell, cutoff, system.n_atoms)
            most = int(most_neighbors(start, cell, cutoff, orthorhombic=system.orthorhombic, images=images))
            return build(start, cell, cutoff, capacity=most, orthorhombic=system.orthorhombic, images=images)

        neighbors = around(field.cutoff + MARGIN)
        if field.inner_cutoff is not None:
            neighbors = neighbors._replace(inner=around(field.inner_cutoff + MARGIN))
        params = field.params(correction)

        def forces(x: jax.Array) -> jax.Array:
            return field.forces(params, x.reshape(-1, 3), neighbors, cell).ravel()

        @jax.jit
        def downhill(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return field.observables(params, x.reshape(-1, 3), neighbors, cell)[0].sum(), -forces(x)

        @jax.jit
        def hessian(x: jax.Array) -> jax.Array:
            return jax.lax.map(lambda way: -jax.jvp(forces, (x,), (way,))[1], jnp.eye(len(x)), batch_size=8)

        relaxed = minimize(
            lambda x: tuple(np.asarray(part) for part in downhill(jnp.asarray(x))),
            np.asarray(start).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-5},
        ).x
        matrix = np.asarray(hessian(jnp.asarray(relaxed)))
    mass = system.masses[0]
    squares, modes = np.linalg.eigh(0.5 * (matrix + matrix.T) / mass)
    squares, modes = squares[3:], modes[:, 3:].reshape(-1, 3, len(squares) - 3)  # less the three translations
    if squares[0] <= 0.0:
        raise SystemExit("the frame has not come down to a minimum: no harmonic vibrations")
    i, j, apart = close_pairs(relaxed.reshape(-1, 3), system.cell, BOND)
    unit = apart / np.linalg.norm(apart, axis=1)[:, None]
    share = (np.einsum("bk,bkq->bq", unit, modes[i] - modes[j]) ** 2).mean(axis=0) / mass
    frequency = np.sqrt(squares)
    quantum = float(share @ (HBAR / (2.0 * frequency) / np.tanh(HBAR * frequency / (2.0 * BOLTZMANN * kelvin))))
    classical = float(share @ (BOLTZMANN * kelvin / squares))
    return kelvin * quantum / classical, math.sqrt(quantum), math.sqrt(classical)


def score(data: DataSet, frames: Frames) -> str:
    """R_chi with its standard error."""
    error = error_of(data.measurement.r_chi, frames.counts, frames.replica)
    return f"{data.measurement.r_chi(frames.counts.mean(axis=0, dtype=np.float64)):.4f} ± {error:.4f}"


def main() -> None:
    """Quench, sample at both temperatures, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--correction", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    config = StudyConfig.from_toml(asked.study, [f"sampling.seed={asked.seed}"])
    if asked.model is not None:
        config = config.model_copy(update={"model": ModelFile.from_toml(asked.model).model})
    study = Study(config)
    correction = read_correction(asked.correction).correction if asked.correction else study.initial_correction()
    ((field, sampler),) = study.samplers(positions=True)
    params, kelvin = field.params(correction), config.states[0].temperature
    state = equilibrate(sampler, params, kelvin, asked.seed, config.sampling.equilibration, study.stages)

    print(f"{config.model.base}, correction {asked.correction or 'none'}, seed {asked.seed}")
    data = study.datasets[0]
    measured = from_curve(study, data.measurement.shown_values)
    print("  measured        " + "  ".join(f"{name} {value:.4f}" for name, value in measured.items()))
    state, frames = sampler.run(state, params, kelvin, config.sampling.frames)
    assert frames.positions is not None
    hot, quantum, classical = effective_temperature(study, correction, frames.positions[-1].astype(float), kelvin)
    print(
        f"  bonds vibrate by {quantum:.4f} Å (classical {classical:.4f} Å at {kelvin:g} K): as classical at {hot:.0f} K"
    )
    columns = {"r": FINE, "measured": total(study, data.measurement.shown_values)}
    for name, now in (("cold", kelvin), ("effective", hot)):
        if now == hot:
            state, _ = sampler.run(sampler.retuned(state, hot), params, hot, config.sampling.frames, observe=False)
            state, frames = sampler.run(state, params, hot, config.sampling.frames)
        model = data.measurement.shown.predict(frames.counts.mean(axis=0, dtype=np.float64))
        columns[name] = total(study, model)
        rows = {**from_curve(study, model), **from_positions(sampler.system, frames)}
        print(f"  at {now:.0f} K: R_chi {score(data, frames)}, pressure {frames.pressure().mean():.2f} GPa")
        for row, value in rows.items():
            print(f"    {row:16s} {value:.4f}")
    if asked.out is not None:
        np.savetxt(asked.out, np.stack(list(columns.values()), 1), "%.5g", ",", header=",".join(columns), comments="")
    print(f"  {time.process_time():.0f} s of computing", flush=True)


if __name__ == "__main__":
    main()
