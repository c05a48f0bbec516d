"""ASE: the whole potential of a finished run, base and correction, as this program has it."""

from __future__ import annotations

from pathlib import Path

from refine.errors import InputError
from refine.export.read import Exported, read_correction
from refine.potentials.calculator import Calculator
from refine.potentials.mace.weights import MODEL_FILE


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
    said = exported.study.model
    base = _mace(exported, model) if said.base == "mace" else exported.base()
    return Calculator(base, dtype, head=said.head, correction=exported.correction, dispersion=said.dispersion)


def _mace(exported: Exported, model: str | Path | None) -> str | Path:
    """A file, or the name of a published model."""
    said = exported.study.model
    if exported.parameters is not None:
        return exported.folder / MODEL_FILE
    found = model or said.model_path or said.name or ""
    if model is None and said.model_path is not None and not said.model_path.is_file():
        raise InputError(
            "no such file, as seen from the run", where=str(found), fix="give the file of the model: model="
        )
    return found
