"""The density at a pressure, `refine compare` with `[compare] density`: beside virial coefficients, and where there is
none."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from refine.progress import NullProgress
from refine.study.schema import State, StudyConfig
from refine.study.study import Study
from refine.system import is_cubic, make_system
from refine.tasks.compare import compare
from refine.tasks.density import density_at_pressure, equilibrated, remarks
from refine.tasks.sample import sample_states
from refine.units import BOLTZMANN, PRESSURE_UNIT
from tests import small_box
from tests.listening import Told

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, DENSE = 64, 0.0025
STUDY = f"""
[system]
species = {{ Ar = {N} }}
number_density = {DENSE}
[[states]]
name = "hot"
temperature = 220.0
[[data]]
name = "p"
quantity = "pressure"
value = 0.0
sigma = 0.001
role = "score"
[model]
base = "lennard-jones"
[model.parameters]
epsilon = 0.0095
sigma = 3.38
[correction]
knots = 12
r_min = 2.8
r_cut = 8.0
[sampling]
timestep = 10.0
equilibration = 4.0
reequilibration = 0.4
frames = 10
stride = 10
replicas = 1
seed = 5
"""


def virial_coefficients(beta_u: np.ndarray, r: np.ndarray) -> tuple[float, float]:
    """B2 (Å^3) and B3 (Å^6) of u/kT on the middles r of equal bins. With f = exp(-u/kT) - 1,

    B2 = -2π ∫ f r² dr,   B3 = -(8π²/3) ∫∫ f(r) f(s) r s [F(r + s) - F(|r - s|)] dr ds,   F(x) = ∫_0^x f(t) t dt.
    """
    f, dr = np.expm1(-beta_u), r[1] - r[0]
    whole, at = np.concatenate([[0.0], np.cumsum(f * r) * dr]), np.concatenate([[0.0], r + dr / 2])
    between = np.interp(r[:, None] + r, at, whole) - np.interp(np.abs(r[:, None] - r), at, whole)
    third = np.sum((f * r)[:, None] * (f * r) * between) * dr**2
    return float(-2 * np.pi * np.sum(f * r**2) * dr), float(-(8 * np.pi**2 / 3) * third)


def density_of_gas(n: int, beta_p: float, b2: float, b3: float) -> float:
    """n / <V> of n atoms, V distributed as exp[-βpV + n ln V - n (n - 1) B2/V - n (n - 1) (n - 2) B3/2V²]: its
    derivative by V is zero where βp = ρ + B2 ρ² + B3 ρ³."""
    v = n / beta_p * np.linspace(0.2, 4.0, 4000)
    log = -beta_p * v + n * np.log(v) - n * (n - 1) * (b2 / v + (n - 2) * b3 / (2 * v**2))
    weight = np.exp(log - log.max())
    return float(n * weight.sum() / (v * weight).sum())


def test_the_reference_itself() -> None:
    """Hard spheres of diameter 1: B2 = 2π/3 and B3 = 5/8 B2²; an ideal gas has <V> = (n + 1) kT/p."""
    r = np.arange(0.0025, 3.0, 0.005)
    b2, b3 = virial_coefficients(np.where(r < 1.0, 100.0, 0.0), r)
    assert b2 == pytest.approx(2 * np.pi / 3, rel=1e-4)
    assert b3 == pytest.approx(5 / 8 * b2**2, rel=1e-3)
    assert density_of_gas(64, 0.002, 0.0, 0.0) == pytest.approx(64 / 65 * 0.002, rel=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.8])
@pytest.mark.slow
def test_a_gas_has_the_density_of_its_virial_coefficients(tmp_path: Path, strength: float) -> None:
    """Within four standard errors, which are below 2 %, in a box that begins 25 % too dense. Without interactions it
    would be more than four errors off; a correction of 0.8 kT on top of the base counts at constant pressure, too."""
    temperature, rho = 220.0, 0.002
    kt = BOLTZMANN * temperature
    study = Study(StudyConfig.parse(_tree(0.0), tmp_path))
    correction = study.initial_correction()
    correction = correction.with_theta(strength * kt * np.exp(-((correction.basis.centres - 4.0) ** 2)))
    r = np.arange(0.02, 12.0, 0.04)
    b2, b3 = virial_coefficients((study.base_energies(r)[0] + correction.continued(r)[0][0]) / kt, r)
    beta_p = rho * (1 + b2 * rho + b3 * rho**2)
    expected = density_of_gas(N, beta_p, b2, b3)

    keys = {"density": True, "density_length": 250.0}
    study = Study(StudyConfig.parse(_tree(PRESSURE_UNIT * kt * beta_p, **keys), tmp_path))
    acting = correction if strength else None
    (frames,) = sample_states(study, 10, NullProgress(), positions=True, corrections=[acting] if acting else None)
    told = Told()
    found, said = density_at_pressure(study, 0, frames, acting, told)
    value, error = found["number_density_atoms_per_A3"], found["number_density_atoms_per_A3_stderr"]
    assert error < 0.02 * rho
    assert abs(value - expected) < 4 * error
    assert abs(density_of_gas(N, beta_p, 0.0, 0.0) - expected) > 4 * error
    assert said == []
    assert found["pressure_GPa"] == pytest.approx(PRESSURE_UNIT * kt * beta_p)
    assert found["ratio_to_study"] == pytest.approx(value / DENSE)
    assert found["mass_density_g_per_cm3"] == pytest.approx(value * 39.948 / 0.602214076, rel=1e-5)
    ratio = found["mass_density_g_per_cm3_stderr"] / found["mass_density_g_per_cm3"]
    assert ratio == pytest.approx(error / value)
    assert all(total == done for _, total, done in told.stages)


def _tree(pressure: float, **keys: object) -> dict:
    tree = tomllib.loads(STUDY)
    tree["data"][0]["value"] = pressure
    tree["compare"] = {"segments": 0, **keys}
    return tree


@pytest.mark.slow
def test_one_table_with_densities_and_why_there_are_none(tmp_path: Path) -> None:
    """A gas that has a pressure has a density; one that has none evaporates, and the row says so."""
    tree = _tree(0.006, density=True, density_length=100.0)
    tree["states"].append({"name": "lost", "temperature": 220.0})
    tree["data"] = [{**entry, "state": "hot"} for entry in tree["data"]]
    ranking = compare(StudyConfig.parse(tree, tmp_path), [], frames=10, out=tmp_path / "out")
    (found,) = ranking.rows
    assert set(found.density) == {"hot"}
    (note,) = [note for note in found.notes if "of the sample" not in note and "the sample is" not in note]
    assert note.startswith("No density of state lost: ")
    assert "this is a gas" in note or "did not equilibrate" in note
    row = json.loads((tmp_path / "out" / "compare.json").read_text())["models"][0]
    assert row["density"] == found.density
    numbers = row["density"]["hot"]
    assert numbers["pressure_GPa"] == 0.006
    assert 200 <= numbers["moves"] <= 1600  # of 400 to begin with, half may be thrown away
    assert numbers["length_ps"] == pytest.approx(0.25 * numbers["moves"])
    assert abs(numbers["number_density_atoms_per_A3"] - 0.0021) < 0.0003  # of B2 as above
    page = (tmp_path / "out" / "compare.html").read_text()
    for words in ("density of hot / study", "g/cm³", "No density of state lost"):
        assert words in page
    terminal = ranking.table()
    assert " g/cm^3 at 0.006 GPa, 0." in terminal
    assert "note: No density of state lost" in terminal


def test_a_volume_that_has_not_settled_has_no_density(tmp_path: Path) -> None:
    """32 moves, from a density that the pressure is far from; or 2, which are refused."""
    for length, words in ((2.0, "did not equilibrate"), (0.5, "0.5 ps have 2 moves of the volume")):
        tree = _tree(0.02, density=True, density_length=length)
        (row,) = compare(StudyConfig.parse(tree, tmp_path), [], frames=10).rows
        assert row.density == {}
        (note,) = [note for note in row.notes if "of the sample" not in note and "the sample is" not in note]
        assert words in note
        assert "density_length" in note


def test_nothing_of_it_is_in_the_digest_of_a_run(tmp_path: Path) -> None:
    path = small_box.write(tmp_path)
    changed = StudyConfig.from_toml(path, ["compare.density=true", "compare.density_length=3"])
    assert changed.digest() == StudyConfig.from_toml(path).digest()


def test_what_a_density_does_not_say_by_itself() -> None:
    """A gas at constant pressure, and a crystal whose shape is held."""
    tall = make_system({"Ar": 2}, np.diag([5.0, 5.0, 8.0]))
    cube = make_system({"Ar": 2}, 5.0 * np.eye(3))
    liquid, solid = (State(name="s", temperature=20.0, phase=phase) for phase in ("liquid", "solid"))
    assert remarks(tall, liquid, 0.9, 800) == remarks(cube, solid, 0.9, 800) == []
    assert ["too small" in one for one in remarks(cube, liquid, 0.9, 96)] == [True]
    assert ["keeps its shape" in one for one in remarks(tall, solid, 1.1, 800)] == [True]
    assert ["is a gas" in one for one in remarks(cube, liquid, 0.3, 800)] == [True]


def test_a_volume_is_judged_behind_its_equilibration() -> None:
    """Series with 2 tau of 40 moves: 1600 are enough and 200 are not; a drift over the first quarter is left out, one
    over the whole is seen."""
    rng = np.random.default_rng(7)
    noise = np.zeros(1600)
    for k in range(1, 1600):
        noise[k] = 0.95 * noise[k - 1] + rng.normal()
    drop = 60.0 * np.exp(-np.arange(1600) / 80.0)
    line = np.linspace(0.0, 40.0, 1600)
    assert equilibrated(noise[:, None]) == 0
    assert equilibrated(noise[:200, None]) is None
    assert equilibrated((noise + drop)[:, None]) == 400
    assert equilibrated((noise + line)[:, None]) is None
    assert equilibrated(np.stack([noise, noise + line], axis=1)) is None


def test_cubes() -> None:
    cell = 5.0 * np.eye(3)
    assert is_cubic(make_system({"Ar": 2}, cell).cell)
    cell[0, 1] = 0.01
    assert not is_cubic(cell)
    assert not is_cubic(np.diag([5.0, 5.0, 5.1]))
