"""Crystals that several tests start from."""

from __future__ import annotations

from ase.build import bulk

from refine.system import System, make_system


def face_centred(repeats: int, edge: float = 5.4) -> System:
    """Argon in (repeats)^3 cubic cells of this edge (Å), four atoms in each."""
    atoms = bulk("Ar", "fcc", a=edge, cubic=True).repeat(repeats)
    return make_system({"Ar": len(atoms)}, atoms.cell.array, atoms.positions)
