"""The potential that a run of `refine step` waits for frames of, for ASE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refine.errors import InputError
from refine.potentials.ase import AnyCalculator, on_top
from refine.potentials.calculator import Calculator
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.run import store
from refine.tasks.run.record import Phase
from refine.tasks.step import study_file_of

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator


def awaited_calculator(folder: str | Path, state: str | None = None, *, dtype: str = "float64") -> BaseCalculator:
    """The potential that a run waits for frames of, base and correction, for ASE.

        atoms.calc = refine.awaited_calculator("runs/mine")

    Args:
        folder: of a run of `refine step`.
        state: of the study, whose temperature it is at; needed where there are several.
        dtype: of a MACE or many-body model.

    Raises:
        InputError: there is no such run or state, it has ended, or ASE has no such base.
    """
    folder = Path(folder)
    study = Study(StudyConfig.from_toml(study_file_of(folder)))
    record = store.load(folder / store.CHECKPOINT).record
    names = [one.name for one in study.config.states]
    if state not in names and (state is not None or len(names) > 1):
        raise InputError(f"no state {state!r}", where=str(folder), fix=f"give one of {', '.join(names)}")
    if record.potential is None or record.phase is not Phase.SAMPLE:
        raise InputError("the run waits for no frames", where=str(folder), fix="refine.read_calculator has its answer")
    s = 0 if state is None else names.index(state)
    study = study.decided(record.choices) if record.choices else study
    correction = record.potential.correction(study.initial_correction())
    field, _ = study.samplers()[s]
    acting = study.force_field_params(field, s, correction, record.potential.parameters)
    dispersion = study.config.model.dispersion
    if isinstance(acting.base, AnyCalculator):
        from ase.calculators.mixing import SumCalculator

        return SumCalculator([acting.base.calculator, on_top(acting.correction, dispersion)])
    return Calculator(acting.base, dtype, correction=acting.correction, dispersion=dispersion)
