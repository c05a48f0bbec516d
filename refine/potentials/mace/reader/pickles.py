"""Pickles as inert trees: what they name is written down, never imported, called or built.

A pickle is a program for a stack machine. Python's own `Unpickler` with a locked `find_class` still calls what it is
given, applies states, hashes keys, looks into the registry of extension codes, and reserves whatever memory an opcode
asks for, in C. torch writes some 35 opcodes of protocol 2; here is an interpreter for those and no others, of
which every instruction appends one plain Python object at most. So

  - nothing outside this file is reached from the pickle's bytes: a call becomes an `Object` that remembers what
    would have been called; there are no extension codes, buffers, frames or instances of classes;
  - memory is bounded by the length of the pickle and the number of its instructions, both limited; a length inside it
    is compared with the bytes that are left before anything is made;
  - nothing recurses, hashes or compares what the pickle made (keys of mappings are strings, memo indices count up), so
    deep, cyclic and colliding structures are harmless. Whoever reads the tree follows names, not links.

Names outside the packages that a model can need are refused at once, so that a file made to run code is reported.

Source: the table of opcodes in CPython's Lib/pickletools.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refine.errors import InputError

MAX_BYTES = 16 * 2**20
"""Of a pickle; those of published models have a quarter of a megabyte."""
MAX_INSTRUCTIONS = 300_000
"""Some thirty times those of a published model; read in a second."""

PACKAGES = (
    "mace",
    "e3nn",
    "torch",
    "numpy",
    "collections",
    "opt_einsum_fx",
    "cuequivariance",
    "cuequivariance_torch",
    "openequivariance",
    "lammps",
    "les",
    "graph_longrange",
)
"""Whose names may stand in a model; those at the end so that the reader can say which feature it does not know."""
BUILTINS = ("set", "frozenset", "dict", "list", "tuple", "slice", "complex", "object", "bytearray")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def package(self) -> str:
        """The first word of the module: the package to install."""
        return self.module.partition(".")[0]


@dataclass(slots=True, eq=False, repr=False)
class Object:
    """What a call or an instance would have become.

    Attributes:
        kind: the class or function.
        args: its arguments.
        state: of its `__setstate__`, or None.
        entries: items that were set, those with strings as keys.
        elements: items that were appended.
    """

    kind: Name
    args: tuple[Any, ...]
    state: Any = None
    entries: dict[str, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class Reference:
    """Something kept outside the pickle (a storage of numbers), with what the pickle says of it."""

    key: Any


def read_pickle(data: bytes | memoryview, where: str) -> Any:
    """The tree of a pickle: None, bool, int, float, str, tuple, list, dict with strings as keys, `Name`, `Object` and
    `Reference`. It may contain itself.

    Raises:
        InputError: not a pickle as torch writes them, too large, or naming what no model needs.
    """
    if len(data) > MAX_BYTES:
        size, limit = len(data) / 2**20, MAX_BYTES // 2**20
        raise InputError(
            f"a pickle of {size:.0f} MiB is larger than that of any model (limit {limit} MiB)", where=where
        )
    machine = _Machine(bytes(data), where)
    return machine.run()


class _Mark:
    pass


class _Machine:
    """Stack, memo and position of a pickle that is being read."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.names: dict[str, Name] = {}

    def run(self) -> Any:
        actions = _ACTIONS
        for _ in range(MAX_INSTRUCTIONS):
            opcode = self.take(1)[0]
            if opcode == 0x2E:  # STOP
                if len(self.stack) != 1 or self.marks or self.at != len(self.data):
                    raise self.damaged("it ends in the middle")
                return self.stack[0]
            action = actions.get(opcode)
            if action is None:
                raise self.damaged(f"opcode {bytes([opcode])!r} is not one that torch.save writes")
            action(self)
        raise InputError(f"a pickle of more than {MAX_INSTRUCTIONS} instructions", where=self.where)

    def damaged(self, why: str) -> InputError:
        return InputError(
            f"the pickle cannot be read: {why} (byte {self.at})",
            where=self.where,
            fix="give a file as torch.save(model, path) writes it",
        )

    # bytes, stack and memo

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise self.damaged("it is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 256)
        if end < 0:
            raise self.damaged("a name without an end")
        text = self.data[self.at : end].decode("ascii", "replace")
        self.at = end + 1
        return text

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("the stack is empty")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise self.damaged("a mark is missing")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("the stack is empty")
        return self.stack[-1]

    # instructions

    def proto(self) -> None:
        version = self.take(1)[0]
        if version != 2 or self.at != 2:
            raise self.damaged(f"protocol {version} instead of 2")

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def put(self, index: int) -> None:
        value = self.top()
        if index != len(self.memo):
            raise self.damaged("the memo is out of order")
        self.memo.append(value)

    def get(self, index: int) -> None:
        if index >= len(self.memo):
            raise self.damaged("an unknown memo")
        self.push(self.memo[index])

    def long(self) -> None:
        count = self.take(1)[0]
        if count > 9:  # storages are sized in 64 bits, and a sign
            raise self.damaged(f"an integer of {count} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def text(self) -> None:
        (count,) = _U32.unpack(self.take(4))
        try:
            self.push(self.take(count).decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise self.damaged("a text that is not UTF-8") from None

    def global_name(self) -> None:
        module, name = self.line(), self.line()
        full = f"{module}.{name}"
        if full not in self.names:
            if not (_IDENTIFIER.fullmatch(module) and _IDENTIFIER.fullmatch(name)):
                raise self.damaged("a name that is none")
            found = Name(module, name)
            known = found.package in PACKAGES or full == "_codecs.encode"
            if not (known or (module in ("builtins", "__builtin__") and name in BUILTINS)):
                raise InputError(
                    f"the file names {full!r}, which no model of mace-torch needs; nothing in it was run",
                    where=self.where,
                    fix="do not load this file with torch either, unless you know who made it",
                )
            self.names[full] = found
        self.push(self.names[full])

    def call(self) -> None:
        args, kind = self.pop(), self.pop()
        if not isinstance(kind, Name) or not isinstance(args, tuple):
            raise self.damaged("a call of something that has no name")
        self.push(Object(kind, args))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Object):
            raise self.damaged("a state for something that is no object")
        target.state = state

    def reference(self) -> None:
        self.push(Reference(self.pop()))

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Object):
            target = target.elements
        if not isinstance(target, list):
            raise self.damaged("items for something that is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Object):
            target = target.entries
        if not isinstance(target, dict) or len(items) % 2:
            raise self.damaged("entries for something that is no mapping")
        # Only strings are hashed: hashes of other keys can be made to collide, or to recurse. No model needs them.
        target.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, str))


_U16, _U32, _I32, _F64 = struct.Struct("<H"), struct.Struct("<L"), struct.Struct("<l"), struct.Struct(">d")


def _number(form: struct.Struct) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(form.unpack(machine.take(form.size))[0])


_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    ord(code): action
    for code, action in {
        "\x80": _Machine.proto,
        "(": _Machine.mark,
        "N": lambda machine: machine.push(None),
        "\x88": lambda machine: machine.push(True),
        "\x89": lambda machine: machine.push(False),
        "J": _number(_I32),
        "K": lambda machine: machine.push(machine.take(1)[0]),
        "M": _number(_U16),
        "\x8a": _Machine.long,
        "G": _number(_F64),
        "X": _Machine.text,
        ")": lambda machine: machine.push(()),
        "\x85": lambda machine: machine.tuple_of(1),
        "\x86": lambda machine: machine.tuple_of(2),
        "\x87": lambda machine: machine.tuple_of(3),
        "t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
        "]": lambda machine: machine.push([]),
        "a": lambda machine: machine.extend([machine.pop()]),
        "e": lambda machine: machine.extend(machine.pop_to_mark()),
        "}": lambda machine: machine.push({}),
        "s": lambda machine: machine.update(list(reversed([machine.pop(), machine.pop()]))),
        "u": lambda machine: machine.update(machine.pop_to_mark()),
        "q": lambda machine: machine.put(machine.take(1)[0]),
        "r": lambda machine: machine.put(_U32.unpack(machine.take(4))[0]),
        "h": lambda machine: machine.get(machine.take(1)[0]),
        "j": lambda machine: machine.get(_U32.unpack(machine.take(4))[0]),
        "c": _Machine.global_name,
        "R": _Machine.call,
        "\x81": _Machine.call,
        "b": _Machine.build,
        "Q": _Machine.reference,
    }.items()
}
