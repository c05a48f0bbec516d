"""XTC and TRR files of GROMACS: as another program writes them, and against the frames that are in them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.sampling.files.reading import read_trajectory
from refine.sampling.files.trajectory import Trajectory
from refine.sampling.formats import trr, xtc
from refine.sampling.formats.binary import BinaryFrame
from refine.sampling.trajectories import count_trajectory
from refine.system import make_system
from tests import trajectories

NUMBERS = {"Si": 14, "O": 29, "Na": 7}

BOX = np.array([[1.5, 0.0, 0.0], [0.25, 1.6, 0.0], [-0.2, 0.3, 1.7]])
"""nm."""

# The positions of `written` as mdtraj 1.11.1 writes them, with steps 100 and 150: all of them as XTC; twelve that are
# 20 µm apart as XTC, whose integers are too large to be mixed; the first twelve of each frame as TRR.

COMPRESSED = """
AAAHywAAADwAAABkAAAAAD/AAAAAAAAAAAAAAD6AAAA/zMzNAAAAAL5MzM0+mZmaP9mZmgAAADxEegAAAAAACAAAABEAAABQAAAFywAABckAAAWuAAAA
CgAAAPJE6/05h+rYvO0SCZZ8dOoujTuQAsXE6yFlGNGi900TatgnEGaH1MxuqMqpjJHlN0I6irp7/USB30yOMJYBtxlagxilr1gRlJXUHUonzF5WtRE4
szrEOs20nH4yNHGwvBBQnWUNrjiDwJQOE+AJpLHQp6eXmiiCGQi95ZlUbowdcmxg2Fc3voMIGsAaK4dKi2DkgLBnWambc+FEe+G0nIpC10g0qkKELBTH
QBABwWFtdYHLEAsMjPs5hMq8xK6uoiGrlFGKSjQ9Si1kQuUpcZOX7JilFIq6GpxCA5FqUtE2jtymqt2bqFCeBC1udhpNquqQgAAAAAAHywAAADwAAACW
P4AAAD/AAAAAAAAAAAAAAD6AAAA/zMzNAAAAAL5MzM0+mZmaP9mZmgAAADxEegAAAAAAswAAAEkAAABSAAAGCwAABasAAAS0AAAACwAAAON3mA1rC+BY
iwRHi5K0+r5y0DnjKwUFEPMIp18JGy8XGdqgTblYkjiCiKF198WYoddHCKDKYh8ue2AObdPkOIzBCZx0kIiiR5QKBZUdU54GnlEZy30RivQo6Sgqmeeq
FeZnlfI8dT6CyrOMLnVxtunD3KtQ5FgKqRibLie+xB2PQYA20rrBlOUwGKox21cohqMYMN2hDSa17A+AzlrNF3ee+w4sBDynzJU/Myts1pnlHhhEE9F6
kPfe0MEXoNjGIN9SllFEQSqxlcDUhIhzHcWvpBjNqbbhUfZgKNOeSqdjGcruVwA=
"""

WIDE = """
AAAHywAAAAwAAABkAAAAAD/AAAAAAAAAAAAAAD6AAAA/zMzNAAAAAL5MzM0+mZmaP9mZmgAAAAxEegAAABGz+gAAAIEAAABeARUHoAAAA80AAAWVAAAA
PAAAAEmBqdNiNN4UQ69AIAAEl3i1hUafDUILTD4PXvc0yjgqobbgbMojFZEZrJfiAAAAUaUI3J7EABNgL3/UtjuCRorgF6SICut2apgAAAAA
"""

FULL = """
AAAHyQAAAA0AAAAMR01YX3Rybl9maWxlAAAAAAAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAAAAAAJAAAAAAAAAAAAAAAAwAAABkAAAAAAAAAAAAAAAAP8AA
AAAAAAAAAAAAPoAAAD/MzM0AAAAAvkzMzT6ZmZo/2ZmaPvsdXj+9jqI+9MUaPwADWj+z83I+9wo/Pwe+3D+7M4Q+4bMOP5dmwj+nBSc/Fi0zP5UYDD+j
zJI/GGNsP5bd+j+eg7U/NYMpPyglij8PIrU+JEfePymlQj8YjQE9o6MvPzMSoT70FWg95vJrPzfsOD65W8M+xXzQPzMrET7gTu0+pI5uPzwxDj7AhhU+
5H5xAAAHyQAAAA0AAAAMR01YX3Rybl9maWxlAAAAAAAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAAAAAAJAAAAAAAAAAAAAAAAwAAACWAAAAAD+AAAAAAAAA
P8AAAAAAAAAAAAAAPoAAAD/MzM0AAAAAvkzMzT6ZmZo/2ZmaP0DdlD+Pd4c+7t8sPzMDuj+Lj00/Ei1tPyYKfD+HF/A/B5CDPyzDZD7UFyM/LHq7PzPh
xT75ZIs/OSz/PzMUPT8BBAI/MUIyP0PUfD9Y+II/hzRiP0HDdT9X2TI/kjIcPzgZez9UuGY/cw/sPrm3vj9yG7w+CnbrPp0/nT91vSc9qEkMPqr/zT9w
5r8+WeJ+
"""


def written() -> tuple[np.ndarray, np.ndarray]:
    """nm: waters, and a chain whose atoms are close; and what is far apart."""
    rng = np.random.default_rng(8)
    water = rng.uniform(0, 1.5, (2, 15, 1, 3)) + rng.normal(0, 0.06, (2, 15, 3, 3)) * np.array([0, 1, 1])[:, None]
    chain = 0.7 + np.cumsum(rng.normal(0, 0.01, (2, 15, 3)), axis=1)
    return np.concatenate([water.reshape(2, 45, 3), chain], axis=1), rng.uniform(0, 1, (1, 12, 3)) * [2e4, 1, 1.5]


def frames(path: Path, content: bytes) -> list[BinaryFrame]:
    path.write_bytes(content)
    with path.open("rb") as stream:
        return list((xtc if xtc.is_xtc(content) else trr).frames_in(stream))


def sorted_frames(number: int = 5) -> list[ase.Atoms]:
    """Atoms sorted by species, as a study has them."""
    images = trajectories.frames(number)
    return [atoms[np.argsort([list(NUMBERS).index(s) for s in atoms.symbols], kind="stable")] for atoms in images]


def read(path: Path, images: list[ase.Atoms]) -> Trajectory:
    system = make_system(NUMBERS, images[0].cell.array)
    return read_trajectory([path], system, n_bins=200, r_max=4.0, precision="float64", positions=True)


WRITERS: list[Callable[..., Path]] = [trajectories.write_xtc, trajectories.write_trr]
"""Of either format."""


def test_as_another_program_writes_them(tmp_path: Path) -> None:
    """XTC to half of its last digit, TRR to those of float32."""
    near, far = written()
    for text, expected, off in ((COMPRESSED, near, 0.005), (WIDE, far, 0.02), (FULL, near[:, :12], 1e-6)):
        found = frames(tmp_path / "a", base64.b64decode(text))
        assert len(found) == len(expected)
        assert [one.step for one in found] == ([100, 150] if len(expected) > 1 else [-1])
        for one, positions in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.positions, 10.0 * positions, rtol=0, atol=1.01 * off)
            np.testing.assert_allclose(one.cell, 10.0 * BOX, rtol=1e-6)


def test_with_a_count_of_eight_bytes(tmp_path: Path) -> None:
    """As of GROMACS 2023, for systems whose compressed frames are larger than 2 GB."""
    content = base64.b64decode(WIDE)
    head = xtc.HEAD.size + xtc.SCALE.size - 4
    long = struct.pack(">i", 2023) + content[4:head] + bytes(4) + content[head:]
    np.testing.assert_array_equal(
        frames(tmp_path / "a", long)[0].positions, frames(tmp_path / "b", content)[0].positions
    )


@pytest.mark.parametrize("write", WRITERS)
def test_counts_are_those_of_the_same_frames_as_text(tmp_path: Path, write: Callable[..., Path]) -> None:
    images = sorted_frames()
    path = write(tmp_path / "a.bin", images)
    named = images[0].get_chemical_symbols()
    counted = count_trajectory(path, 0.5, species=tuple(NUMBERS), named=named)
    same = trajectories.write_extxyz(tmp_path / "a.extxyz", images)
    expected = count_trajectory(same, 0.5, species=tuple(NUMBERS))
    assert counted.read == 5
    pairs = expected.frames.counts.sum()
    assert np.abs(counted.frames.counts - expected.frames.counts).sum() <= 0.02 * pairs  # distances near an edge
    np.testing.assert_allclose(counted.system.cell, trajectories.CELL, rtol=1e-6)
    of_a_step = read(path, images)
    np.testing.assert_allclose(of_a_step.positions, [atoms.positions for atoms in images], rtol=0, atol=0.006)
    assert of_a_step.steps.tolist() == [0, 1, 2, 3, 4]
    assert of_a_step.notes == ()


def test_in_double_precision_and_with_frames_of_velocities_alone(tmp_path: Path) -> None:
    images = sorted_frames()
    path = trajectories.write_trr(tmp_path / "a.trr", images, width=8, speeds=True, steps=[0, 10, 20, 30, 40])
    found = read(path, images)
    np.testing.assert_allclose(found.positions, [atoms.positions for atoms in images], rtol=1e-14)
    assert found.steps.tolist() == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("write", WRITERS)
def test_steps_that_tell_no_frames_apart_are_none(tmp_path: Path, write: Callable[..., Path]) -> None:
    images = sorted_frames()
    assert (read(write(tmp_path / "a", images, steps=[0] * 5), images).steps == -1).all()
    assert (read(write(tmp_path / "b", images[:1], steps=[0]), images).steps == -1).all()


@pytest.mark.parametrize("write", WRITERS)
def test_a_last_frame_that_is_not_whole(tmp_path: Path, write: Callable[..., Path]) -> None:
    images = sorted_frames()
    path = write(tmp_path / "a.bin", images)
    whole = path.read_bytes()
    named = images[0].get_chemical_symbols()
    for cut in (1, 100, len(whole) // 5 - 3):
        path.write_bytes(whole[:-cut])
        found = read(path, images)
        assert len(found) == 4
        assert "a.bin ends within a frame, which is left out" in found.notes
        with pytest.raises(InputError, match=r"frame 5: not readable as \w+: the file ends in the middle of a frame"):
            count_trajectory(path, 0.5, named=named)
        assert count_trajectory(path, 0.5, named=named, last=4).read == 4
    path.write_bytes(whole[: len(whole) // 5 - 3])
    with pytest.raises(InputError, match="there is no frame"):
        read(path, images)


@pytest.mark.parametrize("write", WRITERS)
def test_without_a_box(tmp_path: Path, write: Callable[..., Path]) -> None:
    images = sorted_frames()
    for atoms in images:
        atoms.set_cell(np.zeros((3, 3)))
    path = write(tmp_path / "a.bin", images)
    found = read_trajectory(
        [path], make_system(NUMBERS, trajectories.CELL), n_bins=10, r_max=4.0, precision="float64", positions=False
    )
    assert "a.bin has no cell: its frames are taken to be of the box of the study" in found.notes
    with pytest.raises(InputError, match="the frame has no cell; give it: --cell"):
        count_trajectory(path, 0.5, named=images[0].get_chemical_symbols())


def test_what_is_not_taken(tmp_path: Path) -> None:
    images = sorted_frames()
    named = images[0].get_chemical_symbols()
    coarse = trajectories.write_xtc(tmp_path / "a.xtc", images, precision=100.0)
    with pytest.raises(InputError, match=r"rounded to 0\.1 Å, too coarse for distances: write them with compressed"):
        count_trajectory(coarse, 0.5, named=named)
    with pytest.raises(InputError, match="a file xtc does not name its atoms; give a structure"):
        count_trajectory(trajectories.write_xtc(tmp_path / "b.xtc", images), 0.5, species=tuple(NUMBERS))
    with pytest.raises(InputError, match="a file trr has no types and no labels"):
        count_trajectory(trajectories.write_trr(tmp_path / "b.trr", images), 0.5, types=["Si"])
    strange = bytearray((tmp_path / "b.trr").read_bytes())
    strange[24:28] = struct.pack(">i", 100)  # a run's input, as nobody writes it
    (tmp_path / "c.trr").write_bytes(strange)
    with pytest.raises(InputError, match="a frame has ir"):
        count_trajectory(tmp_path / "c.trr", 0.5, named=named)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_are_it_is_frames_or_one_fault(tmp_path: Path, data: st.DataObject) -> None:
    """Libraries in C read beyond their buffers here: mdtraj dies of one such file in twenty."""
    content = bytearray(base64.b64decode(data.draw(st.sampled_from([COMPRESSED, WIDE, FULL]))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 140) | st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4) | st.just(struct.pack(">i", 2**31 - 1)))
    content = content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))]
    path = tmp_path / "a"
    path.write_bytes(bytes(content))
    with path.open("rb") as stream:
        for read_it in (xtc.frames_in, trr.frames_in):
            stream.seek(0)
            try:
                found, said = list(read_it(stream)), ""
            except (ValueError, EOFError) as error:
                found, said = [], str(error)
            assert "\n" not in said
            assert all(one.positions.shape[1] == 3 for one in found)
