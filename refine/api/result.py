"""`refine.open`: a finished run as a notebook shows it."""

from __future__ import annotations

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from refine.api.plots import arranged
from refine.errors import InputError
from refine.report import figures, words
from refine.results import result
from refine.results.reader import Results, read_results
from refine.results.refined import correction_of
from refine.results.schema import RESULT, read_summary
from refine.tasks.run.store import CHECKPOINT, read_record

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class Result(result.Result):
    """A finished run: its numbers as attributes, its figures as methods.

    Attributes:
        summary: everything that result.json says, typed.
        correction: the refined pair correction; `energy(r)` is (pairs, n) eV at r (n,) Å.
        covariance: posterior covariance of `correction.theta`, eV^2; None for rules without one, where the base model
            is the answer, and where no run.h5 of this format is there (`open`).
        out: folder of the run.
    """

    def plot_curves(self, *names: str) -> Figure:
        """Measured and modelled curves, before and after, and their difference; names: of data sets, default all."""
        chosen = names or tuple(self.curves)
        if unknown := [name for name in chosen if name not in self.curves]:
            raise InputError(f"no data set {unknown[0]!r}", fix=f"one of {', '.join(self.curves)}")
        shown = zip(self.curves, figures.comparisons(self._results), strict=True)
        return arranged([figure for name, figure in shown if name in chosen])

    def plot_correction(self) -> Figure:
        """phi(r) of every corrected pair with its 68 and 95 % bands."""
        return arranged(figures.corrections(self._results), columns=3)

    def plot_g_r(self) -> Figure:
        """The partial g(r) of every state, before and after."""
        panels = [
            figure
            for k, (state, tables) in enumerate(self._results.g_r.items())
            for figure in figures.pair_distributions(k, state, tables)
        ]
        return arranged(panels, columns=3)

    def plot_determination(self) -> Figure:
        """At each r the share of every pair's phi(r) that the data decided.

        Raises InputError for a rule that does not say, or where it was not confirmed.
        """
        shares = figures.shares(self._results)
        if shares is None:
            raise InputError(
                "this run says nothing of what the data determine",
                where=str(self.out),
                fix="gauss-newton does, where its last sample confirmed it",
            )
        return arranged([shares])

    @cached_property
    def _results(self) -> Results:
        return read_results(self.out)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(data.name)}</td><td>{escape(data.role)}</td>"
            f"<td>{words.misfit(self.initial.r_chi.get(data.name))}</td>"
            f"<td>{words.misfit(self.final.r_chi.get(data.name), self.final.r_chi_stderr.get(data.name))}</td></tr>"
            for data in self.summary.data
        )
        return (
            f"<b>{escape(self.summary.title)}</b>: {escape(self.status)}<br>{escape(self.message)}"
            "<table><tr><th>data</th><th>role</th><th>R<sub>χ</sub> before</th><th>after</th></tr>"
            f"{rows}</table><code>{escape(str(self.report_path))}</code>"
        )


def open(folder: str | Path) -> Result:
    """A finished run from its folder.

    The covariance of the correction is in run.h5: without that file, and where an earlier version of refine wrote it in
    a format that is read no more, it is None.

    Raises:
        InputError: there is no finished run in it, or a file is damaged.
        CheckpointError: run.h5 is damaged, or of a later version.

    >>> open("runs/nowhere")
    Traceback (most recent call last):
        ...
    refine.errors.InputError: runs/nowhere: there is no finished run; give the folder of a finished run
    """
    folder = Path(folder)
    path = folder / RESULT
    if not path.is_file():
        raise InputError("there is no finished run", where=str(folder), fix="give the folder of a finished run")
    summary = read_summary(path)
    try:
        correction = correction_of(summary)
    except (IndexError, ValueError) as error:
        raise InputError(f"no correction can be read from it ({error})", where=str(path)) from None
    record = read_record(folder / CHECKPOINT) if (folder / CHECKPOINT).is_file() else None
    said = None if record is None or record.answer is None else record.answer.statement
    covariance = None if said is None else said.covariance
    return Result(summary, correction, covariance, folder)
