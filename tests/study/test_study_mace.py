"""A study with a MACE base: outputs, resuming bit for bit, and how often the model is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine import Study
from refine.errors import CheckpointError, InputError
from refine.potentials.mace import base
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader.neutral import write_neutral
from refine.potentials.sites import SiteForceField
from refine.sampling.jax.sampler import Sampler
from refine.system import make_system
from refine.tasks.check import check
from tests.listening import Stop, StopIn
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

STUDY = """
title = "Argon by a small MACE model"
[system]
species = { Ar = 32 }
number_density = 0.02125
[[states]]
name = "85K"
temperature = 85.0
[[data]]
name = "gr"
file = "gr.csv"
quantity = "g(r)"
radiation = "neutron"
q_range = [0.0, 40.0]
score_r = [3.0, 5.0]
fit_r = [2.5, 5.5]
[model]
base = "mace"
path = "own.safetensors"
[correction]
knots = 8
r_min = 0.8
r_cut = 5.5
[sampling]
timestep = 5.0
equilibration = 0.4
reequilibration = 0.1
frames = 24
stride = 5
seed = 3
[refinement]
iterations = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A g(r) of its own making; a model of 6 Å, longer than half of the box, that is a weak perturbation."""
    r = np.arange(0.05, 8.0, 0.05)
    g = 1 / (1 + np.exp(-(r - 3.35) / 0.1)) * (1 + 1.2 * np.exp(-((r - 3.75) ** 2) / 0.2))
    np.savetxt(tmp_path / "gr.csv", np.column_stack([r, g]), delimiter=",", header="r,g", comments="")
    checkpoint = random_checkpoint(2, r_max=6.0, channels=2, max_ell=1, l_hidden=0, layers=2, scale=0.02)
    write_neutral(checkpoint, tmp_path / "own.safetensors")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def numbers(out: Path) -> dict[str, Any]:
    result = json.loads((out / "result.json").read_text())
    for row in result["iterations"]:
        row.pop("seconds_sampling"), row.pop("seconds_solving")
    return {key: value for key, value in result.items() if key not in ("seconds", "provenance")}


@pytest.mark.slow
def test_a_run_resumed_bit_for_bit_that_never_asks_the_model_while_solving(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refine.tasks.run.loop.SAVE_INTERVAL", 0.0)
    loads: list[Path] = []
    load = base.load
    monkeypatch.setattr(base, "load", lambda path: loads.append(path) or load(path))
    study = Study.from_toml(folder / "study.toml")
    assert len(loads) == 1

    # the model is reached through these alone: programs of the sampler, and Python while they are compiled
    asked: list[str] = []
    for owner, name in (
        (Sampler, "run"),
        (Sampler, "minimise"),
        (SiteForceField, "forces"),
        (SiteForceField, "observables"),
    ):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name), asked))
    update = study.rule.update
    during: list[int] = []

    class Watched:
        start = staticmethod(study.rule.start)
        yields_potential = study.rule.yields_potential
        knows_slow_modes = study.rule.knows_slow_modes

        @staticmethod
        def update(*arguments: Any) -> Any:
            """Reweights the stored frames to new corrections."""
            before = len(asked)
            result = update(*arguments)
            during.append(len(asked) - before)
            return result

    study.rule = Watched()  # type: ignore[assignment]
    study.run(folder / "whole")
    assert len(loads) == 1
    assert {"run", "minimise", "forces", "observables"} == set(asked)
    assert during == [0] * len(during)
    assert len(during) >= 2

    moments = StopIn("equilibrating", 2), StopIn("sampling the base", 2), StopIn("sampling 1", 2)
    for stops, moment in enumerate(moments):
        with pytest.raises(Stop):
            Study.from_toml(folder / "study.toml").run(folder / "parts", resume=stops > 0, progress=moment)
    Study.from_toml(folder / "study.toml").run(folder / "parts", resume=True)
    assert numbers(folder / "parts") == numbers(folder / "whole")
    result = numbers(folder / "whole")
    assert result["correction"][0]["base"] is None
    assert (folder / "whole" / "report.html").stat().st_size > 100_000

    # other weights under the same name are another run
    write_neutral(random_checkpoint(5, r_max=6.0, channels=2, max_ell=1), folder / "own.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.path has other content"):
        Study.from_toml(folder / "study.toml").run(folder / "whole", resume=True)


def counted(method: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    """The method, which writes its name down when it is called."""

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        asked.append(method.__name__)
        return method(*arguments, **keywords)

    return wrapped


def test_the_run_depends_on_the_model_that_a_name_stands_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = ['model={ base = "mace", name = "small" }']
    digests = set()
    for seed in (1, 2):
        write_neutral(random_checkpoint(seed, channels=2, max_ell=1), folder / "published.safetensors")
        monkeypatch.setattr(base, "find", lambda name: folder / "published.safetensors")
        study = Study.from_toml(folder / "study.toml", named)
        digests.add(study.digest())
        assert study.digest() != study.config.digest()
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["system.species={ Xe = 32 }"], ["does not know Xe"]),
        (['model.path="nothing.model"'], ["nothing.model"]),
        (['model.head="mp"'], ["no head 'mp'", "default"]),
        (['model={ base = "mace", name = "medium-mpa-1" }'], ["medium-mpa-1"]),
        (["model.charge=1"], ["takes no charge, so charge = 1 has no effect"]),
        (["model.spin=0"], ["[model] spin"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_before_any_dynamics(
    folder: Path, overrides: list[str], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        Study.from_toml(folder / "study.toml", overrides)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_charge_and_spin_reach_the_dynamics(folder: Path) -> None:
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    checkpoint = random_checkpoint(2, channels=2, max_ell=1, l_hidden=0, nonlinear=True, inputs=takes)
    write_neutral(checkpoint, folder / "own.safetensors")
    found = []
    for keys in ([], ["model.charge=-1", "model.spin=2"]):
        study = Study.from_toml(folder / "study.toml", keys)
        system = make_system({"Ar": 32}, 11.5 * np.eye(3))
        field = study.base_kind.force_field(study.base, 5.5, system, "float64")
        found.append(np.asarray(field.model.params["layers"][0]["first_skip"]))
    wanted = Mace(checkpoint, ("Ar",), (32,), charge=-1, spin=2, precision="float64").params
    np.testing.assert_array_equal(found[1], wanted["layers"][0]["first_skip"])
    assert np.abs(found[1] - found[0]).max() > 1e-3


METHODS = {
    "difftre": ['refinement.method="difftre"'],
    "ibi": ['refinement.method="ibi"'],
    "epsr": ['refinement.method="epsr"', 'data.0.role="score"', 'data.1.role="fit"'],
    "rmc": ['refinement.method="rmc"', "refinement.moves=2"],
    "backprop": ['refinement.method="backprop"', "refinement.windows=4", "refinement.window_steps=5"],
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_this_base(folder: Path, method: str) -> None:
    """No rule knows the base: one update, the sample after it, and a report."""
    study = (folder / "study.toml").read_text()
    second = study[study.index("[[data]]") : study.index("[model]")]
    second = second.replace('"gr"', '"sq"').replace("gr.csv", "sq.csv").replace('"g(r)"', '"S(Q)"')
    second = second.replace("fit_r = [2.5, 5.5]", 'isotopes = { Ar = 36 }\nfit_q = [1.0, 11.0]\nrole = "score"')
    (folder / "study.toml").write_text(study.replace("[model]", second + "[model]", 1))
    q = np.arange(0.1, 11.9, 0.1)
    s = 1.0 + 0.8 * np.cos(3.1 * (q - 2.0)) * np.exp(-0.3 * q)
    np.savetxt(folder / "sq.csv", np.column_stack([q, s]), delimiter=",", header="Q,S", comments="")
    Study.from_toml(folder / "study.toml", METHODS[method]).run(folder / "out")
    result = numbers(folder / "out")
    assert result["status"] in ("converged", "iterations-exhausted")
    assert len(result["iterations"]) == 2
    assert all(0.0 < value < 3.0 for value in result["final"]["r_chi"].values())
    moved = any(np.any(pair["coefficients"]) for pair in result["correction"])
    assert moved == (method != "rmc")
    assert (folder / "out" / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_weights_are_refined_and_a_run_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DiffTRe moves the readout alone; the refined model is one that can be read, and predicts what the run sampled."""
    monkeypatch.setattr("refine.tasks.run.loop.SAVE_INTERVAL", 0.0)
    overrides = [
        'refinement.method="difftre"',
        'refinement.parameters=["layers.1.readout"]',
        "refinement.learning_rate=0.05",
        "refinement.inner_steps=3",
    ]
    make = lambda *more: Study.from_toml(folder / "study.toml", [*overrides, *more])  # noqa: E731
    study = make()
    study.run(folder / "whole")
    result = numbers(folder / "whole")
    assert set(result["parameters"]) == {"layers.1.readout.0, rms", "layers.1.readout.1, rms"}
    assert all(0.0 < row["change"] < row["initial"] for row in result["parameters"].values())
    assert not any(np.any(pair["coefficients"]) for pair in result["correction"])
    assert "rms of the change" in (folder / "whole" / "report.html").read_text(encoding="utf-8")

    model = folder / "whole" / "model.safetensors"
    old, new = (base.load(path).weights for path in (folder / "own.safetensors", model))
    changed = {name for name in old if not np.array_equal(old[name], new[name])}
    assert changed == {"layers.1.readout.0", "layers.1.readout.1"}

    for k, moment in enumerate((StopIn("sampling the base"), StopIn("sampling 1"))):
        with pytest.raises(Stop):
            make().run(folder / "parts", resume=k > 0, progress=moment)
    make().run(folder / "parts", resume=True)
    assert numbers(folder / "parts") == result
    with pytest.raises(InputError, match="no weights 'epsilon'"):
        Study.from_toml(folder / "study.toml", [overrides[0], 'refinement.parameters=["epsilon"]'])


LOW_RANK = ('refinement.method="difftre"', 'refinement.parameters=["lora:1"]')
REPLAYED = ("replay.self=true", "replay.sampled=4", "replay.dimers=4")


def weights(folder: Path, *changes: str) -> Study:
    few = ("sampling.frames=10", "refinement.iterations=2", "refinement.inner_steps=3")
    return Study.from_toml(folder / "study.toml", [*few, *LOW_RANK, *REPLAYED, *changes])


@pytest.mark.slow
def test_weights_with_memory_go_on_bit_for_bit_and_can_be_applied_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of low-rank changes with replay, whole and interrupted after its first update; no program is compiled along
    it; the report has the errors; the change makes the refined model again."""
    study, programs = weights(folder), []
    assert study.replay is not None
    replay, update = study.replay, study.rule.update
    monkeypatch.setattr(
        type(study.rule), "update", lambda *given: (update(*given[1:]), programs.append(replay.compilations))[0]
    )
    study.run(folder / "whole")
    assert len(programs) >= 2
    assert programs[0] > 0
    assert set(programs) == set(programs[:1]), "compiled again along the run"
    monkeypatch.undo()
    with pytest.raises(Stop):
        weights(folder).run(folder / "parts", progress=StopIn("sampling 1", 2))
    weights(folder).run(folder / "parts", resume=True)
    whole = numbers(folder / "whole")
    assert numbers(folder / "parts") == whole
    assert [row["kind"] for row in whole["replay"]] == ["dimers", "sampled"]
    for row in whole["replay"]:
        assert row["kept"] == 1
        assert row["forces_initial"] == pytest.approx(0.0, abs=1e-6)
    assert whole["iterations"][0]["replay"] == pytest.approx(0.0, abs=1e-12)
    assert whole["iterations"][1]["replay"] > 0.0
    page = (folder / "whole" / "report.html").read_text()
    assert "Replayed frames" in page

    changed = Study.from_toml(folder / "study.toml", ['model.change="whole/lora.safetensors"'])
    merged = Study.from_toml(folder / "study.toml", ['model.path="whole/model.safetensors"'])
    assert changed.base.checkpoint.sha256 == merged.base.checkpoint.sha256
    with pytest.raises(InputError, match="give the model that the run began with"):
        Study.from_toml(
            folder / "study.toml", ['model.path="whole/model.safetensors"', 'model.change="whole/lora.safetensors"']
        )


def test_labelled_frames_of_a_file_are_replayed(folder: Path) -> None:
    """Also those that say of no kind: labels of another zero are seen, and refused."""
    comment = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 REF_energy=1e4 pbc="T T T"'
    (folder / "labelled.extxyz").write_text(2 * f"2\n{comment}\nAr 0 0 0\nAr 3.7 0 0\n")
    few = [*LOW_RANK, 'replay.frames="labelled.extxyz"']
    study = Study.from_toml(folder / "study.toml", few)
    for look in (lambda: check(study.config, timing=False), lambda: study.run(folder / "out")):
        with pytest.raises(InputError, match=r"off by .* eV per atom.*replay\.energy = 0"):
            look()
    with pytest.raises(InputError, match="no frame has labels of what is replayed: forces, stress"):
        Study.from_toml(folder / "study.toml", [*few, "replay.energy=0"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (['refinement.method="gauss-newton"', "replay.self=true"], r"\[replay\] is of method = \"difftre\""),
        (['refinement.method="difftre"', "replay.self=true"], r"\[replay\] is of method = \"difftre\" with weights"),
        (["replay.energy=2.0"], "should have 'frames' or self = true"),
        (['replay.frames=["none.extxyz"]', 'replay.structures="a.cif"'], "has 'structures'.*set self = true"),
        (['replay.frames=["none.extxyz"]', "replay.dimers=20"], "has 'dimers'.*set self = true"),
        (["replay.self=true", "replay.sigma_forces=1e-300"], "sigma_forces"),
        (
            ['refinement.method="difftre"', 'refinement.parameters=["lora:1"]', 'replay.frames=["none.extxyz"]'],
            "no such file of labelled frames",
        ),
        (
            [
                'refinement.method="difftre"',
                'refinement.parameters=["epsilon"]',
                "replay.self=true",
                'model={base="lennard-jones", parameters={epsilon={Ar-Ar=0.01}, sigma={Ar-Ar=3.4}}}',
            ],
            "while weights of a MACE model are refined",
        ),
    ],
)
def test_a_replay_that_nothing_can_use(folder: Path, changes: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Study.from_toml(folder / "study.toml", changes)
    assert "\n" not in str(caught.value)


def test_younger_keys_leave_older_digests_as_they_are(folder: Path) -> None:
    """Without [replay] and `change` the digest is that of before there were such keys; with them it is another."""
    config = Study.from_toml(folder / "study.toml").config
    settings = config.model_dump(mode="json")
    assert settings["replay"]
    assert settings["model"]["change"] is None
    digest = config.digest()
    replayed = weights(folder).config
    other = weights(folder, "replay.sampled=5").config
    assert len({digest, replayed.digest(), other.digest()}) == 3
    assert type(config).parse({**config.to_tree()}, folder).digest() == digest


def test_frames_that_are_replayed_say_their_charge_where_the_study_has_one(folder: Path) -> None:
    """A frame's own charge counts, in either spelling; what nothing says is not guessed beside a charged box."""
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    checkpoint = random_checkpoint(2, channels=2, max_ell=1, l_hidden=0, inputs=takes)
    write_neutral(checkpoint, folder / "takes.safetensors")
    model = 'model={base="mace", path="takes.safetensors", charge=-1, spin=2}'
    comment = 'Properties=species:S:1:pos:R:3 REF_energy=-1 pbc="F F F"'
    replayed = [*LOW_RANK, *REPLAYED, model, 'replay.frames="charged.extxyz"']
    for said, expected in (
        ("", None),
        ("charge=1", None),
        ("charge=1 spin=2", (1, 2)),
        ("total_charge=-2 spin=1", (-2, 1)),
    ):
        (folder / "charged.extxyz").write_text(f"2\n{comment} {said}\nAr 0 0 0\nAr 3.7 0 0\n")
        if expected is None:
            with pytest.raises(InputError, match="frame 1: the frame does not say its charge and spin"):
                Study.from_toml(folder / "study.toml", replayed)
            continue
        replay = Study.from_toml(folder / "study.toml", replayed).replay
        assert replay is not None
        assert replay.box == (-1, 2)
        found = {g.kind: [(one.frame.charge, one.frame.spin) for one in (*g.learnt, *g.kept)] for g in replay._fixed}
        assert found["labelled"] == [expected]
        assert set(found["dimers"]) == {(0, 1)}
    (folder / "charged.extxyz").write_text(f"2\n{comment} charge=1 total_charge=2 spin=1\nAr 0 0 0\nAr 3.7 0 0\n")
    with pytest.raises(InputError, match="charge is 1 and total_charge is 2"):
        Study.from_toml(folder / "study.toml", replayed)


@pytest.mark.parametrize("engine", ["ase", "lammps"])
def test_engines_that_cannot_change_weights_are_refused_with_the_study(folder: Path, engine: str) -> None:
    words = {"ase": "engine 'ase' cannot change weights of the base", "lammps": "LAMMPS has no style for base 'mace'"}
    changes = [*LOW_RANK, f'sampling.engine="{engine}"']
    with pytest.raises(InputError, match=rf'\[sampling\] engine: {words[engine]}.*set engine = "jax"'):
        Study.from_toml(folder / "study.toml", changes)


def test_heads_that_move_unseen_are_warned_of(folder: Path) -> None:
    """By the check and its JSON; not where readouts alone move."""
    two = random_checkpoint(2, channels=2, max_ell=1, l_hidden=0, heads=("pbe", "r2scan"))
    write_neutral(two, folder / "two.safetensors")
    changes = ['refinement.method="difftre"', 'model={base="mace", path="two.safetensors", head="pbe"}']
    for parameters, warned in (('["lora:1"]', True), ('["readouts"]', False), ('["weights"]', True)):
        study = Study.from_toml(folder / "study.toml", [*changes, f"refinement.parameters={parameters}"])
        said = check(study.config, timing=False)
        assert ("r2scan will change with pbe" in said.table()) == warned
        assert bool(said.to_json()["warnings"]) == warned
