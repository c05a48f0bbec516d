"""Plain columns."""

from __future__ import annotations

import math

from refine.export.read import Exported


def columns_files(exported: Exported) -> dict[str, str]:
    """The columns, and what they belong to."""
    return csv_files(exported) | {"about.txt": f"{exported.about}\nr in Å, phi and its standard error in eV.\n"}


def csv_files(exported: Exported) -> dict[str, str]:
    """One file a pair, `A-B.csv`: r (Å), phi (eV), dphi_dr (eV/Å), stderr of phi (eV; empty: not known)."""
    r = exported.radii
    energy, slope = exported.correction.energy(r), exported.correction.derivative(r)
    files = {}
    for index, (p, (a, b)) in enumerate(exported.pairs):
        lines = ["r,phi,dphi_dr,stderr"]
        for row in zip(r, energy[p], slope[p], exported.column(index), strict=True):
            lines.append(",".join("" if math.isnan(value) else f"{value:.12g}" for value in row))
        files[f"{a}-{b}.csv"] = "\n".join(lines) + "\n"
    return files
