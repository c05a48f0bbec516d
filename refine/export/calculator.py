"""ASE: the whole potential of a finished run, base and correction, as this program has it."""

from __future__ import annotations

from pathlib import Path

from refine.export.read import read_correction
from refine.potentials.calculator import Calculator


def read_calculator(
    folder: str | Path,
    temperature: float | None = None,
    *,
    model: str | Path | None = None,
    dtype: str = "float64",
) -> Calculator:
    """The refined potential of a finished run for ASE.

        atoms.calc = refine.read_calculator("runs/mine")

    Base, refined parameters of the base, dispersion and correction are those that the run ended with. See `Calculator`
    for what it can do.

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
    return Calculator(exported.base(model), dtype, correction=exported.correction, dispersion=dispersion)
