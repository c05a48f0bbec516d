"""The sentences and symbols of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refine.report import words
from refine.results.reader import read_results
from refine.results.schema import DataSet


def _data(quantity: str, normalisation: str, radiation: str | None, pair: tuple[str, str] | None = None) -> DataSet:
    return DataSet(name="a", quantity=quantity, normalisation=normalisation, radiation=radiation, pair=pair, role="fit",
                   state="s")  # fmt: skip


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (_data("S(Q)", "faber-ziman", "neutron"), "S(Q)"),
        (_data("F(Q)", "keen", "neutron"), "F(Q) (barn/sr)"),
        (_data("F(Q)", "keen", "xray"), "F(Q) (e.u.)"),
        (_data("i(Q)", "<f^2>", "xray"), "i(Q)"),
        (_data("Q[S(Q)-1]", "faber-ziman", "xray"), "Q[S(Q) − 1] (Å⁻¹)"),
        (_data("g(r)", "faber-ziman", None, ("Si", "O")), "g(r) of Si–O"),
        (_data("G(r)", "faber-ziman", "neutron"), "G(r) (Å⁻²)"),
        (_data("G(r)", "keen", "neutron"), "G(r) (barn/sr)"),
        (_data("D(r)", "keen", "neutron"), "D(r) (barn/sr Å⁻²)"),
        (_data("T(r)", "faber-ziman", "neutron"), "T(r) (Å⁻²)"),
        (_data("J(r)", "faber-ziman", "xray"), "J(r) (Å⁻¹)"),
    ],
)
def test_ordinates_carry_their_units(data: DataSet, label: str) -> None:
    assert words.ordinate(data) == label


def test_abscissas_carry_their_units() -> None:
    assert words.abscissa(_data("Q[S(Q)-1]", "faber-ziman", "xray")) == "Q (Å⁻¹)"
    assert words.abscissa(_data("T(r)", "faber-ziman", "xray")) == "r (Å)"


def test_numbers() -> None:
    assert words.number(None) == "–"
    assert words.number(81.0) == "81.0"
    assert words.number(-0.4, 2) == "−0.40"
    assert words.number(2041.2) == "2041"
    assert words.number(-12345.6) == "−12\u202f346"
    assert words.number(3.61e-5, 2) == "3.6×10⁻⁵"
    assert words.number(3.61e12, 2) == "3.6×10¹²"
    assert words.misfit(0.1184) == "0.118"
    assert words.misfit(0.00912, 0.0008) == "0.0091 ± 0.0008"
    assert words.misfit(0.10312, 0.0003) == "0.1031 ± 0.0003"
    assert [words.duration(s) for s in (0.31, 71.3, 700, 9000)] == [
        "0.3\u00a0s",
        "71\u00a0s",
        "12\u00a0min",
        "2.5\u00a0h",
    ]


def test_an_error_gives_its_number_the_digits() -> None:
    assert words.with_error(4.0712, 0.123) == "4.07 ± 0.12"
    assert words.with_error(4.0, 7.6e-12) == "4.00"
    assert words.with_error(4.0, None) == "4.00"
    assert words.with_error(-3.1e-5, 2.2e-6) == "-0.0000310 ± 0.0000022"


def test_headline_of_a_converged_run(make_run: Any) -> None:
    said = words.headline(read_results(make_run()))
    assert said.result == "R_χ of T(r) over 3 to 12 Å fell from 0.126 to 0.0112 ± 0.0009."
    assert said.ending == "The run stopped by itself: the last change of χ² was within twice its sampling error."
    assert said.scored == "Not fitted, only scored: yarnell_gr 0.148 → 0.0138."


def test_headline_of_a_run_that_got_worse(make_run: Any) -> None:
    out = make_run()
    result = json.loads((out / "result.json").read_text())
    result["final"]["r_chi"]["yarnell"] = 0.2
    (out / "result.json").write_text(json.dumps(result))
    results = read_results(out)
    assert "rose from 0.126 to 0.2000 ± 0.0009" in words.headline(results).result
    assert words.warnings(results) == ["yarnell: R_χ rose from 0.126 to 0.2000 ± 0.0009."]


def test_headline_and_warnings_of_many_curves(crowded_run: Path) -> None:
    results = read_results(crowded_run)
    said = words.headline(results)
    assert said.result.startswith("R_χ of T(r) fell in 3 of the 4 fitted curves; their mean fell from 0.181 to ")
    assert said.ending.startswith("The run did not converge (iterations exhausted): χ² was still falling by 4 %")
    assert "tr" not in said.scored  # its final value is not known
    first, second = words.warnings(results)
    assert first.startswith("jr: the curve tends to 0.94")
    assert second == "jr: R_χ rose from 0.214 to 0.3000 ± 0.0009."


def test_headline_without_any_misfit(make_run: Any) -> None:
    out = make_run()
    result = json.loads((out / "result.json").read_text())
    result["final"]["r_chi"] = {}
    (out / "result.json").write_text(json.dumps(result))
    assert words.headline(read_results(out)).result == "No fitted curve has an R_χ of T(r); see χ² in the table."


def test_headline_of_a_fall_within_the_errors(crowded_run: Path) -> None:
    """0.2140 ± 0.03 to 0.2000 ± 0.02 is no fall that anybody has seen."""
    result = json.loads((crowded_run / "result.json").read_text())
    result["initial"]["r_chi_stderr"], result["final"]["r_chi_stderr"] = {"jr": 0.03}, {"jr": 0.02}
    result["final"]["r_chi"]["jr"] = 0.2
    (crowded_run / "result.json").write_text(json.dumps(result))
    said = words.headline(read_results(crowded_run)).result
    assert "fell in all 4 fitted curves, in jr by less than two standard errors; their mean fell" in said
