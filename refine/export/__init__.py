"""A finished run for other programs: LAMMPS, ASE, OpenMM, or plain columns.

    refine export OUT --to lammps

Every format holds phi(r) of each corrected pair at `POINTS` equal steps from r_cut/POINTS to r_cut, wall below the
sampled range included. LAMMPS gets a classical base as well; in the other formats the base is the reader's, and
`read_calculator` gives base and correction to ASE. Read are result.json and study.toml of the run's folder; for
`read_calculator` also the file of a MACE model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from refine.errors import InputError
from refine.export.calculator import read_calculator
from refine.export.columns import columns_files
from refine.export.lammps import lammps_files
from refine.export.read import Exported, read_correction
from refine.export.scripts import ase_files, openmm_files
from refine.files import make_folder, write_text
from refine.potentials.lammps import POINTS

__all__ = ["FORMATS", "POINTS", "Exported", "export", "read_calculator", "read_correction"]

FORMATS: dict[str, Callable[[Exported], dict[str, str]]] = {
    "lammps": lammps_files,
    "ase": ase_files,
    "openmm": openmm_files,
    "csv": columns_files,
}
"""What `--to` may name: each gives the texts of files by their names."""


def export(folder: str | Path, to: str, out: str | Path | None = None, temperature: float | None = None) -> list[Path]:
    """Write the run in `folder` for another program; the files that were written.

    Args:
        folder: of the run.
        to: one of `FORMATS`.
        out: where to write; default: `export-<to>` in the run's folder.
        temperature: see `read_correction`.
    """
    if to not in FORMATS:
        raise InputError(f"unknown format '{to}'", where="--to", fix=f"one of {', '.join(FORMATS)}")
    files = FORMATS[to](read_correction(folder, temperature))
    target = Path(folder) / f"export-{to}" if out is None else Path(out)
    make_folder(target)
    written = []
    for name, text in files.items():
        write_text(target / name, text)
        written.append(target / name)
    return written
