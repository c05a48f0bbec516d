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

from refine.export.read import Exported
from refine.potentials.lammps import Part, Script, section, spline_nodes

SCRIPT, CORRECTION = "potential.in", "correction.table"


def lammps_files(exported: Exported) -> dict[str, str]:
    """`potential.in` with the lines of an input script, and the files that it names: `correction.table`, and of the
    base `base.table` or a potential file."""
    model, style = exported.study.model, f"table spline {spline_nodes(exported.correction.cutoff)}"
    script = Script(exported.study.title, exported.species, (style,))
    base = exported.kind.lammps(model, exported.finished, script)
    parts = [base, _correction(exported, script, base)]
    texts = {SCRIPT: _text(exported, script, parts)}
    for part in reversed(parts):
        texts |= part.files
    # LAMMPS wants ASCII
    return {name: text.encode("ascii", "replace").decode("ascii") for name, text in texts.items()}


def _text(exported: Exported, script: Script, parts: list[Part]) -> str:
    before = [line for part in parts for line in part.before]
    charged = "; atom_style charge" if any(line.startswith("set ") for line in before) else ""
    lines = [
        f"# {exported.study.title}: base {exported.study.model.base!r} and its correction",
        f"# include it when box and atoms are there; units metal{charged}",
        f"# types: {', '.join(f'{k} {s}' for s, k in script.types.items())}",
        *before,
        f"pair_style hybrid/overlay {' '.join(style for part in parts for style in part.styles)}",
        *(line for part in parts for line in part.coefficients),
        *(line for part in parts for line in part.after),
    ]
    return "\n".join(lines) + "\n"


def _correction(exported: Exported, script: Script, base: Part) -> Part:
    r, correction = exported.radii, exported.correction
    energy, slope = correction.energy(r), correction.derivative(r)
    sections = [
        # slope of the force at both ends: of the wall where it reaches the first point, and none at the cutoff
        section(f"{a}-{b}", r, energy[p], -slope[p], (-correction.stiffness * float(r[0] < correction.wall[p]), 0.0))
        for p, (a, b) in exported.pairs
    ]
    about = f"pair correction refined against total scattering, on top of base {exported.study.model.base!r}"
    # LAMMPS tells a style from another one of its name by a number
    name = "table 2" if any(style.startswith("table ") for style in base.styles) else "table"
    return Part(
        script.beside,
        coefficients=tuple(
            f"pair_coeff {script.type_pair(pair)} {name} {CORRECTION} {'-'.join(pair)}" for _, pair in exported.pairs
        ),
        files={CORRECTION: script.table(f"{about}; useless without it", sections)},
    )
