"""What a study file becomes before any dynamics: targets, corrections, parameters of the base, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.classical.base import ClassicalBase
from refine.sampling.engines import ENGINES
from refine.sampling.jax.kind import Jax
from refine.scattering.measurement import ForwardModel
from refine.study.datasets import BACKGROUND_SHARE, atoms_of
from refine.study.study import Study

STUDY = """
[system]
species = { Ar = 108 }
number_density = 0.02125
[[states]]
name = "cold"
temperature = 85.0
[[states]]
name = "hot"
temperature = 145.0
[[data]]
name = "cold-sq"
file = "sq.csv"
state = "cold"
quantity = "S(Q)"
radiation = "neutron"
fit_q = [0.8, 11.0]
score_r = [3.0, 7.0]
[[data]]
name = "hot-sq"
file = "sq.csv"
state = "hot"
quantity = "S(Q)"
radiation = "neutron"
fit_q = [0.8, 11.0]
score_r = [3.0, 7.0]
[model]
base = "lennard-jones"
[model.parameters]
epsilon = 0.0095
sigma = 3.38
[correction]
knots = 16
r_min = 2.8
r_cut = 6.5
[sampling]
bin_width = 0.1
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """make(*overrides): the study of two states, S(Q) of a damped oscillation for both."""
    folder: Path = tmp_path_factory.mktemp("study")
    q = np.arange(0.1, 11.9, 0.1)
    s = 1.0 + 0.8 * np.cos(3.1 * (q - 2.0)) * np.exp(-0.3 * q)
    np.savetxt(folder / "sq.csv", np.column_stack([q, s]), delimiter=",", header="Q,S", comments="")
    (folder / "study.toml").write_text(STUDY)
    return lambda *overrides: Study.from_toml(folder / "study.toml", overrides)


def test_a_curve_may_be_some_columns_of_one_of_several(make, tmp_path):
    """Names or numbers; the rest of the file is left alone."""
    study = make()
    q, s = study.datasets[0].measurement.curve.x, study.datasets[0].measurement.curve.y
    table = np.column_stack([np.arange(len(q)), q, np.full(len(q), 0.01), s])
    folder = study.config.curves[0].path.parent
    with (folder / "many.txt").open("w") as file:
        file.write("row Q error cold\n")
        for factor in (1.0, 3.0):
            np.savetxt(file, table * [1.0, 1.0, factor, 1.0])
    for columns in ('["Q", "cold", "error"]', "[2, 4, 3]"):
        given = make('data.0.file="many.txt"', f"data.0.columns={columns}", "data.0.block=2")
        curve = given.datasets[0].measurement.curve
        np.testing.assert_allclose(curve.y, s)
        np.testing.assert_allclose(curve.sigma, 0.03)
    with pytest.raises(InputError, match="a second curve seems to begin here"):
        _ = make('data.0.file="many.txt"', 'data.0.columns=["Q", "cold"]').datasets
    with pytest.raises(InputError, match="4 columns; which of them are x, y"):
        _ = make('data.0.file="many.txt"', "data.0.block=1").datasets


def test_a_target_has_no_background_unless_it_is_free(make):
    study = make("data.0.free_background=true", "data.1.free_scale=true", "data.1.scale_prior=0.05")
    cold, hot = study.problem.targets
    assert (cold.name, cold.state, hot.name, hot.state) == ("cold-sq", 0, "hot-sq", 1)
    assert hot.background is None
    assert (cold.free_scale, hot.free_scale, hot.scale_prior) == (False, True, 0.05)
    np.testing.assert_array_equal(cold.background, study.datasets[0].fit.background)
    # a tenth of the rms signal of the fitted points
    signal = np.sqrt(np.mean((cold.y - 1.0) ** 2))
    assert cold.background_prior == pytest.approx([BACKGROUND_SHARE * signal])
    given = make("data.0.free_background=true", "data.0.background_prior=0.02").problem.targets[0]
    assert given.background_prior == [0.02]


def test_a_smooth_background_of_a_study(make):
    """Both words, and the number of modes that the distance leaves: 1 + r_c (Q_max - Q_min)/π and two that fade."""
    word, other = (make(f"data.0.free_background='{kind}:12'") for kind in ("polynomial", "chebyshev"))
    target, data = word.targets["cold-sq"], word.datasets[0]
    np.testing.assert_array_equal(target.background, other.targets["cold-sq"].background)
    assert target.background.shape == (len(target.y), len(target.background_prior))
    assert data.background.below == 0.9
    span = data.measurement.curve.q_max - data.measurement.curve.q_min
    assert len(target.background_prior) == pytest.approx(1 + 0.9 * span / np.pi, abs=2.0)
    wider = make("data.0.free_background='polynomial:12'", "data.0.background_below=1.8").targets["cold-sq"]
    assert len(wider.background_prior) > len(target.background_prior)
    signal = np.sqrt(np.mean((target.y - 1.0) ** 2))
    assert np.sqrt(np.sum(target.background_prior**2)) == pytest.approx(signal, rel=0.02)


def test_the_resolution_is_in_every_operator_of_a_data_set(make):
    """Of the fit, of what is shown and scored, and of an operator that is made again, as `diagnose` does."""
    sharp, blurred = make(), make("data.0.q_damp=0.1", "data.1.resolution={ proportional = 0.02 }")
    for one, other, widths in zip(sharp.datasets, blurred.datasets, ((0.1, 0.0), (0.0, 0.02)), strict=True):
        resolution = other.measurement.curve.resolution
        assert (resolution.constant, resolution.proportional) == widths
        for name in ("shown", "in_box", "total"):
            operators = (getattr(data.measurement, name) for data in (one, other))
            assert len({operator.matrix.tobytes() for operator in operators}) == 2
        again = ForwardModel(other.measurement.curve, blurred.boxes[other.state]).measurement(None)
        np.testing.assert_array_equal(again.shown.matrix, other.measurement.shown.matrix)
        np.testing.assert_array_equal(other.fit.values, one.fit.values)
        assert np.abs(other.fit.operator.matrix - one.fit.operator.matrix).max() > 0.0


def test_an_intensity_of_a_study_is_per_its_unit(make):
    """Atoms of the unit, which is one of this material; numbers of another quantity are refused."""
    intensity = ("data.0.quantity='I(Q)'", "data.0.normalisation='keen'")
    with pytest.raises(InputError, match=r"times what an atom scatters by itself, and per 1 is declared"):
        _ = make(*intensity).datasets  # of S(Q), which tends to one
    with pytest.raises(InputError, match=r"per = 'ArO' is no formula of this material"):
        _ = make(*intensity, "data.0.per='ArO'").datasets
    box = make().boxes[0]
    for per, atoms in ((None, 1.0), ("atom", 1.0), ("Ar2", 2.0)):
        assert atoms_of(make().config.data[0].model_copy(update={"per": per}), box) == atoms


def test_errors_in_points_are_straight_lines_between_them(make):
    """On the measured points, and to 4 % on those of the fit, which take in some of their neighbours."""
    constant, falling = (
        make(f"data.0.sigma={sigma}").targets["cold-sq"] for sigma in ("0.01", "[[2, 0.04], [8, 0.01]]")
    )
    curve = make("data.0.sigma=[[2, 0.04], [8, 0.01]]").datasets[0].measurement.curve
    found = np.interp([1.0, 2.0, 5.0, 8.0, 9.0], curve.x, curve.sigma)
    np.testing.assert_allclose(found, [0.04, 0.04, 0.025, 0.01, 0.01])
    errors = np.sqrt(np.diag(falling.covariance) / np.diag(constant.covariance))
    q = make().datasets[0].fit.operator.x
    inside = (q > 1.5) & (q < 10.5)
    np.testing.assert_allclose(errors[inside], np.interp(q[inside], [2.0, 8.0], [4.0, 1.0]), rtol=0.04)
    assert errors[q > 9.0][0] == pytest.approx(1.0, abs=0.01)
    assert falling.sigma_known


def test_a_correction_is_the_same_at_all_temperatures_by_default(make):
    correction = make().initial_correction()
    assert correction.terms == 1
    assert correction.theta.shape == (16,)
    assert not np.any(correction.theta)


def test_a_correction_that_changes_is_centred_between_the_states(make):
    """T_0 the mean of the temperatures and the span their range: the factors of the two states are -1/2 and 1/2."""
    correction = make("correction.temperature='linear'").initial_correction()
    assert (correction.reference, correction.span) == (115.0, 60.0)
    assert correction.theta.shape == (32,)
    assert [correction.factors(t)[1] for t in (85.0, 115.0, 145.0)] == [-0.5, 0.0, 0.5]


def test_force_field_parameters_are_those_of_the_state(make):
    """The table of a state holds phi at the state's temperature."""
    study = make("correction.temperature='linear'")
    correction = study.initial_correction()
    theta = 0.001 * np.sin(np.arange(len(correction.theta)))
    correction = correction.with_theta(theta)
    fields = [field for field, _ in study.samplers()]
    for s, temperature in enumerate((85.0, 145.0)):
        ours = study.force_field_params(fields[s], s, correction)
        plain = fields[s].params(correction.at(temperature))
        assert _same(ours, plain)
        assert not _same(ours, fields[s].params(correction.at(115.0)))


def _same(a: object, b: object) -> bool:
    """Whether two parameter trees hold equal arrays."""
    import jax

    leaves = [jax.tree_util.tree_leaves(tree) for tree in (a, b)]
    return all(np.array_equal(x, y) for x, y in zip(*leaves, strict=True))


class Slow(Jax):
    """An engine that has no gradients, and one base."""

    differentiates = False

    def check(self, kind, model, base, systems):
        if len(systems) != 2:
            raise InputError("it takes two states", where="[sampling] engine")

    def advantage(self, kind, base):
        return "it is slow"


def test_an_engine_that_cannot_serve_a_study_is_refused(make, monkeypatch):
    for other in set(ENGINES) - {"jax"}:
        monkeypatch.delitem(ENGINES, other)
    monkeypatch.setitem(ENGINES, "slow", f"{Slow.__module__}:Slow")
    monkeypatch.setitem(sys.modules, Slow.__module__, SimpleNamespace(Slow=Slow))
    assert type(make("sampling.engine='slow'").engine) is Slow
    chosen = make("sampling.engine='auto'")
    assert chosen.settings.engine == "slow"
    assert "chose sampling.engine = slow: it is slow" in [choice.words() for choice in chosen.choices]
    assert chosen.decided(chosen.choices).settings.engine == "slow"
    backprop = "refinement.method='backprop'"
    with pytest.raises(InputError, match="'backprop' differentiates through the dynamics, and engine 'slow' cannot"):
        make("sampling.engine='slow'", backprop)
    assert make("sampling.engine='auto'", backprop).settings.engine == "jax"
    monkeypatch.setattr(ClassicalBase, "own_engine", "slow")
    with pytest.raises(InputError, match="base 'lennard-jones' is evaluated by engine 'slow' alone, and this is 'jax'"):
        make("sampling.engine='jax'")
    assert make().settings.engine == "slow"
    assert make("sampling.engine='auto'").settings.engine == "slow"


def test_keys_that_an_engine_does_not_have(make):
    """Nothing of a study is passed over in silence, and a pressure is refused before anything runs."""
    for key in ("processes", "threads"):
        with pytest.raises(InputError, match=rf"\[sampling\] {key}: engine 'jax' has no processes and threads; leave"):
            make(f"sampling.{key}=2")
    with pytest.raises(InputError, match=r"\[sampling\] devices: engine 'lammps' moves one replica after the other"):
        make("sampling.engine='lammps'", "sampling.devices=2")
    stage = "schedule=[{temperature=85.0, picoseconds=1.0, pressure=0.1}]"
    assert make("sampling.engine='lammps'", "sampling.threads=2", stage).stages[0].pressure == 0.1
    with pytest.raises(InputError, match=r"\[sampling\] processes: engine 'lammps' holds no pressure as a program"):
        make("sampling.engine='lammps'", "sampling.processes=2", stage)
    assert make("sampling.engine='auto'", "sampling.processes=2", stage).settings.engine == "jax"


def test_copies_of_a_box_are_for_engines_that_move_them_side_by_side(make):
    copies = {name: make(f"sampling.engine='{name}'", "sampling.replicas='auto'") for name in ("jax", "lammps")}
    assert {name: study.settings.replicas for name, study in copies.items()} == {"jax": 4, "lammps": 1}
    words = [choice.words() for choice in copies["lammps"].choices]
    assert any("this engine moves one after the other" in line for line in words)


def test_parameters_of_the_base_are_refined_when_they_are_named(make):
    study = make("refinement.method='difftre'", "refinement.parameters=['epsilon', 'sigma', 'correction']")
    np.testing.assert_allclose(study.problem.parameters, [0.0095, 3.38])
    assert len(study.problem.base) == 2  # one for each state
    plain = make("refinement.method='difftre'")
    assert plain.problem.parameters is None
    assert plain.problem.base == ()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.0.sigma=[[20, 0.1], [90, 0.2]]"], ["the points of sigma lie from 20 to 90", "cold-sq", "1/Å"]),
        (["correction.smoothness={ Ar-Kr = 2 }"], ["Ar-Kr is no corrected pair", "[correction] smoothness", "Ar-Ar"]),
        (
            ["refinement.method='rmc'", "refinement.minimum_distances={ Ar-Kr = 2 }"],
            ["Ar-Kr is no pair of the system", "Ar-Ar"],
        ),
        (["refinement.method='difftre'", "refinement.parameters=['epsilom']"], ["epsilom", "epsilon"]),
        (["refinement.method='difftre'", "refinement.optimiser='adma'"], ["adma"]),
        (["refinement.method='ibi'"], ["g(r)"]),
        (["refinement.method='rmc'", "correction.temperature='linear'"], ["temperature"]),
        (["refinement.method='ibi'", "correction.temperature='linear'"], ["ibi", "temperature", "gauss-newton"]),
        (["refinement.method='epsr'", "data.0.fit_q=[0.8, 30.0]"], ["fit_q", "beyond the data"]),
        (["correction.pairs=[['Ar','Kr']]"], ["names 'Kr', which is not in the system (Ar)"]),
        (["correction.r_cut=9.0"], ["r_cut = 9", "half the box", "atoms"]),
        (["coordination.radii={ Ge-Ar = 3 }"], ["Ge-Ar is no pair of the system", "[coordination] radii", "Ar-Ar"]),
        (["coordination.radii={ Ar-Ar = 9 }"], ["9 Å, lies beyond g(r), which ends at 8.5", "[coordination] radii"]),
    ],
)
def test_what_rules_refuse_is_refused_before_any_dynamics(make, overrides, says):
    with pytest.raises(InputError) as caught:
        make(*overrides)
    assert "\n" not in str(caught.value)
    for word in says:
        assert word in str(caught.value)


def test_a_solid_among_the_states_takes_the_fluctuation_response_by_itself(make: Callable[..., Study]) -> None:
    assert make().rule.response == "auto"
    for state in (0, 1):
        rule = make(f'states.{state}.phase="solid"').rule
        assert rule.response == "fluctuation"
        assert not rule.reaches_far


def test_the_digest_follows_the_new_keys(make):
    plain = make().digest()
    for override in (
        "data.0.free_background=true",
        "data.0.sigma=[[1, 0.02], [10, 0.01]]",
        "correction.temperature='linear'",
        "correction.smoothness={ Ar-Ar = 2 }",
        "refinement.method='rmc'",
    ):
        assert make(override).digest() != plain


TOTAL = """
[[data]]
name = "total"
file = "dr.csv"
state = "cold"
quantity = "D(r)"
radiation = "neutron"
role = "score"
score_r = [3.0, 7.0]
"""


def test_a_total_in_r_needs_the_q_range_behind_it(make: Callable[..., Study], tmp_path: Path) -> None:
    """Of the study, or of the file's header; a prediction has none to know."""
    r = 0.05 * np.arange(1, 200)
    rows = "".join(f"{x} {np.sin(2 * x) * np.exp(-0.3 * x)}\n" for x in r)
    (tmp_path / "sq.csv").write_text("\n".join(f"{q},1.0" for q in 0.1 * np.arange(1, 119)))
    study, curve = tmp_path / "study.toml", tmp_path / "dr.csv"
    study.write_text(STUDY.replace("[model]\n", TOTAL + "[model]\n"))
    curve.write_text(rows)
    with pytest.raises(
        InputError, match=r"\[\[data\]\] total: the Q range .* is not known.*q_range = \[Q_min, Q_max\]"
    ):
        Study.from_toml(study)
    assert Study.from_toml(study, ["data.2.q_range=[0.5, 18.0]"]).datasets[2].measurement.curve.q_max == 18.0
    curve.write_text("# Qmin=0.5 Qmax=20.0\n" + rows)
    assert Study.from_toml(study).datasets[2].measurement.curve.q_max == 20.0
    study.write_text(study.read_text().replace('file = "dr.csv"\n', "").replace('role = "score"', 'role = "predict"'))
    assert Study.from_toml(study).predictions[0].measurement.curve.q_max is None
