"""Files as torch.save writes them, made without torch: honest ones, changed ones and hostile ones."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refine.potentials.mace.reader.pickles import Name, Object, Reference, read_pickle

TINY = Path(__file__).parents[2] / "goldens" / "mace" / "tiny.model"
"""A complete model of mace-torch 0.3.16: two layers, two heads, Agnesi, ZBL (tests/torch/tiny.py)."""


def entries_of(data: bytes) -> dict[str, bytes]:
    """Contents of the entries of an honest archive, by their names without its folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def archive_of(entries: Mapping[str, bytes] | Iterable[tuple[str, bytes]], root: str = "tiny") -> bytes:
    """An archive in which every entry is stored as it is, checksums included; names may be repeated."""
    body, directory = io.BytesIO(), io.BytesIO()
    pairs = list(entries.items() if isinstance(entries, Mapping) else entries)
    for name, content in pairs:
        full = f"{root}/{name}".encode()
        sizes = (zlib.crc32(content), len(content), len(content))
        start = body.tell()
        body.write(struct.pack("<4s5H3L2H", b"PK\3\4", 0, 0, 0, 0, 0, *sizes, len(full), 0) + full + content)
        fields = (0, 0, 0, 0, 0, 0, *sizes, len(full), 0, 0, 0, 0, 0, start)
        directory.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields) + full)
    lengths = (len(pairs), len(pairs), directory.tell(), body.tell())
    return body.getvalue() + directory.getvalue() + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *lengths, 0)


def pickled(tree: Any) -> bytes:
    """The pickle whose tree this is; what is shared or cyclic there is so in the pickle."""
    out = bytearray(b"\x80\x02")
    known: dict[int, int] = {}
    kept: list[Any] = []

    def remember(value: Any) -> None:
        known[id(value)] = len(kept)
        kept.append(value)
        out.extend(b"r" + struct.pack("<L", known[id(value)]))

    def write(value: Any) -> None:
        if id(value) in known:
            out.extend(b"j" + struct.pack("<L", known[id(value)]))
        elif value is None or isinstance(value, bool):
            out.extend({None: b"N", True: b"\x88", False: b"\x89"}[value])
        elif isinstance(value, int):
            size = (value.bit_length() + 8) // 8
            out.extend(b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True))
        elif isinstance(value, float):
            out.extend(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            out.extend(b"X" + struct.pack("<L", len(text)) + text)
        elif isinstance(value, Name):
            out.extend(f"c{value.module}\n{value.name}\n".encode())
            remember(value)
        elif isinstance(value, tuple):
            out.extend(b"(")
            for item in value:
                write(item)
            out.extend(b"t")
            remember(value)
        elif isinstance(value, list):
            out.extend(b"]")
            remember(value)
            extend(value)
        elif isinstance(value, dict):
            out.extend(b"}")
            remember(value)
            update(value)
        elif isinstance(value, Reference):
            write(value.key)
            out.extend(b"Q")
        else:
            assert isinstance(value, Object), type(value)
            write(value.kind)
            write(value.args)
            out.extend(b"R")
            remember(value)
            extend(value.elements)
            update(value.entries)
            if value.state is not None:
                write(value.state)
                out.extend(b"b")

    def extend(items: list[Any]) -> None:
        for item in items:
            write(item)
            out.extend(b"a")

    def update(items: Mapping[str, Any]) -> None:
        for key, item in items.items():
            write(key)
            write(item)
            out.extend(b"s")

    write(tree)
    return bytes(out + b".")


class Model:
    """The tiny model as a tree that can be changed and saved again.

    The code that e3nn stores with each layer is left out: no part of it is read, and the rest is half as long.
    """

    def __init__(self, path: Path = TINY) -> None:
        self.entries = entries_of(path.read_bytes())
        self.tree = read_pickle(self.entries["data.pkl"], "tiny")
        for module in self.modules():
            module.state.pop("__codegen__", None)
            for name in ("contractions_weighting", "contractions_features", "graph_opt_main"):
                parts(module, "_modules").pop(name, None)

    def modules(self) -> list[Object]:
        """All modules of the tree, the root first."""
        found, waiting = [], [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Object) and isinstance(node.state, dict) and "_modules" in node.state:
                found.append(node)
                waiting.extend(parts(node, "_modules").values())
        return found

    def at(self, path: str) -> Object:
        """The module at a dotted path; "" for the root."""
        node = self.tree
        for name in path.split(".") if path else ():
            node = parts(node, "_modules")[name]
        return node

    def renamed(self, path: str, kind: str) -> Model:
        """The class of a module becomes another."""
        module, _, name = kind.rpartition(".")
        self.at(path).kind = Name(module, name)
        return self

    def set(self, path: str, value: Any) -> Model:
        """An attribute, buffer, parameter or module becomes this value; a plain attribute where it is new."""
        holder, _, name = path.rpartition(".")
        node = self.at(holder)
        for part in ("_parameters", "_buffers", "_modules"):
            if name in parts(node, part):
                parts(node, part)[name] = value
                return self
        node.state[name] = value
        return self

    def get(self, path: str) -> Any:
        holder, _, name = path.rpartition(".")
        node = self.at(holder)
        places = [node.state, *(parts(node, part) for part in ("_parameters", "_buffers", "_modules"))]
        return next(place[name] for place in places if name in place)

    def without(self, path: str) -> Model:
        """An attribute, buffer, parameter or module is removed."""
        holder, _, name = path.rpartition(".")
        node = self.at(holder)
        for place in (node.state, *(parts(node, part) for part in ("_parameters", "_buffers", "_modules"))):
            place.pop(name, None)
        return self

    def as_parameter(self, path: str) -> Model:
        """A buffer becomes a trainable parameter."""
        tensor = self.get(path)
        holder, _, name = path.rpartition(".")
        self.without(path)
        hooks = Object(Name("collections", "OrderedDict"), ())
        kind = Name("torch._utils", "_rebuild_parameter")
        parts(self.at(holder), "_parameters")[name] = Object(kind, (tensor, True, hooks))
        return self

    def tensor(self, values: bytes, size: tuple[int, ...], stride: tuple[int, ...], kind: str = "Double") -> Object:
        """A new tensor in a storage of its own."""
        key = str(len([name for name in self.entries if name.startswith("data/")]) + 1000)
        self.entries[f"data/{key}"] = values
        count = len(values) // {"Double": 8, "Float": 4, "Long": 8, "Half": 2}[kind]
        storage = Reference(("storage", Name("torch", f"{kind}Storage"), key, "cpu", count))
        hooks = Object(Name("collections", "OrderedDict"), ())
        return Object(Name("torch._utils", "_rebuild_tensor_v2"), (storage, 0, size, stride, False, hooks))

    def data(self) -> bytes:
        return archive_of({**self.entries, "data.pkl": pickled(self.tree)})

    def save(self, folder: Path, name: str = "changed.model") -> Path:
        path = folder / name
        path.write_bytes(self.data())
        return path


def parts(node: Object, kind: str) -> dict[str, Any]:
    """`_parameters`, `_buffers` or `_modules` of a module."""
    holder = node.state[kind]
    return holder.entries if isinstance(holder, Object) else holder
