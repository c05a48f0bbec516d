"""`refine sensitivity`: its parsers, its chain rule and its jackknife, without dynamics; one small study with it."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from refine import Study
from refine.errors import InputError
from refine.potentials.bases import BASES
from refine.progress import NullProgress
from refine.results.scores import score
from refine.study.schema import StudyConfig
from refine.tasks.outputs import write_files
from refine.tasks.sensitivity import Parameter, Quantity, parse_parameter, parse_quantity, sensitivity
from refine.tasks.sensitivity.answer import Estimate, Sensitivity
from refine.tasks.sensitivity.directions import BaseParameter, Coefficient
from refine.tasks.sensitivity.estimates import average, fluctuation
from refine.tasks.sensitivity.scalar import ScalarOfCurve
from refine.units import BOLTZMANN

TEMPERATURE = 95.0


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """108 argon atoms against a made-up g(r)."""
    folder = tmp_path_factory.mktemp("sensitivity")
    r = np.arange(0.05, 8.0, 0.05)
    g = 1 / (1 + np.exp(-(r - 3.35) / 0.1)) * (1 + 1.5 * np.exp(-((r - 3.75) ** 2) / 0.2))
    np.savetxt(folder / "gr.csv", np.column_stack([r, g]), delimiter=",", header="r,g", comments="")
    config = StudyConfig.parse(
        {
            "system": {"species": {"Ar": 108}, "number_density": 0.02},
            "states": [{"name": "95K", "temperature": TEMPERATURE}],
            "data": [
                {
                    "name": "argon",
                    "file": "gr.csv",
                    "quantity": "g(r)",
                    "pair": ["Ar", "Ar"],
                    "score_r": [3.0, 6.0],
                    "fit_r": [2.5, 6.0],
                }
            ],
            "model": {"base": "lennard-jones", "parameters": {"epsilon": 0.010324, "sigma": {"Ar": 3.405}}},
            "correction": {"knots": 12, "r_min": 2.8, "r_cut": 6.0},
            "sampling": {"timestep": 10.0, "equilibration": 2.0, "frames": 100, "stride": 10, "replicas": 1, "seed": 1},
        },
        folder=folder,
    )
    return Study(config)


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("argon:S(Q)@2.0", Quantity("argon", "point", "S(Q)", x=2.0)),
        ("argon:Q[S(Q)-1]@.5", Quantity("argon", "point", "Q[S(Q)-1]", x=0.5)),
        ("a:b:g(r):height@3..4.5", Quantity("a:b", "height", "g(r)", limits=(3.0, 4.5))),
        ("argon:S(Q):position@1.5..2.5", Quantity("argon", "position", "S(Q)", limits=(1.5, 2.5))),
        ("argon:R_chi", Quantity("argon", "R_chi")),
    ],
)
def test_quantities(text, quantity):
    assert parse_quantity(text) == quantity
    assert parse_quantity(str(quantity)) == quantity


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("Ar-Ar@3.8", Parameter("phi", ("Ar", "Ar"), 3.8)),
        ("epsilon", Parameter("epsilon")),
        ("sigma:Ar-Kr", Parameter("sigma", key="Ar-Kr")),
    ],
)
def test_parameters(text, parameter):
    assert parse_parameter(text) == parameter
    assert parse_parameter(str(parameter)) == parameter


@pytest.mark.parametrize(
    "text", ["", "argon", "argon:S(Q)", "argon:S(Q)@", "argon:S(Q):width@1..2", "argon:S(Q):height@2"]
)
def test_no_quantity(text):
    with pytest.raises(InputError, match="names no quantity"):
        parse_quantity(text)


def test_empty_range():
    with pytest.raises(InputError, match="empty"):
        parse_quantity("argon:S(Q):height@2..1")


@pytest.mark.parametrize("text", ["", "Ar-Ar", "3.8", "Ar-Ar@", "@3.8"])
def test_no_parameter(text):
    with pytest.raises(InputError, match="names no parameter"):
        parse_parameter(text)


@pytest.mark.parametrize(
    "text",
    ["argon:g(r)@3.72", "argon:T(r)@4.0", "argon:g(r):height@3..4.6", "argon:g(r):position@3..4.6", "argon:R_chi"],
)
def test_the_derivative_by_the_counts(study, text):
    """Central differences along a smooth change of the counts."""
    box = study.boxes[0]
    r = box.centres
    counts = box.ideal_counts / (1 + np.exp(-(r - 3.4) / 0.1)) * (1 + 1.3 * np.exp(-((r - 3.8) ** 2) / 0.25))
    scalar = ScalarOfCurve(parse_quantity(text), study.datasets[0], study.targets["argon"])
    direction = box.ideal_counts * np.sin(r)
    (up, _), (down, _) = scalar(counts + 1e-4 * direction), scalar(counts - 1e-4 * direction)
    assert np.sum(scalar(counts)[1] * direction) == pytest.approx((up - down) / 2e-4, rel=1e-5)


@pytest.mark.parametrize("background", [False, True])
def test_r_chi_is_that_of_every_page_and_its_derivative_moves_the_scale(study, background):
    """A free scale, and a background, follow the counts: the value is that of `score`, the derivative that of it."""
    box, data = study.boxes[0], study.datasets[0]
    counts = box.ideal_counts / (1 + np.exp(-(box.centres - 3.4) / 0.1))
    target = replace(study.targets["argon"], free_scale=True)
    if background:
        shape = np.cos(data.measurement.r)
        data = replace(data, measurement=replace(data.measurement, total_background=shape[:, None]))
        target = replace(target, background=np.cos(target.x)[:, None], background_prior=np.array([0.1]))
    scalar = ScalarOfCurve(parse_quantity("argon:R_chi"), data, target)
    frames = SimpleNamespace(counts=counts[None], replica=np.zeros(1, int))
    expected = score(data, target, frames, errors=False)
    assert abs(expected.nuisance.scale - 1.0) > 0.01
    assert scalar(counts)[0] == expected.r_chi
    direction = box.ideal_counts * np.sin(box.centres)
    (up, _), (down, _) = scalar(counts + 1e-4 * direction), scalar(counts - 1e-4 * direction)
    slope = np.sum(scalar(counts)[1] * direction)
    assert slope == pytest.approx((up - down) / 2e-4, rel=1e-5)
    # at a fixed scale and background it is another one: chi^2 is minimal there, and R_chi is not
    free = expected.nuisance
    up, down = (
        data.measurement.r_chi(counts + sign * 1e-4 * direction, free.scale, free.background) for sign in (1, -1)
    )
    assert slope != pytest.approx((up - down) / 2e-4, rel=1e-3)


def test_fluctuations_of_independent_bins(study):
    """Poisson counts: d<h_b>/dp = -beta <h_b> n_b exactly; the answer within four of its errors, which are 3 %."""
    box = study.boxes[0]
    r = box.centres
    mean = box.ideal_counts / (1 + np.exp(-(r - 3.4) / 0.1)) * (1 + 1.3 * np.exp(-((r - 3.8) ** 2) / 0.25))
    counts = np.random.default_rng(1).poisson(mean, (8000, *mean.shape)).astype(float)
    scalar = ScalarOfCurve(parse_quantity("argon:g(r):height@3..4.6"), study.datasets[0], study.targets["argon"])
    direction = Coefficient(study, parse_parameter("Ar-Ar@3.85"), 0)
    number = direction.number(box.edges)
    beta = 1 / (BOLTZMANN * TEMPERATURE)
    _, v = scalar(mean)
    exact = -beta * np.sum(v * mean * number)
    value, stderr = fluctuation(
        counts, np.zeros(len(counts), int), np.einsum("fpb,pb->f", counts, number), scalar, beta
    )
    assert abs(value - exact) < 4 * stderr
    assert stderr < 0.1 * abs(exact)
    height, error = average(counts, np.zeros(len(counts), int), scalar)
    assert abs(height - scalar(mean)[0]) < 4 * error


def test_pair_energies_along_parameters(study):
    """dU/d epsilon = U/epsilon, dU/d sigma by hand, a coefficient's B-spline."""
    edges = study.boxes[0].edges
    centres = 0.5 * (edges[1:] + edges[:-1])
    near = (centres > 3.3) & (centres < 5.4)  # below the switch of the cutoff
    epsilon, sigma, r = 0.010324, 3.405, centres[near]
    s6 = (sigma / r) ** 6
    by_epsilon = BaseParameter(study, parse_parameter("epsilon"), 0).number(edges)[0, near]
    by_sigma = BaseParameter(study, parse_parameter("sigma:Ar"), 0).number(edges)[0, near]
    scale = np.abs(by_sigma).max()
    np.testing.assert_allclose(by_epsilon, 4 * (s6**2 - s6), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(by_sigma, 24 * epsilon / sigma * (2 * s6**2 - s6), atol=2e-3 * scale)
    correction = study.initial_correction()
    by_phi = Coefficient(study, parse_parameter("Ar-Ar@3.85"), 0).number(edges)
    k = int(np.argmin(np.abs(correction.basis.centres - 3.85)))
    np.testing.assert_array_equal(by_phi, correction.binned_basis(edges)[:, :, k])


@pytest.mark.parametrize(
    ("of", "parameter", "words"),
    [
        ("neon:R_chi", "epsilon", "no data set is called 'neon'"),
        ("argon:S(Q)@2", "epsilon", "no curve of data set"),
        ("argon:g(r)@20", "epsilon", "known from"),
        ("argon:g(r):height@3..3.05", "epsilon", "7 are needed"),
        ("argon:R_chi", "Ar-Kr@3.8", "no corrected pair"),
        ("argon:R_chi", "Ar-Ar@9", "no coefficient"),
        ("argon:R_chi", "charge", "no parameter of the base"),
        ("argon:R_chi", "epsilon:Ar", "one number for all"),
        ("argon:R_chi", "sigma", "not given in the study"),
    ],
)
def test_refusals(study, of, parameter, words):
    with pytest.raises(InputError, match=words):
        sensitivity(study, of=parse_quantity(of), parameter=parse_parameter(parameter))


@pytest.mark.parametrize("settings", [{"frames": 10}, {"windows": 2}, {"delta": -1.0}])
def test_too_little(study, settings):
    with pytest.raises(InputError):
        sensitivity(study, of=parse_quantity("argon:R_chi"), parameter=parse_parameter("epsilon"), **settings)


@pytest.mark.parametrize("base", ["mace", "stillinger-weber"])
def test_a_base_without_parameters(study, base):
    """Those that are no sum of pair functions, some of whose tables have no such key."""
    table = BASES.table(base)
    other = SimpleNamespace(
        initial_correction=study.initial_correction,
        problem=study.problem,
        config=SimpleNamespace(model=table(base=base, **table.examples[base].keys)),
        base_energies=lambda r: None,
    )
    with pytest.raises(InputError, match="has no parameter 'epsilon'"):
        BaseParameter(other, parse_parameter("epsilon"), 0)


def test_a_base_whose_pairs_have_forms_of_their_own(study):
    """It takes no [model.parameters], so nothing is to be written there."""
    form = {"form": "born-mayer", "A": 1000.0, "rho": 0.3}
    model = BASES.table("by-pair")(base="by-pair", pairs={"Ar-Ar": form})
    other = SimpleNamespace(
        initial_correction=study.initial_correction,
        problem=study.problem,
        config=SimpleNamespace(model=model),
        base_energies=study.base_energies,
    )
    with pytest.raises(InputError, match=r"'A' is no parameter of the base; ask for a coefficient"):
        BaseParameter(other, parse_parameter("A"), 0)


def test_no_maximum(study):
    box = study.boxes[0]
    counts = box.ideal_counts * box.centres  # rises to the end
    with pytest.raises(InputError, match="no maximum between"):
        ScalarOfCurve(parse_quantity("argon:g(r):height@3..4.6"), study.datasets[0], study.targets["argon"])(counts)


class Events(NullProgress):
    """Counts what a progress display would be told."""

    def __init__(self):
        self.stages, self.done = [], []

    def stage(self, label, total):
        self.stages.append((label, total))
        self.done.append(0)

    def advance(self, n):
        self.done[-1] += n

    def message(self, text):
        pass


@pytest.mark.slow
def test_a_small_study(study, monkeypatch, tmp_path):
    """All parts together: numbers, costs, JSON and a table; agreement is tested in tests/statistical."""
    # most of the time is LLVM's
    monkeypatch.setattr("refine.sampling.jax.adjoint.CPU_OPTIONS", {"xla_backend_optimization_level": 0})
    events = Events()
    found = sensitivity(
        study,
        of=parse_quantity("argon:g(r):height@3..5"),
        parameter=parse_parameter("sigma:Ar"),
        frames=110,
        windows=4,
        steps=25,
        out=tmp_path,
        progress=events,
    )
    assert [total for _, total in events.stages] == events.done
    assert [e.method for e in found.estimates] == [
        "fluctuation",
        "fluctuation, window",
        "backprop",
        "finite differences",
    ]
    assert found.unit == "Å"
    assert 2.0 < found.value < 4.0
    assert all(np.isfinite([e.value, e.stderr]).all() and e.stderr > 0 for e in found.estimates)
    steps = found.by("fluctuation").md_steps
    assert steps == 4 * 28 * 10 + 200  # four parts of whole frames x stride, and 2 ps of 10 fs
    assert found.by("backprop").md_steps == steps + 4 * 25
    assert found.by("finite differences").md_steps == 2 * (110 * 10 + 200)
    assert json.loads((tmp_path / "sensitivity.json").read_text())["estimates"][2]["method"] == "backprop"
    written = list(csv.DictReader((tmp_path / "sensitivity" / "methods.csv").open(encoding="utf-8")))
    assert [row["method"] for row in written] == [e.method for e in found.estimates]
    assert float(written[0]["derivative [per Å]"]) == pytest.approx(found.estimates[0].value, rel=1e-7)
    table = found.table()
    assert all(word in table for word in ("finite differences", "per Å", "1/ps", "delta = 0.0681 Å"))


def test_numbers_of_a_derivative_as_files(tmp_path):
    """JSON and CSV, with units; a table of before that is not made again goes, and nothing else does."""
    estimates = (Estimate("fluctuation", 0.5, 0.1, 100, 1.0), Estimate("backprop", 0.4, 0.2, 200, 2.0, "4 windows"))
    found = Sensitivity("a:S(Q)@2", "Fe-O@2", 1.0, 0.1, "eV", estimates, (0.1, 0.2), (1.0, 3.0), 11.0, 0.5)
    (tmp_path / "sensitivity").mkdir()
    (tmp_path / "sensitivity" / "old.csv").touch()
    (tmp_path / "sensitivity" / "mine.csv").touch()
    write_files(tmp_path, found.files() | {"sensitivity/old.csv": None})
    names = sorted(path.name for path in (tmp_path / "sensitivity").iterdir())
    assert names == ["growth.csv", "methods.csv", "mine.csv"]
    assert (tmp_path / "sensitivity" / "growth.csv").read_text().startswith("window [ps],rms_derivative [per eV]\n")
    assert (tmp_path / "sensitivity" / "methods.csv").read_text().splitlines() == [
        "method,derivative [per eV],stderr [per eV],md_steps,seconds,about",
        "fluctuation,0.5,0.1,100,1,averages",
        "backprop,0.4,0.2,200,2,4 windows",
    ]
    assert json.loads((tmp_path / "sensitivity.json").read_text())["unit"] == "eV"
