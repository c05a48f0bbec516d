"""`refine convert` on the command line: there and back, and refusals in one line. tests/scattering has the physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.curves.readers import read_curve, read_table

ARGON = Path(__file__).parents[2] / "experiments" / "argon" / "yarnell_1973_sq.csv"
SILICA = ("--radiation", "neutron", "--composition", "SiO2", "--number-density", "0.0662")


def call(*words: object) -> str:
    result = CliRunner().invoke(app, ["convert", *(str(word) for word in words)])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: object) -> str:
    result = CliRunner().invoke(app, ["convert", *(str(word) for word in words)])
    assert result.exit_code == 2, result.output
    *doubts, line = result.stderr.splitlines()
    assert line.startswith("refine: ")
    assert all(doubt.startswith("refine: warning: ") for doubt in doubts)
    assert result.stdout == ""
    return line


@pytest.fixture
def glass(tmp_path: Path) -> Path:
    """A silica-like i(Q) in barn, of two Gaussian shells in D(r)."""
    q = np.arange(0.02, 40.0, 0.02)
    shells = sum(
        a * np.sin(q * r) / (q * r) * np.exp(-((s * q) ** 2) / 2) for a, r, s in ((1.4, 1.61, 0.05), (2, 2.6, 0.1))
    )
    path = tmp_path / "glass.txt"
    np.savetxt(path, np.column_stack([q, 0.274 * shells, np.full(len(q), 1e-3)]))
    return path


def test_argon_to_the_published_g(tmp_path: Path) -> None:
    """The first peak that Yarnell et al. publish: 3.05 at 3.68 Å (their own transform differs in the last digit)."""
    out = tmp_path / "g.txt"
    words = ("--quantity", "S(Q)", "--radiation", "neutron", "--number-density", 0.02125, "--to", "g(r)", "--out", out)
    assert "g(r), faber-ziman: " in call(ARGON, *words, "--r", "15,0.02", "--extrapolate")
    g = read_curve(out, quantity="g(r)", number_density=0.02125, check=False)
    top = int(np.argmax(g.y))
    assert g.x[top] == pytest.approx(3.68, abs=0.04)
    assert g.y[top] == pytest.approx(3.05, abs=0.06)
    assert (g.q_min, g.q_max) == pytest.approx((0.0, 11.75), abs=0.1)


def test_there_and_back_through_files(glass: Path, tmp_path: Path) -> None:
    d, back = tmp_path / "d.txt", tmp_path / "back.txt"
    call(glass, "--quantity", "i(Q)", "--normalisation", "keen", *SILICA, "--to", "D(r)", "--r", "60,0.04", "--out", d)
    words = ("--quantity", "D(r)", "--normalisation", "keen", *SILICA, "--to", "i(Q)", "--q", "30,0.5", "--out", back)
    call(d, *words)
    start, end = (read_curve(p, quantity="i(Q)", normalisation="keen", check=False) for p in (glass, back))
    middle = end.x > 1.0
    np.testing.assert_allclose(end.y[middle], np.interp(end.x, start.x, start.y)[middle], atol=3e-3)


def test_normalisations_and_the_terminal(glass: Path) -> None:
    """<b>^2 of SiO2 is 0.2755 barn: the factor between barn and S(Q) - 1."""
    words = (
        "--quantity",
        "i(Q)",
        "--normalisation",
        "keen",
        *SILICA,
        "--to",
        "S(Q)",
        "--to-normalisation",
        "faber-ziman",
    )
    lines = call(glass, *words, "--q-range", "1,30").splitlines()
    rows = np.array([[float(v) for v in line.split()] for line in lines if not line.startswith("#")])
    assert "# quantity = S(Q)" in lines
    assert "# composition = Si=0.333333 O=0.666667" in lines
    start = read_table(glass).values
    kept = start[(start[:, 0] >= 1) & (start[:, 0] <= 30)]
    factor = ((4.1491 + 2 * 5.803) / 3) ** 2 / 100
    np.testing.assert_allclose(rows[:, 1] - 1, kept[:, 1] / factor, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2], 1e-3 / factor, rtol=2e-3)


def test_a_window_and_a_range(glass: Path) -> None:
    words = (
        "--quantity",
        "i(Q)",
        "--normalisation",
        "keen",
        *SILICA,
        "--to",
        "D(r)",
        "--to-normalisation",
        "faber-ziman",
    )
    text = call(glass, *words, "--q-range", "0.5,25", "--window", "lorch", "--r", "5,0.1")
    assert "# window = lorch\n# qmin = 0.5\n# qmax = 25\n" in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) == 50


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--quantity", "S(Q)", "--to", "D(q)"), "unknown quantity 'D(q)'; use one of"),
        (("--quantity", "S(Q)", "--to", "D(r)"), "unknown radiation None; use"),
        (("--quantity", "S(Q)", "--to", "g(r)", "--radiation", "neutron"), "g(r) needs the number density"),
        (("--quantity", "S(Q)", "--to", "F(Q)", "--to-normalisation", "keen", "--radiation", "neutron"), "composition"),
        (
            ("--quantity", "S(Q)", "--to", "F(Q)", "--r", "10,0.1"),
            "--r: from S(Q) to F(Q) the grid is that of the file",
        ),
        (("--quantity", "S(Q)", "--to", "F(Q)", "--extrapolate"), "--extrapolate: belongs to a transform"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--r", "10"), "--r: '10' is no grid; give MAX,STEP"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--r", "1e9,0.1"), "no grid; give MAX,STEP, at most 100,000 points"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--r", "nan,0.1"), "--r: 'nan,0.1' has a number that is not finite"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--q-range", "5,x"), "--q-range: '5,x' is not a list of numbers"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--q-range", "5,2"), "'5,2' is no range"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--radiation", "neutron", "--q-range", "0,99"), "Q up to 99 was asked"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--composition", "Si(OH4"), "'Si(OH4' is no formula"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--isotopes", "36Ar"), "'36Ar' is not of the form NAME=N"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--pair", "SiO"), "'SiO' is no pair; write it as Si-O"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--columns", "1,x"), "no column is called 'x'; the names are 'Q"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--columns", "1,"), "--columns: '1,' is not x,y or x,y,sigma"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--columns", "1"), "--columns: '1' is not x,y or x,y,sigma"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--block", "2"), "block 2 was asked for and the file has one curve"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--columns", "1,9", "--radiation", "neutron"), "columns [1, 9]"),
        (("--quantity", "S(Q)", "--to", "D(r)", "--window", "hann", "--radiation", "neutron"), "unknown window 'hann'"),
    ],
)
def test_refusals(words: tuple[str, ...], says: str) -> None:
    assert says in refused(ARGON, *words)


def test_files(tmp_path: Path, glass: Path) -> None:
    words = ("--quantity", "i(Q)", "--normalisation", "keen", *SILICA, "--to", "Q[S(Q)-1]")
    assert "no such file" in refused(tmp_path / "nothing.txt", *words)
    before = glass.read_bytes()
    assert "this is the curve itself" in refused(glass, *words, "--out", glass)
    assert glass.read_bytes() == before
    assert "cannot write" in refused(glass, *words, "--out", tmp_path / "no folder" / "a.txt")


def test_doubts_go_to_stderr(glass: Path) -> None:
    """Two shells are no glass: the slope of D(r) at low r says so, and the curve is converted all the same."""
    words = ("--quantity", "i(Q)", "--normalisation", "keen", *SILICA, "--to", "F(Q)")
    result = CliRunner().invoke(app, ["convert", str(glass), *words])
    assert result.exit_code == 0
    assert "refine: warning: " in result.stderr
    assert "low-r" in result.stderr
    assert "warning" not in result.stdout


def test_columns_by_name_and_one_of_several_curves(tmp_path: Path) -> None:
    """As `convert` reads them, a study does: `columns` and `block` are keys of [[data]]."""
    q = np.arange(0.5, 9.0, 0.25)
    path = tmp_path / "banks.dat"
    banks = (f"# bank {k}\n# Q A B\n" + "".join(f"{v} {k} {k * v}\n" for v in q) for k in (1, 2))
    path.write_text("\n\n".join(banks), encoding="utf-8")
    words = ("--quantity", "F(Q)", "--to", "F(Q)", "--radiation", "neutron", "--columns", "Q,B")
    assert "a second curve seems to begin here (x = 0.5 follows 8.75)" in refused(path, *words)
    out = tmp_path / "out.dat"
    call(path, *words, "--block", "2", "--out", out)
    np.testing.assert_allclose(read_table(out).values, np.column_stack([q, 2 * q]))
