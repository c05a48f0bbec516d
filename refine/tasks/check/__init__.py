"""`refine check STUDY`: what a study says and what it will cost, before it is run.

Everything that a run refuses before its first step is refused here. Then: what looks odd in the data, how strongly each
pair shows in them, what will be sampled, and how long that takes on this machine, from a few timed steps of the very
dynamics. Nothing is written.
"""

from __future__ import annotations

from refine.progress import NullProgress, Progress
from refine.study.datasets import DataSet, Prediction
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.check.answer import Check
from refine.tasks.check.plan import plan_of
from refine.tasks.check.weights import weights_of

__all__ = ["Check", "check"]


def check(config: StudyConfig, *, timing: bool = True, progress: Progress | None = None) -> Check:
    """Look at a study without running it.

    Args:
        config: the study.
        timing: whether steps of its dynamics are timed.
        progress: told what happens.

    Raises:
        InputError: what a run, or where nothing is fitted a prediction, would refuse.
        SimulationError: the timed steps failed.
    """
    from refine.tasks.check.timing import timed
    from refine.tasks.run.unfit import refuse_unfit

    progress = progress or NullProgress()
    fitted = any(entry.role == "fit" for entry in config.data)
    study = Study(config, corrected=fitted)
    if fitted:
        refuse_unfit(study)
    if study.replay is not None:
        study.replay.check()
    study.stages_at_volume()
    plan = plan_of(study, [sampler for _, sampler in study.samplers()], fitted=fitted)
    sets: tuple[DataSet | Prediction, ...] = (*study.datasets, *study.predictions)
    found = (weights_of(one.name, one.measurement.curve, study.boxes[one.state]) for one in sets)
    weights = tuple(one for one in found if one is not None)
    cost = timed(study, fitted=fitted, progress=progress) if timing and not study.engine.elsewhere else None
    return Check(
        config,
        fitted,
        tuple(study.datasets),
        tuple(study.predictions),
        tuple(study.numbers),
        weights,
        study.choices,
        plan,
        cost,
        study.doubts,
    )
