"""Plain columns."""

from __future__ import annotations

import math

import numpy as np

from refine.export.read import Exported


def columns_files(exported: Exported) -> dict[str, str]:
    """The columns, and what they belong to."""
    return csv_files(exported) | {"about.txt": f"{exported.about}\nr in Å, phi and its standard error in eV.\n"}


def csv_files(exported: Exported) -> dict[str, str]:
    """One file a pair, `A-B.csv`: r (Å), phi (eV), dphi_dr (eV/Å), stderr of phi (eV; left out where it is nowhere
    known, empty beyond where it is)."""
    r = exported.radii
    energy, slope = exported.correction.energy(r), exported.correction.derivative(r)
    files = {}
    for index, (p, (a, b)) in enumerate(exported.pairs):
        errors = exported.column(index)
        columns = {"r [angstrom]": r, "phi [eV]": energy[p], "dphi_dr [eV/angstrom]": slope[p]}
        if np.isfinite(errors).any():
            columns["stderr [eV]"] = errors
        lines = [",".join(columns)]
        for row in zip(*columns.values(), strict=True):
            lines.append(",".join("" if math.isnan(value) else f"{value:.12g}" for value in row))
        files[f"{a}-{b}.csv"] = "\n".join(lines) + "\n"
    return files
