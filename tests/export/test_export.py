"""An exported correction gives in other programs the energy and forces that it has here."""

from __future__ import annotations

import csv
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

from refine.cli.main import app
from refine.errors import InputError
from refine.export import FORMATS, export
from refine.export.read import read_correction
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import POINTS
from tests.export.runs import correction, rows, run_folder

CELL = np.diag([13.0, 14.0, 15.0])
COUNTS = {"O": 30, "Fe": 30}
BASE = 'base = "lennard-jones"\nparameters = { epsilon = { O = 0.01, Fe = 0.02 }, sigma = { O = 2.0, Fe = 2.4 } }'


def two_of_three() -> PairCorrection:
    """Of O-Fe and Fe-Fe; atoms of the box below are deep in the wall."""
    return correction(COUNTS, active=(False, True, True))


def run(folder: Path, table: list[dict[str, Any]] | None = None, model: str = BASE, **changes: Any) -> Path:
    return run_folder(folder, COUNTS, model, rows(two_of_three()) if table is None else table, **changes)


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


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_is_plain_files_that_name_the_pairs(to: str, tmp_path: Path) -> None:
    """A new entry of FORMATS is tested here."""
    folder = run(tmp_path)
    first = {path: path.read_bytes() for path in export(folder, to)}
    assert first
    assert {path.parent for path in first} == {folder / f"export-{to}"}
    text = "".join(content.decode() for content in first.values())
    names = " ".join(path.name for path in first)
    assert all(pair in text + names for pair in ("O-Fe", "Fe-Fe"))
    assert {path: path.read_bytes() for path in export(folder, to)} == first
    result = CliRunner().invoke(app, ["export", str(folder), "--to", to, "--folder", str(tmp_path / "other")])
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == sorted(path.name for path in first)


def test_columns(tmp_path: Path) -> None:
    phi = two_of_three()
    written = export(run(tmp_path), "csv")
    assert [path.name for path in written] == ["O-Fe.csv", "Fe-Fe.csv", "about.txt"]
    assert "on top of base" in written[2].read_text()
    for row, path in zip((1, 2), written[:2], strict=True):
        table = list(csv.DictReader(path.read_text().splitlines()))
        assert len(table) == POINTS
        r = np.array([float(line["r [angstrom]"]) for line in table])
        np.testing.assert_allclose(
            [float(line["phi [eV]"]) for line in table], phi.energy(r)[row], atol=1e-11, rtol=1e-9
        )
        slopes = [float(line["dphi_dr [eV/angstrom]"]) for line in table]
        np.testing.assert_allclose(slopes, phi.derivative(r)[row], atol=1e-10, rtol=1e-9)
        errors = [(float(line["r [angstrom]"]), line["stderr [eV]"]) for line in table]
        known = np.array([(at, float(error)) for at, error in errors if error])
        assert known[0, 0] == pytest.approx(1.6, abs=2e-3)
        np.testing.assert_allclose(known[:, 1], 0.01 * known[:, 0], rtol=1e-6)


def test_ase_runs_it(tmp_path: Path) -> None:
    phi, atoms = two_of_three(), box()
    export(run(tmp_path), "ase", tmp_path / "ase")
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
    phi = two_of_three()
    export(run(tmp_path), "openmm", tmp_path)
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
    phi = replace(two_of_three(), slope=slope, reference=1900.0, span=200.0)
    table = []
    for name, kelvin in (("cold", 1800.0), ("hot", 2000.0)):
        table += rows(phi.at(kelvin), state=name, temperature=kelvin)
    folder = run(tmp_path, table)
    r = np.linspace(0.5, 6.0, 40)
    for kelvin in (1800.0, 1950.0, 2100.0):
        found = read_correction(folder, kelvin)
        np.testing.assert_allclose(found.correction.energy(r), phi.at(kelvin).energy(r), atol=1e-12)
        assert (found.errors[0] is None) == (kelvin != 1800.0)
    with pytest.raises(InputError, match="--temperature"):
        read_correction(folder)
    with pytest.raises(InputError, match="same at all"):
        read_correction(run(tmp_path), 1800.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"yields_potential": False}, "no potential"),
        ({"table": []}, "no correction"),
        ({"table": [{"pair": ["O", "Fe"]}]}, r"correction\.0\.r: Field required"),
        ({"table": [{"pair": ["O", "Fe"], "r": [1.0, 2.0], "phi": [0.0, 0.0]}]}, "no correction"),
        ({"states": None}, "states: Input should be a valid list"),
        ({"table": "x"}, "correction: Input should be a valid list"),
        ({"states": [{"name": "hot", "temperature": 1.0, "atoms": {"O\nshell ls": 1, "Fe": 1}}]}, "no correction"),
    ],
)
def test_damaged(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        export(run(tmp_path, **changes), "csv")


def test_command(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["export", str(tmp_path), "--to", "csv"]).exit_code == 2
    run(tmp_path)
    assert runner.invoke(app, ["export", str(tmp_path), "--to", "gromacs"]).exit_code == 2
    done = runner.invoke(app, ["export", str(tmp_path), "--to", "lammps"])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [
        str(tmp_path / "export-lammps" / name) for name in ("potential.in", "correction.table", "base.table")
    ]


def test_mace_lines_are_remarks(tmp_path: Path) -> None:
    run(tmp_path, model='base = "mace"\nname = "medium-mpa-0"\ndispersion = "d3-bj"')
    written = export(tmp_path, "lammps", tmp_path)
    assert [path.name for path in written] == ["potential.in", "correction.table"]
    text = written[0].read_text()
    assert "#   pair_coeff * * mace MODEL-lammps.pt O Fe" in text
    assert "pair_style hybrid/overlay dispersion/d3 bj pbe 21.1670884361 21.1670884361 table spline 5000\n" in text
    assert "mace no_domain_decomposition dispersion/d3 bj" in text
    assert "\npair_coeff 1 2 table correction.table O-Fe\n" in text
    assert "refined" not in text
    run(tmp_path, model='base = "mace"\nname = "medium-mpa-0"', parameters={"readout, rms": {"final": 1.0}})
    export(tmp_path, "lammps", tmp_path)
    assert "Its weights were refined: they are in model.safetensors" in written[0].read_text()


@pytest.mark.parametrize(
    "table", ["x", {"sigma": {"final": 1.0}}, {"size O-O": {"final": 1.0}}, {"sigma O-O": {"final": None}}]
)
def test_damaged_parameters_of_the_base(tmp_path: Path, table: Any) -> None:
    words = (
        "no parameters of the base can be read"
        if isinstance(table, dict)
        else "parameters: Input should be a valid dict"
    )
    with pytest.raises(InputError, match=words):
        export(run(tmp_path, parameters=table), "lammps")
