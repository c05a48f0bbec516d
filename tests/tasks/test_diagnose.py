"""A study of Lennard-Jones argon whose "measurement" is the same liquid, hotter: the diagnosis says so, by how much.

Both are 108 atoms; the measurement is S(Q) with a white noise of 0.005 and the sampling error of its own run.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine import Study
from refine.curves.curve import Curve
from refine.errors import InputError
from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.frames import Frames
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.sampling.starts import melt
from refine.sampling.state import MDState
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.study.schema import StudyConfig
from refine.system import Box, make_system
from refine.tasks.diagnose import Diagnosis, diagnose, examine

TEMPERATURE, SHIFT, RHO, ATOMS, NOISE = 95.0, 10.0, 0.0205, 108, 0.005
LJ = {"epsilon": 0.010324, "sigma": 3.405}
CUTOFF = 8.0
Q = np.arange(0.05, 12.0, 0.04)


@cache
def sampler_of(rho: float) -> tuple[Sampler, Any]:
    """Of Lennard-Jones argon, cut at 8 Å, at a density, and its parameters: compiled once for all runs there."""
    system = make_system({"Ar": ATOMS}, np.eye(3) * (ATOMS / rho) ** (1 / 3))
    bins = int(system.r_box / 0.05)
    base = LennardJones.from_parameters(("Ar",), (("Ar", "Ar"),), LJ, CUTOFF)
    field = PairForceField(base, CUTOFF, (ATOMS,), orthorhombic=True)
    sampler = Sampler(
        system, field, thermostat=Langevin(0.5), timestep=8.0, stride=25, n_bins=bins, r_max=bins * 0.05, replicas=4
    )
    return sampler, field.params(None)


def liquid(temperature: float, seed: int, frames: int, rho: float = RHO) -> tuple[Frames, Box]:
    """A run at a temperature, from the molten liquid of the middle density with its positions scaled."""
    sampler, params = sampler_of(rho)
    start = molten().positions * (RHO / rho) ** (1 / 3)
    state = sampler.start(start, temperature, seed)
    state, _ = sampler.run(state, params, temperature, 40, observe=False)  # 8 ps
    _, sampled = sampler.run(state, params, temperature, frames // 4)
    volume, bins = sampler.system.volume, sampler.n_bins
    return sampled, Box(("Ar",), (ATOMS,), volume, 0.05 * np.arange(bins + 1))


@cache
def molten() -> MDState:
    sampler, params = sampler_of(RHO)
    return melt(sampler, params, TEMPERATURE + SHIFT, seed=100, picoseconds=8.0)


def write_measurement(folder: Path, frames: Frames, box: Box, name: str = "sq.csv", errors: bool = True) -> None:
    """S(Q) of a run with noise, as a file of three columns, or of two."""
    known = {"composition": {"Ar": 1}, "number_density": box.number_density, "isotopes": {"Ar": 36}}
    blank = Curve(x=Q, y=np.ones_like(Q), **known)
    # Of g up to half the box, not faded out there: the study fades it, and would do so twice.
    one = np.ones_like(Q)
    series = CurveOperator.from_g(Q, ForwardModel(blank, box).bound.distinct, one, one, box).predict(frames.counts)
    s = series.mean(axis=0) + NOISE * np.random.default_rng(5).normal(size=len(Q))
    # The error of the run is the same over a Nyquist interval, where white errors average out: written larger by that.
    interval = np.sqrt(np.pi / box.r_max / (Q[1] - Q[0]))
    blocks = np.array([b.mean(axis=0) for b in np.array_split(series, 24)])
    sigma = np.hypot(NOISE, interval * blocks.std(axis=0, ddof=1) / np.sqrt(24))
    columns = [Q, s, sigma] if errors else [Q, s]
    np.savetxt(folder / name, np.column_stack(columns), delimiter=",", fmt="%.6f")


def study(folder: Path, name: str = "sq.csv", **entry: object) -> Study:
    """The study at the lower temperature."""
    data = {
        "name": "argon", "file": name, "quantity": "S(Q)", "radiation": "neutron", "isotopes": {"Ar": 36},
        "fit_q": [0.6, 11.9], "score_r": [2.5, 8.0],
    }  # fmt: skip
    config = StudyConfig.parse(
        {
            "system": {"species": {"Ar": ATOMS}, "number_density": RHO},
            "states": [{"name": "base", "temperature": TEMPERATURE}],
            "data": [data | entry],
            "model": {"base": "lennard-jones", "parameters": LJ},
            "correction": {"knots": 20, "r_min": 2.8, "r_cut": CUTOFF},
            "sampling": {
                "timestep": 8.0, "equilibration": 8.0, "frames": 600, "stride": 25, "seed": 1, "replicas": 4,
                "bin_width": 0.05,
            },
            "refinement": {"iterations": 1},
        },
        folder=folder,
    )  # fmt: skip
    return Study(config)


@pytest.fixture(scope="module")
def hot() -> tuple[Frames, Box]:
    return liquid(TEMPERATURE + SHIFT, 100, 1200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hot: tuple[Frames, Box]) -> Path:
    made = tmp_path_factory.mktemp("diagnose")
    write_measurement(made, *hot)
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> Diagnosis:
    return diagnose(study(folder), out=folder / "out")


def test_the_shift_is_found_within_its_error(found: Diagnosis) -> None:
    shift = found.explanation("temperature").estimates[0]
    print(found.table(), *found.words(), sep="\n")
    assert found.clear
    assert shift.unit == "K"
    assert shift.alone_stderr < 3.0
    assert abs(shift.alone - SHIFT) < 3.0 * shift.alone_stderr, found.table()
    temperature = found.explanation("temperature")
    assert temperature.share is not None
    assert temperature.share_stderr is not None
    assert temperature.share > max(0.6, 1.0 - 3.0 * temperature.share_stderr), found.table()
    single = [e for e in found.explanations if e.kind != "pair"]  # a pair correction can do all that temperature can
    assert max(single, key=lambda e: e.share or 0.0).kind == "temperature", found.table()


def test_the_colder_model_is_over_structured(found: Diagnosis) -> None:
    for peak in found.peaks:
        assert peak.sigmas > 2.0
        assert peak.measured_height_stderr is not None
        by_temperature = next(s for s in peak.sensitivities if s.kind == "temperature")
        # the peak's height follows its derivative: what a shift of 10 K does to it, to a fifth and the noise
        expected = SHIFT * by_temperature.height
        error = np.hypot(peak.model_height_stderr, peak.measured_height_stderr)
        assert peak.measured_height - peak.model_height == pytest.approx(expected, abs=0.25 * abs(expected) + 3 * error)
    assert {p.curve for p in found.peaks} == {"T(r)/(4 pi rho0 r)", "S(Q)"}
    assert any("over-structured" in sentence for sentence in found.words())


def test_what_is_written_and_said(found: Diagnosis, folder: Path) -> None:
    stored = json.loads((folder / "out" / "diagnosis.json").read_text())
    assert stored["explanations"][0]["kind"] == "temperature"
    assert stored["words"] == found.words()
    assert any("of the misfit of argon is what a temperature shift of +" in sentence for sentence in found.words())
    assert any(sentence.endswith("refine compare STUDY --set compare.density=true.") for sentence in found.words())
    tables = {path.name: list(csv.DictReader(path.open())) for path in (folder / "out" / "diagnosis").glob("*.csv")}
    assert set(tables) == {"directions.csv", "peaks.csv", "slopes.csv"}
    row, shift = tables["directions.csv"][0], found.explanation("temperature").estimates[0]
    assert (row["kind"], row["unit"]) == ("temperature", "K")
    assert float(row["alone"]) == pytest.approx(shift.alone, rel=1e-7)
    assert len(tables["peaks.csv"]) == len(found.peaks)
    assert all(row["position_unit"] in ("Å", "1/Å", "") for row in tables["slopes.csv"])
    assert "temperature shift" in found.table()
    assert not any(line.endswith(" ") for line in found.table().splitlines())


def test_data_without_errors_get_a_factor_and_a_sentence(folder: Path, hot: tuple[Frames, Box]) -> None:
    frames, box = hot
    write_measurement(folder, frames, box, "bare.csv", errors=False)
    bare = examine(study(folder, "bare.csv"), (frames,))
    assert list(bare.noise_factors) == ["argon"]
    assert bare.noise_factors["argon"] >= 1.0
    assert any("states no errors" in sentence for sentence in bare.words())
    assert all(p.measured_height_stderr is None for p in bare.peaks)
    assert not bare.clear  # a model compared with its own run
    assert "no misfit to take apart" in bare.words()[0]


def test_data_in_r_space(folder: Path, hot: tuple[Frames, Box]) -> None:
    """g(r) that states a Q range, with its own run as the model but a scale error of 5 %."""
    frames, box = hot
    from_g = {"composition": {"Ar": 1}, "number_density": RHO, "isotopes": {"Ar": 36}, "quantity": "g(r)"}
    r = box.centres[10:]
    blank = Curve(x=r, y=np.ones_like(r), radiation="neutron", q_min=0.0, q_max=12.0, **from_g)
    shown = ForwardModel(blank, box).measurement((3.0, 8.0)).shown.predict(frames.counts.mean(axis=0))
    g = 1.0 + 1.05 * (shown - 1.0) + 0.01 * np.random.default_rng(3).normal(size=len(r))
    np.savetxt(folder / "gr.csv", np.column_stack([r, g]), delimiter=",", fmt="%.6f")
    entry = {"quantity": "g(r)", "fit_q": None, "fit_r": [2.6, 8.0], "q_range": [0.0, 12.0], "sigma": 0.01}
    made = examine(study(folder, "gr.csv", **entry), (frames,))
    assert [p.curve for p in made.peaks] == ["T(r)/(4 pi rho0 r)"]
    assert made.peaks[0].measured_height_stderr == pytest.approx(0.006, abs=0.005)
    assert made.peaks[0].measured_height > made.peaks[0].model_height
    scale = made.explanation("scale").estimates[0]
    assert abs(scale.alone - 5.0) < 3.0 * scale.alone_stderr
    assert made.explanation("truncation").estimates[0].unit == "1/Å"
    assert "background" not in [e.kind for e in made.explanations]


@pytest.mark.slow
def test_different_peaks_are_not_compared(folder: Path, hot: tuple[Frames, Box]) -> None:
    """A measurement with a peak before the one that is the model's first: one line says so, no number does."""
    q, s, sigma = np.loadtxt(folder / "sq.csv", delimiter=",").T
    before = s + 2.0 * np.exp(-((q - 0.9) ** 2) / (2 * 0.25**2))  # as wide as half the box can show
    np.savetxt(folder / "before.csv", np.column_stack([q, before, sigma]), delimiter=",", fmt="%.6f")
    diagnosis = examine(study(folder, "before.csv"), [hot[0]])
    (warning,) = (line for line in diagnosis.words() if "S(Q) of argon cannot be compared" in line)
    assert "the measured one stands at 0." in warning
    assert "S(Q)" not in {peak.curve for peak in diagnosis.peaks}


@pytest.mark.slow
def test_density_by_finite_differences_of_real_runs(folder: Path) -> None:
    """S(Q) of runs 2 % denser and less dense, each in its own box: their difference is the density column."""
    from refine.refinement.misfit.ensemble import Ensemble
    from refine.refinement.misfit.views import View

    middle, box = liquid(TEMPERATURE, 20, 1200)
    curve = study(folder).datasets[0].measurement.curve
    ends = []
    for sign in (1, -1):
        other, own = liquid(TEMPERATURE, 30 + sign, 1200, RHO * (1.0 + 0.02 * sign))
        ends.append((other, own))
    # the histogram of the middle box: edges that all three boxes reach
    bins = min(len(b.edges) for b in (box, *(own for _, own in ends))) - 1
    edges = box.edges[: bins + 1]

    def cut(frames: Frames) -> Frames:
        return replace(frames, counts=frames.counts[:, :, :bins], r_max=float(edges[-1]))

    box = replace(box, edges=edges)

    def rebuild(other: Box) -> tuple:
        fit = ForwardModel(curve, other).fit((0.6, 11.9), None)
        return fit.operator, fit.values

    ensemble = Ensemble.build(cut(middle), box, TEMPERATURE, study(folder).initial_correction())
    view = View(rebuild(box)[0], rebuild)
    column = ensemble.columns(view)[0]["density"][:, 0]
    curves = [rebuild(replace(own, edges=edges))[0].predict(cut(other).counts) for other, own in ends]
    difference = (curves[0].mean(axis=0) - curves[1].mean(axis=0)) / 0.04
    # errors: frames 0.2 ps apart, four replicas; ten blocks of each
    blocks = [np.array([b.mean(axis=0) for b in np.array_split(c, 10)]) for c in curves]
    error = np.sqrt(sum(b.var(axis=0, ddof=1) / 10 for b in blocks)) / 0.04
    dy = view.operator.predict(ensemble.frames.counts)
    v = ensemble.variables["density"]
    products = (dy - dy.mean(axis=0)) * (v - v.mean())
    own_error = np.std([p.mean(axis=0) for p in np.array_split(products, 10)], axis=0, ddof=1) / np.sqrt(10)
    z = (column - difference) / np.hypot(error, own_error)
    assert np.mean(z**2) < 2.0, z
    # and it is a measurement, not two noises: the column stands far out of its error, and its opposite does not fit
    opposite = (column + difference) / np.hypot(error, own_error)
    assert np.mean(opposite**2) > 10.0


def test_errors_of_the_user(folder: Path) -> None:
    with pytest.raises(InputError, match="frames are too few"):
        diagnose(study(folder), frames=10)
