"""A pair correction beside weights of the silica model: one budget for all, and a table that says what it shows."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import read

from refine.results.schema import Status
from tests.experiments.scripts import script

FOLDER = Path(__file__).parents[2] / "experiments" / "silica_mace"
weights = script(FOLDER / "weights.py")
STRIDE, TIMESTEP = 15, 2.0


@pytest.mark.parametrize("name", weights.VARIANTS)
def test_all_fit_the_same_curve_from_the_same_start(name: str):
    study, alone = weights.study_of(weights.VARIANTS[name]), weights.study_of(())
    assert np.array_equal(study.systems[0].positions, alone.systems[0].positions)
    assert study.config.sampling == alone.config.sampling
    assert [target.y.tolist() for target in study.problem.targets] == [t.y.tolist() for t in alone.problem.targets]
    assert (study.replay is not None) == ("replay" in name)
    moved = study.config.refinement.base_parameters
    assert moved == (("lora:8",) if "lora" in name else ("layers.1.readout",) if "readout" in name else ())


def test_glasses_of_the_transfer_are_other_ones():
    positions = [weights.study_of((), glass=glass).systems[0].positions for glass in weights.GLASSES]
    assert all(np.abs(positions[0] - other).max() > 1.0 for other in positions[1:])


class Runs:
    """A study whose samples have the same length as those of the script and whose runs end as they are told."""

    settings = SimpleNamespace(stride=STRIDE, timestep=TIMESTEP)

    def __init__(self, status: Status, shorter: int = 0) -> None:
        self.status, self.shorter = status, shorter
        self.asked: list[int] = []

    def study_of(self, keys: tuple[str, ...], iterations: int = 0) -> "Runs":
        self.asked += [iterations] if iterations else []
        return self

    def run(self, folder: Path, *, resume: str) -> SimpleNamespace:
        folder.mkdir(parents=True, exist_ok=True)
        assert resume == "auto"
        frames = [weights.FRAMES - self.shorter] * self.asked[-1] + [weights.FRAMES]
        rows = [SimpleNamespace(frames=n) for n in frames]
        return SimpleNamespace(iterations=rows, status=self.status, message="")


@pytest.mark.parametrize("shorter", [0, weights.FRAMES // 2])
@pytest.mark.parametrize("steps", [1400, 6000, 7321])
def test_a_run_goes_on_until_no_sample_fits(steps: int, shorter: int, monkeypatch, tmp_path: Path):
    runs = Runs(Status.EXHAUSTED, shorter)
    monkeypatch.setattr(weights, "study_of", runs.study_of)
    folder = weights.refined("pairs", tmp_path, weights.Budget(steps, 10))
    spent = json.loads((folder / "spent.json").read_text())
    each = STRIDE * (weights.FRAMES + 10)
    assert spent["updates"] == runs.asked[-1]
    assert steps - each < spent["steps"] <= steps
    asked = list(runs.asked)
    assert weights.refined("pairs", tmp_path, weights.Budget(steps, 10)) == folder
    assert runs.asked == asked  # an interrupted script does not run it again


def test_a_run_that_converged_spends_no_more(monkeypatch, tmp_path: Path):
    runs = Runs(Status.CONVERGED, weights.FRAMES // 2)
    monkeypatch.setattr(weights, "study_of", runs.study_of)
    weights.refined("pairs", tmp_path, weights.Budget(10_000, 10))
    assert len(runs.asked) == 1


def test_what_glasses_differ_by_is_no_effect():
    """Marked within the spread of the unrefined glasses, or within twice the sampling error of the change."""
    alone = {
        glass: {"R": (value, 0.01), "pressure": (1.0, 0.5)}
        for glass, value in zip(weights.GLASSES, (0.16, 0.18, 0.2), strict=True)
    }
    other = {glass: {"R": (0.17, 0.001), "pressure": (-3.0, 0.5)} for glass in weights.GLASSES}
    labels = {"labels": {"forces": (80.0, 0.0)}}
    lines = weights.table(
        {"alone": alone | labels, "pairs": other | labels}, {"pairs": {"updates": 3, "steps": 9, "cpu": 1}}
    )
    rows = {row.split(" | ")[0].lstrip("| "): row.split(" | ")[1:] for row in lines.splitlines()}
    assert rows["R, glass-2"] == ["0.16 ± 0.01", "≈ 0.170 ± 0.001", "0.020 |"]
    assert rows["R, glass-5"] == ["0.20 ± 0.01", "0.170 ± 0.001", "0.020 |"]
    assert rows["pressure, glass-4"][1] == "-3.0 ± 0.5"
    assert rows["forces, labels"] == ["80", "80", " |"]
    assert rows["updates"] == ["", "3", "|"]
    assert weights.cell((0.1, 0.001), (0.103, 0.002), 0.0) == "≈ 0.100 ± 0.001"


def test_angles_of_a_frame_are_those_of_its_atoms():
    """A chain O-Si-O-Si-O, with 90 and 120 degrees at Si and 90 at O, in each of ten equal frames: no error."""
    first, shared, second = np.array([5.0, 5, 5]), np.array([6.6, 5, 5]), np.array([6.6, 5, 6.6])
    ends = first + 1.6 * np.array([0, 1, 0]), second + 1.6 * np.array([0, np.sin(np.pi / 3), 0.5])
    positions = np.array([ends[0], shared, ends[1], first, second])
    system = SimpleNamespace(species=("O", "Si"), n_per_species=(3, 2), cell=20.0 * np.eye(3))
    rows = weights.angles(system, SimpleNamespace(positions=np.array([positions] * 10)))
    assert rows["O-Si-O"] == pytest.approx((105.0, 0.0))
    assert rows["O-Si-O, deviation"] == pytest.approx((15.0, 0.0), abs=1e-6)
    assert rows["Si-O-Si"] == pytest.approx((90.0, 0.0))
    assert rows["O around Si"] == pytest.approx((2.0, 0.0))


def test_every_phase_is_labelled():
    """Whole labels, of frames that are in equilibrium with nothing: forces add up to zero."""
    frames = read(weights.LABELLED, ":")
    phases = [atoms.info["phase"] for atoms in frames]
    assert set(phases) == {"liquid", "glass", "compressed", "crystal", "glass of this model"}
    for atoms in frames:
        assert np.isfinite(atoms.info["REF_energy"])
        assert np.abs(atoms.arrays["REF_forces"].sum(axis=0)).max() < 1e-2
    training = read(FOLDER / "reference.extxyz", ":")
    assert not any(len(a) == len(b) and np.allclose(a.positions, b.positions) for a in frames for b in training)


@pytest.mark.slow
def test_it_runs_goes_on_and_scores(monkeypatch, tmp_path: Path, capsys):
    """Samples so short that only the road is tested, of a pair correction and of weights; then from its files."""
    for name, value in {"FRAMES": 10, "EQUILIBRATION": 0.03, "REEQUILIBRATION": 0.03, "SETTLE": 0.03}.items():
        monkeypatch.setattr(weights, name, value)
    monkeypatch.setattr(weights, "GLASSES", weights.GLASSES[:2])
    few = tmp_path / "few.extxyz"
    few.write_text("\n".join((FOLDER / "labelled.extxyz").read_text().splitlines()[:62]) + "\n")
    monkeypatch.setattr(weights, "LABELLED", few)
    monkeypatch.setattr(
        "sys.argv",
        ["weights.py", str(tmp_path / "out"), "--steps", "400", "--frames", "10", "--only", "pairs", "lora:8"],
    )
    weights.main()
    first = capsys.readouterr()
    assert "lora8-labels is done" in first.err
    rows = {line.split(" | ")[0].lstrip("| "): line for line in first.out.splitlines()}
    for part in weights.GLASSES:
        assert {f"R_χ neutron, {part}", f"R_χ xray, {part}", f"Si-O-Si, deviation, {part}"} <= set(rows)
    assert "nan" not in first.out
    weights.main()
    second = capsys.readouterr()
    assert second.out == first.out
    assert "is done" not in second.err
