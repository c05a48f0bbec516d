"""Files as PDFgetN, PDFgetX2, PDFgui, EPSR, RMCProfile, PyStoG, LAMMPS, Mantid, Grace and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.readers import read_curve, read_table
from refine.errors import InputError

X = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
Y = np.array([-0.25, 0.5, 1.25, 0.75, -0.5, 0.125])
ERRORS = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])

PDFGETN = """History written: Mon Mar 3 11:12:13 2008
produced by somebody
##### Run Information     runCorrection=T
prep=gsas     machine=hipd
in beam: radius=0.45     height=3.1
temp=295     runTitle=a powder

##### Banks=3  deltaQ=0.02  matchRef=0  matchScal=T  matchOffset=T
bank   angle   blendQmin   blendQmax       (0.0 means no info)
  1    153.0        1.10    31.50
  2     90.0        0.90    27.10
  5     40.0        0.00     0.00

##### Program Specific Information
## Ft/calcError 1      dataAbsErr=1
numRpoints=1500     maxR=15.0     numDensity=0.0   intMaxR=1.5
## Damp     Qmin=0.9     Qmax=28     startDampQ=28    QAveMin=0.6
##### start data
#O0 rg_int sig_rg_int low_int sig_low_int rmax rhofit
#S 1 - PDF from PDFgetN
#P0  -12.00000    1.20000   30.00000  20.00000    1.50  0.0700
#L r G(r) dr dG(r)
"""
PDFGETX2 = """####### Get_XPDF #######

##### Data&Background
samfile=a_chi.chi    num_sams=1
det#  used  xcol detcol deterrcol xmin  xmax  add_det add_bkg
  0    1    0    1    3    0.00000    31.0000    0.00000   0.00000

##### Experiment_Setup
title=A powder
## S(q)  qmin=0.900000    qmax=28.000000    qgrid=0.000000
##### start data
#S 1    G(r)
#L r    G(r)    d_r    d_Gr
"""


def rows(*columns: Any, form: str = "{:g}", between: str = " ") -> str:
    return "".join(between.join(form.format(v) for v in line) + "\n" for line in zip(*columns, strict=True))


def read(folder: Path, content: str, name: str = "a.dat", **declared: Any) -> Curve:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_curve(path, **{"quantity": "S(Q)", "check": False, **declared})


def assert_read(curve: Curve, sigma: Any = None) -> None:
    np.testing.assert_allclose(curve.x, X)
    np.testing.assert_allclose(curve.y, Y)
    assert (curve.sigma is None) == (sigma is None)
    if sigma is not None:
        np.testing.assert_allclose(curve.sigma, sigma)


@pytest.mark.parametrize("header", [PDFGETN, PDFGETX2], ids=["PDFgetN", "PDFgetX2"])
@pytest.mark.parametrize("sign", ["", "#", "# ", "! "], ids=["bare", "#", "# blank", "!"])
def test_tables_in_headers_are_no_data(tmp_path: Path, header: str, sign: str) -> None:
    """Bare, and as header where a program has put a comment sign before each line of another's file."""
    head = "".join(sign + line + "\n" for line in header.splitlines())
    curve = read(tmp_path, head + rows(X, Y, 0 * X, ERRORS), "a.gr", quantity="G(r)")
    assert_read(curve, ERRORS)
    assert (curve.q_min, curve.q_max) == (0.9, 28.0)


def test_pdfgetn_with_a_number_density(tmp_path: Path) -> None:
    head = PDFGETN.replace("#L r G(r) dr dG(r)", "#L r G(r) dr dG(r) rho(r) drho(r) N(r)")
    curve = read(tmp_path, head + rows(X, Y, 0 * X, ERRORS, Y, Y, Y), "a.gr", quantity="G(r)")
    assert_read(curve, ERRORS)


def test_a_fit_of_pdfgui_asks_for_columns(tmp_path: Path) -> None:
    head = "##### PDFgui fit\nqmax=28.00\nx=3  4\n##### start data\n#L r(A) G(r) d_r d_Gr Gdiff\n"
    content = head + rows(X, Y, 0 * X, ERRORS, Y)
    with pytest.raises(InputError, match=r"5 columns; which of them are x, y\[, sigma\]\?; say it, as in columns"):
        read(tmp_path, content, "a.fgr", quantity="G(r)")
    assert_read(read(tmp_path, content, "a.fgr", quantity="G(r)", columns=(1, 2, 4)), ERRORS)
    assert_read(read(tmp_path, content, "a.fgr", quantity="G(r)", columns=("r(A)", "G(r)", "d_Gr")), ERRORS)


def test_pystog(tmp_path: Path) -> None:
    content = "6\n# Q S(Q) Q[S(Q)-1] FK(Q) DCS(Q)\n" + rows(X, Y, X * Y, 2 * Y, 3 * Y, form="{:.6f}")
    assert_read(read(tmp_path, content, columns=(1, 2)))
    assert_read(read(tmp_path, content, columns=("Q", "S(Q)")))
    np.testing.assert_allclose(read(tmp_path, content, columns=("q", "Q[S(Q)-1]")).y, X * Y)


@pytest.mark.parametrize("name", ["a.EPSR.t01", "a.EPSR.u01"])
def test_epsr_with_several_samples(tmp_path: Path, name: str) -> None:
    head = "#    Q           D2O                           H2O                           HDO        \n"
    content = head + rows(X, 2 * Y, 0 * X, Y, ERRORS, 3 * Y, 0 * X, form="  {:.7E}")
    assert_read(read(tmp_path, content, name, quantity="F(Q)", columns=(1, 4, 5)), ERRORS)
    np.testing.assert_allclose(read(tmp_path, content, name, quantity="F(Q)", columns=(1, 6)).y, 3 * Y)
    assert_read(read(tmp_path, content, name, quantity="F(Q)", columns=("Q", "H2O", "H2O error")), ERRORS)
    with pytest.raises(InputError, match=r"column 'Q' was asked for and the file does not name its columns.*has 7"):
        read(tmp_path, content, "a.dat", quantity="F(Q)", columns=("Q", "H2O"))


@pytest.mark.parametrize(
    ("labels", "y"), [("Q, F(Q)_RMC, F(Q)_Expt", "F(Q)_Expt"), ("Q(1/A), X_ray-calc, X_ray_exp_renorm", 3)]
)
def test_rmcprofile_third_column_is_no_error(tmp_path: Path, labels: str, y: str | int) -> None:
    content = labels + "\n" + rows(X, 2 * np.abs(Y), Y, between=", ")
    with pytest.raises(InputError, match=r"the third column is '\w.*', which is not a standard error; choose with col"):
        read(tmp_path, content, "a_XFQ1.csv")
    assert_read(read(tmp_path, content, "a_XFQ1.csv", columns=(1, y)))


@pytest.mark.parametrize("label", ["sigma", "error", "stdev", "exp_err", "uncertainty", "dS", "e", "±"])
def test_names_of_standard_errors(tmp_path: Path, label: str) -> None:
    assert_read(read(tmp_path, f"# Q, S, {label}\n" + rows(X, Y, ERRORS, between=",")), ERRORS)


LAMMPS = "# Time-averaged data for fix 3\n# TimeStep Number-of-rows\n# Row c_g[1] c_g[2] c_g[3]\n"


def test_lammps_rdf(tmp_path: Path) -> None:
    index = np.arange(1, 7)
    one = LAMMPS + "20000 6\n" + rows(index, X, Y, Y)
    for columns in ((2, 3), ("c_g[1]", "c_g[2]")):
        assert_read(read(tmp_path, one, quantity="g(r)", columns=columns))
    for name in ("a.rdf", "a.gr"):
        with pytest.raises(InputError, match=r"4 columns, of which the first counts the rows; choose, as in col"):
            read(tmp_path, one, name, quantity="g(r)")
    several = one + "40000 6\n" + rows(index, X, 2 * Y, Y) + "60000 6\n" + rows(index, X, 3 * Y, Y)
    with pytest.raises(InputError, match=r"line 12: a second curve seems to begin here .*of the 3 with block = 1 to 3"):
        read(tmp_path, several, quantity="g(r)", columns=(2, 3))
    for block in (1, 2, 3):
        curve = read(tmp_path, several, quantity="g(r)", columns=(2, 3), block=block)
        np.testing.assert_allclose(curve.y, block * Y)
    with pytest.raises(InputError, match="line 11: 2 columns where the first row"):
        read(tmp_path, one + "40000 6\n", quantity="g(r)", columns=(2, 3))
    with pytest.raises(InputError, match="line 11: 2 columns where the first row"):
        read(tmp_path, one + "7 3\n8 3.5 1 1\n", quantity="g(r)", columns=(2, 3))


def test_two_whole_numbers_are_a_row_elsewhere(tmp_path: Path) -> None:
    np.testing.assert_allclose(read(tmp_path, "0 1\n1 3\n2 5\n3 5\n4 7\n").y, [1, 3, 5, 5, 7])
    with pytest.raises(InputError, match="line 2: 4 columns where the first row"):
        read(tmp_path, "0 1\n2 3 5 4\n")


@pytest.mark.parametrize(
    "between",
    ["", "\n\n", "# a second one\n", "2\n", "&\n", "6\nanother title\n", "@ s1 legend\n", ",,\n", "\n# Q S\n"],
    ids=["none", "gnuplot", "comment", "Mantid", "Grace", "RMC", "Grace legend", "spreadsheet", "header"],
)
def test_stacked_curves(tmp_path: Path, between: str) -> None:
    content = rows(X, Y) + between + rows(X, 2 * Y) + between + rows(X, 3 * Y)
    with pytest.raises(
        InputError,
        match=rf"line {7 + between.count(chr(10))}: a second curve seems to begin here \(x = 0.5 follows 3\); choose",
    ) as refusal:
        read(tmp_path, content)
    assert "sort" not in str(refusal.value)
    for block in (1, 2, 3):
        np.testing.assert_allclose(read(tmp_path, content, block=block).y, block * Y)
    with pytest.raises(InputError, match="block 4 was asked for and the file has 3 curves"):
        read(tmp_path, content, block=4)


def test_curves_of_other_lengths_and_a_bad_row_in_the_second(tmp_path: Path) -> None:
    content = "1\n" + rows(X, Y, ERRORS) + "2\n" + rows(X[1:], 2 * Y[1:], ERRORS[1:])
    assert_read(read(tmp_path, content, block=1), ERRORS)
    np.testing.assert_allclose(read(tmp_path, content, block=2).y, 2 * Y[1:])
    disorder = rows(X, Y) + "\n" + rows(X[[0, 1, 2, 4, 3, 5]], Y)
    with pytest.raises(InputError, match=r"line 12: x = 2 follows 2.5; x must increase; sort the rows"):
        read(tmp_path, disorder, block=2)
    assert_read(read(tmp_path, disorder, block=1))
    with pytest.raises(InputError, match=r"line 8: '0.75x' in column 2 is not a number"):
        read(tmp_path, rows(X, Y) + "2\n0.5 0.75x\n" + rows(X, Y).split("\n", 1)[1], block=1)


def test_one_curve_is_one_block(tmp_path: Path) -> None:
    assert_read(read(tmp_path, rows(X[:3], Y[:3]) + "\n\n" + rows(X[3:], Y[3:]), block=1))
    with pytest.raises(InputError, match="block 2 was asked for and the file has one curve"):
        read(tmp_path, rows(X, Y), block=2)
    with pytest.raises(InputError, match="block 0"):
        read(tmp_path, rows(X, Y), block=0)
    for order in ([0, 2, 1, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 1, 2, 4, 5]):
        with pytest.raises(InputError, match="x must increase; sort the rows"):
            read(tmp_path, rows(X[order], Y[order]))
    with pytest.raises(InputError, match="line 7: 1 columns where the first row"):
        read(tmp_path, rows(X, Y) + "3\n")


def test_a_file_of_grace(tmp_path: Path) -> None:
    head = "# Grace project file\n@version 50122\n@    world 0, -1, 3, 2\n@target G0.S0\n@type xy\n"
    assert_read(read(tmp_path, head + rows(X, Y) + "&\n"))


PADDED = ",,\n"


@pytest.mark.parametrize(
    ("content", "sigma"),
    [
        ("Q,S,,\n" + rows(X, Y, between=",").replace("\n", PADDED), None),
        ("Q,S,,\n" + rows(X, Y, between=",").replace("\n", PADDED) + ",,,\n,,,\n", None),
        ("Q;S;;\n" + rows(X, Y, between=";").replace("\n", ";;\n"), None),
        ("Q\tS\t\t\n" + rows(X, Y, between="\t").replace("\n", "\t\t\n"), None),
        ('"Q","S(Q)"\n' + rows(X, Y, form='"{:.3f}"', between=","), None),
        ('"Q";"S(Q)"\n' + rows(X, Y, form='"{:.3f}"', between=";"), None),
        ("'Q' 'S(Q)'\n" + rows(X, Y, form="'{:.3f}'"), None),
        ('"Q","S","dS",""\n' + rows(X, Y, ERRORS, form='"{:.3f}"', between=",").replace("\n", ',""\n'), ERRORS),
        ("Q S\n" + "".join(f"{x:.3f} {y:.3f}({1000 * e:.0f})\n" for x, y, e in zip(X, Y, ERRORS, strict=True)), ERRORS),
        ("".join(f"{x:.3f},{y:.3f}({e:.3f})\n" for x, y, e in zip(X, Y, ERRORS, strict=True)), ERRORS),
        (
            "".join(f'"{x:.1f}","{10 * y:.2f}({1000 * e:.0f})E-1"\n' for x, y, e in zip(X, Y, ERRORS, strict=True)),
            ERRORS,
        ),
        ("".join(f"{x:.3f} {y:.3f} ± {e:.3f}\n" for x, y, e in zip(X, Y, ERRORS, strict=True)), ERRORS),
        ("".join(f"{x:.3f}\t{y:.3f}+/-{e:.3f}\n" for x, y, e in zip(X, Y, ERRORS, strict=True)), ERRORS),
        ("".join(f"{x:.3f}(1) {y:.3f}(0)\n" for x, y in zip(X, Y, strict=True)), None),
    ],
)
def test_spreadsheets_and_tables_of_papers(tmp_path: Path, content: str, sigma: Any) -> None:
    assert_read(read(tmp_path, content, "a.csv"), sigma)


def test_an_index_before_the_columns(tmp_path: Path) -> None:
    content = ",Q,S(Q)\n" + rows(np.arange(6), X, Y, between=",")
    assert_read(read(tmp_path, content, columns=("Q", "S(Q)")))
    assert_read(read(tmp_path, content, columns=(2, 3)))
    with pytest.raises(InputError, match="3 columns, of which the first counts the rows"):
        read(tmp_path, content)


def test_errors_in_brackets_are_those_of_the_column(tmp_path: Path) -> None:
    content = "Q A B\n" + "".join(
        f"{x} {2 * y:.3f}(1) {y:.3f}({1000 * e:.0f})\n" for x, y, e in zip(X, Y, ERRORS, strict=True)
    )
    assert_read(read(tmp_path, content, columns=("Q", "B")), ERRORS)
    with pytest.raises(InputError, match=r"y has standard errors in brackets, and there is a third column; choose"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"0,3","1,2"\n"0,4","1,3"\n', 'line 1: a comma in the number "0,3"; write decimal points, and no thousands'),
        ('"Q","S"\n"0.3","1,234.5"\n', r'line 2: a comma in the number "1,234.5"'),
        ('"Q";"S"\n"0,3";"1,2"\n', 'line 2: a comma in the number "0,3"'),
        ("0,3;1\n0,4;1,5\n", "line 1: decimal commas"),
        ("0\t1,5\n0,1\t1,6\n", "line 1: decimal commas"),
        ('"0.3","1.2"\n"0.4","bad"\n', "line 2: '\"bad\"' in column 2 is not a number"),
        ('"0.3","bad"\n"0.4","1.2"\n', "line 1: '\"bad\"' in column 2 is not a number"),
        ("0.3 1.2(1)\n0.4 1.3\n0.5 1.4(1)\n0.6 1.4(1)\n0.7 1.4(1)\n", r"line 2: y has no standard error here"),
        ("0.3 1.2()\n0.4 1.3()\n", r"line 1: no rows of numbers; here '1.2\(\)' in column 2 is not a number"),
        ("0.3 1.2(-1)\n", r"line 1: no rows of numbers"),
        ("0.3 1.2±-1\n", r"line 1: no rows of numbers"),
        ("0.3 n/a\n0.4 n/a\n", "line 1: no rows of numbers; here 'n/a' in column 2 is not a number"),
        ("0.1,,0.5\n0.2,,0.6\n", "line 1: no rows of numbers; here column 2 is empty"),
        ("0.3,1.2,\n0.4,1.3,0.1\n", "line 2: 3 columns where the first row"),
        ("0.3 1.2(1)e999\n", "line 1: 1.2.1.e999 in column 2 is too large"),
        ("0.3 0.4 # note\n0.5 0.6\n", "line 1: '#' in column 3 is not a number"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        read(tmp_path, content, "a.csv")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((1, 4), r"columns \[1, 4\] were asked for and the file has 3"),
        ((1,), r"columns \[1\] were asked for"),
        ((1, 2, 3, 3), "were asked for and the file has 3"),
        ((0, 1), "were asked for and the file has 3"),
        ((-1, 2), "were asked for and the file has 3"),
        ((2, 2), "one column twice"),
        (("Q", 1), "one column twice"),
        (("Q", "S(q) fit"), r"no column is called 'S\(q\) fit'; the names are 'Q', 'S\(Q\)', 'S\(Q\)_calc'; or count"),
        (("Q", ""), "no column is called ''"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, "Q, S(Q), S(Q)_calc\n" + rows(X, Y, Y), columns=columns)


def test_a_name_of_two_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"columns \[2, 3\] are called 's'; count"):
        read(tmp_path, "Q s s\n" + rows(X, Y, Y), columns=("Q", "s"))
    assert_read(read(tmp_path, "Q S s\n" + rows(X, Y, 2 * Y), columns=("Q", "S")))


def test_units_and_contradictions_are_those_of_the_chosen_columns(tmp_path: Path) -> None:
    content = "2theta Q r S(Q)\n" + rows(10 * X, X, X, Y)
    assert_read(read(tmp_path, content, columns=("Q", "S(Q)")))
    with pytest.raises(InputError, match="the x column is called '2theta', an angle"):
        read(tmp_path, content, columns=("2theta", "S(Q)"))
    with pytest.raises(InputError, match="the x column is called 'r' and a quantity in Q is declared"):
        read(tmp_path, content, columns=("r", "S(Q)"))
    with pytest.raises(InputError, match="the x column is called 'Q' and a quantity in r is declared"):
        read(tmp_path, content, columns=("Q", "S(Q)"), quantity="g(r)")


def test_left_edges_of_a_chosen_column(tmp_path: Path) -> None:
    content = rows(np.arange(6), X, Y)
    curve = read(tmp_path, content, "a.mint01", quantity="F(Q)", columns=(2, 3))
    np.testing.assert_allclose(curve.x, X + 0.25)
    np.testing.assert_allclose(curve.y, Y)


def test_names_of_columns(tmp_path: Path) -> None:
    def labels(line: str, columns: int = 3) -> tuple[str, ...]:
        path = tmp_path / "names.dat"
        path.write_text(line + "\n" + " ".join("123456789"[:columns]) + "\n", encoding="utf-8")
        return read_table(path).labels

    assert labels("# Q S(Q) error") == ("Q", "S(Q)", "error")
    assert labels("#L r G(r) dG(r)") == ("r", "G(r)", "dG(r)")
    assert labels("# columns: Q [1/Å], S(Q), error of it") == ("Q [1/Å]", "S(Q)", "error of it")
    assert labels('"Q","S(Q)","e"') == ("Q", "S(Q)", "e")
    assert labels("Q|S(Q)|e") == ("Q", "S(Q)", "e")
    assert labels("X , Y , E") == ("X", "Y", "E")
    assert labels("measured on a Monday") == ()


@pytest.mark.parametrize(
    ("labels", "which"),
    [
        ("r G(r) d_r d_Gr", 4),
        ("Q S(Q) dQ dS(Q)", 4),
        ("x y e_x e_y", 4),
        ("X , Y , E , DX", 3),
        ("Q S error sigma_Q", 3),
        ("row Q error cold", None),
        ("Q S1 S2 error", None),
        ("Q A B C", None),
    ],
)
def test_two_columns_of_errors(tmp_path: Path, labels: str, which: int | None) -> None:
    """PDFgetN has that of x first, Mantid's SaveAscii that of y."""
    columns = [X, Y, ERRORS, ERRORS]
    if which is not None:
        columns[{3: 3, 4: 2}[which]] = 2 * ERRORS
        quantity = "G(r)" if labels[0] == "r" else "F(Q)"
        assert_read(read(tmp_path, f"# {labels}\n" + rows(*columns), quantity=quantity), ERRORS)
        return
    with pytest.raises(InputError, match="4 columns; which of them"):
        read(tmp_path, f"# {labels}\n" + rows(*columns))


def test_rows_of_unequal_length_are_read_by_the_columns_that_all_have(tmp_path: Path) -> None:
    """As of programs that write the errors of some points alone; which columns are meant has to be said."""
    rows = "0.1 1.0\n0.2 1.1 0.0 0.0\n0.3 1.2\n0.4 1.3\n0.5 1.4\n0.6 1.5\n"
    with pytest.raises(InputError, match=r"line 2: 4 columns where the first row .*columns = \[1, 2\]"):
        read(tmp_path, rows, "a.gr")
    chosen = read(tmp_path, rows, "a.gr", columns=(1, 2))
    np.testing.assert_array_equal(chosen.y, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    for wrong in ((1, 3), (1, 2, 4)):
        with pytest.raises(InputError, match=r"line 2: 4 columns where the first row"):
            read(tmp_path, rows, "a.gr", columns=wrong)
    with pytest.raises(InputError, match=r"line 3: 1 columns where the first row"):
        read(tmp_path, "0.1 1.0\n0.2 1.1\n0.3\n0.4 1.3\n", "a.gr", columns=(1, 2))
