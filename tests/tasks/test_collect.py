"""One table of many runs: as CSV, JSON and a page, of folders that are runs and of others."""

from __future__ import annotations

import csv
import html
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.errors import InputError
from refine.tasks.collect import collect, format_of

HOSTILE = 'A, "melt"\nof <script>alert(1)</script> & R_χ \ud800'


def tree(**changes: Any) -> dict[str, Any]:
    """The content of a result.json."""
    scores = {"r_chi": {"xray": 0.0425, "neutron": None}, "chi2": {"xray": 380.5, "neutron": None}}
    after = {"r_chi": {"xray": 0.0212, "neutron": None}, "chi2": {"xray": 61.25, "neutron": None}}
    iteration = {"r_chi": {}, "chi2": {}}
    return {
        "format": 2,
        "status": "converged",
        "message": "stopped after 2 updates",
        "title": "Liquid argon",
        "initial": scores | {"r_chi_stderr": {"xray": 0.0011}},
        "final": after | {"r_chi_stderr": {"xray": 0.0009}, "points": {"xray": 45}},
        "iterations": [iteration | {"iteration": k} for k in range(3)],
        "correction": [],
        "numbers": [
            {
                "name": "p", "quantity": "pressure", "state": "85K", "role": "fit", "value": 0.0, "sigma": 0.01,
                "unit": "GPa", "initial": -0.05, "initial_stderr": 0.004, "final": 0.002, "final_stderr": 0.005,
            }
        ],
        "data": [
            {"name": "xray", "quantity": "S(Q)", "normalisation": "faber-ziman", "state": "85K", "role": "fit"}
        ],
        "states": [
            {
                "name": "85K", "temperature": 85.0, "pressure_GPa": 0.025, "pressure_GPa_stderr": 0.0006,
                "pressure_initial_GPa": 0.0158, "pressure_initial_GPa_stderr": 0.0005,
            }
        ],
        "seconds": 61.5,
        "model": {"base": "mace", "title": "medium-mpa-0", "dispersion": "d3-bj"},
        "study": {"refinement": {"method": "gauss-newton"}},
        "provenance": {"device": "cuda:0", "versions": {"refine": "0.1.0"}},
    } | changes  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(tree(**changes)))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A run; one of another study with a title that must be quoted; and one of an early version, which says little."""
    curve = {"r_chi": {"d(r), 2": 0.5}, "chi2": {"d(r), 2": 1e6}}
    older = {"numbers": [], "seconds": None, "model": None, "study": {}, "provenance": {"versions": "none"}}
    return [
        write(tmp_path / "a"),
        write(tmp_path / "b, <i>", title=HOSTILE, initial=curve, final=curve, numbers=[], status="not-improved"),
        write(tmp_path / "c", **older, iterations=[]),
    ]


def call(*words: object) -> Any:
    return CliRunner().invoke(app, ["collect", *map(str, words)])


def test_csv_has_a_row_a_run_and_every_column(runs: list[Path]) -> None:
    said = call(*runs)
    assert said.exit_code == 0
    first, other, early = csv.DictReader(io.StringIO(said.stdout))
    text = {
        "title": "Liquid argon", "model": "medium-mpa-0 + d3-bj", "method": "gauss-newton", "status": "converged",
        "message": "stopped after 2 updates", "device": "cuda:0", "version": "0.1.0", "path": str(runs[0]),
        "d(r), 2 r_chi_final": "",
    }  # fmt: skip
    numbers = {
        "updates": 2, "seconds [s]": 61.5, "xray points": 45,
        "xray r_chi_initial": 0.0425, "xray r_chi_initial_stderr": 0.0011, "xray chi2_initial": 380.5,
        "xray r_chi_final": 0.0212, "xray r_chi_final_stderr": 0.0009, "xray chi2_final": 61.25,
        "p measured [pressure, GPa]": 0.0, "p sigma [pressure, GPa]": 0.01, "p initial [pressure, GPa]": -0.05,
        "p initial_stderr [pressure, GPa]": 0.004, "p final [pressure, GPa]": 0.002,
        "p final_stderr [pressure, GPa]": 0.005,
        "85K pressure_initial [GPa]": 0.0158, "85K pressure_initial_stderr [GPa]": 0.0005,
        "85K pressure_final [GPa]": 0.025, "85K pressure_final_stderr [GPa]": 0.0006,
    }  # fmt: skip
    assert text.items() <= first.items()
    assert {name: float(first[name]) for name in numbers} == numbers
    others = set(first) - set(text) - set(numbers)
    assert others == {"d(r), 2 r_chi_initial", "d(r), 2 chi2_initial", "d(r), 2 chi2_final"}
    assert other["title"] == HOSTILE.replace("\ud800", "?")
    assert (other["path"], other["status"], float(other["d(r), 2 chi2_final"])) == (str(runs[1]), "not-improved", 1e6)
    assert other["xray r_chi_final"] == other["p final [pressure, GPa]"] == ""
    assert (early["model"], early["method"], early["updates"], early["device"], early["version"]) == (
        "",
        "",
        "0",
        "",
        "",
    )


def test_json_has_the_numbers_as_they_are(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    said = call(*runs, "--out", out)
    assert (said.exit_code, said.stdout) == (0, f"3 runs: {out}\n")
    found = json.loads(out.read_text())
    assert found["format"] == 1
    first, other, early = found["runs"]
    assert (first["updates"], first["pressures"]["85K"]["final"], first["numbers"]["p"]["unit"]) == (2, 0.025, "GPa")
    assert first["data"]["xray"]["r_chi_final_stderr"] == 0.0009
    assert first["data"]["neutron"]["r_chi_final"] is None
    assert other["title"] == HOSTILE
    assert (early["seconds"], early["version"]) == (None, "")


class Cells(HTMLParser):
    """Texts of the cells of a page, row by row, and the names of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_page_is_small_stands_alone_and_shows_text_as_text(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all.html"
    assert call(*runs, "--out", out).exit_code == 0
    text = out.read_text(encoding="utf-8")
    assert len(text) < 20_000
    cells = Cells()
    cells.feed(text)
    assert cells.elements.isdisjoint({"script", "i", "iframe", "img", "a"})
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    head, first, other, early = cells.rows
    row = dict(zip(head, (cell.strip() for cell in first), strict=True))
    assert row["run"] == str(runs[0])
    assert row["xray: Rχ"] == "0.0425 ± 0.0011 → 0.02120 ± 0.00090"
    assert row["xray: χ²"] == "380 → 61.2"
    assert row["numbers"] == "p: -0.0500 ± 0.0040 → 0.0020 ± 0.0050 GPa, measured 0.000 ± 0.010"
    assert row["pressure"] == "85K: 0.01580 ± 0.00050 → 0.02500 ± 0.00060 GPa"
    assert row["neutron: Rχ"] == "–"
    assert 'A, "melt"\nof <script>alert(1)</script> & R_χ ?' in [cell.strip() for cell in other]
    assert html.escape("<script>") in text
    assert early[head.index("updates")].strip() == "0"


def test_other_folders_are_named_and_passed_over(runs: list[Path], tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "run.h5").touch()
    broken = write(tmp_path / "broken", states=[])
    (tmp_path / "file").touch()
    later = write(tmp_path / "later", format=99)
    others = [tmp_path, unfinished, broken, tmp_path / "file", tmp_path / "nowhere", later]
    said = call(*others, runs[0], runs[0] / "." / ".." / "a")
    assert said.exit_code == 0
    assert len(list(csv.DictReader(io.StringIO(said.stdout)))) == 1  # of the same folder twice
    lines = said.stderr.splitlines()
    assert len(lines) == len(others)
    words = ("there is no run", "the run is not finished", "states", "no such folder", "no such folder", "format 99")
    for line, folder, what in zip(lines, others, words, strict=True):
        assert line.startswith(f"refine: passed over: {folder}")
        assert what in line
    said = call(*others)
    assert (said.exit_code, said.stdout) == (2, "")
    assert "no finished run is among them" in said.stderr.splitlines()[-1]


def test_where_it_is_written_and_as_what(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    out.write_text("mine")
    for words, said in (
        (["--out", out], "the file exists; use --overwrite"),
        (["--out", tmp_path / "nowhere" / "a.csv"], "no such folder"),
        (["--out", runs[0], "--to", "csv"], "this is a folder"),
        (["--out", runs[0] / "result.json", "--overwrite"], "this is a file of a run"),
        (["--out", tmp_path / "a.txt"], "says no format; give --to csv or json or html"),
        (["--to", "xlsx"], "'xlsx' is no format; use one of csv, json, html"),
    ):
        failed = call(runs[0], *words)
        assert failed.exit_code == 2
        assert said in failed.stderr
    assert out.read_text() == "mine"
    assert call(runs[0], "--out", out, "--overwrite").exit_code == 0
    assert out.read_text().startswith("title,model,")
    assert format_of("html", tmp_path / "a.csv") == "html"
    with pytest.raises(InputError, match="no finished run"):
        collect([], lambda error: None)
