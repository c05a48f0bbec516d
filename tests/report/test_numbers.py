"""Measured numbers and pressures in the report: their table, and what is said of them."""

from __future__ import annotations

from refine.report import sections, words
from refine.report.page import render
from refine.results.reader import read_results
from tests.report.conftest import MakeRun

PRESSURE = {
    "name": "p", "quantity": "pressure", "state": "85K", "role": "fit", "stated": 0.04, "stated_sigma": 0.005,
    "stated_unit": "GPa", "value": 0.04, "sigma": 0.005, "unit": "GPa", "initial": 0.0823, "initial_stderr": 0.0013,
    "initial_sigmas": 8.2, "final": 0.0399, "final_stderr": 0.006, "final_sigmas": -0.13,
}  # fmt: skip
DENSITY = PRESSURE | {
    "name": "d", "quantity": "number density", "stated": 0.02125, "stated_sigma": 0.0001, "stated_unit": "atoms/Å³",
    "value": 0.0, "sigma": 0.0024,
}  # fmt: skip
NEIGHBOURS = PRESSURE | {
    "name": "n", "quantity": "coordination number", "role": "score", "stated": 12.0, "stated_sigma": 0.5, "value": 12.0,
    "sigma": 0.5, "unit": "", "stated_unit": "", "initial": 12.9, "final": 14.1, "final_sigmas": 4.2,
}  # fmt: skip


def test_numbers_are_shown_before_and_after(make_run: MakeRun) -> None:
    results = read_results(make_run(numbers=[PRESSURE, DENSITY, NEIGHBOURS]))
    rows = sections.number_table(results).rows
    assert [row[0] for row in rows] == ["p", "d", "n"]  # the pressure is among what was measured
    assert rows[0][2:] == [
        "pressure (GPa)", "fitted", "0.0400 ± 0.0050", "0.0823 ± 0.0013", "0.0399 ± 0.0060", "8.2 → −0.13",
    ]  # fmt: skip
    assert rows[1][2] == "number density (atoms/Å³), as pressure"
    assert rows[1][4] == "0.02125 ± 0.00010, so 0.0000 ± 0.0024 GPa"
    assert rows[2][2:4] == ["coordination number", "only scored"]
    warnings = words.warnings(results)
    assert "n: the model's coordination number is off by 4.2 standard deviations, 8.2 before." in warnings
    assert not any(text.startswith(("p:", "d:")) for text in warnings)
    assert "Measured numbers" in render(results)


def test_the_pressure_is_shown_where_none_was_measured(make_run: MakeRun) -> None:
    """Also in folders of before, which have no initial one."""
    state = {"name": "85K", "temperature": 85.0, "pressure_GPa": 0.0399, "pressure_GPa_stderr": 0.0012}
    old = read_results(make_run(states=("85K",)))
    assert old.summary.numbers == []
    for before, shown in (
        ({}, "–"),
        ({"pressure_initial_GPa": 0.0823, "pressure_initial_GPa_stderr": 0.0013}, "0.0823 ± 0.0013"),
    ):
        summary = old.summary.model_copy(
            update={"states": [type(old.summary.states[0]).model_validate(state | before)]}
        )
        (row,) = sections.number_table(type(old)(summary, old.curves, old.predicted, old.g_r, old.study)).rows
        assert row == ["–", "85K", "pressure (GPa)", "not measured", "–", shown, "0.0399 ± 0.0012", "–"]
