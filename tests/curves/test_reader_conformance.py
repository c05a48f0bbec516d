"""What every reader of `READERS` must pass: its example comes out right, and hostile files are one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refine.curves.curve import Curve
from refine.curves.quantities import QUANTITIES, is_q_space, same_quantity
from refine.curves.readers import READERS, read_curve, read_table
from refine.curves.readers.table import HEAD_BYTES, Example, Reader, Table, bytes_of
from refine.curves.writers import curve_text
from refine.errors import InputError

every_reader = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(reader: Reader, folder: Path, content: bytes | None = None) -> Path:
    path = folder / reader.example.name
    path.write_bytes(reader.example.content if content is None else content)
    return path


def read(reader: Reader, path: Path, **declared: Any) -> Curve:
    return read_curve(path, **{"quantity": reader.example.quantity, "check": False, **declared})


def assert_curve_or_one_line(reader: Reader, path: Path) -> None:
    try:
        outcome: Curve | str = read(reader, path)
    except InputError as error:
        outcome = str(error)
    assert isinstance(outcome, Curve) or ("\n" not in outcome and path.name in outcome)


@every_reader
def test_the_example_holds_what_it_says(reader: Reader, tmp_path: Path) -> None:
    curve, example = read(reader, written(reader, tmp_path)), reader.example
    np.testing.assert_allclose(curve.x, example.x, rtol=1e-12)
    np.testing.assert_allclose(curve.y, example.y, rtol=1e-12)
    assert (curve.sigma is None) == (example.sigma is None)
    if example.sigma is not None:
        assert curve.sigma is not None
        np.testing.assert_allclose(curve.sigma, example.sigma, rtol=1e-12)
    assert example.header.items() <= curve.header.items()


@every_reader
def test_it_is_the_reader_of_its_example(reader: Reader, tmp_path: Path) -> None:
    path = written(reader, tmp_path)
    head = reader.example.content[:HEAD_BYTES]
    assert next(other for other in READERS if other.recognises(path, head)) is reader
    np.testing.assert_array_equal(read_table(path).values, reader.read(path).values)


@every_reader
def test_what_was_read_is_written_and_read_back(reader: Reader, tmp_path: Path) -> None:
    curve = read(reader, written(reader, tmp_path))
    path = tmp_path / "again.txt"
    path.write_text(curve_text(curve), encoding="utf-8")
    back = read(reader, path, abscissa="points")
    np.testing.assert_allclose(back.x, curve.x, rtol=1e-9)
    np.testing.assert_allclose(back.y, curve.y, rtol=1e-9)
    assert (back.sigma is None) == (curve.sigma is None)
    assert (back.q_min, back.q_max) == pytest.approx((curve.q_min, curve.q_max))


@every_reader
def test_a_header_that_contradicts_the_declaration_is_refused(reader: Reader, tmp_path: Path) -> None:
    """Every example states its quantity; each other one is refused, but for another name of the same."""
    path, stated = written(reader, tmp_path), reader.example.quantity
    assert read_table(path).header["quantity"] == stated
    for quantity in QUANTITIES:
        if same_quantity(quantity, stated):
            assert read(reader, path, quantity=quantity).quantity == quantity
        else:
            with pytest.raises(InputError, match="the header says"):
                read(reader, path, quantity=quantity)


@every_reader
def test_limits_of_the_header(reader: Reader, tmp_path: Path) -> None:
    """Of a curve in r they are those of its transform, unless others are declared."""
    header = reader.example.header
    curve = read(reader, written(reader, tmp_path))
    if is_q_space(reader.example.quantity) or "qmax" not in header:
        in_q = is_q_space(reader.example.quantity)  # the range of a curve in Q is that of x
        assert (curve.q_min, curve.q_max) == ((curve.x[0], curve.x[-1]) if in_q else (None, None))
        return
    assert (curve.q_min, curve.q_max) == (float(header["qmin"]), float(header["qmax"]))
    declared = read(reader, written(reader, tmp_path), q_range=(1.0, 15.0))
    assert (declared.q_min, declared.q_max) == (1.0, 15.0)


@every_reader
@quick
@given(content=st.binary(max_size=400))
def test_any_bytes(reader: Reader, tmp_path: Path, content: bytes) -> None:
    assert_curve_or_one_line(reader, written(reader, tmp_path, content))


@every_reader
def test_the_example_cut_short_anywhere(reader: Reader, tmp_path: Path) -> None:
    content = reader.example.content
    for end in range(len(content)):
        assert_curve_or_one_line(reader, written(reader, tmp_path, content[:end]))


@every_reader
@quick
@given(data=st.data())
def test_the_example_with_damage(reader: Reader, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(reader.example.content)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert_curve_or_one_line(reader, written(reader, tmp_path, bytes(content)))


@every_reader
@pytest.mark.timeout(30)
@pytest.mark.parametrize("filling", [b"\x00", b" ", b"1", b"1 ", b"# ", b"nm", b"=", b"\n", b"\xff", b"q_max ", b","])
def test_long_lines_and_nulls(reader: Reader, tmp_path: Path, filling: bytes) -> None:
    """A mebibyte of one thing, before and after the example: an answer within seconds."""
    rest = filling * (2**20 // len(filling))
    assert_curve_or_one_line(reader, written(reader, tmp_path, rest))
    assert_curve_or_one_line(reader, written(reader, tmp_path, rest + reader.example.content))
    assert_curve_or_one_line(reader, written(reader, tmp_path, reader.example.content + rest))


@every_reader
@quick
@given(name=st.text(max_size=20), head=st.binary(max_size=64))
def test_recognising_takes_any_bytes(reader: Reader, name: str, head: bytes) -> None:
    assert reader.recognises(Path(name), head) in (True, False)


@every_reader
def test_a_huge_file_is_refused_unread(reader: Reader, tmp_path: Path) -> None:
    path = written(reader, tmp_path)
    with path.open("ab") as file:
        file.truncate(2**33)  # sparse
    with pytest.raises(InputError, match="too large"):
        read(reader, path)


def test_a_binary_format_is_a_reader_and_a_line_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by its first bytes; its attributes are facts like those of a text file's header."""
    x = np.linspace(0.1, 2.0, 20)
    content = b"CURVES\x00\x01" + np.column_stack([x, -x, 0.1 * x]).astype("<f8").tobytes()

    def read_binary(path: Path) -> Table:
        data = bytes_of(path, 10_000)
        values = np.frombuffer(data[8 : 8 + (len(data) - 8) // 24 * 24], "<f8").reshape(-1, 3)
        facts = ("quantity = D(r)", "qmin = 0.5", "qmax = 20", "radiation = xray")
        return Table(values, np.arange(1, len(values) + 1), facts, ("r", "D", "sigma"))

    example = Example("a.nxs", content, "D(r)", tuple(x), tuple(-x), tuple(0.1 * x), {"qmax": "20"})
    toy = Reader("toy", lambda path, head: head.startswith(b"CURVES\x00\x01"), read_binary, example)
    monkeypatch.setattr("refine.curves.readers.READERS", (toy, *READERS))
    path = tmp_path / "a.nxs"
    path.write_bytes(content)
    curve = read_curve(path, quantity="D(r)", radiation="xray", check=False)
    np.testing.assert_array_equal(curve.y, -x)
    assert (curve.q_min, curve.q_max, curve.header["radiation"]) == (0.5, 20.0, "xray")
    with pytest.raises(InputError, match="the header says xray"):
        read_curve(path, quantity="D(r)", radiation="neutron", check=False)
