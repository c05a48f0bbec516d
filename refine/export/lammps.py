"""LAMMPS: tables and potential files, and the lines of an input script that add them up.

A classical base is exported whole. The short-range part of each pair is a table, with the engine's own end at the
cutoff and its own core, so it does not matter whether LAMMPS has the form; charges are left to LAMMPS' coul/long with
an Ewald sum of the engine's width, or to coul/dsf, which is the engine's formula. Stillinger-Weber and Tersoff are
potential files, and D3 is LAMMPS' own. A MACE model needs a file and a style that LAMMPS does not bring: remarks say
which.

LAMMPS makes splines of force and energy at `spline_nodes` equal steps in r^2. Where the force is smooth they agree with
it to 1e-6 eV/Å. Where its slope jumps (both ends of the switch, the edge of a patched core or of the correction's wall)
the force within a few steps, of 0.001 to 0.003 Å, is off by at most a tenth of a step times the jump.
"""

from __future__ import annotations

from pathlib import Path

from refine.errors import InputError
from refine.export.read import Exported
from refine.potentials.lammps import Part, Script, commands_of, correction_part, correction_style

SCRIPT = "potential.in"


def lammps_files(exported: Exported) -> dict[str, str]:
    """`potential.in` with the lines of an input script, and the files that it names: `correction.table`, and of the
    base `base.table` or a potential file."""
    model, correction = exported.study.model, exported.correction
    script = Script(exported.study.title, exported.species, (correction_style(correction.cutoff),))
    base = exported.kind.lammps(model, exported.finished, script)
    about = f"pair correction refined against total scattering, on top of base {model.base!r}; useless without it"
    parts = [base, correction_part(correction, script, base, about)]
    texts = {SCRIPT: _text(exported, script, parts)}
    for part in reversed(parts):
        texts |= part.files | {name: _text_of(path) for name, path in part.paths.items()}
    # LAMMPS wants ASCII
    return {name: text.encode("ascii", "replace").decode("ascii") for name, text in texts.items()}


def _text(exported: Exported, script: Script, parts: list[Part]) -> str:
    before = [line for part in parts for line in part.before]
    charged = "; atom_style charge" if any(line.startswith("set ") for line in before) else ""
    if parts[0].topology is not None:
        charged = f"; atom_style full, molecules and charges as in {parts[0].topology.name}"
    lines = [
        f"# {exported.study.title}: base {exported.study.model.base!r} and its correction",
        f"# include it when box and atoms are there; units {parts[0].units}{charged}",
        f"# types: {', '.join(f'{k} {s}' for s, k in script.types.items())}",
        *commands_of(parts),
    ]
    return "\n".join(lines) + "\n"


def _text_of(path: Path) -> str:
    """A file of the base; InputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
