"""The neutral form of a model: one .safetensors file, weights as arrays and everything else as JSON in its metadata.

The metadata has one key, `refine.mace`, with a JSON object: `version` (of this layout), `origin` and `sha256` of
the file that the model was made from, `architecture` and `factors` (see `refine.potentials.mace.architecture`), and
`digest`, a SHA-256 over all of these and the arrays, so that a damaged file does not pass for a model.

The file itself is read by the safetensors library, which compares every length, shape and offset of the header with
what is there, and the whole of the file with what the header says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from refine.errors import InputError
from refine.files import replacing
from refine.potentials.mace.architecture import Architecture, Checkpoint
from refine.potentials.mace.reader.checks import check

MODEL_FILE = "model.safetensors"
"""The refined model, in a run's folder."""

VERSION = 1
"""Files of another version are not read; those in the cache are made again."""
MAX_BYTES = 2 * 2**30
MAX_HEADER_BYTES = 2**20
"""A model of two layers has some ten thousand."""
MAX_DIMENSIONS = 8

_KEY = "refine.mace"
_FIELDS = {"version", "origin", "sha256", "architecture", "factors", "digest"}
_AGAIN = "convert the model again: refine models convert"


def write_neutral(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a model; the file is complete or as it was.

    Raises:
        InputError: this is not a model that can be evaluated.
        CheckpointError: disk full, not writable, ...
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    check(checkpoint.architecture, arrays, checkpoint.factors, where=checkpoint.origin)
    architecture = checkpoint.architecture.to_json()
    about = {
        "version": VERSION,
        "origin": checkpoint.origin,
        "sha256": checkpoint.sha256,
        "architecture": architecture,
        "factors": dict(checkpoint.factors),
    }
    about["digest"] = digest_of(about, arrays)
    content = save(arrays, {_KEY: json.dumps(about)})
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def read_neutral(path: str | Path) -> Checkpoint:
    """Read a model that `write_neutral` wrote. Its `sha256` and `origin` are those of the file it was made from.

    Raises:
        InputError: the file cannot be read, is damaged, or is not such a model.
    """
    file = Path(path)
    where = str(file)
    with opened(file) as stored:
        about = _about(stored.metadata() or {}, where)
        origin, sha256, version = about["origin"], about["sha256"], about["version"]
        if not isinstance(version, int) or version != VERSION:
            raise InputError(f"written in layout {str(version)[:20]}, not {VERSION}", where=where, fix=_AGAIN)
        if not isinstance(origin, str) or not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
            raise InputError("its metadata do not say what it was made from", where=where, fix=_AGAIN)
        if not origin.isprintable() or len(origin) > 255 or "/" in origin:
            raise InputError("its metadata name an odd file that it was made from", where=where, fix=_AGAIN)
        try:
            architecture = Architecture.from_json(about["architecture"])
            factors = dict(about["factors"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"its architecture cannot be read ({error!r:.80})", where=where, fix=_AGAIN) from None
        # In the order of the file, which is that of the numbers where weights are refined.
        arrays = {name: array_in(stored, name, where) for name in stored.offset_keys()}
    check(architecture, arrays, factors, where=where)
    if about.pop("digest") != digest_of(about, arrays):
        raise InputError("its contents do not match their checksum", where=where, fix=_AGAIN)
    return Checkpoint(architecture, arrays, factors, sha256, origin)


def read_bytes(file: Path, limit: int = MAX_BYTES, *, first: int | None = None) -> bytes:
    """A whole file, or its first bytes.

    Raises:
        InputError: it cannot be read, is empty, or is larger than the limit.
    """
    where = str(file)
    try:
        if not file.exists():
            raise InputError("no such file", where=where, fix="give the path of a model's file")
        if not file.is_file():
            raise InputError("not a regular file", where=where, fix="give the path of a model's file")
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size  # a read reserves what it asks for
            if size > limit:
                raise InputError(f"larger than any model (limit {limit / 2**30:g} GiB)", where=where)
            data = stream.read(size if first is None else first)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(f"cannot be read ({error})", where=where) from None
    if not data:
        raise InputError("the file is empty", where=where)
    return data


@contextmanager
def opened(file: Path, fix: str = _AGAIN) -> Iterator[Any]:
    """A safetensors file as the library's `safe_open`; whatever that refuses is one line, with how to mend it."""

    def refused(reason: str) -> InputError:
        said = "".join(c if c.isprintable() else "?" for c in reason)[:120]
        what = f"its header cannot be read ({said}): no safetensors file, or one that is cut off or damaged"
        return InputError(what, where=str(file), fix=fix)

    if int.from_bytes(read_bytes(file, first=8), "little") > MAX_HEADER_BYTES:
        raise refused("header too large")
    try:
        with safe_open(file, "numpy") as stored:
            yield stored
    except SafetensorError as error:
        raise refused(str(error).removeprefix("Error while deserializing header: ")) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error})", where=str(file)) from None


def _about(metadata: Mapping[str, str], where: str) -> dict[str, Any]:
    """What the file says about the model."""
    if _KEY not in metadata:
        what = "a safetensors file, but not of a model that refine converted"
        raise InputError(what, where=where, fix="convert the .model file: refine models convert")
    about = object_of(metadata[_KEY], where)
    if set(about) != _FIELDS:
        raise InputError("its metadata are not those of a model", where=where, fix=_AGAIN)
    return about


def object_of(text: str, where: str, fix: str = _AGAIN) -> dict[str, Any]:
    """An object of JSON, in which no key is repeated and every number is finite."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number of JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a repeated key")
        return found

    try:
        tree = json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its header cannot be read ({str(error)[:80]})", where=where, fix=fix) from None
    if not isinstance(tree, dict):
        raise InputError("its header is not an object", where=where, fix=fix)
    return tree


def array_in(stored: Any, name: str, where: str, fix: str = _AGAIN) -> NDArray[Any]:
    """One array, float32 or float64."""
    place = stored.get_slice(name)
    if place.get_dtype() not in ("F32", "F64") or len(place.get_shape()) > MAX_DIMENSIONS:
        raise InputError(f"the array {name[:60]!r} is damaged", where=where, fix=fix)
    return np.asarray(stored.get_tensor(name))


def digest_of(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of metadata and arrays."""
    state = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype.newbyteorder('<').str} {array.shape}".encode())
        state.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return state.hexdigest()
