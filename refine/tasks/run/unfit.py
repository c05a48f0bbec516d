"""Studies that are no runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine.errors import InputError

if TYPE_CHECKING:
    from refine.study.study import Study


def refuse_unfit(study: Study) -> None:
    """InputError for a study that cannot be run: a schedule that changes its density, or nothing to fit."""
    study.stages_at_volume()
    if not study.problem.targets:
        raise InputError(
            "there is nothing to fit",
            where="[[data]]",
            fix='give at least one data set role = "fit", or use refine predict, which needs none',
        )
    if not study.datasets:
        raise InputError("there is no measured curve", where="[[data]]", fix="give one beside the numbers")
