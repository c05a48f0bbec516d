"""The page of `refine collect`: many runs in one table, without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from refine.report.document import plain_document
from refine.report.tables import Column, Table
from refine.report.words import number
from refine.results.collected import CollectedRun
from refine.results.ranking import value_words

UNKNOWN = "–"


def render_runs(runs: Sequence[CollectedRun]) -> str:
    """The whole page as text."""
    names = list(dict.fromkeys(name for run in runs for name in run.summary.final.r_chi))
    columns = [Column("run", names_rows=True), *(Column(label) for label in ("study", "model", "method", "status"))]
    columns += [
        Column("updates", "n"),
        *(Column(label, "w") for name in names for label in (f"{name}: R_χ", f"{name}: χ²")),
    ]
    columns += [Column("numbers"), Column("pressure"), *(Column(label, "w") for label in ("device", "refine"))]
    return plain_document("collect.html", "Runs", table=Table(columns, [_row(run, names) for run in runs]))


def _row(run: CollectedRun, names: Sequence[str]) -> list[str]:
    one = run.summary
    before, after = one.initial, one.final
    row = [str(run.path), one.title, run.model, run.method, one.status.value, str(run.updates)]
    for name in names:
        row.append(
            _change(
                _words(before.r_chi.get(name), before.r_chi_stderr.get(name)),
                _words(after.r_chi.get(name), after.r_chi_stderr.get(name)),
            )
        )
        row.append(_change(number(before.chi2.get(name)), number(after.chi2.get(name))))
    row.append(
        "; ".join(
            f"{n.name}: "
            + _change(_words(n.initial, n.initial_stderr), _words(n.final, n.final_stderr))
            + f" {n.unit}, measured {_words(n.value, n.sigma)}".replace(" ,", ",")
            for n in one.numbers
        )
    )
    row.append(
        "; ".join(
            f"{s.name}: "
            + _change(
                _words(s.pressure_initial_GPa, s.pressure_initial_GPa_stderr),
                _words(s.pressure_GPa, s.pressure_GPa_stderr),
            )
            + " GPa"
            for s in one.states
            if s.pressure_GPa is not None
        )
    )
    return [*row, run.device, run.version]


def _change(before: str, after: str) -> str:
    return UNKNOWN if before == after == UNKNOWN else f"{before} → {after}"


def _words(value: float | None, error: float | None) -> str:
    if value is None:
        return UNKNOWN
    return number(value) if error is None or not error > 0.0 or math.isinf(error) else value_words(value, error)
