"""`refine enrich`: what it writes, and that an interrupted one goes on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refine.errors import CheckpointError
from refine.progress import NullProgress
from refine.study.schema import StudyConfig
from refine.tasks import enrich as task
from refine.tasks.biased import PIECES
from refine.tasks.enrich import enrich
from tests import small_box
from tests.commands import call, refused

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEYS = """
[bias]
every = 4
frames = 60
keep = 2
[[variables]]
name = "n"
pair = ["Ar", "Ar"]
within = 4.8
"""


class Impatient(NullProgress):
    """Ends in the second piece with a bias."""

    def __init__(self) -> None:
        self.biased = False
        self.seen = 0

    def stage(self, name: str, total: int) -> None:
        self.biased = name == "with bias"

    def advance(self, steps: int = 1) -> None:
        self.seen += self.biased and steps > 0
        if self.seen == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_box.write(tmp_path_factory.mktemp("study"))
    path.write_text(path.read_text() + KEYS)
    return path


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few frames, so that a short sample has several."""
    monkeypatch.setattr("refine.sampling.jax.sampler._steps_per_block", lambda atoms, cost: 80)


@pytest.mark.slow
@pytest.mark.usefixtures("in_pieces")
def test_an_interrupted_sample_goes_on_bit_for_bit(path: Path, tmp_path: Path) -> None:
    config = StudyConfig.from_toml(path)
    whole = enrich(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        enrich(config, tmp_path / "parts", progress=Impatient())
    assert not (tmp_path / "parts" / task.MARK).exists()
    with pytest.raises(CheckpointError, match="this folder holds a sample"):
        enrich(config, tmp_path / "parts")
    with pytest.raises(CheckpointError, match="this sample is of another study"):
        enrich(StudyConfig.from_toml(path, ["bias.factor=5.0"]), tmp_path / "parts", resume=True)
    pieces = sorted((tmp_path / "parts" / PIECES).iterdir())
    assert [path.name for path in pieces] == ["000.h5", "001.h5", "002.h5"]
    (tmp_path / "parts" / PIECES / "003.h5").write_bytes(b"what a killed process left")
    stamps = [path.stat().st_mtime_ns for path in pieces]
    parts = enrich(config, tmp_path / "parts", resume=True)
    assert [path.stat().st_mtime_ns for path in pieces] == stamps  # written once
    assert len(list((tmp_path / "parts" / PIECES).iterdir())) == len(list((tmp_path / "whole" / PIECES).iterdir())) > 3
    for a, b in zip(whole.hills, parts.hills, strict=True):
        np.testing.assert_array_equal(a.centres, b.centres)
        np.testing.assert_array_equal(a.heights, b.heights)
    assert (tmp_path / "whole" / task.FRAMES).read_bytes() == (tmp_path / "parts" / task.FRAMES).read_bytes()
    found, again = (json.loads((tmp_path / name / task.MARK).read_text()) for name in ("whole", "parts"))
    assert found["means"] == again["means"]
    assert found["weights"] == again["weights"]
    assert sum(found["weights"]) == pytest.approx(1.0)
    assert found["effective_frames"] == pytest.approx(1 / np.square(found["weights"]).sum())
    assert len(found["hills"][0]["centres"]) == 60


def test_the_command_writes_configurations_with_weights(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = call("enrich", path, "--out", out, "--set", "bias.frames=20")
    assert "85K: 20 frames at 85 K, 20 hills" in printed
    assert "effective frames without the bias" in printed
    frames = (out / task.FRAMES).read_text()
    assert frames.count("Lattice") == 10
    assert all(f" {key}=" in frames for key in ("energy", "weight", "n", "replica", "frame"))
    assert "this folder holds a sample" in refused("enrich", path, "--out", out, "--set", "bias.frames=20")
    pieces = sorted((out / PIECES).iterdir())
    again = call("enrich", path, "--out", out, "--set", "bias.frames=20", "--resume")
    assert again.splitlines()[-1] == printed.splitlines()[-1]
    assert (out / task.FRAMES).read_text() == frames
    pieces[-1].write_bytes(pieces[-1].read_bytes()[:-100])
    assert "the checkpoint is damaged" in refused("enrich", path, "--out", out, "--set", "bias.frames=20", "--resume")
    pieces[-1].unlink()
    line = refused("enrich", path, "--out", out, "--set", "bias.frames=20", "--resume")
    assert f"{pieces[-1]}: the checkpoint is damaged (a piece of the frames is not there)" in line
    table = json.loads((out / task.MARK).read_text())
    assert table["means"][0]["reweighted"] is None  # 16 frames at most
    assert [mean["name"] for mean in table["means"]] == ["n", "energy", "pressure"]


def test_what_is_not_there_is_one_line(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "engine 'lammps' has no bias; set engine = \"jax\"" in refused(
        "enrich", path, "--out", out, "--set", "sampling.engine='lammps'"
    )
    assert "the study has no state 'x'; give one of 85K" in refused("enrich", path, "--out", out, "--state", "x")
    assert "there is no sample to resume" in refused("enrich", path, "--out", out, "--resume")
    assert not out.exists()
