"""What every base must be, whatever it is: a new entry of BASES is tested here with the example of its own file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

import refine
from kernels.neighbors import build, choose_images
from refine.export import export
from refine.export.read import read_correction
from refine.potentials.bases import BASES, base_of
from refine.potentials.correction import PairCorrection
from refine.potentials.keys import Example, Model
from refine.potentials.mace.reader.neutral import write_neutral
from refine.potentials.protocols import CorrectedForceField
from refine.sampling.engines import engine_kind
from refine.sampling.external.mover import FREE, Motion, Start
from refine.sites import set_species
from refine.study.schema import StudyConfig
from refine.system import System
from refine.tables.toml import to_toml
from tests.export.runs import correction, pairs_of, rows, run_folder
from tests.potentials.classical.direct import random_box
from tests.potentials.mace.models import random_checkpoint

OURS = [name for name in BASES.entries if base_of(name).own_engine is None]

pytestmark = [pytest.mark.usefixtures("quick_compilation"), pytest.mark.parametrize("name", OURS)]
"""Bases that an engine of their own evaluates are tested with it."""

CELL = np.array([[11.0, 0.0, 0.0], [1.5, 11.5, 0.0], [-1.0, 2.0, 12.0]])
R_CUT = 5.0
"""Å, of the correction, and of a base that takes one."""

TINY = random_checkpoint(3, species=("H", "O"), channels=2, max_ell=1, l_hidden=0, layers=1, r_max=4.0)
"""A MACE model."""

TABLE = 1e-4
"""What pair functions on a table may be off, in parts of the largest energy or force."""


@dataclass(frozen=True)
class Case:
    """A base for the atoms of its example.

    at: (params, positions, cell) -> energy, forces (N, 3), virial tensor (3, 3), energies (N,).
    """

    potential: Any
    system: System
    field: CorrectedForceField
    at: Any
    phi: PairCorrection

    @property
    def atoms(self) -> Atoms:
        species = np.repeat(self.system.species, self.system.n_per_species).tolist()
        atoms = Atoms(f"X{len(species)}", self.system.positions, cell=self.system.cell, pbc=True)
        return set_species(atoms, species)


def example_of(name: str) -> Example:
    table = BASES.table(name)
    assert issubclass(table, Model)
    return table.examples[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files that examples name; a MACE model is made here, as nothing of `refine` makes one."""
    path = tmp_path_factory.mktemp("models")
    write_neutral(TINY, path / "mace.safetensors")
    for name in OURS:
        for file, write in example_of(name).files.items():
            write(path / file)
    return path


def model_of(name: str, folder: Path) -> dict[str, Any]:
    """The [model] table of the example."""
    keys = {"base": name, **example_of(name).keys}
    if "path" in keys:
        keys["path"] = str(folder / keys["path"])
    return keys


@pytest.fixture(scope="module")
def case_of(folder: Path) -> Any:
    """By name; made once."""

    @cache
    def make(name: str, sites: bool = False) -> Case:
        """sites: whether the first element has two."""
        example, kind = example_of(name), base_of(name)
        counts = dict(example.atoms)
        if sites:
            first, number = next(iter(counts.items()))
            counts = {f"{first}:a": number // 3, f"{first}:b": number - number // 3, **counts}
            del counts[first]
        species, pairs = tuple(counts), pairs_of(counts)
        potential = kind.read(BASES.table(name).model_validate(model_of(name, folder)), species, pairs, R_CUT)

        def placed(cell: np.ndarray) -> System:
            box = random_box(dict(example.atoms), cell, example.apart)
            return replace(box, species=species, n_per_species=tuple(counts.values()))

        system = placed(CELL)
        field = kind.force_field(potential, R_CUT, system, "float64")
        if not field.periodic_images and field.cutoff > system.r_box:  # a set with a cutoff of its own
            system = placed(1.01 * field.cutoff / system.r_box * CELL)
            field = kind.force_field(potential, R_CUT, system, "float64")

        @jax.jit
        def at(params: Any, positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, ...]:
            lists = []
            for cutoff in (field.cutoff, field.inner_cutoff):
                if cutoff is not None:
                    images = choose_images(system.cell, cutoff, system.n_atoms) if field.periodic_images else None
                    options = {"orthorhombic": False, "images": images}
                    lists.append(build(positions, cell, cutoff + 0.02, capacity=2 * system.n_atoms, **options))
            neighbors = lists[0] if len(lists) == 1 else lists[0]._replace(inner=lists[1])
            arguments = (params, positions, neighbors, cell)
            energies = field.observables(*arguments)[0]
            return jnp.sum(energies), field.forces(*arguments), field.virial_tensor(*arguments), energies

        phi = correction(counts, r_cut=R_CUT)
        return Case(potential, system, field, at, phi)

    return make


def evaluated(case: Case, params: Any, positions: np.ndarray, strain: np.ndarray | None = None) -> list[np.ndarray]:
    """strain: of the cell and the positions."""
    stretch = np.eye(3) if strain is None else np.eye(3) + strain
    with jax.enable_x64(True):
        arguments = (params, jnp.asarray(positions @ stretch), jnp.asarray(case.system.cell @ stretch))
        return [np.asarray(value) for value in case.at(*arguments)]


def test_forces_are_minus_the_gradient(name: str, case_of: Any) -> None:
    """Base and correction, by central differences along six random directions."""
    case = case_of(name)
    params, positions = case.field.params(case.phi), case.system.positions
    forces, step = evaluated(case, params, positions)[1], 1e-4
    assert np.abs(forces).max() > 1e-3
    assert np.abs(forces.sum(axis=0)).max() < 1e-9 * np.abs(forces).sum()
    for direction in np.random.default_rng(5).normal(size=(6, *positions.shape)):
        ends = [evaluated(case, params, positions + sign * step * direction)[0] for sign in (1.0, -1.0)]
        expected = -(ends[0] - ends[1]) / (2 * step)
        scale = float(np.linalg.norm(forces))
        assert float((forces * direction).sum()) == pytest.approx(float(expected), abs=1e-5 * scale)


def test_the_virial_is_minus_the_derivative_by_strain(name: str, case_of: Any) -> None:
    """W = -dU/dstrain of cell and positions, along three random strains of all nine components."""
    case = case_of(name)
    params, positions = case.field.params(case.phi), case.system.positions
    virial, step = evaluated(case, params, positions)[2], 1e-5
    for strain in np.random.default_rng(6).normal(size=(3, 3, 3)):
        ends = [evaluated(case, params, positions, sign * step * strain)[0] for sign in (1.0, -1.0)]
        expected = -(ends[0] - ends[1]) / (2 * step)
        scale = float(np.abs(virial).max())
        assert float((virial * strain).sum()) == pytest.approx(float(expected), abs=1e-5 * scale)


def test_the_engine_ase_has_the_same(name: str, case_of: Any, folder: Path) -> None:
    """Its forces and virial of base and correction."""
    case, kind = case_of(name), base_of(name)
    model = BASES.table(name).model_validate(model_of(name, folder))
    field = engine_kind("ase").field(kind, model, case.potential, R_CUT, case.system, "float64")
    mover = field.mover(case.system, field.params(case.phi))
    at_rest = Start(case.system.positions, np.zeros_like(case.system.positions), 300.0, 1)
    walk = mover.walk(at_rest, Motion(FREE, 0.5, 1e-9), 1, 1, observe=True, where=(0, 0))
    _, forces, virial, _ = evaluated(case, case.field.params(case.phi), case.system.positions)
    found = mover.evaluate(case.system.positions).forces
    np.testing.assert_allclose(found, forces, rtol=0, atol=TABLE * np.abs(forces).max())
    np.testing.assert_allclose(walk.virial[0], virial, rtol=0, atol=TABLE * np.abs(virial).max())


def test_translation_and_permutation(name: str, case_of: Any) -> None:
    """Nothing depends on where the box is, or on the order of atoms of one element."""
    case = case_of(name)
    params, positions = case.field.params(case.phi), case.system.positions
    energy, forces, virial, energies = evaluated(case, params, positions)
    moved = evaluated(case, params, positions + np.array([3.1, -2.2, 0.7]))
    starts = np.cumsum([0, *case.system.n_per_species])
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in itertools.pairwise(starts)])
    shuffled = evaluated(case, params, positions[order])
    size, pull = np.abs(energies).sum(), np.abs(forces).max()
    for found, which in ((moved, slice(None)), (shuffled, order)):
        assert float(found[0]) == pytest.approx(float(energy), abs=1e-10 * size)
        np.testing.assert_allclose(found[1], forces[which], rtol=0, atol=1e-9 * pull)
        np.testing.assert_allclose(found[2], virial, rtol=0, atol=1e-9 * np.abs(virial).max())
        np.testing.assert_allclose(found[3], energies[which], rtol=0, atol=1e-9 * size)


def test_the_correction_adds_to_it(name: str, case_of: Any) -> None:
    """With a correction less without one is the correction's own sum over pairs, by a loop over images."""
    case = case_of(name)
    both, alone = (evaluated(case, case.field.params(phi), case.system.positions) for phi in (case.phi, None))
    numbers = np.repeat(np.arange(len(case.system.species)), case.system.n_per_species)
    energies = np.zeros(case.system.n_atoms)
    for image in itertools.product((-1, 0, 1), repeat=3):
        apart = case.system.positions[:, None] - case.system.positions[None] + np.array(image) @ case.system.cell
        r = np.linalg.norm(apart, axis=2)
        for row, (a, b) in enumerate(case.phi.pairs):
            i, j = (case.system.species.index(symbol) for symbol in (a, b))
            one, other = numbers[:, None], numbers[None]
            chosen = (((one == i) & (other == j)) | ((one == j) & (other == i))) & (r > 0) & (r < R_CUT)
            np.add.at(energies, np.nonzero(chosen)[0], case.phi.energy(r[chosen])[row] / 2)
    assert np.abs(energies).max() > 1e-3
    size = max(np.abs(both[3]).max(), np.abs(energies).max())
    np.testing.assert_allclose(both[3] - alone[3], energies, rtol=0, atol=TABLE * size)


def test_the_calculator_has_the_same(name: str, case_of: Any) -> None:
    """Whose pair functions are no tables: energies up to those of isolated atoms, and forces."""
    case = case_of(name)
    atoms = case.atoms
    atoms.calc = refine.Calculator(case.potential, correction=case.phi)
    _, forces, virial, energies = evaluated(case, case.field.params(case.phi), case.system.positions)
    isolated = getattr(getattr(case.field, "model", None), "isolated", np.zeros(len(case.system.species)))
    theirs = atoms.get_potential_energies() - np.repeat(isolated, case.system.n_per_species)
    np.testing.assert_allclose(energies, theirs, rtol=0, atol=TABLE * np.abs(energies).max())
    np.testing.assert_allclose(forces, atoms.get_forces(), rtol=0, atol=TABLE * np.abs(forces).max())
    stress = -atoms.get_stress(voigt=False) * case.system.volume
    np.testing.assert_allclose((virial + virial.T) / 2, stress, rtol=0, atol=10 * TABLE * np.abs(virial).max())


def test_sites_of_an_element_are_that_element(name: str, case_of: Any) -> None:
    """Only a correction tells them apart, and so does the calculator."""
    whole, split = case_of(name), case_of(name, sites=True)
    assert len(split.system.species) == len(whole.system.species) + 1
    alone = [evaluated(case, case.field.params(None), case.system.positions) for case in (whole, split)]
    for one, other in zip(*alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * np.abs(one).max())
    atoms = split.atoms
    atoms.calc = refine.Calculator(split.potential, correction=split.phi)
    forces = evaluated(split, split.field.params(split.phi), split.system.positions)[1]
    np.testing.assert_allclose(forces, atoms.get_forces(), rtol=0, atol=TABLE * np.abs(forces).max())
    assert np.abs(forces - alone[1][1]).max() > 1e-3


def test_pair_energies_are_those_of_two_atoms(name: str, case_of: Any) -> None:
    """Where there are any; None says that the base is no sum of pair functions."""
    case, kind = case_of(name), base_of(name)
    r = np.linspace(2.0, 4.0, 5)
    energies = kind.pair_energies(case.potential, r)
    if energies is None:
        return
    assert energies.shape == (len(case.phi.pairs), len(r))
    assert np.isfinite(energies).all()
    assert base_of(name, "d3-bj").pair_energies(case.potential, r) is None


def test_a_study_with_it_is_written_and_read_back(name: str, folder: Path, case_of: Any, tmp_path: Path) -> None:
    """By the study file, by `read_calculator`, and into an input script of LAMMPS that names its files."""
    case, counts = case_of(name), dict(example_of(name).atoms)
    lines = to_toml({"model": model_of(name, folder)}).partition("[model]\n")[2]
    run_folder(tmp_path, counts, lines, rows(case.phi), r_cut=R_CUT)
    study = StudyConfig.from_toml(tmp_path / "study.toml")
    (tmp_path / "again.toml").write_text(study.to_toml())
    assert StudyConfig.from_toml(tmp_path / "again.toml").model_dump() == study.model_dump()
    assert study.model.base == name

    atoms, same = case.atoms, case.atoms
    atoms.calc = refine.read_calculator(tmp_path)
    same.calc = refine.Calculator(case.potential, correction=read_correction(tmp_path).correction)
    np.testing.assert_allclose(atoms.get_forces(), same.get_forces(), rtol=1e-12, atol=1e-12)

    written = {path.name: path.read_text(encoding="ascii") for path in export(tmp_path, "lammps", tmp_path / "lammps")}
    script = written.pop("potential.in")
    assert script.count("pair_style hybrid/overlay") >= 1
    assert all(file in script for file in written)


def test_parameters_that_it_has_not_are_refused(name: str, case_of: Any) -> None:
    case, edges = case_of(name), np.linspace(0.0, R_CUT, 26)
    with pytest.raises(refine.errors.InputError, match=r"\[refinement\] parameters"):
        base_of(name).parameters(case.potential, ("nothing of it",), case.system, edges)
