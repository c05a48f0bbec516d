"""`refine forward`: a trajectory in the place of a run's sample, and what its tables say."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase
import ase.io
import numpy as np
import pytest

from refine import Study
from refine.curves.transforms import r_to_q_matrix
from refine.errors import InputError
from refine.results import scores
from refine.results.derived import Propagation
from refine.sampling.averages import error_of
from refine.sampling.frames import Frames
from refine.study.schema import StudyConfig
from refine.system import make_system
from refine.tasks.forward import forward
from refine.tasks.forward.checks import refuse_vacuum
from refine.tasks.forward.tables import total_table
from tests import small_box
from tests.commands import call, columns, refused
from tests.trajectories import write_dcd, write_dump, write_extxyz, write_xdatcar


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_box.write(tmp_path_factory.mktemp("small")).parent


@pytest.fixture(scope="module")
def sample(folder: Path) -> Frames:
    """What a run would sample, its positions kept."""
    study = Study.from_toml(folder / "study.toml")
    ((field, sampler),) = study.samplers()
    sampler.positions = True
    params = study.force_field_params(field, 0, study.initial_correction())
    from refine.sampling.starts import equilibrate

    return sampler.run(equilibrate(sampler, params, 85.0, 3, 1.0), params, 85.0, 24)[1]


@pytest.fixture(scope="module")
def images(folder: Path, sample: Frames) -> list[ase.Atoms]:
    cell = Study.from_toml(folder / "study.toml").systems[0].cell
    assert sample.positions is not None
    return [ase.Atoms(f"Ar{len(p)}", positions=p, cell=cell, pbc=True) for p in sample.positions]


@pytest.fixture(scope="module")
def dump(folder: Path, images: list[ase.Atoms]) -> Path:
    return write_dump(folder / "argon.dump", images, ("Ar",))


def test_a_dcd_scores_as_the_dump(folder: Path, images: list[ase.Atoms], dump: Path, tmp_path: Path) -> None:
    """With the names of another file, or of the study where it has one element; with its cell, or the one given."""
    study = StudyConfig.from_toml(folder / "study.toml")
    expected = [score.r_chi for score in forward(study, dump, types=["Ar"], last=6).seen.scores]
    dcd, bare = write_dcd(tmp_path / "a.dcd", images), write_dcd(tmp_path / "bare.dcd", images, cells=None)
    found = forward(study, bare, cell=images[0].cell.array, last=6)
    assert [score.r_chi for score in found.seen.scores] == pytest.approx(expected, rel=1e-3)
    one = write_extxyz(tmp_path / "one.extxyz", images[:1])
    words = ["forward", dcd, folder / "study.toml", "--atoms", one, "--last", 6, "--json", "--out", tmp_path / "out"]
    assert [data["r_chi"] for data in json.loads(call(*words))["data"]] == pytest.approx(expected, rel=1e-3)
    words = ["forward", bare, folder / "study.toml", "--atoms", one, "--out", tmp_path / "none"]
    assert "the frame has no cell; give it: --cell" in refused(*words)
    fewer = write_extxyz(tmp_path / "fewer.extxyz", [images[0][1:]])
    words = ["forward", dcd, folder / "study.toml", "--atoms", fewer, "--out", tmp_path / "none"]
    assert f"the file has {len(images[0])} atoms, and {len(images[0]) - 1} are named" in refused(*words)


def test_the_frames_of_a_run_score_as_in_the_run(folder: Path, sample: Frames, dump: Path) -> None:
    study = Study.from_toml(folder / "study.toml")
    found = forward(study.config, dump, types=["Ar"])
    # LAMMPS has eleven digits, the run float32: pairs at the edge of a bin may move
    counts = found.frames.merged(found.finer).counts
    assert np.abs(counts - sample.counts).sum() / 2 < 1e-4 * sample.counts.sum()
    assert [score.data.name for score in found.scores] == ["sq", "gr"]
    mean = sample.counts.mean(axis=0, dtype=np.float64)
    # the bins of forward are a sixth of the run's
    for score, data in zip(found.scores, study.datasets, strict=True):
        assert score.r_chi == pytest.approx(data.measurement.r_chi(mean), rel=2e-3, abs=5e-5)
        error = error_of(data.measurement.r_chi, sample.counts, sample.replica)
        assert score.r_chi_stderr == pytest.approx(error, rel=1e-2)
        np.testing.assert_allclose(score.target.y, study.targets[data.name].y, atol=3e-5)
    assert found.counted.system.number_density == pytest.approx(0.02125, rel=1e-6)


def test_a_free_scale_is_scored_alike_by_run_and_forward(folder: Path, sample: Frames, dump: Path) -> None:
    """Each sample at its own best scale and background, whatever a rule fitted with another one."""
    path = folder / "free.toml"
    path.write_text(small_box.STUDY.replace('quantity = "S(Q)"', 'quantity = "S(Q)"\nfree_scale = true', 1))
    study = Study.from_toml(path)
    (score, _) = forward(study.config, dump, types=["Ar"]).scores
    assert abs(score.free.scale - 1.0) > 1e-3
    data = study.datasets[0]
    of_run = scores.score(data, study.targets[data.name], sample)
    assert of_run.r_chi == pytest.approx(score.r_chi, rel=1e-3)
    unscaled = study.datasets[0].measurement.r_chi(sample.counts.mean(axis=0, dtype=np.float64))
    assert abs(score.r_chi - unscaled) > 1e-3


def test_a_smooth_background_is_taken_off_by_forward(folder: Path, dump: Path, tmp_path: Path) -> None:
    """With an inelastic curve on the measured one, that curve more is found, to 5 %; R_chi stays."""
    q, s = np.loadtxt(folder / "sq.csv", delimiter=",", skiprows=1).T
    planted = -0.2 * (q / 8.0) ** 2 * np.exp(-((q / 9.0) ** 2))
    np.savetxt(folder / "inelastic.csv", np.column_stack([q, s + planted]), delimiter=",")
    free = small_box.STUDY.replace(
        'quantity = "S(Q)"',
        'quantity = "S(Q)"\nsigma = 0.02\nfree_background = "polynomial:10"\nbackground_prior = 0.2',
        1,
    )
    found, r_chi, rms = [], [], []
    for name in ("sq", "inelastic"):
        (folder / "free.toml").write_text(free.replace('"sq.csv"', f'"{name}.csv"'))
        printed = call("forward", dump, folder / "free.toml", "--species", "Ar", "--out", tmp_path / name)
        assert "sq: scale 1.0000, smooth background of rms 0." in printed
        row = json.loads((tmp_path / name / "forward.json").read_text())["data"][0]
        assert row["background"] is None
        table = columns(tmp_path / name / "curves" / "sq.csv")
        found.append(table["background"])
        r_chi.append(row["r_chi"])
        rms.append(row["background_rms"])
    assert rms[1] == pytest.approx(np.sqrt(np.mean(found[1] ** 2)), rel=1e-4)
    off = found[1] - found[0] - np.interp(table["Q"], q, planted)
    assert np.sqrt(np.mean(off**2)) < 0.05 * np.sqrt(np.mean(planted**2))
    assert r_chi[1] == pytest.approx(r_chi[0], rel=0.02)


def test_a_background_that_is_fitted_to_a_part_is_that_of_the_curve(folder: Path, dump: Path) -> None:
    """R_chi, scale, background and t_r/ are the same whichever part is fitted, chi^2 is of the part; R_chi is what
    follows from t_r/."""
    free = small_box.STUDY.replace(
        'quantity = "S(Q)"', 'quantity = "S(Q)"\nsigma = 0.02\nfree_background = "polynomial:3"', 1
    )
    (folder / "free.toml").write_text(free)
    seen = []
    for limits in ("[0.5, 11.5]", "[0.5, 5.0]"):
        found = forward(StudyConfig.from_toml(folder / "free.toml", [f"data.sq.fit_q={limits}"]), dump, types=["Ar"])
        seen.append((found.scores[0], total_table(found.seen.averages, found.scores[0], found.box)))
    (whole, table), (part, of_part) = seen
    assert of_part == table
    assert (part.r_chi, part.free) == (whole.r_chi, whole.free)
    assert part.chi2 != whole.chi2
    r, _, _, measured, model, _ = np.loadtxt(table.splitlines(), delimiter=",", skiprows=1).T
    scored = (r > 2.999) & (r < 7.001)
    misfit = np.sum((measured - model)[scored] ** 2) / np.sum(measured[scored] ** 2)
    assert np.sqrt(misfit) == pytest.approx(part.r_chi, rel=1e-6)


def test_a_trajectory_does_not_tell_molecules_apart(folder: Path, dump: Path) -> None:
    model = (
        'model={base="lammps", commands="pair_style zero 6.0", topology="box.data", intramolecular={ Ar-Ar = 0.07 }}'
    )
    config = StudyConfig.from_toml(folder / "study.toml", [model])
    with pytest.raises(InputError, match="intramolecular: a trajectory does not tell which atoms are one molecule"):
        forward(config, dump, types=["Ar"])
    config = StudyConfig.from_toml(folder / "study.toml", [model, "model.intramolecular={}"])
    assert forward(config, dump, types=["Ar"]).scores


def test_formats_score_alike(folder: Path, images: list[ase.Atoms], dump: Path, tmp_path: Path) -> None:
    config = StudyConfig.from_toml(folder / "study.toml")
    paths = (write_extxyz(tmp_path / "a.xyz", images), write_xdatcar(tmp_path / "XDATCAR", images))
    expected = [score.r_chi for score in forward(config, dump, types=["Ar"]).scores]
    for path in paths:
        assert [score.r_chi for score in forward(config, path).scores] == pytest.approx(expected, rel=1e-4)


def test_tables(folder: Path, sample: Frames, dump: Path, tmp_path: Path) -> None:
    printed = call("forward", dump, folder / "study.toml", "--species", "Ar", "--out", tmp_path)
    study = Study.from_toml(folder / "study.toml")
    data, mean = study.datasets[0].measurement, sample.counts.mean(axis=0, dtype=np.float64)
    curve = columns(tmp_path / "curves" / "sq.csv")
    names = ["Q", "measured", "model", "model_stderr", "measured_box", "model_box", "model_box_stderr"]
    assert list(curve) == names
    np.testing.assert_allclose(curve["Q"], data.shown.x, rtol=1e-6)
    propagation = Propagation(sample, np.zeros((0, 0)), None)
    for name, operator, cut in (("model", data.shown, data.cut_error(mean)), ("model_box", data.in_box, 0.0)):
        np.testing.assert_allclose(curve[name], operator.predict(mean), atol=5e-3)
        errors = np.hypot(propagation.errors(operator.matrix)[1], cut)
        # where a correlation is cut off may differ at single points
        assert np.median(np.abs(curve[f"{name}_stderr"] / errors - 1)) < 0.05
    np.testing.assert_allclose(curve["measured_box"], data.in_box_values, atol=1e-3)

    total = columns(tmp_path / "t_r" / "sq.csv")
    uniform = 4 * np.pi * 0.02125 * total["r"]
    np.testing.assert_allclose(total["T model"] - total["D model"], uniform, atol=1e-6)
    np.testing.assert_allclose(total["T measured"] - total["D measured"], uniform, atol=1e-6)
    at = np.round(data.r / 0.05).astype(int) - 1
    np.testing.assert_allclose(total["T model"][at], data.total.predict(mean), atol=5e-3)
    np.testing.assert_allclose(total["T measured"][at], data.total_values, atol=1e-3)

    g = columns(tmp_path / "g_r" / "85K.csv")
    np.testing.assert_allclose(g["Ar-Ar"], sample.pair_distribution()[0], atol=5e-3)
    s = columns(tmp_path / "s_q" / "85K.csv")
    assert list(s) == ["Q", "Ar-Ar", "Ar-Ar stderr", "sq", "sq stderr", "gr", "gr stderr"]
    np.testing.assert_array_equal(s["sq"], s["Ar-Ar"])  # one element: every weight is one
    box = study.boxes[0]
    g = sample.pair_distribution()[0] - 1
    direct = r_to_q_matrix(box.edges, s["Q"], box.number_density, of="means") @ (g + box.closure @ g)
    np.testing.assert_allclose(s["Ar-Ar"], 1 + direct, atol=5e-4)

    result = json.loads((tmp_path / "forward.json").read_text())
    assert result["frames"] == 24
    assert result["data"][0]["r_chi"] == pytest.approx(data.r_chi(mean), rel=2e-3, abs=5e-5)
    assert f"{result['data'][0]['r_chi']:.4f} ± {result['data'][0]['r_chi_stderr']:.4f}" in printed
    assert [row["centre"] for row in result["coordination"]] == ["Ar"]
    assert "argon.dump: 24 frames of 108 Ar, 0.02125 atoms/Å^3, g(r) to 8.58 Å" in printed
    assert printed.splitlines()[-1] == f"tables: {tmp_path}"
    words = ("forward", dump, folder / "study.toml", "--species", "Ar", "--out", tmp_path, "--json")
    (tmp_path / "curves" / "other.csv").write_text("of another study")
    assert "use --overwrite to replace them, or another --out" in refused(*words)
    assert (tmp_path / "curves" / "other.csv").exists()
    assert json.loads(call(*words, "--overwrite")) == result
    assert {path.name for path in (tmp_path / "curves").iterdir()} == {"sq.csv", "gr.csv"}


def test_few_frames_have_no_errors(folder: Path, dump: Path, tmp_path: Path) -> None:
    for last in ("1", "3"):
        words = ("--species", "Ar", "--last", last, "--out", tmp_path / last)
        printed = call("forward", dump, folder / "study.toml", *words)
        assert "±" not in printed
        assert "no standard errors" in printed
        assert set(columns(tmp_path / last / "g_r" / "85K.csv")) == {"r", "Ar-Ar"}
        result = json.loads((tmp_path / last / "forward.json").read_text())
        assert result["data"][0]["r_chi_stderr"] is None
        assert result["coordination"][0]["stderr"] is None


@pytest.mark.slow
def test_density(folder: Path, images: list[ase.Atoms], tmp_path: Path) -> None:
    wide = [atoms.copy() for atoms in images]
    for atoms in wide:
        atoms.set_cell(1.01 * atoms.cell.array, scale_atoms=True)
    path, study = write_extxyz(tmp_path / "wide.xyz", wide), folder / "study.toml"
    line = refused("forward", path, study, "--out", tmp_path / "out")
    assert "0.02063 atoms/Å^3, the study 0.02125; --rescale brings" in line
    assert "--set system.number_density=0.020625" in line
    assert not (tmp_path / "out").exists()
    rescaled = json.loads(call("forward", path, study, "--rescale", "--json", "--out", tmp_path / "scaled"))
    as_was = json.loads(
        call("forward", write_extxyz(tmp_path / "a.xyz", images), study, "--json", "--out", tmp_path / "was")
    )
    assert rescaled["number_density"] == pytest.approx(0.02125)
    assert rescaled["rescaled_by"] == pytest.approx(1 / 1.01, rel=1e-4)
    assert "all lengths times 0.990" in call("forward", path, study, "--rescale", "--out", tmp_path / "again")
    # bins of 0.0198 and 0.02 Å: the same pairs, nearly the same places
    assert rescaled["data"][0]["r_chi"] == pytest.approx(as_was["data"][0]["r_chi"], rel=0.02)
    changed = ("--set", "system.number_density=0.020625", "--json", "--out", tmp_path / "changed")
    assert json.loads(call("forward", path, study, *changed))["number_density"] == pytest.approx(0.020625, rel=1e-4)


def test_what_rescaling_is_for(folder: Path, images: list[ase.Atoms], tmp_path: Path) -> None:
    """A density that is off by more than 9 %, 3 % in lengths, is another one; a slab in vacuum has none."""
    study = folder / "study.toml"
    wide = [atoms.copy() for atoms in images[:2]]
    for atoms in wide:
        atoms.set_cell(1.05 * atoms.cell.array, scale_atoms=True)
    path = write_extxyz(tmp_path / "wide.xyz", wide)
    assert "--rescale" not in refused("forward", path, study, "--out", tmp_path / "out")
    line = refused("forward", path, study, "--rescale", "--out", tmp_path / "out")
    assert "multiply every length, bonds included, by 0.95" in line
    assert "--rescale-by-more does it all the same" in line
    assert "all lengths times 0.95" in call("forward", path, study, "--rescale-by-more", "--out", tmp_path / "out")
    slab = images[0].copy()
    slab.set_cell(slab.cell.array * np.array([[1.0], [1.0], [2.5]]), scale_atoms=False)
    path = write_extxyz(tmp_path / "slab.xyz", [slab])
    for options in ((), ("--rescale",), ("--rescale-by-more",)):
        assert "a particle or a slab in vacuum" in refused("forward", path, study, *options, "--out", tmp_path / "slab")
    own = f"system.number_density={len(slab) / slab.get_volume():.6f}"  # a study of the slab's own density
    assert "in vacuum" in refused("forward", path, study, "--set", own, "--out", tmp_path / "slab")


def test_a_hollow_box_is_told_by_what_it_was_found_by() -> None:
    """Atoms on three lines, whose box is so thin that few places are far from them by its own density."""
    edge, along = 20.0, np.arange(0.0, 20.0, 4.0)
    positions = np.concatenate([np.outer(along, axis) for axis in np.eye(3)])[
        [*range(5), *range(6, 10), *range(11, 15)]
    ]
    system = make_system({"Ar": len(positions)}, edge * np.eye(3))
    counted: Any = SimpleNamespace(system=system, first=(positions, system.cell))
    with pytest.raises(InputError, match=r"(\d+) % of the box is farther than 5\.8 Å from every atom") as refusal:
        refuse_vacuum(counted, 0.02125, "a.xyz")
    points = (np.indices((24,) * 3).reshape(3, -1).T + 0.5) / 24 * edge
    apart = points[:, None] - positions
    apart -= edge * np.round(apart / edge)
    share = np.mean(np.linalg.norm(apart, axis=2).min(axis=1) > 1.6 * 0.02125 ** (-1 / 3))
    assert f"{100 * share:.0f} % of the box" in str(refusal.value)
    assert share > 0.05


def test_what_does_not_belong_together(folder: Path, images: list[ase.Atoms], dump: Path, tmp_path: Path) -> None:
    study, out = folder / "study.toml", ("--out", tmp_path / "out")
    krypton = [ase.Atoms(f"Kr{len(a)}", positions=a.positions, cell=a.cell, pbc=True) for a in images[:2]]
    line = refused("forward", write_extxyz(tmp_path / "kr.xyz", krypton), study, *out)
    assert "frame 1: the frame holds Kr, the study Ar" in line
    assert "no state 'melt'" in refused("forward", dump, study, "--state", "melt", *out)
    assert "as in --species Si,O" in refused("forward", dump, study, *out)
    assert "no such trajectory" in refused("forward", tmp_path / "nothing.xyz", study, *out)
    assert "unknown key" in refused("forward", dump, study, "--set", "sampling.bins=3", *out)
    radii = ("--set", "coordination.radii={ Ar-Kr = 3 }")  # before anything is counted
    assert "Ar-Kr is no pair of the system" in refused("forward", tmp_path / "nothing.xyz", study, *radii, *out)
    radii = ("--set", "coordination.radii={ Ar-Ar = 9 }")
    assert "lies beyond g(r)" in refused("forward", dump, study, "--species", "Ar", *radii, *out)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.h5").touch()
    line = refused("forward", dump, study, "--species", "Ar", "--out", tmp_path / "run")
    assert "this folder holds a run; give another --out" in line


MIXTURE = """
[system]
species = { Si = 2, O = 4, Na = 1 }
number_density = 0.0379
[[states]]
name = "cold"
temperature = 300
[[states]]
name = "hot"
temperature = 2500
number_density = 0.0303
[[data]]
name = "x"
file = "x.csv"
quantity = "F(Q)"
normalisation = "keen"
radiation = "xray"
state = "hot"
fit_q = [2.0, 12.0]
free_scale = true
score_r = [1.0, 4.0]
[[data]]
name = "n"
file = "x.csv"
quantity = "S(Q)"
radiation = "neutron"
state = "cold"
[model]
base = "lennard-jones"
"""


@pytest.fixture
def mixture(tmp_path: Path) -> Callable[[list[ase.Atoms]], tuple[Path, Path]]:
    def make(found: list[ase.Atoms]) -> tuple[Path, Path]:
        (tmp_path / "mixture.toml").write_text(MIXTURE)
        q = np.arange(0.5, 15, 0.05)
        np.savetxt(tmp_path / "x.csv", np.column_stack([q, 4 * np.sin(2.9 * q) / q * np.exp(-0.1 * q)]))
        return write_extxyz(tmp_path / "mixture.xyz", found), tmp_path / "mixture.toml"

    return make


def test_labels_and_a_cell_on_the_command_line(folder: Path, images: list[ase.Atoms], tmp_path: Path) -> None:
    """Labels and no cell, as CP2K leaves them out, give what the same frames give in extended XYZ."""
    plain = tmp_path / "argon-pos-1.xyz"
    plain.write_text(
        "".join(
            f"{len(image)}\n i = {k}, E = -1.5\n"
            + "".join(f"AR {x:.9f} {y:.9f} {z:.9f}\n" for x, y, z in image.positions)
            for k, image in enumerate(images)
        )
    )
    study, edge = folder / "study.toml", images[0].cell.array[0, 0]
    write_extxyz(tmp_path / "a.xyz", images)
    expected = json.loads(call("forward", tmp_path / "a.xyz", study, "--out", tmp_path / "a", "--json"))
    given = ("--elements", "AR=Ar", "--cell", f"{edge:.9f}")
    found = json.loads(call("forward", plain, study, "--out", tmp_path / "b", *given, "--json"))
    for one, other in zip(found["data"], expected["data"], strict=True):
        assert one["r_chi"] == pytest.approx(other["r_chi"], rel=1e-3)
    out = ("--out", tmp_path / "c")
    assert "the frame has no cell; give it: --cell" in refused("forward", plain, study, *out)
    assert "no atom is labelled 'A'" in refused("forward", plain, study, *out, "--elements", "A=Ar", "--cell", edge)
    assert "--elements: 'AR' is not LABEL=ELEMENT" in refused("forward", plain, study, *out, "--elements", "AR")
    assert "--cell: 2 numbers are no cell" in refused("forward", plain, study, *out, "--cell", "9,9")


def test_triclinic_mixture_of_one_state_among_two(mixture, tmp_path: Path) -> None:
    from tests.trajectories import CELL, frames

    cell = 1.1 * CELL
    path, study = mixture(frames(4, {"O": 28, "Na": 7, "Si": 14}, cell))
    line = refused("forward", path, study)
    assert "the study has several states; give one of cold, hot" in line
    hot = 49 / np.linalg.det(cell)
    fix = ("--set", f"states.1.number_density={hot}")
    words = ("--state", "hot", *fix, "--out", tmp_path / "out")
    printed = call("forward", path, study, *words)
    assert "4 frames of 14 Si, 28 O, 7 Na" in printed
    assert "x: scale" in printed
    result = json.loads((tmp_path / "out" / "forward.json").read_text())
    assert [row["name"] for row in result["data"]] == ["x"]
    assert result["data"][0]["scale"] != 1.0
    g = columns(tmp_path / "out" / "g_r" / "hot.csv")
    assert list(g)[1:] == ["Si-Si", "Si-O", "Si-Na", "O-O", "O-Na", "Na-Na"]
    s = columns(tmp_path / "out" / "s_q" / "hot.csv")
    assert list(s)[-1] == "x"  # too few frames for errors
    from refine.curves.weights import form_factors, pair_weights

    weights = pair_weights(np.array([2, 4, 1]) / 7, form_factors(("Si", "O", "Na"), s["Q"]))
    total = np.einsum("pq,pq->q", weights, [s[name] for name in list(g)[1:]])
    np.testing.assert_allclose(s["x"], total, atol=1e-5)  # the weights add up to one

    other = mixture(frames(2, {"O": 26, "Na": 7, "Si": 16}, cell))
    line = refused("forward", *other, *words, "--overwrite")
    assert "the trajectory is 32.7 % Si, 53.1 % O, 14.3 % Na, the study 28.6 % Si, 57.1 % O, 14.3 % Na" in line


def test_box_too_small_is_said(folder: Path, tmp_path: Path) -> None:
    tiny = ase.Atoms("Ar4", positions=[[0, 0, 0], [2.9, 2.9, 0], [2.9, 0, 2.9], [0, 2.9, 2.9]], cell=[5.73] * 3, pbc=1)
    with pytest.raises(InputError, match=r"fit_q holds|score_r ends at"):
        forward(StudyConfig.from_toml(folder / "study.toml"), write_extxyz(tmp_path / "tiny.xyz", [tiny]))


def test_a_predicted_curve_is_written_and_nothing_said_of_it(folder: Path, dump: Path, tmp_path: Path) -> None:
    entry = 'name = "ours"\nrole = "predict"\nquantity = "S(Q)"\nradiation = "xray"\nq_range = [0.8, 11.0]\n'
    text = small_box.STUDY.replace("[model]\n", f"[[data]]\n{entry}[model]\n")
    (folder / "predict.toml").write_text(text)
    found = forward(StudyConfig.from_toml(folder / "predict.toml"), dump, types=("Ar",))
    found.write(tmp_path)
    mine, measured = columns(tmp_path / "curves" / "ours.csv"), columns(tmp_path / "curves" / "sq.csv")
    assert set(mine) == {"Q", "model", "model_stderr"}
    # the same atoms: one element's S(Q) is one for x-rays and neutrons, and nothing of the measured curve is in it
    theirs = np.interp(mine["Q"], measured["Q"], measured["model"])
    np.testing.assert_allclose(mine["model"], theirs, atol=5e-3)
    # the error of sampling and of the cut: wider than what two models of the same atoms differ by when cut elsewhere
    counts, box = found.frames.counts.mean(axis=0, dtype=np.float64), found.box
    kept = np.where(box.centres < 0.75 * box.r_max, counts - box.ideal_counts, 0.0) + box.ideal_counts
    shown = found.predictions[0].measurement.shown
    earlier = np.abs(shown.predict(kept) - shown.predict(counts))
    assert earlier.max() > 0.1
    assert np.mean(earlier < 3 * mine["model_stderr"]) > 0.9
    assert mine["model_stderr"][mine["Q"] > 8.0].max() < 0.05
    assert "ours: predicted" in found.table()
    assert "chi2" not in json.dumps(found.to_json()["predictions"])


ROUND = {
    "sq": 'quantity = "S(Q)"\nradiation = "neutron"\nisotopes = { Ar = 36 }\nq_range = [0.3, 18.0]\n',
    "fq": 'quantity = "F(Q)"\nnormalisation = "keen"\nradiation = "xray"\nq_range = [0.5, 18.0]\n',
    "dr": 'quantity = "D(r)"\nradiation = "xray"\nq_range = [0.3, 18.0]\nwindow = "lorch"\n',
    "tr": 'quantity = "T(r)"\nradiation = "neutron"\nq_range = [0.3, 18.0]\n',
}


def test_a_trajectory_against_its_own_curves_scores_zero(folder: Path, dump: Path, tmp_path: Path) -> None:
    """Curves predicted of a trajectory, as written, read back as measured ones of the same frames."""
    begin, end = small_box.STUDY.index("[[data]]"), small_box.STUDY.index("[model]\n")
    before, after = small_box.STUDY[:begin], small_box.STUDY[end:]

    def study(role: str) -> StudyConfig:
        text = before
        for name, entry in ROUND.items():
            file = f'file = "{tmp_path / "curves" / name}.csv"\n' if role == "score" else ""
            if role == "score" and name[1] == "q":
                entry = "".join(line for line in entry.splitlines(True) if "q_range" not in line)
            text += f'[[data]]\nname = "{name}"\nrole = "{role}"\n{file}{entry}'
        path = folder / f"round-{role}.toml"
        path.write_text(text + after)
        return StudyConfig.from_toml(path)

    forward(study("predict"), dump, types=["Ar"]).write(tmp_path)
    scores = forward(study("score"), dump, types=["Ar"]).scores
    assert [score.data.name for score in scores] == list(ROUND)
    for score in scores:
        assert score.r_chi < 0.003
        assert score.span[1] > 8.5  # up to half the box
        assert score.chi2 is not None
        assert score.chi2 / score.points < 0.1
