"""A finished run in Python: what its folder holds, as attributes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.results.determined import Determination
from refine.results.reader import (
    CurveTable,
    PairDistribution,
    PredictedCurve,
    curve_path,
    g_r_path,
    read_curve_table,
    read_pair_distributions,
    read_predicted,
)
from refine.results.schema import Coordination, Iteration, MeasuredNumber, Scores, State, Status, Summary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        summary: everything that result.json says, typed.
        correction: the refined pair correction.
        covariance: posterior covariance of `correction.theta`, eV^2; None for rules without one and where the base
            model is the answer.
        out: folder of the run.
    """

    summary: Summary
    correction: PairCorrection
    covariance: Array | None
    out: Path

    @property
    def status(self) -> Status:
        """ "converged", "iterations-exhausted", "not-sampled" where the next step could not be sampled, or
        "not-improved" where the base model is the answer."""
        return self.summary.status

    @property
    def message(self) -> str:
        """Why the run stopped."""
        return self.summary.message

    @property
    def initial(self) -> Scores:
        """R_chi and chi^2 of every data set under the base model."""
        return self.summary.initial

    @property
    def final(self) -> Scores:
        """The same under the answer."""
        return self.summary.final

    @property
    def iterations(self) -> list[Iteration]:
        """The turns of the loop."""
        return self.summary.iterations

    @property
    def confirmed(self) -> bool:
        """Whether the final sample came out as the linear response said, on which error bars and `determination` rest;
        where it did not, files and report leave them out."""
        return self.summary.confirmed

    @property
    def determination(self) -> Determination | None:
        """What the data determine; None for rules that do not say, and where it was not confirmed."""
        return self.summary.determination

    @property
    def coordination(self) -> list[Coordination]:
        """Coordination numbers before and after, with errors."""
        return self.summary.coordination

    @property
    def numbers(self) -> list[MeasuredNumber]:
        """Measured numbers before and after, with errors."""
        return self.summary.numbers

    @property
    def states(self) -> list[State]:
        """The states that were simulated, with mean temperature, and the pressure before and after."""
        return self.summary.states

    @cached_property
    def curves(self) -> dict[str, CurveTable]:
        """By the name of the data set: measured and modelled curves, as they are and as the box shows them."""
        return {data.name: read_curve_table(curve_path(self.out, data.name)) for data in self.summary.data}

    @cached_property
    def predictions(self) -> dict[str, PredictedCurve]:
        """By name: the curves that were only predicted."""
        return {one.name: read_predicted(curve_path(self.out, one.name)) for one in self.summary.predictions}

    @cached_property
    def g_r(self) -> dict[str, dict[str, PairDistribution]]:
        """By the name of the state and the pair ("Fe-O"): the partial g(r), before and after."""
        tables = {one.name: read_pair_distributions(g_r_path(self.out, one.name)) for one in self.states}
        return {state: {table.pair.replace("–", "-"): table for table in rows} for state, rows in tables.items()}

    @property
    def report_path(self) -> Path:
        """The report, one HTML file."""
        return self.out / "report.html"
