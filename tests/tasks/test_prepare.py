"""refine prepare: a small Lennard-Jones system from a packing to a file, by the command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.errors import InputError
from refine.potentials.bases import base_of
from refine.potentials.calculator import Calculator
from refine.sampling.periodic import close_pairs
from refine.sampling.structure_files import read_structure
from refine.study.choices.choice import Settings
from refine.study.choices.first import first_choices
from refine.study.samplers import read_base
from refine.study.schema import StudyConfig
from refine.system import make_system
from refine.tasks.prepare import base_sampler, check_target, parse_repeats, prepare
from tests.listening import Told

STUDY = """
[system]
formula = "Ar"
units = 64
mass_density = 1.35
[[states]]
name = "120K"
temperature = 120.0
[[states]]
name = "100K"
temperature = 100.0
mass_density = 1.30
[[data]]
name = "sq"
file = "absent.csv"
state = "100K"
quantity = "S(Q)"
radiation = "neutron"
[model]
base = "lennard-jones"
r_cut = 6.0
[model.parameters]
epsilon = 0.010324
sigma = 3.405
[sampling]
timestep = 5.0
frames = 40
stride = 10
equilibration = 1.0
"""
SCHEDULE = """
[[schedule]]
temperature = 200
to = 110
picoseconds = 4
[[schedule]]
temperature = 110
picoseconds = 5
pressure = 0.02
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The study file; its data do not exist, and its cell is too small for a correction of 8 Å."""
    path = tmp_path / "study.toml"
    path.write_text(STUDY + SCHEDULE)
    return path


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_a_structure_is_made_by_the_command_and_read_by_a_study(study: Path) -> None:
    out = study.parent / "start.extxyz"
    words = ("prepare", str(study), "--out", str(out), "--state", "100K", "--replicate", "2,1,1", "--settle", "1")
    result = call(*words)
    assert result.exit_code == 0, result.output
    for said in (
        "200 to 110 K in 4 ps (-22.5 K/ps)",
        "110 K for 5 ps at 0.02 GPa: 0.0",
        "128 atoms at 100 K",
        " GPa\n",
    ):
        assert said in result.output
    assert f"structure: {out}" in result.output

    atoms = ase.io.read(out)
    config = StudyConfig.from_toml(study)
    assert atoms.info["study"] == config.digest(data=False)
    assert (atoms.info["state"], atoms.info["temperature_K"], atoms.info["seed"]) == ("100K", 100.0, 1)
    assert atoms.info["number_density"] == pytest.approx(128 / atoms.get_volume(), rel=1e-6)
    assert abs(atoms.info["pressure_GPa"]) < 0.3
    assert -0.09 < atoms.info["potential_energy_eV"] / 128 < -0.03
    assert "200 to 110 K" in atoms.info["schedule"]
    system = read_structure(out)
    assert system.heights[0] == pytest.approx(2 * system.heights[1])
    assert len(close_pairs(system.positions, system.cell, 2.8)[0]) == 0
    # the two copies have forgotten each other
    half = system.positions[64:] - system.positions[:64]
    half -= np.round(half @ np.linalg.inv(system.cell)) @ system.cell
    assert np.linalg.norm(np.abs(half) - [system.heights[1], 0, 0], axis=1).max() > 0.5

    refused = call(*words)
    assert refused.exit_code == 2
    assert "the file exists; use --overwrite" in refused.output


@pytest.mark.slow
def test_dispersion_acts(study: Path) -> None:
    """The energy of a crystal at 1 K, with and without: the difference is D3's."""
    config = StudyConfig.from_toml(study, ['model.dispersion="d3-bj"'])
    atoms = bulk("Ar", "fcc", 5.3, cubic=True).repeat(3)
    system = make_system({"Ar": len(atoms)}, atoms.cell.array, atoms.positions)
    energies = []
    for chosen in (config, StudyConfig.from_toml(study)):
        kind, base = read_base(chosen, ["Ar"])
        settings = Settings.of(chosen, first_choices(chosen, [system], np.full(1, np.inf)))
        sampler, params = base_sampler(kind, chosen.model, base, settings, system)
        _, frames = sampler.run(sampler.start(atoms.positions, 1.0, 1), params, 1.0, 1)
        energies.append(frames.energy[0])
    lj = base_of("lennard-jones").read(config.model, ("Ar",), (("Ar", "Ar"),), 6.0)
    expected = [Calculator(lj, dispersion=kind).get_potential_energy(atoms) for kind in ("d3-bj", "none")]
    assert energies[0] - energies[1] == pytest.approx(expected[0] - expected[1], rel=1e-3)
    assert expected[0] - expected[1] < -0.5


def test_the_default_is_a_melt_and_a_file_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    config = StudyConfig.from_toml(tmp_path / "study.toml")
    told = Told()
    first = prepare(config, state="120K", seed=5, progress=told)
    relaxed_and_melted = 300 + 200  # steps, the latter of 5 fs
    assert told.stages == [
        ("start structure", relaxed_and_melted, relaxed_and_melted),
        ("pressure and energy", 40, 40),
    ]
    # 1.35 g/cm^3 of 39.948 g/mol
    assert first.system.number_density == pytest.approx(1.35 * 0.602214076 / 39.948, rel=1e-5)
    assert "density: 0.0203512 atoms/Å^3, 1.35 g/cm^3" in first.words()
    assert first.densities == ()
    first.write(tmp_path / "a.extxyz")
    fractional = read_structure(tmp_path / "a.extxyz").positions @ np.linalg.inv(first.system.cell)
    difference = fractional - first.system.positions @ np.linalg.inv(first.system.cell)
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-8)
    # such a file is the start of another one, which repeats itself
    study = {"system": {"structure": "a.extxyz"}, "states": [{"name": "hot", "temperature": 130.0}]}
    tables = config.model_dump(exclude_none=True) | study
    tables["data"] = [{"name": "sq", "file": "absent.csv", "quantity": "S(Q)", "radiation": "neutron"}]
    rest = StudyConfig.parse(tables, tmp_path)
    told = Told()
    again = [prepare(rest, seed=seed, repeats=(1, 1, 2), settle=0.2, progress=told).system.positions for seed in (1, 1)]
    expected = [("start structure", 40, 40), ("pressure and energy", 40, 40)]  # repeated first
    assert told.stages == 2 * expected
    np.testing.assert_array_equal(*again)
    assert np.abs(again[0][:64] - first.system.positions).max() > 0


def test_what_is_refused(study: Path) -> None:
    config = StudyConfig.from_toml(study)
    with pytest.raises(InputError, match="several states; choose one of 120K, 100K"):
        prepare(config)
    with pytest.raises(InputError, match="no state '90K'"):
        prepare(config, state="90K")
    for text in ("2", "2,2", "2,2,0", "2,2,-1", "a,b,c", "2,2,2,2", "1,1,10000"):
        with pytest.raises(InputError, match="--replicate"):
            parse_repeats(text)
    assert parse_repeats("2, 1,3") == (2, 1, 3)
    for name, says in (("a.traj", "extended XYZ"), ("missing/a.extxyz", "no such folder"), ("a", "extended XYZ")):
        with pytest.raises(InputError, match=says):
            check_target(StudyConfig.from_toml(study), study.parent / name, overwrite=False)


def test_a_run_has_the_density_of_its_study(study: Path) -> None:
    q = np.arange(0.3, 11.0, 0.1)
    np.savetxt(study.parent / "absent.csv", np.column_stack([q, 1 + np.sin(q) * np.exp(-q)]), delimiter=",")
    engine = Study.from_toml(study, ["correction.r_cut=6", "correction.r_min=2.8", "system.units=108"])
    with pytest.raises(InputError, match=r"\[\[schedule\]\] pressure: .* refine prepare"):
        engine.run(study.parent / "out")
    assert not (study.parent / "out").exists()


def test_a_unit_cell_is_repeated_before_anything_acts(tmp_path: Path) -> None:
    """Half of it, 2.65 Å, holds no potential."""
    fcc = bulk("Ar", "fcc", a=5.3, cubic=True)
    fcc.write(tmp_path / "unit.cif")
    tables = StudyConfig.parse(tomllib.loads(STUDY), tmp_path).model_dump(exclude_none=True)
    tables["system"] = {"structure": "unit.cif"}
    tables["states"] = [{"name": "cold", "temperature": 20.0, "phase": "solid"}]
    tables["schedule"] = []
    tables["data"] = [{"name": "sq", "file": "absent.csv", "quantity": "S(Q)", "radiation": "neutron"}]
    made = prepare(StudyConfig.parse(tables, tmp_path), repeats=(4, 4, 4), settle=0.5)
    assert made.system.n_atoms == 256
    assert made.system.heights[0] == pytest.approx(4 * 5.3)
    ideal = (fcc * (4, 4, 4)).positions
    assert made.system.positions is not None
    off = made.system.positions[:, None] - ideal
    off -= np.round(off / 21.2) * 21.2
    assert np.sqrt(np.min(np.sum(off**2, axis=2), axis=1)).max() < 1.5  # nobody left its site
    assert made.energy[0] / 256 < -0.06  # eV; of the crystal, -0.08
