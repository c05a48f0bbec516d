"""A low-rank change of a MACE model as a file of its own.

`lora.safetensors` has U and V of each changed matrix as NAME.u (S, n, r) and NAME.v (S, m, r), float64. Its metadata
have one key, `refine.lora`, with a JSON object: `version` (of this layout), `model` (the SHA-256 that the model of the
change goes by), `origin` (that model's name), `rank` by name of the matrices, `species` (atomic numbers that stacks of
matrices by species are of), and `digest`, a SHA-256 over all of these and the arrays. Where other arrays of the model
are not as they were, the file has them as the refined model's has them, and layout 2 names them as `whole`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from refine.errors import InputError
from refine.files import replacing
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.chosen import FIXED, as_filed, changed
from refine.potentials.mace.lora import LARGEST_RANK, MATRICES, Factors, changed_arrays, stack_of
from refine.potentials.mace.reader.neutral import array_in, digest_of, object_of, opened

LORA_FILE = "lora.safetensors"
"""A low-rank change, in a run's folder."""

VERSION = 2

ENERGIES = "energies"
"""Of the isolated atoms, which may have more digits than the other arrays."""

_KEY = "refine.lora"
_FIELDS = {"version", "model", "origin", "rank", "species", "digest"}
_OF_VERSION = {1: _FIELDS, 2: _FIELDS | {"whole"}}
_COPY = "restore it from a copy, or use the run's model.safetensors"


def write_lora(
    checkpoint: Checkpoint,
    factors: Mapping[str, Factors],
    species: Sequence[int],
    path: Path,
    whole: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write a change; the file is complete or as it was.

    whole: arrays that are otherwise not as in the model, as `Checkpoint.arrays` has them.

    Raises:
        CheckpointError: disk full, not writable, ...
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, (u, v) in factors.items():
        arrays |= {f"{name}.u": np.ascontiguousarray(u), f"{name}.v": np.ascontiguousarray(v)}
    about: dict[str, Any] = {
        "version": 2 if whole else 1,
        "model": checkpoint.sha256,
        "origin": checkpoint.origin,
        "rank": {name: u.shape[-1] for name, (u, _) in factors.items()},
        "species": list(species),
    }
    if whole:
        arrays |= {name: np.ascontiguousarray(array) for name, array in whole.items()}
        about["whole"] = list(whole)
    about["digest"] = digest_of(about, arrays)
    content = save(arrays, {_KEY: json.dumps(about)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def apply_lora(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """A model with the change of a file: the one that the run wrote which the change is of.

    Raises:
        InputError: the file cannot be read, is damaged, is no such change, or is one of another model.
    """
    where = str(path)
    with opened(path, _COPY) as stored:
        metadata = stored.metadata() or {}
        if _KEY not in metadata:
            raise InputError(
                "a safetensors file, but not of a low-rank change", where=where, fix="give lora.safetensors"
            )
        about = object_of(metadata[_KEY], where, _COPY)
        version = about.get("version")
        if not (type(version) is int and version in _OF_VERSION):
            raise InputError(f"written in layout {version!r:.20}, not 1 to {VERSION}", where=where, fix=_COPY)
        if set(about) != _OF_VERSION[version]:
            raise InputError("its metadata are not those of a low-rank change", where=where, fix=_COPY)
        model, origin = about["model"], about["origin"]
        if not (isinstance(model, str) and re.fullmatch("[0-9a-f]{64}", model) and isinstance(origin, str)):
            raise InputError("its metadata do not say which model it changes", where=where, fix=_COPY)
        if model != checkpoint.sha256:
            raise InputError(
                f"it changes a model {origin[:60]!r} of SHA-256 {model[:12]}, and this one is {checkpoint.sha256[:12]}",
                where=where,
                fix="give the model that the run began with",
            )
        arrays = {name: array_in(stored, name, where, _COPY) for name in sorted(stored.keys())}
    ranks, species, names = _checked(checkpoint, about, arrays, where)
    if about.pop("digest") != digest_of(about, arrays):
        raise InputError("its contents do not match their checksum", where=where, fix=_COPY)
    factors = {name: (arrays[f"{name}.u"], arrays[f"{name}.v"]) for name in ranks}
    with np.errstate(over="ignore", invalid="ignore"):
        whole = as_filed(checkpoint, changed_arrays(checkpoint, factors, species))
    whole |= {name: arrays[name] for name in names}
    if not all(np.isfinite(array).all() for array in whole.values()):
        raise InputError("the changed weights are no finite numbers", where=where, fix=_COPY)
    return changed(checkpoint, whole)


def _checked(
    checkpoint: Checkpoint, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str
) -> tuple[dict[str, int], tuple[int, ...], list[str]]:
    """Ranks, species, and names of arrays that are whole, if they and the arrays fit the model."""

    def require(condition: bool, what: str) -> None:
        if not condition:
            raise InputError(what, where=where, fix=_COPY)

    ranks, species = about["rank"], about["species"]
    known = checkpoint.architecture.species
    whole = isinstance(species, list) and all(type(z) is int and z in known for z in species)
    require(whole and 0 < len(species) == len(set(species)), "its species are not those of the model")
    require(isinstance(ranks, dict) and len(ranks) > 0, "it names no matrices")
    for name, rank in ranks.items():
        require(name in checkpoint.arrays and MATRICES.fullmatch(name) is not None, f"{name[:60]!r} is no matrix")
        require(
            type(rank) is int and 1 <= rank <= LARGEST_RANK, f"the rank of {name} is no number of 1 to {LARGEST_RANK}"
        )
        number, n, m = stack_of(checkpoint, name, len(species))
        for letter, rows in (("u", n), ("v", m)):
            array = arrays.get(f"{name}.{letter}")
            fits = array is not None and array.shape == (number, rows, rank) and bool(np.isfinite(array).all())
            require(fits, f"the array {name}.{letter} is missing or damaged")
    names = about.get("whole", [])
    require(isinstance(names, list) and all(isinstance(name, str) for name in names), "its whole arrays have no names")
    require(len(set(names)) == len(names) and not set(names) & set(ranks), "it has an array twice")
    for name in names:
        require(
            name == ENERGIES or (name in checkpoint.arrays and not FIXED.fullmatch(name)), f"{name[:60]!r} is no weight"
        )
        array, before = arrays.get(name), checkpoint.arrays[name]
        fits = array is not None and array.shape == before.shape
        kinds = (np.float64, before.dtype) if name == ENERGIES else (before.dtype,)
        require(fits and arrays[name].dtype in kinds, f"the array {name} is missing or damaged")
    require(len(arrays) == 2 * len(ranks) + len(names), "it has arrays that belong to nothing")
    return ranks, tuple(species), names
