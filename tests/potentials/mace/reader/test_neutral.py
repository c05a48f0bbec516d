"""The neutral form: what was written comes back to the last digit, and nothing else passes for a model."""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from refine.errors import CheckpointError, InputError
from refine.potentials.mace.architecture import Architecture, Checkpoint
from refine.potentials.mace.reader import neutral, read_torch
from refine.potentials.mace.reader.neutral import read_neutral, write_neutral
from tests.potentials.mace.models import random_checkpoint
from tests.potentials.mace.torch_files import TINY


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return read_torch(TINY)


@pytest.fixture
def written(tiny: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_neutral(tiny, path)
    return path


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.architecture == other.architecture
    assert (one.factors, one.sha256, one.origin) == (other.factors, other.sha256, other.origin)
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype, name
        np.testing.assert_array_equal(array, other.arrays[name], name)


def split(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, what its metadata say of the model, and numbers of a file."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["refine.mace"]), data[8 + length :]


def joined(header: dict[str, Any], about: Any, numbers: bytes) -> bytes:
    metadata = {"refine.mace": json.dumps(about)}
    text = json.dumps({**header, "__metadata__": metadata}).encode()
    return struct.pack("<Q", len(text)) + text + numbers


# --- there and back ---------------------------------------------------------------------------------------------------


def test_there_and_back(tiny: Checkpoint, written: Path) -> None:
    assert_same(read_neutral(written), tiny)
    for name, weights in read_neutral(written).weights.items():
        np.testing.assert_array_equal(weights, tiny.weights[name])


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 1},
        {"layers": 3, "l_hidden": 2, "max_ell": 3, "correlation": 3},
        {"density": True, "residual": False, "agnesi": True, "heads": ("a", "b", "c")},
    ],
)
def test_any_architecture(options: dict[str, Any], tmp_path: Path) -> None:
    model = random_checkpoint(**options)
    single = {name: array.astype(np.float32) for name, array in model.arrays.items()}
    for arrays in (model.arrays, single):
        checkpoint = Checkpoint(model.architecture, arrays, model.factors, model.sha256, model.origin)
        write_neutral(checkpoint, tmp_path / "file")
        assert_same(read_neutral(tmp_path / "file"), checkpoint)


def test_other_programs_can_read_it(tiny: Checkpoint, written: Path) -> None:
    with safe_open(written, "numpy") as file:
        assert sorted(file.keys()) == sorted(tiny.arrays)
        for name in file.keys():  # noqa: SIM118, no dictionary
            np.testing.assert_array_equal(file.get_tensor(name), tiny.arrays[name])
        about = json.loads(file.metadata()["refine.mace"])
    assert about["version"] == 1
    assert about["origin"] == "tiny.model"
    assert about["architecture"]["r_max"] == 4.0


def test_arrays_come_in_the_order_of_the_file(written: Path) -> None:
    """It is that of the parameters where weights are refined."""
    header, _, _ = split(written.read_bytes())
    assert list(read_neutral(written).arrays) == [name for name in header if name != "__metadata__"]
    assert list(read_neutral(written).arrays) != sorted(header)


def test_transposed_arrays_are_written_as_they_are_seen(tiny: Checkpoint, written: Path) -> None:
    skip = tiny.arrays["layers.1.skip.0"]
    assert not skip.flags.c_contiguous
    np.testing.assert_array_equal(read_neutral(written).arrays["layers.1.skip.0"], skip)


def test_the_same_model_is_the_same_file(tiny: Checkpoint, written: Path, tmp_path: Path) -> None:
    write_neutral(read_neutral(written), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_an_interrupted_writer_leaves_the_old_file(
    tiny: Checkpoint, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def fails(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(CheckpointError, match="No space left"):
        write_neutral(tiny, written)
    monkeypatch.undo()
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_what_could_not_be_read_is_not_written(tiny: Checkpoint, tmp_path: Path) -> None:
    arrays = {**tiny.arrays, "embedding": np.full((3, 4), math.nan)}
    bad = Checkpoint(tiny.architecture, arrays, tiny.factors, tiny.sha256, tiny.origin)
    with pytest.raises(InputError, match="'embedding' has numbers that are not finite"):
        write_neutral(bad, tmp_path / "file")
    assert not list(tmp_path.iterdir())


# --- what is no such file ---------------------------------------------------------------------------------------------

BYTES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "too short": (b"1234567", "no safetensors file, or one that is cut off"),
    "header of 16 EiB": (b"\xff" * 8 + b"{}", "no safetensors file, or one that is cut off"),
    "header longer than the file": (struct.pack("<Q", 100) + b"{}", "cut off"),
    "no JSON": (struct.pack("<Q", 2) + b"{x", "its header cannot be read"),
    "a list": (struct.pack("<Q", 2) + b"[]", "its header cannot be read"),
    "deep": (struct.pack("<Q", 200_000) + b"[" * 200_000, "its header cannot be read"),
    "deep object": (struct.pack("<Q", 300_000) + b'{"a":' * 60_000, "its header cannot be read"),
    "a key twice": (struct.pack("<Q", 13) + b'{"a":1,"a":2}', "its header cannot be read"),
    "not a number": (struct.pack("<Q", 9) + b'{"a":NaN}', "its header cannot be read"),
    "a number of a million digits": (
        struct.pack("<Q", 900_005 + 1) + b'{"a":' + b"9" * 900_000 + b"}",
        "cannot be read",
    ),
    "not UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "its header cannot be read"),
    "of another program": (struct.pack("<Q", 2) + b"{}", "not of a model that refine converted"),
    "odd metadata": (struct.pack("<Q", 22) + b'{"__metadata__":[1,2]}', "its header cannot be read"),
}


@pytest.mark.parametrize("name", BYTES)
def test_other_files(name: str, tmp_path: Path) -> None:
    content, message = BYTES[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_neutral(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_neutral(tmp_path / "file")
    with pytest.raises(InputError, match="not a regular file"):
        read_neutral(tmp_path)


def test_oversized(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(2**40)  # takes no room on the disk
    with pytest.raises(InputError, match="larger than any model"):
        read_neutral(tmp_path / "huge")


def _set(path: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Change a value of the header or of what it says about the model."""

    def change(header: dict[str, Any], about: dict[str, Any]) -> None:
        first, *rest = path.split("/")
        place: Any = {"header": header, "about": about}[first]
        for key in rest[:-1]:
            place = place[int(key)] if isinstance(place, list) else place[key]
        key = rest[-1]
        if value is ...:
            del place[key]
        else:
            place[int(key) if isinstance(place, list) else key] = value

    return change


A, L = "about/architecture", "about/architecture/layers/1"
METADATA: dict[str, tuple[str, Any, str]] = {
    "later version": ("about/version", 2, r"written in layout 2, not 1; convert the model again"),
    "odd version": ("about/version", [1], r"written in layout"),
    "version as a float": ("about/version", 1.5, r"written in layout"),
    "no digest": ("about/digest", ..., r"metadata are not those of a model"),
    "unknown key": ("about/more", 1, r"metadata are not those of a model"),
    "changed digest": ("about/digest", "0" * 64, r"do not match their checksum"),
    "changed scale": (f"{A}/scale/0", 0.7, r"do not match their checksum"),
    "changed factor": ("about/factors/embedding", 0.5, r"do not match their checksum"),
    "odd hash": ("about/sha256", "../../x", r"do not say what it was made from"),
    "odd origin": ("about/origin", "\x1b[31m", r"an odd file"),
    "origin in a folder": ("about/origin", "../x.model", r"an odd file"),
    "architecture": (A, 3, r"architecture cannot be read"),
    "unknown field": (f"{A}/more", 3, r"architecture cannot be read"),
    "missing field": (f"{A}/r_max", ..., r"architecture cannot be read"),
    "unknown field of a layer": (f"{L}/more", 3, r"architecture cannot be read"),
    "factors": ("about/factors", [1, 2], r"architecture cannot be read"),
    "factor of nothing": ("about/factors/nothing", 1.0, r"a factor for 'nothing', which is no array"),
    "factor of text": ("about/factors/embedding", "1", r"the factor of 'embedding' is not a finite number"),
    "cutoff of text": (f"{A}/r_max", "6", r"r_max is '6'"),
    "cutoff of zero": (f"{A}/r_max", 0, r"r_max is 0"),
    "cutoff of 5000 digits": (f"{A}/r_max", 10**400, r"r_max is 1000"),
    "truth as a number": (f"{A}/channels", True, r"channels is True"),
    "channels as a float": (f"{A}/channels", 4.0, r"channels is 4\.0"),
    "other channels": (f"{A}/channels", 5, r"has shape \(3, 4\) instead of \(3, 5\)"),
    "channels without end": (f"{A}/channels", 2**60, r"channels is 1152921504606846976"),
    "harmonics without end": (f"{A}/max_ell", 2**60, r"max_ell is"),
    "no species": (f"{A}/species", [], r"no list of elements"),
    "species of text": (f"{A}/species", "HOF", r"no list of elements"),
    "no heads": (f"{A}/heads", [], r"no list of names"),
    "head of control characters": (f"{A}/heads/0", "\x1b[2J", r"no name of a head"),
    "one head of two": (f"{A}/heads", ["a"], r"scale is not one for each head"),
    "scale of text": (f"{A}/scale/0", "1", r"scale is '1'"),
    "agnesi": (f"{A}/agnesi", {"a": 1, "p": 1}, r"architecture cannot be read"),
    "agnesi of text": (f"{A}/agnesi/a", "1", r"agnesi\.a is '1'"),
    "zbl of text": (f"{A}/zbl", "x", r"architecture cannot be read"),
    "zbl coefficients": (f"{A}/zbl/c", [1, 2, 3], r"zbl\.c is not four numbers"),
    "half precision": (f"{A}/dtype", "float16", r"dtype is 'float16'"),
    "no layers": (f"{A}/layers", [], r"no list of layers"),
    "layers": (f"{A}/layers", 3, r"architecture cannot be read"),
    "correlation without end": (f"{L}/correlation", 2**40, r"layers\.1\.correlation is"),
    "higher correlation": (f"{L}/correlation", 3, r"the array 'layers\.1\.basis\.0\.3' is missing"),
    "lower correlation": (
        f"{L}/correlation",
        1,
        r"an array 'layers\.1\.basis\.0\.2' that this architecture has no use",
    ),
    "readout": (f"{L}/readout", "quadratic", r"layers\.1\.readout is 'quadratic'"),
    "hidden units": (f"{L}/readout_hidden", 0, r"readout_hidden is 0"),
    "l of text": (f"{L}/l_in", ["0"], r"an l of layers\.1\.l_in is '0'"),
    "l that does not come in": (f"{L}/l_in", [0], r"l_in is not what comes in"),
    "l in disorder": (f"{L}/l_in", [1, 0], r"l_in is not ascending"),
    "messages": (f"{L}/l_message", [0], r"l_message is not every l up to 1"),
    "no scalars": (f"{L}/l_out", [1], r"l_out has no scalars"),
    "forbidden path": (f"{L}/paths/0", [1, 1, 1], r"has the path \(1, 1, 1\), which does not exist"),
    "path twice": (f"{L}/paths/0", [1, 1, 0], r"has a path twice"),
    "path of text": (f"{L}/paths/0", "000", r"a path that is not"),
    "path of two": (f"{L}/paths/0", [0, 0], r"a path that is not"),
    "path factor": (f"{L}/path_factors/0", None, r"a path factor that is not finite"),
    "too few path factors": (f"{L}/path_factors", [1.0], r"not one factor for each path"),
    "hidden layers": (f"{L}/radial_hidden", 3, r"'layers\.1\.radial\.2' is missing"),
    "missing array": ("header/embedding", ..., r"its header cannot be read"),
    "additional array": (
        "header/more",
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        r"its header cannot be read",
    ),
    "integers": ("header/embedding/dtype", "I64", r"the array 'embedding' is damaged"),
    "half as long": ("header/embedding/dtype", "F32", r"its header cannot be read"),
    "transposed": ("header/embedding/shape", [4, 3], r"'embedding' has shape \(4, 3\) instead of \(3, 4\)"),
    "longer": ("header/embedding/shape", [3, 5], r"its header cannot be read"),
    "negative": ("header/embedding/shape", [-3, -4], r"its header cannot be read"),
    "shape of floats": ("header/embedding/shape", [3.0, 4], r"its header cannot be read"),
    "shape that overflows": ("header/embedding/shape", [2**39] * 8, r"its header cannot be read"),
    "deep shape": ("header/embedding/shape", [[3], 4], r"its header cannot be read"),
    "beyond the end": ("header/embedding/data_offsets", [2**40, 2**40 + 96], r"its header cannot be read"),
    "before the beginning": ("header/embedding/data_offsets", [-96, 0], r"its header cannot be read"),
    "backwards": ("header/embedding/data_offsets", [96, 0], r"its header cannot be read"),
    "offsets": ("header/embedding/data_offsets", [0], r"its header cannot be read"),
    "no place": ("header/embedding", "x", r"its header cannot be read"),
}


@pytest.mark.parametrize("name", METADATA)
def test_forged_headers(name: str, written: Path) -> None:
    where, value, message = METADATA[name]
    header, about, numbers = split(written.read_bytes())
    _set(where, value)(header, about)
    written.write_bytes(joined(header, about, numbers))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            read_neutral(written)
        assert str(caught.value).startswith(f"{written}: ")
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


TEXTS = {
    "no JSON": ("{x", "its header cannot be read"),
    "a list": ("[]", "its header is not an object"),
    "a key twice": ('{"a":1,"a":2}', "a repeated key"),
    "not a number": ('{"a":NaN}', "NaN is no number of JSON"),
    "a number of many digits": ('{"a":' + "9" * 300_000 + "}", "cannot be read"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_metadata_that_are_no_object_of_json(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    text, message = TEXTS[name]
    (tmp_path / "file").write_bytes(save(_contiguous(tiny), {"refine.mace": text}))
    with pytest.raises(InputError, match=message):
        read_neutral(tmp_path / "file")


def _contiguous(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}


ARRAYS: dict[str, tuple[dict[str, np.ndarray | None], str]] = {
    "missing": ({"embedding": None}, r"the array 'embedding' is missing"),
    "additional": ({"more": np.ones(1, np.float32)}, r"an array 'more' that this architecture has no use for"),
    "half precision": ({"embedding": np.ones((3, 4), np.float16)}, r"the array 'embedding' is damaged"),
    "empty": ({"embedding": np.ones((0, 4))}, r"'embedding' has shape \(0, 4\) instead of \(3, 4\)"),
    "nine dimensions": ({"embedding": np.ones((1,) * 9)}, r"the array 'embedding' is damaged"),
    "odd name": ({"\x1b[2J\n" * 100: np.ones((), np.int8)}, r"the array '\\x1b\[2J\\n.{1,120} is damaged"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_sound_files_with_other_arrays(name: str, tiny: Checkpoint, written: Path) -> None:
    changes, message = ARRAYS[name]
    _, about, _ = split(written.read_bytes())
    arrays = {key: array for key, array in (_contiguous(tiny) | changes).items() if array is not None}
    written.write_bytes(save(arrays, {"refine.mace": json.dumps(about)}))
    with pytest.raises(InputError, match=message):
        read_neutral(written)


def test_more_dimensions_than_numpy_has(written: Path) -> None:
    header, about, numbers = split(written.read_bytes())
    header["embedding"]["shape"] += [1] * 200
    written.write_bytes(joined(header, about, numbers))
    with pytest.raises(InputError, match="the array 'embedding' is damaged"):
        read_neutral(written)


def test_a_header_that_the_library_would_still_read(written: Path) -> None:
    """It allows a hundred million bytes."""
    data = written.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    padded = data[8 : 8 + length] + b" " * neutral.MAX_HEADER_BYTES
    written.write_bytes(struct.pack("<Q", len(padded)) + padded + data[8 + length :])
    with pytest.raises(InputError, match=r"header too large.*convert the model again") as caught:
        read_neutral(written)
    assert "\n" not in str(caught.value)


def test_deep_metadata(written: Path) -> None:
    header, _, numbers = split(written.read_bytes())
    text = json.dumps({**header, "__metadata__": {"refine.mace": '{"a":' * 50_000}}).encode()
    written.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    with pytest.raises(InputError, match="its header cannot be read"):
        read_neutral(written)


@pytest.mark.parametrize("depth", [100, 300, 480, 700, 900])
def test_deep_values(depth: int, written: Path) -> None:
    """Too deep for what reads the architecture, but not always for what reads JSON."""
    header, about, numbers = split(written.read_bytes())
    value: Any = []
    for _ in range(depth):
        value = [value]
    about["architecture"]["r_max"] = value
    written.write_bytes(joined(header, about, numbers))
    with pytest.raises(InputError, match=r"cannot be read|r_max is a tuple"):
        read_neutral(written)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite(value: float, written: Path) -> None:
    header, about, numbers = split(written.read_bytes())
    begin = header["embedding"]["data_offsets"][0]
    changed = numbers[:begin] + struct.pack("<d", value) + numbers[begin + 8 :]
    written.write_bytes(joined(header, about, changed))
    with pytest.raises(InputError, match="the array 'embedding' has numbers that are not finite"):
        read_neutral(written)


@pytest.mark.timeout(60)
def test_any_changed_byte_is_noticed(written: Path, tiny: Checkpoint) -> None:
    """The checksum covers the numbers and the model; what passes is the same model."""
    good = written.read_bytes()
    rng = np.random.default_rng(0)
    survived = 0
    for _ in range(600):
        data = bytearray(good)
        data[rng.integers(len(data))] ^= rng.choice([1, 2, 4, 8, 16, 32, 64, 128])
        written.write_bytes(data)
        try:
            assert_same(read_neutral(written), tiny)
            survived += 1
        except InputError:
            pass
    assert survived < 100
    for kept in rng.integers(len(good), size=50):
        written.write_bytes(good[:kept])
        with pytest.raises(InputError):
            read_neutral(written)


def test_forged_values_are_a_model_or_an_error(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forger knows how to compute the checksum: any value of the header replaced by an odd one."""
    header, about, numbers = split(written.read_bytes())
    monkeypatch.setattr(neutral, "digest_of", lambda *_: about["digest"])
    places = [("header", *path) for path in paths_of(header)] + [("about", *path) for path in paths_of(about)]
    odd = [None, True, 0, 1, -1, 2, 2**62, 10**300, 1.5, -1e308, "", "0", [], [0], [[[]]], {}, {"a": 1}, [0, 1, 2]]
    rng = np.random.default_rng(1)
    models = 0
    for k in range(800):
        place = places[rng.integers(len(places))]
        root = {"header": json.loads(json.dumps(header)), "about": json.loads(json.dumps(about))}
        holder: Any = root
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = odd[rng.integers(len(odd))]
        if k % 3 == 0:
            holder[place[-1]] = odd[rng.integers(len(odd))]
        data = joined(root["header"], root["about"], numbers)
        written.write_bytes(data)
        try:
            found = read_neutral(written)
        except InputError:
            continue
        models += 1
        assert isinstance(found.architecture, Architecture)
        assert all(np.isfinite(weights).all() for weights in found.weights.values())
    assert models > 10


def paths_of(tree: Any) -> list[tuple[Any, ...]]:
    """Keys that lead to every value of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path for key, value in items for path in ((key,), *((key, *rest) for rest in paths_of(value)))]
