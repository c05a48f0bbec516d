"""Train a model with mace-torch's own steps, for the comparison with `refine learn`. Run by a torch interpreter.

    python training.py ../goldens/mace/nonlinear-one.model FOLDER

The model takes charge and spin. FOLDER gets training.extxyz, frames with random labels, charges, spins and weights of
their own, and training.npz: `losses`, of each step before it; and of the weights after the last step (`last`) and of
their moving average (`average`) in every frame `energy` (eV), `forces` (eV/Å, frames behind one another) and `stress`
(eV/Å^3). Everything is float64. A step is `mace.tools.train.take_step`, its batches those that refine draws.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import models
import numpy as np
import torch
from ase import Atoms
from ase.io import read, write
from mace import modules
from mace.data import AtomicData, KeySpecification, config_from_atoms
from mace.tools import AtomicNumberTable, torch_geometric
from mace.tools.train import take_step
from reference import load
from torch_ema import ExponentialMovingAverage

SETTINGS = {"learning_rate": 0.02, "decay": 0.9, "average": 0.95, "clip": 20.0, "seed": 3, "batch": 2, "epochs": 4}
"""As [learn] of refine calls them."""

TERMS = {"energy_weight": 2.0, "forces_weight": 30.0, "stress_weight": 200.0}
HEADERS = (
    {"total_charge": 0, "total_spin": 1},
    {"total_charge": -2, "total_spin": 3, "config_weight": 0.5},
    {"total_charge": 1, "total_spin": 2, "config_energy_weight": 3.0},
    {"total_charge": -2, "total_spin": 1, "config_forces_weight": 0.25},
    {"total_charge": 0, "total_spin": 1, "config_stress_weight": 0.0},
)


def frames(energies: dict[int, float]) -> list[Atoms]:
    """Oxides of 8 to 12 atoms. energies: of the isolated atoms by atomic number, eV."""
    made = []
    for seed, header in enumerate(HEADERS):
        box, rng = models.oxide(8 + seed, seed), np.random.default_rng(100 + seed)
        atoms = Atoms(box["numbers"], box["positions"], cell=box["cell"], pbc=True)
        stress = 0.05 * rng.normal(size=(3, 3))
        atoms.info |= {"REF_energy": sum(energies[z] for z in box["numbers"].tolist()) + 5 * rng.normal(), **header}
        atoms.info["REF_stress"] = (stress + stress.T).ravel()
        atoms.arrays["REF_forces"] = rng.normal(size=(len(atoms), 3))
        made.append(atoms)
    return made


def main() -> None:
    """Make the frames, train, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    model = load(options.model, torch.float64)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    numbers = model.atomic_numbers.tolist()
    energies = dict(zip(numbers, model.atomic_energies_fn.atomic_energies.ravel().tolist(), strict=True))
    write(options.folder / "training.extxyz", frames(energies), format="extxyz")
    keys = KeySpecification(
        {name: f"REF_{name}" for name in ("energy", "stress")} | {n: n for n in ("total_charge", "total_spin")},
        {"forces": "REF_forces"},
    )
    table, cutoff = AtomicNumberTable(numbers), float(model.r_max)
    configs = [config_from_atoms(atoms, keys) for atoms in read(options.folder / "training.extxyz", ":")]
    data = [AtomicData.from_config(config, table, cutoff) for config in configs]

    loss = modules.WeightedEnergyForcesStressLoss(**TERMS)
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS["learning_rate"], amsgrad=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, SETTINGS["decay"])
    average = ExponentialMovingAverage(model.parameters(), decay=SETTINGS["average"])
    asked = {"forces": True, "virials": False, "stress": True}
    losses = []
    for epoch in range(SETTINGS["epochs"]):
        order = np.random.default_rng((SETTINGS["seed"], epoch)).permutation(len(data))
        for first in range(0, len(data), SETTINGS["batch"]):
            batch = torch_geometric.Batch.from_data_list([data[k] for k in order[first : first + SETTINGS["batch"]]])
            value, _ = take_step(
                model, loss, batch, optimizer, average, asked, SETTINGS["clip"], device=torch.device("cpu")
            )
            losses.append(float(value))
        schedule.step()

    found = {"losses": np.array(losses)}
    for name, context in (("last", nullcontext()), ("average", average.average_parameters())):
        with context:
            batch = torch_geometric.Batch.from_data_list(data)
            out = model(batch.to_dict(), compute_stress=True)
        found |= {f"{name}.{key}": out[key].detach().numpy() for key in ("energy", "forces", "stress")}
    np.savez_compressed(options.folder / "training.npz", **found)
    print(losses)


if __name__ == "__main__":
    main()
