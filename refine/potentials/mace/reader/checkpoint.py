"""Checkpoints of mace-torch 0.3 in; an `Architecture` and named arrays, or a clear error, out.

A `.model` file is a whole pickled torch module. It is read without torch and without running anything in it
(`pickles`, `modules`); what it says about itself decides whether refine evaluates exactly this model (`refusals`,
`model`, `inputs`, `blocks`, `nonlinear`, `e3nn`, `contractions`). Whatever is not known is refused by name.

Everything is taken from where mace-torch's `forward` takes it: the paths, factors and coefficients that e3nn stored,
the coupling matrices U (their basis depends on how the model was made), and the constant of silu, which e3nn
estimated by Monte Carlo.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from refine.errors import CheckpointError, InputError
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.places import cache_folder
from refine.potentials.mace.reader.archives import MAX_BYTES
from refine.potentials.mace.reader.checks import check
from refine.potentials.mace.reader.model import read_model
from refine.potentials.mace.reader.modules import TorchFile
from refine.potentials.mace.reader.neutral import read_bytes, read_neutral, write_neutral
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import root_of


def load(path: str | Path, cache: Path | None = None) -> Checkpoint:
    """A model from either kind of file, told apart by its content.

    A file of mace-torch is converted once; the neutral form is kept in the cache under its hash, and later loads read
    that alone. A damaged entry of the cache is made again, and a cache that cannot be written is done without.

    Args:
        path: the file.
        cache: folder; None for that of `refine.potentials.mace.places`.

    Raises:
        InputError: the file cannot be read, or is not a model that refine evaluates.
    """
    file = Path(path)
    if _is_neutral(read_bytes(file, first=9)):
        return read_neutral(file)
    data = read_bytes(file, MAX_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    entry = (cache_folder() if cache is None else cache) / f"{sha256}.safetensors"
    try:
        known = read_neutral(entry)
        if known.sha256 == sha256:
            return replace(known, origin=file.name)
    except InputError:
        pass  # not there yet, of another version, or damaged
    checkpoint = _from_torch(data, sha256, file)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_neutral(checkpoint, entry)
    except (CheckpointError, OSError):
        pass
    return checkpoint


def read_torch(path: str | Path) -> Checkpoint:
    """A model as mace-torch saved it: `torch.save` of the whole module.

    Raises:
        InputError: the file cannot be read, or is not a model that refine evaluates.
    """
    file = Path(path)
    data = read_bytes(file, MAX_BYTES)
    return _from_torch(data, hashlib.sha256(data).hexdigest(), file)


def _is_neutral(head: bytes) -> bool:
    """A safetensors file begins with a length and a JSON object; in a zip archive of torch that place holds a zero."""
    return head[8:9] == b"{"


def _from_torch(data: bytes, sha256: str, file: Path) -> Checkpoint:
    where = str(file)
    if not data.startswith(b"PK\3\4"):
        if data.startswith(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"):
            fix = "load and save it with a torch of at least 1.6"
            raise InputError("a file of torch older than 1.6, which was no zip archive", where=where, fix=fix)
        fix = "give a .model file of mace-torch, or what `refine models convert` wrote"
        raise InputError("neither a model of mace-torch nor one in refine's neutral form", where=where, fix=fix)
    architecture, arrays, factors = read_model(Reading(root_of(TorchFile(data, where))))
    check(architecture, arrays, factors, where=where)
    return Checkpoint(architecture, arrays, factors, sha256, file.name)
