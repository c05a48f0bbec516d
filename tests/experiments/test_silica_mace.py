"""The small MACE model that ships, against mace-torch's own evaluation of it, and the study that it is made for."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from refine import Calculator, Study
from refine.learning.keys import LearnConfig
from refine.potentials.mace.reader import load
from refine.sampling.bonds import coordination_numbers
from tests.experiments.scripts import script

FOLDER = Path(__file__).parents[2] / "experiments" / "silica_mace"
MODEL = FOLDER / "silica-mace.safetensors"
LARGEST = 2_000_000
"""Bytes of a model that a repository can hold."""


@cache
def study() -> Study:
    return Study.from_toml(FOLDER / "study.toml")


def test_the_model_is_small():
    assert MODEL.stat().st_size < LARGEST
    assert set(load(MODEL).architecture.species) == {8, 14}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "energy", "force"), [("float64", 1e-9, 1e-8), ("float32", 2e-6, 2e-5)])
def test_the_model_is_the_one_that_was_trained(dtype: str, energy: float, force: float):
    """Energies, relative, and forces, of the largest force, of held-out frames; mace-torch's are in float64."""
    calculator = Calculator(str(MODEL), dtype=dtype)
    phases = set()
    for atoms in read(FOLDER / "reference.extxyz", ":"):
        phases.add(atoms.info["phase"])
        expected = atoms.arrays["mace_forces"]
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(atoms.info["mace_energy"], rel=energy)
        assert np.abs(atoms.get_forces() - expected).max() < force * np.abs(expected).max()
    assert phases == {"liquid", "glass", "compressed", "crystal", "collision"}


def test_the_recipe_without_torch_is_that_of_mace_torch() -> None:
    """Both stages of refine learn have the model, the frames and the settings of mace.yaml."""
    lines = (line.partition("#")[0] for line in (FOLDER / "train" / "mace.yaml").read_text().splitlines())
    pairs = (line.partition(":")[::2] for line in lines if ":" in line)
    yaml = {key.strip(): value.strip().strip("'\"") for key, value in pairs}
    one, two = (LearnConfig.from_toml(FOLDER / "train" / file) for file in ("learn.toml", "learn_two.toml"))
    new = one.new
    assert one.model.new
    assert [new.r_max, new.channels, new.l, new.layers, new.max_ell, new.correlation, new.basis] == [
        float(yaml[key])
        for key in ("r_max", "num_channels", "max_L", "num_interactions", "max_ell", "correlation", "num_radial_basis")
    ]
    assert list(new.radial) == json.loads(yaml["radial_MLP"])
    assert yaml["MLP_irreps"] == f"{new.readout}x0e"
    assert new.zbl == (yaml["pair_repulsion"] == "true")
    first = {"learning_rate": "lr", "decay": "lr_scheduler_gamma", "energy_weight": "energy_weight"}
    second = {"learning_rate": "swa_lr", "energy_weight": "swa_energy_weight"}
    for stage, own, prefix in ((one, first, ""), (two, second, "swa_")):
        keys = own | {"batch": "batch_size", "average": "ema_decay", "clip": "clip_grad"}
        keys |= {f"{term}_weight": f"{prefix}{term}_weight" for term in ("forces", "stress")}
        for key, name in keys.items():
            assert getattr(stage.learn, key) == float(yaml[name]), name
        assert stage.learn.optimiser == "amsgrad"
        assert json.loads(yaml["config_type_weights"]) == {"Default": 1.0, **stage.frames.weights}
        assert stage.frames == one.frames
    assert one.learn.epochs == int(yaml["start_swa"])
    assert one.learn.epochs + two.learn.epochs == int(yaml["max_num_epochs"])
    assert two.model.path == "work/learn/one/model.safetensors"


def test_neutrons_alone_are_fitted():
    assert [data.name for data in study().datasets if data.role == "fit"] == ["neutron"]
    assert {data.name for data in study().datasets} == {"neutron", "neutron_tr", "nimrod", "xray"}
    assert study().config.model.model_path == MODEL


@pytest.mark.parametrize("number", [2, 4, 5])
def test_the_glasses_are_networks(number: int):
    """192 atoms at the measured density, every Si with four O; cooled in 84 ps, a few O may have other neighbours."""
    atoms = read(FOLDER / f"glass-{number}.extxyz")
    assert len(atoms) == 192
    assert len(atoms) / atoms.get_volume() == pytest.approx(0.0662, rel=1e-4)
    structure = (atoms.positions, atoms.cell.array, atoms.get_chemical_symbols())
    assert (coordination_numbers(*structure, "Si", "O", 2.2) == 4).all()
    assert np.mean(coordination_numbers(*structure, "O", "Si", 2.2) == 2) > 0.97


def test_the_stated_errors_are_those_between_glasses():
    """Of the points of the fit, against glasses that differ by 0.02/Q barn/sr as those of the model do (README.md)."""
    table = script(FOLDER / "table.py")
    (fit,) = (data.fit for data in study().datasets if data.name == "neutron")
    rng = np.random.default_rng(1)
    glasses = list(0.02 / fit.operator.x * rng.normal(size=(400, len(fit.operator.x))))
    for row in table.spread(study(), glasses).splitlines()[2:]:
        between, stated = (float(cell) for cell in row.split("|")[2:4])
        assert stated == pytest.approx(between, rel=0.2), row


def test_means_have_the_error_of_independent_glasses():
    table = script(FOLDER / "table.py")
    assert table.written([1.0, 2.0, 3.0]) == "2.0000 ± 0.5774"
