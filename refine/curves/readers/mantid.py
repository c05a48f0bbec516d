"""Processed workspaces of Mantid: HDF5 files that SaveNexusProcessed writes.

Each group mantid_workspace_N has workspace/values and workspace/errors of (spectra, points), and workspace/axis1, their
x at the points or at the edges of the bins, of all spectra or of each (O. Arnold et al., Nucl. Instrum. Methods Phys.
Res. A 764, 156 (2014)). A spectrum is a curve: several are one below the other.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refine.curves.readers.table import Example, Reader, Table, bytes_of
from refine.errors import InputError

Array = NDArray[np.float64]

MAX_BYTES = 32 * 2**20
"""Instrument and history stand in the file too; they are not read."""
MAX_POINTS = 100_000
"""Of all spectra of a workspace."""
MAX_WORKSPACES = 100
MAX_TEXT = 400
"""Characters of a title or a unit that are looked at."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WORKSPACE = re.compile(r"mantid_workspace_(\d{1,6})")
_X_LABELS = {"MomentumTransfer": "Q", "AtomicDistance": "r"}
_SAYS_NOTHING = ("", "Empty", "Label", "unknown")
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
_AS_TEXT = "or save the spectrum as text with SaveAscii"


def is_hdf5(path: Path, head: bytes) -> bool:
    """By its first bytes."""
    return head.startswith(_SIGNATURE)


def read(path: Path) -> Table:
    """All spectra of all workspaces of a file, one below the other: x, y and standard errors; x of bins their centres.

    Links and data outside of the file are not followed, and only the compression that Mantid uses is undone.

    Raises:
        InputError: no such workspace, events, another x than Q or r, masked bins, or a damaged or too large file.
    """
    where = str(path)
    data = bytes_of(path, MAX_BYTES)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _table(file, where)
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        told = str(error).splitlines() or [""]
        raise InputError(f"a damaged HDF5 file ({told[0][:80]})", where=where, fix="save it once more") from None


def _table(file: h5py.File, where: str) -> Table:
    found = sorted((int(match[1]), name) for name in file if (match := _WORKSPACE.fullmatch(name)))
    if not found or len(found) > MAX_WORKSPACES:
        raise InputError(
            f"an HDF5 file with {len(found) or 'no'} processed workspaces of Mantid",
            where=where,
            fix=f"save one with SaveNexusProcessed, {_AS_TEXT}",
        )
    curves: list[Array] = []
    comments: list[str] = []
    labels: tuple[str, ...] = ()
    for _, name in found:
        at = f"{where}, {name}"
        entry = _child(file, name, at)
        if not isinstance(entry, h5py.Group) or _link(entry, "workspace") is None:
            events = isinstance(entry, h5py.Group) and _link(entry, "event_workspace") is not None
            what = "events" if events else "no spectra"
            raise InputError(f"it holds {what}", where=at, fix=f"rebin it with PreserveEvents=False, {_AS_TEXT}")
        spectra, own_labels = _spectra(_child(entry, "workspace", at), at)
        if labels and own_labels[0] != labels[0]:
            raise InputError(f"its x is {own_labels[0]} and that of others {labels[0]}", where=at, fix="save it alone")
        labels = labels or own_labels
        curves += spectra
        title = _title(entry, at)
        comments += [title] if title and title not in comments else []
    values = np.concatenate(curves)
    lengths = [len(curve) for curve in curves]
    return Table(
        values=values,
        lines=np.concatenate([np.arange(1, length + 1) for length in lengths]),
        comments=tuple(comments),
        labels=labels,
        breaks=tuple(np.cumsum(lengths)[:-1].tolist()),
        unit="point",
    )


def _spectra(group: Any, at: str) -> tuple[list[Array], tuple[str, ...]]:
    """(points, 3) of x, y and sigma of each spectrum, and what they are called."""
    if not isinstance(group, h5py.Group):
        raise InputError("its workspace is no group", where=at, fix="save it with SaveNexusProcessed")
    if _link(group, "masked_bins") is not None:
        raise InputError("some bins are masked, and their values mean nothing", where=at, fix="crop them off in Mantid")
    y, y_label, _ = _numbers(group, "values", at)
    errors, _, _ = _numbers(group, "errors", at)
    x, _, unit = _numbers(group, "axis1", at)
    if unit not in _X_LABELS and unit not in _SAYS_NOTHING:
        raise InputError(
            f"its x is {unit[:40]!r}", where=at, fix='convert it with ConvertUnits, Target="MomentumTransfer"'
        )
    shapes = f"values {y.shape}, errors {errors.shape} and axis1 {x.shape}"
    if y.ndim != 2 or errors.shape != y.shape or x.ndim not in (1, 2) or x.shape[-1] - y.shape[1] not in (0, 1):
        raise InputError(f"{shapes} do not fit each other", where=at, fix="save it once more")
    if x.ndim == 2 and len(x) != len(y):
        raise InputError(f"{shapes} do not fit each other", where=at, fix="save it once more")
    spectra = []
    for k in range(len(y)):
        own = x if x.ndim == 1 else x[k]
        size = len(own) - int(np.argmin(np.isnan(own[::-1]))) if not np.isnan(own).all() else 0
        own = own[:size]  # x of spectra that are shorter than others ends in NaN
        if x.shape[-1] > y.shape[1]:
            own = 0.5 * (own[1:] + own[:-1])
        spectrum = np.column_stack([own, y[k, : len(own)], errors[k, : len(own)]])
        wrong = np.flatnonzero(~np.isfinite(spectrum).all(axis=1))
        if len(wrong):
            raise InputError(
                f"{spectrum[wrong[0]].tolist()} are x, y and its error",
                where=f"{at}, spectrum {k + 1}, point {wrong[0] + 1}",
                fix="crop it off in Mantid",
            )
        if len(spectrum):
            spectra.append(spectrum)
    if not spectra:
        raise InputError("it holds no points", where=at)
    return spectra, (_X_LABELS.get(unit, "x"), y_label or "y", "error")


def _child(group: h5py.Group, name: str, at: str) -> Any:
    """A member of a group that is in this file."""
    kind = _link(group, name)
    if kind is None:
        raise InputError(f"it has no {name!r}", where=at, fix="save it with SaveNexusProcessed")
    if kind != h5py.h5l.TYPE_HARD:
        raise InputError(f"{name!r} is a link, which is not followed", where=at, fix="save it with SaveNexusProcessed")
    return group[name]


def _link(group: h5py.Group, name: str) -> int | None:
    """How a member hangs in a group, None where there is none; `in` and `get` of h5py would open what it links to."""
    links = group.id.links
    return int(links.get_info(name.encode()).type) if links.exists(name.encode()) else None


def _numbers(group: h5py.Group, name: str, at: str) -> tuple[Array, str, str]:
    """A dataset of numbers, what it is called and its unit."""
    found = _child(group, name, at)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.dtype.itemsize > 8:
        raise InputError(f"{name!r} is no table of numbers", where=at, fix="save it with SaveNexusProcessed")
    if found.size is None or found.size > MAX_POINTS:
        raise InputError(
            f"{name!r} has {found.size} numbers, more than {MAX_POINTS}",
            where=at,
            fix=f"save one spectrum with ExtractSingleSpectrum, {_AS_TEXT}",
        )
    _refuse_storage(found, name, at)
    return (
        np.asarray(found[()], dtype=np.float64),
        _text(found.attrs.get("unit_label")),
        _text(found.attrs.get("units")),
    )


def _refuse_storage(found: h5py.Dataset, name: str, at: str) -> None:
    """InputError where reading needs another file, a plug-in, or more memory than the numbers."""
    properties = found.id.get_create_plist()
    filters = [properties.get_filter(k)[0] for k in range(properties.get_nfilters())]
    plain = not found.is_virtual and not found.external and all(code in _FILTERS for code in filters)
    if plain and found.chunks is not None:
        most = int(np.prod(found.chunks, dtype=object)) * found.dtype.itemsize
        # what deflate can make of a chunk is at most a thousand times what is stored
        plain = most <= 8 * MAX_POINTS and all(
            found.id.get_chunk_info(k).size <= most + 1024 for k in range(found.id.get_num_chunks())
        )
    if not plain:
        raise InputError(f"{name!r} is stored in an unusual way", where=at, fix="save it with SaveNexusProcessed")


def _title(entry: h5py.Group, at: str) -> str:
    if _link(entry, "title") is None:
        return ""
    found = _child(entry, "title", at)
    if not isinstance(found, h5py.Dataset) or found.size != 1 or found.dtype.itemsize > 2**16:
        return ""
    _refuse_storage(found, "title", at)
    return _text(found[()])


def _text(value: Any) -> str:
    """A string of HDF5 in one line; empty where it is something else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value[: 4 * MAX_TEXT].decode("utf-8", errors="replace")
    return " ".join(value[:MAX_TEXT].replace("\x00", " ").split()) if isinstance(value, str) else ""


def _example() -> bytes:
    """Small, so that it can be cut short at each of its bytes: the numbers stand in the headers of their datasets."""
    stream = io.BytesIO()
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    with h5py.File(stream, "w", libver="latest", fs_strategy="none") as file:
        for name, data in (
            ("title", np.array([b"quantity = S(Q)"])),
            ("workspace/values", np.array([[0.1, 0.4, 1.3, 1.1, 0.9]])),
            ("workspace/errors", np.array([[0.01, 0.01, 0.02, 0.02, 0.02]])),
            ("workspace/axis1", np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.5])),
        ):
            group = file.require_group(f"mantid_workspace_1/{name}".rpartition("/")[0])
            kind, space = h5py.h5t.py_create(data.dtype), h5py.h5s.create_simple(data.shape)
            made = h5py.h5d.create(group.id, name.rpartition("/")[2].encode(), kind, space, layout)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
        file["mantid_workspace_1/workspace/axis1"].attrs["units"] = np.bytes_(b"MomentumTransfer")
    return stream.getvalue()


MANTID = Reader(
    "Mantid",
    is_hdf5,
    read,
    Example(
        name="a.nxs",
        content=_example(),
        quantity="S(Q)",
        x=(1.0, 2.0, 3.0, 4.0, 5.5),
        y=(0.1, 0.4, 1.3, 1.1, 0.9),
        sigma=(0.01, 0.01, 0.02, 0.02, 0.02),
        header={"quantity": "S(Q)"},
    ),
)
