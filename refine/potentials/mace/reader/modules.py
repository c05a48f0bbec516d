"""A pickled torch.nn.Module as inert data: attributes, children, and tensors as numpy arrays.

`torch.save` writes a zip: `<root>/data.pkl` holds the tree of modules, `<root>/data/<n>` the numbers of storage n,
`<root>/byteorder` how they lie. A module's state is a dictionary of its plain attributes with three of its parts in
`_parameters`, `_buffers` and `_modules`; `Module` looks them up in the order in which torch does.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.mace.reader.archives import Archive
from refine.potentials.mace.reader.pickles import Name, Object, Reference, read_pickle

MAX_COPIED_BYTES = 2**30
"""Of tensors that do not lie in the file as they are used, all together."""
MAX_DIMENSIONS = 12
MAX_PARTS = 64
"""Children of one module; a pickle can give the same thousands to each of thousands."""
MAX_ITEMS = 10_000
"""Irreps or instructions of one layer."""

_MISSING: Any = object()
_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_HALF = ("HalfStorage", "BFloat16Storage")
_PARAMETER = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_TENSOR = "torch._utils._rebuild_tensor_v2"
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_KEY = re.compile(r"[0-9]{1,9}", re.ASCII)

_SAVE = "save the whole model with mace-torch: torch.save(model, path)"


class TorchFile:
    """What torch.save wrote: a tree, and the storages that it refers to.

    Args:
        data: the whole file.
        where: what errors call it.

    Attributes:
        tree: as `refine.potentials.mace.reader.pickles.read_pickle` gives it.

    Raises:
        InputError: no such file, damaged, or a TorchScript archive.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self.where = where
        self._archive = Archive(data, where)
        self._copied = 0
        self._storages: dict[tuple[str, str], NDArray[Any]] = {}
        pickles = [name for name in self._archive if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError("a zip archive, but not one of torch.save", where=where, fix=_SAVE)
        self._root = pickles[0].removesuffix("/data.pkl")
        if any(name.startswith((f"{self._root}/code/", f"{self._root}/constants.pkl")) for name in self._archive):
            raise InputError(
                "a TorchScript archive, compiled for one program (LAMMPS, for instance)",
                where=where,
                fix="give the original .model that it was made from",
            )
        order = f"{self._root}/byteorder"
        name = bytes(self._archive.read(order)) if order in self._archive else b"little"
        if name not in (b"little", b"big"):
            raise InputError("an unknown order of bytes", where=where, fix=_SAVE)
        self._order = "<" if name == b"little" else ">"
        self.tree = read_pickle(self._archive.read(pickles[0]), where)

    def tensor(self, value: Any, what: str) -> NDArray[Any]:
        """The numbers of a tensor or parameter, read-only; a window into the file where they lie there in order.

        Raises:
            InputError: no tensor, or one that reaches outside its storage or repeats it.
        """
        for _ in range(3):  # a parameter holds a tensor
            if isinstance(value, Object) and str(value.kind) in _PARAMETER and value.args:
                value = value.args[0]
        if not isinstance(value, Object) or str(value.kind) != _TENSOR or not 4 <= len(value.args) <= 7:
            raise self.error(f"{what} is {say(value)} instead of a tensor")
        if len(value.args) == 7 and value.args[6]:
            raise self.error(f"{what} is a lazily conjugated or negated tensor")
        reference, offset, *_ = value.args
        size, stride = (self._shape(value.args[k], what) for k in (2, 3))
        storage = self._storage(reference, what)
        if len(size) != len(stride) or not _is_index(offset):
            raise self.error(f"{what} has strides that do not fit its shape")
        if 0 in size:
            return storage[:0]  # the other sizes may be anything
        if math.prod(size) > storage.size:
            raise self.error(f"{what} of shape {size} is larger than its storage of {storage.size} numbers")
        if offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= storage.size:
            raise self.error(f"{what} reaches outside its storage of {storage.size} numbers")
        # A dimension of one place may have any stride, which would be multiplied beyond what C can count.
        steps = tuple(0 if n == 1 else step * storage.itemsize for n, step in zip(size, stride, strict=True))
        window = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
        if window.flags.c_contiguous and window.dtype.isnative:
            return window
        self._copied += window.nbytes
        if self._copied > MAX_COPIED_BYTES:
            raise self.error("tensors that overlap to more than a gigabyte")
        return np.ascontiguousarray(window, window.dtype.newbyteorder("="))

    def scalar(self, value: Any, what: str) -> float:
        """A finite number: a Python one, a numpy one, or a tensor of one element."""
        if isinstance(value, Object) and str(value.kind) in _SCALAR:
            value = self._numpy_scalar(value, what)
        elif isinstance(value, Object):
            array = self.tensor(value, what)
            if array.size != 1:
                raise self.error(f"{what} has shape {array.shape} instead of being one number")
            value = array.reshape(()).item()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{what} is {say(value)} instead of a number")
        if not math.isfinite(value):
            raise self.error(f"{what} is {value}")
        return float(value)

    def error(self, what: str) -> InputError:
        """A content that is not mace-torch's."""
        return InputError(what, where=self.where, fix="is this a model as mace-torch 0.3 saves it?")

    def _shape(self, value: Any, what: str) -> tuple[int, ...]:
        if isinstance(value, Object) and str(value.kind) == "torch.Size" and len(value.args) == 1:
            value = value.args[0]
        if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS or not all(_is_index(n) for n in value):
            raise self.error(f"{what} has a shape or strides that no tensor has")
        return value

    def _storage(self, reference: Any, what: str) -> NDArray[Any]:
        key = reference.key if isinstance(reference, Reference) else None
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], Name):
            raise self.error(f"{what} has no storage")
        kind, number, count = key[1], key[2], key[4]
        if kind.module == "torch" and kind.name in _HALF:
            fix = "convert it: torch.save(model.float(), path)"
            raise InputError(f"{what} is in half precision ({kind.name})", where=self.where, fix=fix)
        if kind.module != "torch" or kind.name not in _TYPES:
            raise self.error(f"{what} has a storage of the kind {kind}")
        if not isinstance(number, str) or not _KEY.fullmatch(number) or not _is_index(count):
            raise self.error(f"{what} has a storage with the odd name {say(number)}")
        known = self._storages.get((kind.name, number))
        if known is None:
            content = self._archive.read(f"{self._root}/data/{number}")
            dtype = np.dtype(self._order + _TYPES[kind.name])
            if len(content) % dtype.itemsize:
                raise self.error(f"the storage of {what} is cut off")
            known = self._storages[kind.name, number] = np.frombuffer(content, dtype)
        if count > known.size:
            raise self.error(f"the storage of {what} is cut off: {known.size} numbers of {count}")
        return known[:count]

    def _numpy_scalar(self, value: Object, what: str) -> float:
        """A pickled numpy.float64, as statistics of a data set end up in a model."""
        match value.args:
            case (Object(args=("f8" | "f4" as form, *_)), Object(args=(str() as text, *_))) if len(text) == int(
                form[1]
            ):
                return float(np.frombuffer(text.encode("latin-1", "replace"), f"<{form}")[0])
        raise self.error(f"{what} is a number of numpy that cannot be read")


class Module:
    """A module of the tree.

    Args:
        file: where it comes from.
        node: its object.
        path: what errors call it.
    """

    def __init__(self, file: TorchFile, node: Object, path: str) -> None:
        self.file, self.node, self.path = file, node, path
        state = node.state if isinstance(node.state, dict) else {}
        self._places = (state, *(mapping(state.get(part)) for part in ("_parameters", "_buffers", "_modules")))

    @property
    def kind(self) -> str:
        """The class, without its module."""
        return self.node.kind.name

    @property
    def package(self) -> str:
        """Name of the package that the class is of."""
        return self.node.kind.package

    @property
    def parts(self) -> list[str]:
        """Names of its child modules."""
        return self._names(3)

    @property
    def parameters(self) -> list[str]:
        """Names of its own parameters."""
        return self._names(1)

    def __contains__(self, name: str) -> bool:
        return any(name in place for place in self._places)

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """An attribute, buffer, parameter or module.

        Raises:
            InputError: there is none and no default.
        """
        for place in self._places:
            if name in place:
                return place[name]
        if default is _MISSING:
            raise self.error(f"has no {name!r}")
        return default

    def child(self, path: str) -> Module:
        """The module at a dotted path.

        Raises:
            InputError: there is none.
        """
        found = self
        for name in path.split("."):
            node = found.get(name)
            if not isinstance(node, Object):
                raise found.error(f"has {say(node)} where the module {name!r} should be")
            found = Module(self.file, node, f"{found.path}.{name}".removeprefix("."))
        return found

    def children(self, path: str) -> list[Module]:
        """The modules of a list, in order."""
        holder = self.child(path)
        return [holder.child(name) for name in holder.parts]

    def array(self, name: str) -> NDArray[Any]:
        """A tensor of floating-point numbers, all finite."""
        array = self.file.tensor(self.get(name), self._of(name))
        if array.dtype.kind != "f":
            raise self.error(f"has {name!r} of type {array.dtype} instead of floating-point numbers")
        if not np.isfinite(array).all():
            raise self.error(f"has {name!r} with numbers that are not finite")
        return array

    def number(self, name: str) -> float:
        """A number, or a tensor of one; InputError for anything else."""
        return self.file.scalar(self.get(name), self._of(name))

    def integers(self, name: str) -> list[int]:
        """A tensor of integers in one dimension."""
        array = self.file.tensor(self.get(name), self._of(name))
        if array.dtype.kind != "i" or array.ndim != 1 or array.size > 10_000:
            raise self.error(
                f"has {name!r} of shape {array.shape} and type {array.dtype} instead of a list of integers"
            )
        return [int(value) for value in array]

    def flag(self, name: str, default: bool) -> bool:
        """A truth value, or the default where there is none; InputError for anything else."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.error(f"has {say(value)} for {name!r} instead of a truth value")
        return value

    def irreps(self, name: str) -> list[tuple[int, int, int]]:
        """(multiplicity, l, parity) of each slot of an Irreps of e3nn, which is tuples of objects of tuples."""
        slots = _content(self.get(name), "Irreps")
        if slots is not None and len(slots) > MAX_ITEMS:
            raise self.error(f"has {len(slots)} irreps in {name!r}")
        found = [_content(slot, "_MulIr") for slot in slots] if slots is not None else [None]
        pairs = [(pair[0], _content(pair[1], "Irrep")) if pair and len(pair) == 2 else (None, None) for pair in found]
        result = []
        for count, irrep in pairs:
            values = (count, *irrep) if irrep is not None else ()
            if len(values) != 3 or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
                raise self.error(f"has {name!r} that are not irreps of e3nn")
            result.append(values)
        return result

    def instructions(self, fields: int) -> list[tuple[Any, ...]]:
        """Paths of a linear layer or tensor product of e3nn, each a tuple of so many fields."""
        value = self.get("instructions")
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise self.error(f"has {say(value)} for its instructions")
        found = []
        for item in value:
            args = item.args if isinstance(item, Object) else ()
            args = args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
            if len(args) != fields:
                raise self.error("has instructions that are not those of e3nn")
            found.append(args)
        return found

    def error(self, what: str) -> InputError:
        """Something about this module that is not as mace-torch writes it."""
        return self.file.error(f"{self.path or 'the model'} ({self.kind}) {what}")

    def _names(self, place: int) -> list[str]:
        if len(self._places[place]) > MAX_PARTS:
            raise self.error(f"has {len(self._places[place])} parts")
        return [name for name, child in self._places[place].items() if child is not None]

    def _of(self, name: str) -> str:
        return f"{self.path}.{name}".removeprefix(".")


def mapping(value: Any) -> dict[str, Any]:
    """The entries of a dictionary, ordered or not; none for anything else."""
    if isinstance(value, Object) and str(value.kind) == "collections.OrderedDict":
        return value.entries
    return value if isinstance(value, dict) else {}


def say(value: Any) -> str:
    """A few words for any value of a tree; never its contents, which may be endless."""
    if isinstance(value, Object):
        return f"a {value.kind}"
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, str):
        return repr(value[:60])
    return repr(value) if value is None or isinstance(value, bool | int | float) else f"a {type(value).__name__}"


def _content(value: Any, kind: str) -> tuple[Any, ...] | None:
    """What a subclass of tuple was made from, or None."""
    if isinstance(value, Object) and value.kind.name == kind and len(value.args) == 1:
        content = value.args[0]
        return content if isinstance(content, tuple) else None
    return None


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < sys.maxsize
