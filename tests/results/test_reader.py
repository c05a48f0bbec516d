"""Reading an output folder back: what is known, what is not, and one line for whatever is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.report import write_report
from refine.results.reader import read_curve_table, read_pair_distributions, read_results


def _change(out: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = out / "result.json"
    result = json.loads(path.read_text())
    edit(result)
    path.write_text(json.dumps(result))


def test_reads_what_was_written(make_run: Any) -> None:
    results = read_results(make_run())
    assert [data.name for data in results.summary.data] == ["yarnell", "yarnell_gr"]
    curve = results.curves["yarnell"]
    assert curve.x[0] == 0.5
    assert curve.sigma[0] == 0.006
    assert np.max(np.abs(curve.target - curve.measured)) > 0.001  # measured_box is there
    assert results.curves["yarnell_gr"].target is results.curves["yarnell_gr"].measured  # and here it is not
    assert [pair.pair for pair in results.g_r["85K"]] == ["Ar–Ar"]
    assert results.study.startswith("title")


def test_unknown_numbers_are_none_or_nan(crowded_run: Path) -> None:
    results = read_results(crowded_run)
    assert results.summary.final.r_chi["tr"] is None
    assert results.summary.final.chi2["tr"] is None
    assert results.summary.iterations[5].effective_sample_size is None
    assert results.summary.correction[0].stderr is None
    assert np.isnan(results.curves["tr"].sigma).all()


@pytest.mark.parametrize("name", ["result.json", "study.toml", "curves/yarnell.csv", "g_r/85K.csv"])
@pytest.mark.parametrize("damage", ["missing", "empty", "bytes", "folder"])
def test_a_damaged_file_is_named_in_one_line(make_run: Any, name: str, damage: str) -> None:
    out = make_run()
    path = out / name
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"\xff\xfe\x00\x80")
    if (name, damage) == ("study.toml", "empty"):
        write_report(out)  # an empty study is shown as such: the report does not interpret it
        return
    with pytest.raises(InputError) as caught:
        write_report(out)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (out / "report.html").exists()


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,measured,sigma,initial,final\n1,2,,3,4\n2,two,,3,4\n", "line 3.*'two'"),
        ("x,measured,sigma,initial,final\n1,2,,3,4\n2,2,3,4\n", "line 3.*4 columns where the header has 5"),
        ("x,measured,initial\n1,2,3\n2,3,4\n", "no column final"),
        ("x,measured,sigma,initial,final\n1,2,,3,4\n", "1 rows"),
        ("x,measured,sigma,initial,final\n1,,,3,4\n2,,,3,4\n", "no finite number in column measured"),
        ("x,measured,sigma,initial,final\n1,2,,3,4\ninf,2,,3,4\n", "not every x"),
        ("Q [1/angstrom],measured [S(Q)],initial,final\n1,2,3,4\ninf,2,3,4\n", "not every Q"),
    ],
)
def test_a_curve_that_cannot_be_used(make_run: Any, text: str, said: str) -> None:
    out = make_run()
    (out / "curves" / "yarnell.csv").write_text(text)
    with pytest.raises(InputError, match=rf"yarnell\.csv.*{said}"):
        read_results(out)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda r: r.pop("final"), "final: Field required"),
        (lambda r: r.update(data=[]), "data: List should have at least 1"),
        (lambda r: r["data"][0].update(name="../secret"), "'../secret' cannot be the name of a file"),
        (lambda r: r["data"][0].update(name=""), "'' cannot be the name of a file"),
        (lambda r: r["data"][0].update(name="other"), r"other\.csv: the file is missing"),
        (lambda r: r["data"][0].update(name="x" * 5000), "cannot be read"),
        (lambda r: r["correction"][0].update(stderr=[1.0]), "stderr has 1 values for 220 radii"),
        (lambda r: r["states"][0].update(temperature="hot"), "states.0.temperature"),
        (lambda r: r["states"][0].update(cell=[1, [2], 3]), "states.0.cell"),
        (lambda r: r["iterations"][1].update(frames="many", gain=[]), r"iterations.1.frames.*and 1 more"),
    ],
)
def test_a_result_that_cannot_be_used(make_run: Any, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    out = make_run()
    _change(out, edit)
    with pytest.raises(InputError, match=said):
        read_results(out)


def test_json_that_is_not_an_object(make_run: Any) -> None:
    out = make_run()
    for text in ("[]", "null", "{", "[" * 100_000):
        (out / "result.json").write_text(text)
        with pytest.raises(InputError, match=r"result\.json"):
            read_results(out)


def test_units_and_conventions_in_headers_are_no_part_of_names(tmp_path: Path) -> None:
    """Files of before have none, call the first column x, and have an empty column where no errors are known."""
    path = tmp_path / "a.csv"
    for text in (
        "x,measured,sigma,initial,final\n1,2,,3,4\n2,2,,3,4\n",
        "Q [1/angstrom],measured [S(Q) <f^2>],initial [S(Q) <f^2>],final [S(Q) <f^2>]\n1,2,3,4\n2,2,3,4\n",
    ):
        path.write_text(text)
        table = read_curve_table(path)
        assert (table.x.tolist(), table.final.tolist()) == ([1.0, 2.0], [4.0, 4.0])
        assert np.isnan(table.sigma).all()
        assert np.isnan(table.final_stderr).all()
        np.testing.assert_array_equal(table.measured_box, table.measured)
    path.write_text("r [angstrom],Fe-O initial [g(r)],Fe-O final [g(r)]\n1,0,1\n2,1,2\n")
    (pair,) = read_pair_distributions(path)
    assert (pair.pair, pair.final.tolist()) == ("Fe–O", [1.0, 2.0])
