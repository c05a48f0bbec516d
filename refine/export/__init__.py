"""A finished run for other programs: LAMMPS, ASE, OpenMM, or plain columns.

    refine export OUT --to lammps

Every format holds phi(r) of each corrected pair at `refine.potentials.lammps.POINTS` equal steps from r_cut/POINTS to
r_cut, wall below the sampled range included. LAMMPS gets a classical base as well; in the other formats the base is
the reader's, and `read_calculator` gives base and correction to ASE. Read are result.json and study.toml of the run's
folder; for `read_calculator` also the file of a MACE model.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from refine.errors import InputError
from refine.files import make_folder, write_text

FORMATS = {
    "lammps": "refine.export.lammps:lammps_files",
    "ase": "refine.export.scripts:ase_files",
    "openmm": "refine.export.scripts:openmm_files",
    "csv": "refine.export.columns:columns_files",
}
"""What `--to` may name, and the function that makes it of a `refine.export.read.Exported`: the texts of files by their
names. The help names them, so a module is imported when its format is asked for."""


def export(folder: str | Path, to: str, out: str | Path | None = None, temperature: float | None = None) -> list[Path]:
    """Write the run in `folder` for another program; the files that were written.

    Args:
        folder: of the run.
        to: one of `FORMATS`.
        out: where to write; default: `export-<to>` in the run's folder.
        temperature: see `refine.export.read.read_correction`.
    """
    if to not in FORMATS:
        raise InputError(f"unknown format '{to}'", where="--to", fix=f"one of {', '.join(FORMATS)}")
    from refine.export.read import read_correction  # slow to import, as the formats

    module, _, name = FORMATS[to].partition(":")
    files: dict[str, str] = getattr(import_module(module), name)(read_correction(folder, temperature))
    target = Path(folder) / f"export-{to}" if out is None else Path(out)
    make_folder(target)
    written = []
    for name, text in files.items():
        write_text(target / name, text)
        written.append(target / name)
    return written
