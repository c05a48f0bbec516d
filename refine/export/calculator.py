"""ASE: the whole potential of a finished run, base and correction, as this program has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refine.export.read import read_correction
from refine.potentials.ase import AnyCalculator, on_top
from refine.potentials.calculator import Calculator

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator


def read_calculator(
    folder: str | Path,
    temperature: float | None = None,
    *,
    model: str | Path | None = None,
    dtype: str = "float64",
) -> BaseCalculator:
    """The refined potential of a finished run for ASE.

        atoms.calc = refine.read_calculator("runs/mine")

    Base, refined parameters of the base, dispersion and correction are those that the run ended with. See `Calculator`
    for what it can do; with base = "ase" it is ASE's sum of that calculator and one of the correction.

    Args:
        folder: of the run.
        temperature: K; for a correction that changes with it, and only for such.
        model: file of the MACE model, where the study has a path that is relative to its own folder. Weights that were
            refined are in the run's folder.
        dtype: of a MACE or many-body model.

    Raises:
        InputError: as `refine.export.read_correction`; and no MACE model where the run says it is.
    """
    exported = read_correction(folder, temperature)
    dispersion = exported.study.model.dispersion
    base = exported.base(model)
    if isinstance(base, AnyCalculator):
        from ase.calculators.mixing import SumCalculator

        return SumCalculator([base.calculator, on_top(exported.correction, dispersion)])
    return Calculator(base, dtype, correction=exported.correction, dispersion=dispersion)
