"""Pickles: a tree of what they name; nothing they ask for is done, and nothing they claim is believed."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.potentials.mace.reader import pickles
from refine.potentials.mace.reader.pickles import Name, Object, Reference, read_pickle
from tests.potentials.mace.torch_files import TINY, archive_of, entries_of, pickled


def read(data: bytes) -> Any:
    return read_pickle(data, "file")


# --- what is read -----------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.tuples() | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_plain_values_as_python_reads_them(value: Any) -> None:
    assert read(pickle.dumps(value, protocol=2)) == value
    assert read(pickled(value)) == value


def test_long_containers_come_in_batches() -> None:
    value = {"list": list(range(3000)), "dict": {str(k): k for k in range(3000)}, "tuple": tuple(range(70_000, 70_500))}
    assert read(pickle.dumps(value, protocol=2)) == value


def test_calls_and_instances_are_remembered_not_made() -> None:
    ordered = read(pickle.dumps(collections.OrderedDict(a=1), protocol=2))
    assert (str(ordered.kind), ordered.args, ordered.entries) == ("collections.OrderedDict", (), {"a": 1})
    state = b"\x80\x02ctorch.nn\nLinear\n)\x81}X\x01\x00\x00\x00ak\x01sb.".replace(b"k\x01", b"K\x01")
    module = read(state)
    assert isinstance(module, Object)
    assert module.kind == Name("torch.nn", "Linear")
    assert module.kind.package == "torch"
    assert module.state == {"a": 1}


def test_what_is_shared_stays_shared() -> None:
    shared: list[Any] = []
    tree = read(pickle.dumps([shared, shared], protocol=2))
    assert tree[0] is tree[1]


def test_references() -> None:
    tree = read(pickled(Reference(("storage", Name("torch", "FloatStorage"), "0", "cpu", 3))))
    assert isinstance(tree, Reference)
    assert tree.key == ("storage", Name("torch", "FloatStorage"), "0", "cpu", 3)


def test_a_file_of_torch() -> None:
    data = entries_of(TINY.read_bytes())["data.pkl"]
    tree = read(data)
    assert str(tree.kind) == "mace.modules.models.ScaleShiftMACE"
    assert len(list(pickletools.genops(data))) * 10 < pickles.MAX_INSTRUCTIONS
    assert read(pickled(tree)).state["heads"] == ["a", "b"]


# --- what would run ---------------------------------------------------------------------------------------------------


class Call:
    """Pickled as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


HOSTILE = {
    "os.system": Call(os.system, "touch marker"),
    "eval": Call(eval, "open('marker', 'w')"),
    "exec": Call(exec, "open('marker', 'w')"),
    "open": Call(open, "marker", "w"),
    "import": Call(__import__, "antigravity"),
    "getattr": Call(getattr, Call(__import__, "os"), "system"),
    "nested": {"a": [Call(list, [Call(subprocess.check_output, ["touch", "marker"])])]},
    "popen": Call(subprocess.Popen, ["touch", "marker"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_code_is_not_run_and_its_name_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"names '[\w.]+', which no model of mace-torch needs; nothing in it was run"):
        read(pickle.dumps(HOSTILE[name], protocol=2))
    assert not list(tmp_path.iterdir())


def test_functions_of_known_packages_are_not_called_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy and torch can run code too; their names are written down, and that is all."""
    monkeypatch.chdir(tmp_path)
    loaded = set(sys.modules)
    assert isinstance(read(b"\x80\x02cnumpy.f2py.diagnose\nrun\n)R."), Object)
    assert isinstance(read(b"\x80\x02cmace.no_such_module\nrun\n)R."), Object)
    assert set(sys.modules) == loaded
    read(b"\x80\x02cnumpy\ntofile\nX\x06\x00\x00\x00marker\x85R.")
    assert not list(tmp_path.iterdir())


def test_nothing_happens_but_reading(tmp_path: Path) -> None:
    """Python's own audit of a process that reads an honest and a hostile file: no code, no module, no process."""
    bad = tmp_path / "bad.model"
    hostile = pickle.dumps({"a": Call(os.system, f"touch {tmp_path / 'marker'}")}, protocol=2)
    bad.write_bytes(archive_of({"data.pkl": hostile}))
    code = f"""
import sys
import numpy, tempfile
from refine.errors import InputError
from refine.potentials.mace.reader.checkpoint import read_torch
seen = []
watched = ("import", "exec", "compile", "os.", "subprocess", "pickle", "marshal", "ctypes", "socket", "shutil")
sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith(watched) else None)
assert read_torch({str(TINY)!r}).architecture.heads == ("a", "b")
try:
    read_torch({str(bad)!r})
except InputError as error:
    assert "system" in str(error), error
else:
    raise AssertionError
assert not seen, seen
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=Path(__file__).parents[4])
    assert not (tmp_path / "marker").exists()


# --- what is claimed --------------------------------------------------------------------------------------------------

HEAD = b"\x80\x02"
BROKEN = {
    "empty": b"",
    "no end": HEAD + b"N",
    "nothing to return": HEAD + b".",
    "two results": HEAD + b"NN.",
    "more behind the end": HEAD + b"N.N",
    "open mark": HEAD + b"(N.",
    "no mark": HEAD + b"Nt.",
    "below a mark": HEAD + b"N(\x85.",
    "protocol 4": b"\x80\x04N.",
    "protocol twice": HEAD + HEAD + b"N.",
    "extension codes": HEAD + b"\x82\x01.",
    "extension codes of 4 bytes": HEAD + b"\x84\xff\xff\xff\x7f.",
    "textual reference": HEAD + b"Pdata\n.",
    "instances of old": HEAD + b"(ios\nsystem\n.",
    "objects of old": HEAD + b"(cos\nsystem\no.".replace(b"cos\nsystem", b"ctorch\nload"),
    "name from the stack": HEAD + b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
    "buffer": HEAD + b"\x97.",
    "textual integer": HEAD + b"I" + b"9" * 100_000 + b"\n.",
    "textual long": HEAD + b"L" + b"9" * 100_000 + b"L\n.",
    "evaluated string": HEAD + b"S'a'\n.",
    "text cut off": HEAD + b"X\x05\x00\x00\x00abc.",
    "text of 4 GiB": HEAD + b"X\xff\xff\xff\xffabc.",
    "text of 16 EiB": HEAD + b"\x8d" + b"\xff" * 8 + b"abc.",
    "bytes of 4 GiB": HEAD + b"B\xff\xff\xff\xffabc.",
    "bytes of 16 EiB": HEAD + b"\x8e" + b"\xff" * 8 + b"abc.",
    "array of 16 EiB": HEAD + b"\x96" + b"\xff" * 8 + b"abc.",
    "frame of 16 EiB": HEAD + b"\x95" + b"\xff" * 8 + b"abc.",
    "integer of 2 GiB": HEAD + b"\x8b\xff\xff\xff\x7fabc.",
    "integer of 255 bytes": HEAD + b"\x8a\xff" + b"\xff" * 255 + b".",
    "memo of 4 billion": HEAD + b"Nr\xff\xff\xff\xff.",
    "memo out of order": HEAD + b"Nq\x05.",
    "memo of a mark": HEAD + b"(q\x00t.",
    "unknown memo": HEAD + b"h\x00.",
    "text that is not UTF-8": HEAD + b"X\x02\x00\x00\x00\xff\xfe.",
    "name without an end": HEAD + b"ctorch" * 1000,
    "name of control characters": HEAD + b"ctorch\n\x1b[31m\n.",
    "name of an empty module": HEAD + b"c\nsystem\n.",
    "call of a value": HEAD + b"N)R.",
    "call of a call": HEAD + b"ctorch\nload\n)R)R.",
    "call with a list": HEAD + b"ctorch\nload\n]R.",
    "state of a name": HEAD + b"ctorch\nload\n}b.",
    "state of a dictionary": HEAD + b"}}b.",
    "items of a tuple": HEAD + b")Na.",
    "items of a name": HEAD + b"ctorch\nload\n(Ne.",
    "entries of a list": HEAD + b"](NNu.",
    "entries in odd number": HEAD + b"}(Nu.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_torch_never_writes(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read(BROKEN[name])
        assert tracemalloc.get_traced_memory()[1] < 2**20, "memory for what is only claimed"
    finally:
        tracemalloc.stop()


def test_a_message_names_the_place() -> None:
    with pytest.raises(
        InputError, match=r"^file: the pickle cannot be read: opcode b'\\x82' is not one that torch.save"
    ):
        read(BROKEN["extension codes"])


DEEP = {
    "lists": b"]" * 140_000 + b"a" * 139_999,
    "tuples": b")" + b"\x85" * 250_000,
    "dictionaries": b"}" + b"X\x01\x00\x00\x00a}" * 90_000 + b"s" * 90_000,
    "tuples as keys": b"}" + b")" + b"\x85" * 200_000 + b"Ns",
    "calls": b"ctorch\nSize\nq\x00" + b")R" + b"\x85h\x00\x86\x85" * 1000,
    "states": b"ctorch\nSize\nq\x00" + b")R" + b"h\x00)R" * 70_000 + b"b" * 70_000,
    "references": b"N" + b"Q" * 250_000,
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", DEEP)
def test_deep_structures(name: str) -> None:
    """Nothing recurses: the tree is made and given back, whatever its depth."""
    tree = read(HEAD + DEEP[name] + b".")
    assert tree is not None
    del tree


def test_cycles() -> None:
    own = read(HEAD + b"]q\x00h\x00a.")
    assert own[0] is own
    node = read(HEAD + b"ctorch\nSize\n)\x81q\x00h\x00b.")
    assert node.state is node
    entries = read(HEAD + b"}q\x00X\x01\x00\x00\x00ah\x00s.")
    assert entries["a"] is entries


def test_keys_that_are_no_strings_are_not_hashed() -> None:
    """Hashes of numbers can be made to collide, those of tuples recurse; no model has such keys."""
    colliding = b"".join(b"\x8a\x09" + (k * (2**61 - 1)).to_bytes(9, "little") + b"N" for k in range(500))
    assert read(HEAD + b"}(" + colliding + b"u.") == {}
    assert read(HEAD + b"}]Ns.") == {}
    assert read(HEAD + b"}(X\x01\x00\x00\x00aK\x01K\x02K\x03u.") == {"a": 1}


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="more than 300000 instructions"):
        read(HEAD + b"N" * 400_000 + b".")
    monkeypatch.setattr(pickles, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than that of any model"):
        read(HEAD + b"N" * 1000 + b".")


def test_memory_is_bounded_by_the_number_of_instructions() -> None:
    """References to one long tuple do not copy it."""
    data = HEAD + b"(" + b"N" * 50_000 + b"tq\x00" + b"(" + b"h\x00" * 100_000 + b"t\x86."
    tracemalloc.start()
    try:
        read(data)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_tree_or_an_error(data: bytes, with_head: bool) -> None:
    with_end = HEAD + data + b"." if with_head else data
    with contextlib.suppress(InputError):
        read(with_end)


def test_any_sequence_of_known_instructions_is_a_tree_or_an_error() -> None:
    """Programs that random bytes would never hit upon."""
    words = [bytes([code]) for code in pickles._ACTIONS if code != 0x80]
    operands = {
        b"J": b"\xff\xff\xff\x7f",
        b"K": b"\x01",
        b"M": b"\x01\x02",
        b"\x8a": b"\x01\xff",
        b"G": struct.pack(">d", float("nan")),
        b"X": b"\x01\x00\x00\x00a",
        b"q": b"\x00",
        b"r": b"\x01\x00\x00\x00",
        b"h": b"\x00",
        b"j": b"\x01\x00\x00\x00",
        b"c": b"torch\nSize\n",
    }
    rng = np.random.default_rng(0)
    trees = 0
    for _ in range(20_000):
        length = rng.integers(1, 12)
        program = b"".join(
            word + operands.get(word, b"") for word in (words[k] for k in rng.integers(len(words), size=length))
        )
        try:
            read(HEAD + program + b".")
            trees += 1
        except InputError:
            pass
    assert trees > 50
