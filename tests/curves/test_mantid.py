"""Processed workspaces of Mantid: what SaveNexusProcessed writes is read, links and bombs are not."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.readers import read_curve
from refine.curves.readers.mantid import MANTID, MAX_POINTS
from refine.errors import InputError

POINTS = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
EDGES = np.array([0.25, 0.75, 1.25, 1.75, 2.25, 3.75, 4.25])
Y = np.array([0.1, 0.4, 1.3, 1.1, 0.9, 1.0])
E = 0.01 * Y


def workspace(
    path: Path, x: Any, y: Any, e: Any, unit: str = "MomentumTransfer", mode: str = "w", number: int = 1
) -> Path:
    """As SaveNexusProcessed lays it out: rows of chunks, deflated, strings as bytes."""
    with h5py.File(path, mode) as file:
        entry = file.create_group(f"mantid_workspace_{number}")
        entry["title"] = [b"a glass; Qmin = 0.5, Qmax = 25"]
        entry["definition"] = [b"Mantid Processed Workspace"]
        group = entry.create_group("workspace")
        for name, data in (("values", np.atleast_2d(y)), ("errors", np.atleast_2d(e))):
            made = group.create_dataset(name, data=data, chunks=(1, data.shape[1]), compression="gzip")
            made.attrs["units"] = np.bytes_(b"")
            made.attrs["unit_label"] = np.bytes_(b"a.u.")
        group["axis1"] = x
        group["axis1"].attrs["units"] = np.bytes_(unit.encode())
        group["axis1"].attrs["distribution"] = np.bytes_(b"1")
        group["axis2"] = np.arange(1.0, len(np.atleast_2d(y)) + 1)
    return path


def read(path: Path, **declared: Any) -> Curve:
    return read_curve(path, **{"quantity": "S(Q)", "check": False, **declared})


@pytest.mark.parametrize("x", [POINTS, EDGES], ids=["points", "bins"])
@pytest.mark.parametrize("unit", ["MomentumTransfer", "AtomicDistance", "Label"])
def test_one_spectrum(tmp_path: Path, x: Any, unit: str) -> None:
    path = workspace(tmp_path / "a.nxs", x, Y, E, unit)
    for quantity, fits in (("S(Q)", unit != "AtomicDistance"), ("G(r)", unit != "MomentumTransfer")):
        if not fits:
            with pytest.raises(InputError, match=r"the x column is called '[Qr]' and a quantity in [Qr] is declared"):
                read(path, quantity=quantity)
            continue
        curve = read(path, quantity=quantity)
        np.testing.assert_allclose(curve.x, POINTS if x is POINTS else 0.5 * (EDGES[1:] + EDGES[:-1]))
        np.testing.assert_array_equal(curve.y, Y)
        np.testing.assert_array_equal(curve.sigma, E)
        if quantity == "G(r)":
            assert (curve.q_min, curve.q_max) == (0.5, 25.0)


def test_several_spectra_and_workspaces(tmp_path: Path) -> None:
    """One below the other; of ragged ones x ends in NaN, and what stands there as y means nothing."""
    short = np.where(np.arange(6) < 5, POINTS, np.nan)
    path = workspace(tmp_path / "a.nxs", [POINTS, short], [Y, 2 * Y], [E, 0 * E])
    workspace(path, POINTS, 3 * Y, E, mode="a", number=2)
    with pytest.raises(InputError, match=r"a.nxs, point 1: a second curve seems to begin here .*block = 1 to 3"):
        read(path)
    np.testing.assert_array_equal(read(path, block=1).y, Y)
    second = read(path, block=2)
    np.testing.assert_array_equal(second.y, 2 * Y[:5])
    assert second.sigma is None
    np.testing.assert_array_equal(read(path, block=3).y, 3 * Y)
    np.testing.assert_array_equal(read(path, block=3, columns=("Q", "error")).y, E)
    ragged = workspace(tmp_path / "b.nxs", [EDGES, np.where(np.arange(7) < 6, EDGES, np.nan)], [Y, Y], [E, E])
    np.testing.assert_allclose(read(ragged, block=2).x, 0.5 * (EDGES[1:6] + EDGES[:5]))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"unit": "dSpacing"}, r"mantid_workspace_1: its x is 'dSpacing'; convert it with ConvertUnits"),
        ({"unit": "TOF"}, "its x is 'TOF'"),
        ({"y": np.where(Y > 1.2, np.nan, Y)}, r"spectrum 1, point 3: \[1.5, nan, 0.013\S*\] are x, y and its error"),
        ({"x": POINTS[:4]}, r"values \(1, 6\), errors \(1, 6\) and axis1 \(4,\) do not fit"),
        ({"e": E[:5]}, "do not fit"),
        ({"x": [POINTS, POINTS]}, "do not fit"),
        ({"x": np.full(6, np.nan)}, "it holds no points"),
        ({"x": POINTS[::-1]}, "point 2: x = 3 follows 4; x must increase"),
        ({"y": np.ones((2, MAX_POINTS)), "e": np.ones((2, MAX_POINTS))}, "more than 100000; save one spectrum with"),
    ],
)
def test_what_is_no_curve(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    path = workspace(tmp_path / "a.nxs", **{"x": POINTS, "y": Y, "e": E, **keys})
    with pytest.raises(InputError, match=says) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_other_hdf5_files_events_and_masks(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = [1.0, 2.0]
    with pytest.raises(InputError, match="an HDF5 file with no processed workspaces of Mantid; save one with Save"):
        read(path)
    with h5py.File(path, "w") as file:
        file.create_group("mantid_workspace_1/event_workspace")
    with pytest.raises(InputError, match="it holds events; rebin it with PreserveEvents=False"):
        read(path)
    workspace(path, POINTS, Y, E)
    with h5py.File(path, "a") as file:
        file["mantid_workspace_1/workspace/masked_bins"] = [1]
    with pytest.raises(InputError, match="some bins are masked"):
        read(path)


@pytest.mark.parametrize("place", ["", "/workspace", "/workspace/values", "/title"])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_links_are_not_followed(tmp_path: Path, place: str, kind: str) -> None:
    """A file from outside could show a file of the reader's."""
    other = workspace(tmp_path / "secret.nxs", POINTS, Y, E)
    path = workspace(tmp_path / "a.nxs", POINTS, Y, E)
    place = f"mantid_workspace_1{place}"
    with h5py.File(path, "a") as file:
        file.move(place, "elsewhere")
        file[place] = h5py.ExternalLink(str(other), place) if kind == "external" else h5py.SoftLink("/elsewhere")
    with pytest.raises(InputError, match="is a link, which is not followed"):
        read(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", ["/workspace", "/workspace/masked_bins", "/title"])
def test_links_are_not_even_opened(tmp_path: Path, place: str) -> None:
    """Opening a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    path = workspace(tmp_path / "a.nxs", POINTS, Y, E)
    with h5py.File(path, "a") as file:
        if not place.endswith("masked_bins"):
            del file["mantid_workspace_1" + place]
        file["mantid_workspace_1" + place] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
    with pytest.raises(InputError, match=r"is a link, which is not followed|masked"):
        read(path)


def test_data_outside_of_the_file_and_other_storage(tmp_path: Path) -> None:
    other = workspace(tmp_path / "secret.nxs", POINTS, Y, E)
    (tmp_path / "raw").write_bytes(Y.tobytes())
    virtual = h5py.VirtualLayout((1, 6), "f8")
    virtual[:] = h5py.VirtualSource(str(other), "mantid_workspace_1/workspace/values", (1, 6))
    plain = {"shape": (1, 6), "dtype": "f8"}

    def with_values(make: Any) -> Path:
        path = workspace(tmp_path / "a.nxs", POINTS, Y, E)
        with h5py.File(path, "a") as file:
            group = file["mantid_workspace_1/workspace"]
            del group["values"]
            make(group)
        return path

    for make in (
        lambda group: group.create_virtual_dataset("values", virtual),
        lambda group: group.create_dataset("values", **plain, external=[(str(tmp_path / "raw"), 0, 48)]),
        lambda group: group.create_dataset("values", **plain, chunks=(1, 6), compression="lzf"),
        lambda group: group.create_dataset("values", **plain, maxshape=(None, None), chunks=(1000, 1000)),
    ):
        with pytest.raises(InputError, match="'values' is stored in an unusual way"):
            read(with_values(make))
    for make in (
        lambda group: group.create_dataset("values", data=[[b"a"] * 6]),
        lambda group: group.create_dataset("values", data=np.ones((1, 6), "c16")),
        lambda group: group.create_group("values"),
    ):
        with pytest.raises(InputError, match="'values' is no table of numbers"):
            read(with_values(make))
    with pytest.raises(InputError, match="has no 'values'"):
        read(with_values(lambda group: None))


def test_a_chunk_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = workspace(tmp_path / "a.nxs", POINTS, Y, E)
    bomb = zlib.compress(bytes(2**24))
    with h5py.File(path, "a") as file:
        group = file["mantid_workspace_1/workspace"]
        del group["values"]
        made = group.create_dataset("values", shape=(1, 6), dtype="f8", chunks=(1, 6), compression="gzip")
        made.id.write_direct_chunk((0, 0), bomb)
    with pytest.raises(InputError, match="'values' is stored in an unusual way"):
        read(path)


def test_the_example_is_small() -> None:
    """It is read once for each of its bytes."""
    assert len(MANTID.example.content) < 2000
