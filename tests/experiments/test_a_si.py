"""The study of amorphous silicon: its table is the measurement, its models are known, and a quick quench is silicon.

Measured: bonds of 2.351 Å, 3.88 neighbours by those who measured it (K. Laaziri and others, Phys. Rev. Lett. 82, 3460
(1999)), a few per cent less where the area is taken between fixed limits.
"""

from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from refine import Study
from refine.curves.checks import check_curve
from refine.curves.readers import read_table
from refine.potentials.bases import base_of
from refine.study.schema import ModelFile
from tests.experiments.scripts import script

FOLDER = Path(__file__).parents[2] / "experiments" / "a_si"


@cache
def silicon() -> Study:
    return Study.from_toml(FOLDER / "study.toml")


@cache
def glass() -> ModuleType:
    return script(FOLDER / "glass.py")


def test_the_table_is_read_as_declared():
    (data,) = silicon().datasets
    curve = data.measurement.curve
    header = read_table(curve.source).header
    assert header["quantity"] == curve.quantity
    assert header["normalisation"] == curve.normalisation
    assert header["radiation"] == curve.radiation
    assert np.isfinite(data.fit.values).all()
    assert data.fit.sigma_known
    assert not check_curve(curve), check_curve(curve)


def test_the_table_has_the_bonds_that_were_measured():
    """From S(Q) to T(r) on the absolute scale: no free number in between."""
    study = silicon()
    found = glass().from_curve(study, study.datasets[0].measurement.shown_values)
    assert found["r1"] == pytest.approx(2.351, abs=0.005)
    assert 3.7 < found["n"] < 3.95
    assert found["r2"] == pytest.approx(3.80, abs=0.03)


def test_the_models_know_silicon():
    study, other = silicon(), ModelFile.from_toml(FOLDER / "sw.toml").model
    names = [
        base_of(model.base).read(model, ("Si",), (("Si", "Si"),), 8.0).name for model in (study.config.model, other)
    ]
    assert names == ["tersoff", "stillinger-weber"]


@pytest.mark.slow
def test_a_quick_quench_is_amorphous_silicon():
    """216 atoms of Tersoff, cooled at 3e14 K/s: a tetrahedral network with too many bonds, as it is known for.

    Three of them had 4.20 to 4.24 neighbours, three quarters of the atoms four of them, and bonds of 2.384 to 2.391 Å,
    in the same T(r) as the measured 2.352 Å; angles were 108° ± 18°. Slower quenches come nearer to 4 (M. Ishimaru,
    S. Munetoh and T. Motooka, Phys. Rev. B 56, 15133 (1997)). The melt has about 6 neighbours, and a crystal exactly 4,
    with bonds of 2.352 Å and angles that deviate by a degree or two.
    """
    from refine.sampling.starts import equilibrate

    study = Study.from_toml(
        FOLDER / "study.toml",
        [
            "system.species.Si=216",
            "correction.r_cut=5.0",
            "schedule.0.picoseconds=0.5",
            "schedule.0.timestep=2",
            "schedule.1.picoseconds=2",
            "schedule.2.picoseconds=5",
            "schedule.3.picoseconds=1",
            "sampling.time_constant=0.2",
        ],
    )
    ((field, sampler),) = study.samplers(positions=True)
    params = field.params(study.initial_correction())
    start = equilibrate(sampler, params, 10.0, 2, 3.0, study.stages)
    _, frames = sampler.run(start, params, 10.0, 20)
    mean = frames.counts.mean(axis=0, dtype=np.float64)
    model = glass().from_curve(study, study.datasets[0].measurement.shown.predict(mean))
    network = glass().from_positions(sampler.system, frames)
    assert 2.35 < model["r1"] < 2.41
    assert model["n"] == pytest.approx(network["within 2.85 Å"], abs=0.05)
    assert 4.0 < network["within 2.85 Å"] < 4.4
    assert network["share with 4"] > 0.65
    assert network["angle"] == pytest.approx(108.0, abs=2.0)
    assert 12.0 < network["its deviation"] < 22.0
