"""Extended XYZ out: frames of a trajectory as text, which ASE, OVITO and `refine.sampling.trajectories` read.

Sites of elements stand in the column of species as they are called, as H:methyl, and hydrogen of which a structure file
said that it is deuterium is D: OVITO takes these for types, ASE has no word for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.formula import element_of
from refine.system import System


def frame_text(system: System, positions: NDArray[np.floating], info: Mapping[str, str | float]) -> str:
    """One frame.

    Args:
        system: species and cell.
        positions: (N, 3) Å, sorted by species; written wrapped into the cell, to 1e-8 Å.
        info: what the comment line says beside the cell, by its keys.

    >>> from refine.system import make_system
    >>> argon = make_system({"Ar": 1}, 5.0 * np.eye(3))
    >>> print(frame_text(argon, np.array([[6.0, 1.0, 2.5]]), {"energy": -0.5}), end="")
    1
    Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T" energy=-0.5
    Ar 1.00000000 1.00000000 2.50000000
    """
    cell = " ".join(f"{x:.10g}" for x in system.cell.ravel())
    words = [f"{key}={_value(value)}" for key, value in info.items()]
    comment = " ".join([f'Lattice="{cell}"', "Properties=species:S:1:pos:R:3", 'pbc="T T T"', *words])
    names = ["D" if element_of(name) == "H" and system.isotopes.get(name) == 2 else name for name in system.species]
    species = np.repeat(names, system.n_per_species).tolist()
    rows = np.asarray(wrap(np.asarray(positions, np.float64), system.cell)).tolist()
    lines = [f"{name} {x:.8f} {y:.8f} {z:.8f}" for name, (x, y, z) in zip(species, rows, strict=True)]
    return "\n".join([str(len(lines)), comment, *lines]) + "\n"


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int) else f"{value:.10g}"
