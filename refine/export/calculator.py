"""ASE: the whole potential of a finished run, base and correction, as this program has it."""

from __future__ import annotations

from pathlib import Path

from refine.export.read import read_correction
from refine.potentials.calculator import Calculator
from refine.potentials.mace.weights import MODEL_FILE


def read_calculator(folder: str | Path, temperature: float | None = None, dtype: str = "float64") -> Calculator:
    """The refined potential of a finished run for ASE.

        atoms.calc = refine.read_calculator("runs/mine")

    Base, refined parameters of the base, dispersion and correction are those that the run ended with. See `Calculator`
    for what it can do.

    Args:
        folder: of the run.
        temperature: K; for a correction that changes with it, and only for such.
        dtype: of a MACE or many-body model.

    Raises:
        InputError: as `refine.export.read_correction`; and no file of a MACE model where the study names it.
    """
    exported = read_correction(folder, temperature)
    model = exported.study.model
    if model.base == "mace":
        base = exported.folder / MODEL_FILE if exported.parameters is not None else exported.base().checkpoint
    else:
        base = exported.base()
    return Calculator(base, dtype, head=model.head, correction=exported.correction, dispersion=model.dispersion)
