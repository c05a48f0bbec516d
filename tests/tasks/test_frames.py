"""Configurations of a run as files: those that it keeps, the last ones, and those of a run that was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.errors import CheckpointError, InputError
from refine.sampling.frames import Frames
from refine.sampling.trajectories import count_trajectory
from refine.study.schema import StudyConfig
from refine.tasks.frames import write_frames
from refine.tasks.run import store
from refine.tasks.run.kept import Kept, kept_path
from refine.tasks.run.loop import run_study
from tests import small_box
from tests.listening import StopIn

SHORT = ("refinement.iterations=1", "sampling.frames=24", "sampling.equilibration=0.5", "sampling.reequilibration=0.1")
KEEP = "sampling.keep=5"
TWICE = "sampling.replicas=2"


class Interrupted(StopIn):
    """Ctrl-C."""

    def end(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_box.write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def out(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two replicas that kept every fifth frame."""
    folder = tmp_path_factory.mktemp("run") / "out"
    Study.from_toml(study, [*SHORT, KEEP, TWICE]).run(folder)
    return folder


def test_kept_frames_are_those_that_were_counted(out: Path) -> None:
    """Pair by pair but for those at an edge of a bin; positions are written to 1e-8 Å."""
    stored = store.load(out / store.CHECKPOINT)
    for k, sample in enumerate(stored.samples):
        frames = sample["frames"]["0000"]
        path = kept_path(out, k, "85K")
        images = ase.io.read(path, ":")
        assert [(a.info["replica"], a.info["frame"]) for a in images] == [(0, 5), (0, 10), (1, 5), (1, 10)]
        rows = [np.flatnonzero(frames["replica"] == a.info["replica"])[a.info["frame"] - 1] for a in images]
        np.testing.assert_allclose([a.get_potential_energy() for a in images], frames["energy"][rows], rtol=1e-9)
        np.testing.assert_allclose([a.info["temperature"] for a in images], frames["temperature"][rows], rtol=1e-9)
        counted = count_trajectory(path, 0.02).frames
        bins = min(counted.counts.shape[2], frames["counts"].shape[2])
        off = np.abs(counted.counts[:, :, :bins] - frames["counts"][rows][:, :, :bins])
        assert off.sum() <= 2
        assert frames["counts"][rows].sum() > 1000


@pytest.mark.slow
def test_what_is_kept_changes_no_number(study: Path, out: Path, tmp_path: Path) -> None:
    """Nor does an interruption change what is kept."""
    plain = Study.from_toml(study, [*SHORT, TWICE])
    assert plain.digest() == Study.from_toml(study, [*SHORT, TWICE, KEEP]).digest()
    plain.run(tmp_path / "plain")
    before, after = (store.load(folder / store.CHECKPOINT) for folder in (out, tmp_path / "plain"))
    for one, other in zip(before.samples, after.samples, strict=True):
        np.testing.assert_array_equal(one["frames"]["0000"]["counts"], other["frames"]["0000"]["counts"])
        assert "positions" not in one["frames"]["0000"]
    assert not (tmp_path / "plain" / "frames").exists()

    again, folder = Study.from_toml(study, [*SHORT, TWICE, KEEP]), tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        run_study(again, folder, progress=Interrupted("sampling the base"))
    kept_path(folder, 0, "85K").parent.mkdir(exist_ok=True)
    with kept_path(folder, 0, "85K").open("ab") as stream:
        stream.write(b"half of a fr")
    run_study(again, folder, resume=True)
    for k in range(2):
        assert kept_path(folder, k, "85K").read_bytes() == kept_path(out, k, "85K").read_bytes()


def test_frames_of_a_run(out: Path, study: Path, tmp_path: Path) -> None:
    """Those that were kept, by the command; else the last of each replica."""
    said = CliRunner().invoke(app, ["frames", str(out), "--to", str(tmp_path / "a.extxyz"), "--sample", "base"])
    assert said.exit_code == 0, said.output
    assert (tmp_path / "a.extxyz").read_bytes() == kept_path(out, 0, "85K").read_bytes()
    said = CliRunner().invoke(app, ["frames", str(out), "--to", str(tmp_path / "a.extxyz")])
    assert said.exit_code == 2
    assert "use --overwrite" in said.output

    plain = tmp_path / "plain"
    Study.from_toml(study, [*SHORT, TWICE]).run(plain)
    written = write_frames(plain)
    assert (written.path, written.kept) == (plain / "final-85K.extxyz", False)
    images = ase.io.read(written.path, ":")
    assert len(images) == 2
    assert images[0].cell.volume == pytest.approx(108 / 0.02125)
    ends = store.ends_of(store.load(plain / store.CHECKPOINT).samples[written.sample])[0].positions
    for image, end in zip(images, ends, strict=True):
        moved = (image.positions - end) / image.cell.lengths()
        np.testing.assert_allclose(moved - np.round(moved), 0.0, atol=1e-6)


def test_what_there_is_not(out: Path, study: Path, tmp_path: Path) -> None:
    for given, match in (
        ({"sample": "7"}, "no sample '7'.*number from 0 to"),
        ({"sample": "first"}, "no sample 'first'"),
        ({"state": "90K"}, "no state '90K'"),
        ({"out": tmp_path / "a.pdb"}, "extended XYZ"),
        ({"out": kept_path(out, 0, "85K"), "sample": "base", "overwrite": True}, "where the run keeps its frames"),
        ({"out": kept_path(out, 1, "85K"), "sample": "base", "overwrite": True}, "where the run keeps its frames"),
        ({"out": tmp_path / "none" / "a.extxyz"}, "no such folder"),
    ):
        with pytest.raises(InputError, match=match):
            write_frames(out, **{"out": tmp_path / "b.extxyz", **given})
    with pytest.raises(InputError, match="there is no run"):
        write_frames(tmp_path)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(KeyboardInterrupt):
        run_study(Study.from_toml(study, [*SHORT, KEEP]), unfinished, progress=Interrupted("sampling the base"))
    with pytest.raises(InputError, match=r"no sample yet|not finished"):
        write_frames(unfinished)


def test_frames_that_were_taken_away_are_missed(out: Path, study: Path, tmp_path: Path) -> None:
    """Where the file is shorter than run.h5 has it; what is longer is cut."""
    kept = Kept(Study.from_toml(study, [*SHORT, KEEP, TWICE]), tmp_path, 5)
    stored = Frames.from_arrays(store.load(out / store.CHECKPOINT).samples[0]["frames"]["0000"])
    frames = replace(stored, positions=np.zeros((len(stored), 108, 3), np.float32))
    size = kept.append(0, 0, frames, first=0, written=0)
    path = kept_path(tmp_path, 0, "85K")
    assert size == path.stat().st_size > 0
    assert kept.append(0, 0, frames, first=12, written=size) > size  # frames 15 and 20 of each replica
    assert [a.info["frame"] for a in ase.io.read(path, ":")] == [5, 10, 5, 10, 15, 20, 15, 20]
    assert kept.append(0, 0, frames, first=0, written=0) == size == path.stat().st_size
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"taken out.*sampling\.keep"):
        kept.append(0, 0, frames, first=12, written=size)


def test_moves_of_atoms_keep_none(study: Path) -> None:
    with pytest.raises(InputError, match=r"\[sampling\] keep.*rmc"):
        Study.from_toml(study, ["refinement.method='rmc'", KEEP])
    with pytest.raises(InputError, match=r"\[sampling\] keep = 0"):
        StudyConfig.from_toml(study, ["sampling.keep=0"])
