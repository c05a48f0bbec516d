"""The studies under five engines: what is judged; that script, metals, recovery and the benchmark of engines run."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine import Study
from refine.sampling.engine import Dynamics
from refine.sampling.frames import Frames
from tests.experiments.scripts import script

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOLDER = EXPERIMENTS / "engines"
run, metals, recovery, calculators = (
    script(FOLDER / f"{name}.py") for name in ("run", "metals", "recovery", "calculators")
)
benchmark = script(EXPERIMENTS / "benchmarks" / "engines.py")
agreement, measure = run.agreement, run.sys.modules["engines.measure"]


# -- what is judged ----------------------------------------------------------------------------------------------------


def draws(rng: np.random.Generator, n: int, points: int = 40) -> tuple[Any, Any]:
    """(n, points) of a smooth process, and its covariance."""
    x = np.arange(points)
    covariance = np.exp(-((x[:, None] - x) ** 2) / (2 * 4.0**2)) + 1e-6 * np.eye(points)
    return rng.multivariate_normal(np.zeros(points), covariance, n), covariance


def test_independent_values_of_a_smooth_curve_are_fewer_than_its_points():
    _, covariance = draws(np.random.default_rng(0), 1)
    assert agreement.independent(covariance) == pytest.approx(40 / (np.sqrt(np.pi) * 4.0), rel=0.1)


def test_seeds_of_one_engine_differ_by_chance_and_another_potential_by_more():
    """Three sigma come by chance in a few of a thousand, though there are three seeds and few independent values."""
    rng, found = np.random.default_rng(1), []
    for _ in range(1000):
        phi, covariance = draws(rng, 4)
        found.append(agreement.correction(phi[0], phi[1:], 25.0 * covariance))
    own, among, sigma = np.array(found).T
    assert np.sqrt(np.mean(own**2)) == pytest.approx(0.2, rel=0.05)  # of the deviations that were stated
    assert np.sqrt(np.mean(among**2)) == pytest.approx(0.2, rel=0.05)
    assert abs(sigma.mean()) < 0.15
    assert sigma.std() == pytest.approx(1.0, abs=0.15)
    assert np.mean(sigma > 3.0) < 0.01
    phi, covariance = draws(rng, 4)
    assert agreement.correction(phi[0] + 6.0, phi[1:], covariance)[2] > 3.0


def frames(rng: np.random.Generator, scale: float = 1.0) -> Frames:
    """200 frames of an ideal gas whose neighbouring shells fluctuate together; scale: of all counts."""
    nothing, replica = np.zeros(200), np.zeros(200, int)
    empty = Frames(np.zeros((200, 1, 120)), nothing, nothing, nothing, replica, 6.0, (300,), 6000.0)
    together = 1.0 + 0.05 * np.repeat(draws(rng, 200)[0], 3, axis=1)
    counts = rng.poisson(scale * empty.ideal_counts() * together)[:, None]
    return replace(empty, counts=counts)


def test_g_of_r_of_the_same_liquid_agrees_and_with_two_percent_more_pairs_it_does_not():
    rng = np.random.default_rng(2)
    found = np.array([agreement.g_of_r(frames(rng), [frames(rng), frames(rng)]) for _ in range(60)])
    assert found[:, 0].mean() == pytest.approx(1.0, abs=0.15)
    assert abs(found[:, 1].mean()) < 0.4
    assert 0.5 < found[:, 1].std() < 1.2
    assert agreement.g_of_r(frames(rng, 1.02), [frames(rng), frames(rng)])[1] > 3.0


def test_a_slow_motion_that_all_bins_share_is_no_disagreement():
    """Of every bin it is a tenth of the variance, below the noise of each, and lasts ten frames."""
    rng, found = np.random.default_rng(4), []
    wave = np.cos(np.arange(80.0))
    for _ in range(200):
        runs = []
        for _ in range(3):
            slow = np.repeat(rng.normal(size=24), 10)[:, None] * wave
            runs.append(rng.normal(size=(240, 80)) + 0.5 * slow)
        found.append(agreement.means(runs[0], runs[1:])[1])
    assert abs(np.mean(found)) < 0.3
    assert np.std(found) == pytest.approx(1.0, abs=0.25)


def test_of_two_runs_each_has_errors_of_its_own():
    """One of frames that come in tens of the same, and one of frames that know nothing of each other."""
    rng, found, wrong = np.random.default_rng(6), [], []
    for _ in range(300):
        one, other = np.repeat(draws(rng, 20)[0], 10, axis=0), draws(rng, 200)[0]
        found.append(agreement.between(one, other)[1])
        wrong.append(agreement.means(one, [other])[1])
    assert abs(np.mean(found)) < 0.3
    assert 0.6 < np.std(found) < 1.3
    assert np.mean(wrong) > 2.0


def test_two_means_are_compared_in_the_errors_of_both():
    rng = np.random.default_rng(3)
    one, other = rng.normal(1.0, 3.0, 400), rng.normal(0.0, 4.0, 400)
    expected = (one.mean() - other.mean()) / 0.25  # sqrt(9 + 16) / 20
    assert agreement.scalar(one, [other]) == pytest.approx(expected, rel=0.1, abs=0.3)
    assert agreement.scalar(one, [other[:200], other[200:]]) == pytest.approx(expected, rel=0.1, abs=0.3)


def test_errors_grow_with_the_scatter_of_runs():
    rng = np.random.default_rng(5)
    runs = [rng.normal(0.0, 2.0, 400) for _ in range(30)]
    assert 1.0 <= agreement.birge(runs) < 1.3
    apart = [run + 0.3 * rng.normal() for run in runs]  # their errors are 0.1
    assert agreement.birge(apart) == pytest.approx(np.sqrt(10.0), rel=0.35)


# -- the studies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", run.STUDIES)
def test_a_study_leaves_nothing_open_and_is_what_was_measured(name):
    """Engines would choose for themselves; and the hidden correction fits on the splines of the study."""
    tree = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    study, hidden = Study.from_toml(FOLDER / f"{name}.toml"), measure.HIDDEN[name]
    assert "auto" not in [study.config.sampling.model_dump()[key] for key in ("timestep", "frames", "stride")]
    (system,) = study.systems
    assert dict(zip(system.species, system.n_per_species, strict=True)) == hidden.species
    assert system.number_density == pytest.approx(hidden.number_density, rel=1e-5)
    for data in study.datasets:
        np.testing.assert_allclose(data.measurement.curve.sigma, hidden.noise)
        np.testing.assert_allclose(data.measurement.curve.x, hidden.x, atol=1e-6)
    lab = measure.laboratory(name)
    assert study.pairs == lab.pairs
    r = np.linspace(tree["correction"]["r_min"], tree["correction"]["r_cut"] - 1.0, 200)
    for row, pair in zip(lab.hidden.energy(r), lab.pairs, strict=True):
        height, centre, width = hidden.bumps["-".join(pair)]
        wanted = lab.kt * height * np.exp(-((r - centre) ** 2) / (2 * width**2))
        np.testing.assert_allclose(row, wanted, atol=0.05 * lab.kt * abs(height))


@pytest.mark.slow
def test_all_engines_run(tmp_path, capsys):
    """With samples so short that only the road is tested; and nothing that is done is run again."""
    asked = ["--only", "argon", "--out", str(tmp_path), "--budget", "small"]
    run.main(asked)
    said = capsys.readouterr().out
    names = [f"jax, seed {k}" for k in (1, 2, 3, 4)] + [*run.ENGINES, run.WARMER]
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("| ")][2:]
    assert [row[0].removeprefix("| ") for row in rows] == names
    assert len(list((tmp_path / "argon").glob(f"*-{run.CLOCK}"))) == len(names)
    assert (tmp_path / "argon" / "files" / "steps" / "001" / "120K" / "dump.lammpstrj").is_file()
    for clock in (tmp_path / "argon").glob(f"*-{run.CLOCK}"):
        clock.write_text(json.dumps([12345.0, 6.0]))
    run.main(asked)
    assert capsys.readouterr().out.count(" | 12345 | 6 |") == len(names)


# -- metals ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Al"])
def test_a_liquid_metal_is_that_of_a_plain_lammps(name):
    """g(r), pressure, and D of `refine compare` beside LAMMPS' own mean square displacement, within 4 sigma; D to a
    fifth."""
    plan = metals.Plan().scaled(0.3)
    ours, theirs = metals.both(metals.METALS[name], 108, plan)
    _, sigma, pressure, apart = metals.compared(ours, theirs)
    assert abs(sigma) < 4
    assert abs(pressure) < 4
    assert list(apart) == list(metals.METALS[name].shares)
    for element, z in apart.items():
        assert abs(z) < 4
        for side in (ours, theirs):
            value, error = side.diffusion[element]
            assert 0.0 < error < 0.2 * value


@pytest.mark.slow
def test_a_correction_hidden_on_top_of_an_embedded_atom_potential_is_found(tmp_path):
    """g(r), of which S(Q) alone is fitted, φ and its error bars, and the pressure."""
    found = recovery.found("Al", 108, 0.15, tmp_path)
    assert found.r_chi[1] < 0.5 * found.r_chi[0]
    assert found.g[1] < 0.6 * found.g[0]
    assert found.hidden > 0.15
    assert found.off < 0.6 * found.hidden
    assert found.deviations < 2.0
    assert found.within[1] >= 0.8
    _, (after, its_error), (measured, error) = found.pressure
    assert abs(after - measured) < 4 * np.hypot(its_error, error)


# -- the benchmark -----------------------------------------------------------------------------------------------------


def test_the_benchmark_gives_engines_all_that_they_ask_for():
    """Its settings have what `Dynamics` names; a key that is new there is one here."""
    settings = benchmark.Settings(1.0, 10)
    asked = [name for name, value in vars(Dynamics).items() if isinstance(value, property)]
    assert asked
    assert [name for name in asked if not hasattr(settings, name)] == []


# -- calculators of other packages -------------------------------------------------------------------------------------


def test_what_acts_is_a_calculator_and_the_pairs_of_a_correction(tmp_path: Path) -> None:
    tried = calculators.CALCULATORS["EMT"]
    calculators.ase.io.write(tmp_path / "start.extxyz", tried.atoms())
    q = np.arange(1.5, 10.0, 0.05)
    np.savetxt(
        tmp_path / "sq.csv", np.stack([q, 1.0 + 0.1 * np.sin(2.0 * q) / q, 0.1 + 0.0 * q], axis=1), delimiter=","
    )
    (tmp_path / "study.toml").write_text(calculators.to_toml(calculators.study(tried, {"file": "sq.csv"})))
    found = calculators.apart(tried, tmp_path)
    assert found.energy < 1e-9
    assert found.force < 1e-6
    assert found.virial < 1e-4
    assert min(found.correction) > 0.01
    assert found.stress < 1e-4 < 1.0 < found.largest


@pytest.mark.slow
def test_the_script_of_calculators(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(calculators.sys, "argv", ["calculators.py", "--only", "EMT", "--out", str(tmp_path)])
    calculators.main()
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert row[0] == "| EMT, ase"
    before, asked, after = (float(cell.strip(" |")) for cell in row[-3:])
    assert asked == pytest.approx(before + calculators.HIGHER, abs=0.01)
    assert after > before
