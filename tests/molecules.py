"""Boxes of molecules as LAMMPS data files of atom_style full."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BOND, ANGLE = 1.0, 109.47
"""SPC/E water: Å and degrees (H. J. C. Berendsen et al., J. Phys. Chem. 91, 6269 (1987))."""

SPCE = """
pair_style lj/cut/coul/long 6.0
pair_coeff 1 1 0.155354 3.166
pair_coeff * 2 0.0 1.0
kspace_style pppm 1e-4
bond_style harmonic
bond_coeff 1 450.0 1.0
angle_style harmonic
angle_coeff 1 55.0 109.47
"""


def turned(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A molecule (n, 3) turned at random."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return shape @ (q * np.sign(np.linalg.det(q))).T


def lattice(shape: np.ndarray, per_side: int, edge: float, seed: int = 0) -> np.ndarray:
    """(molecules, n, 3) Å on a cubic lattice, each turned at random."""
    rng, step = np.random.default_rng(seed), edge / per_side
    places = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * step
    return np.array([turned(shape, rng) + place + step / 2 for place in places])


def water(per_side: int = 4, edge: float = 12.42, seed: int = 0) -> str:
    """A data file of SPC/E water, molecule after molecule."""
    half = np.radians(ANGLE / 2)
    across, along = BOND * np.sin(half), BOND * np.cos(half)
    shape = np.array([[0.0, 0.0, 0.0], [across, along, 0.0], [-across, along, 0.0]])
    there = lattice(shape, per_side, edge, seed)
    atoms: list[str] = []
    bonds: list[str] = []
    angles: list[str] = []
    for m, molecule in enumerate(there):
        o = 3 * m + 1
        for k, (x, y, z) in enumerate((molecule % edge).tolist()):
            kind, charge = (2, 0.4238) if k else (1, -0.8476)
            atoms.append(f"{o + k} {m + 1} {kind} {charge} {x!r} {y!r} {z!r}")
        bonds += [f"{2 * m + k} 1 {o} {o + k}" for k in (1, 2)]
        angles.append(f"{m + 1} 1 {o + 1} {o} {o + 2}")
    head = f"{len(atoms)} atoms\n{len(bonds)} bonds\n{len(angles)} angles\n2 atom types\n1 bond types\n1 angle types\n"
    return text_of(head, edge, ["1 15.999", "2 1.008"], {"Atoms # full": atoms, "Bonds": bonds, "Angles": angles})


def dimers(per_side: int, edge: float, length: float, seed: int = 0) -> str:
    """A data file of molecules of two nitrogen atoms."""
    there = lattice(length * np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]), per_side, edge, seed)
    places = there.reshape(-1, 3) % edge
    atoms = [f"{k + 1} {k // 2 + 1} 1 0 {x!r} {y!r} {z!r}" for k, (x, y, z) in enumerate(places.tolist())]
    bonds = [f"{m + 1} 1 {2 * m + 1} {2 * m + 2}" for m in range(len(there))]
    head = f"{len(atoms)} atoms\n{len(bonds)} bonds\n1 atom types\n1 bond types\n"
    return text_of(head, edge, ["1 14.007"], {"Atoms # full": atoms, "Bonds": bonds})


def text_of(head: str, edge: float, masses: list[str], sections: dict[str, list[str]]) -> str:
    """A data file."""
    box = "".join(f"0 {edge!r} {axis}lo {axis}hi\n" for axis in "xyz")
    text = f"molecules\n\n{head}\n{box}\nMasses\n\n" + "\n".join(masses) + "\n"
    return text + "".join(f"\n{name}\n\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def written(folder: Path, text: str, name: str = "box.data") -> Path:
    """The file."""
    path = folder / name
    path.write_text(text)
    return path


CHAIN = """
pair_style lj/cut 6.0
pair_coeff * * 0.004 3.4
bond_style harmonic
bond_coeff 1 12.0 1.53
angle_style harmonic
angle_coeff 1 2.0 112.0
dihedral_style opls
dihedral_coeff 1 0.06 0.01 0.1 0.0
"""


def chains(per_side: int = 3, edge: float = 15.0, seed: int = 0) -> str:
    """A data file of zigzag chains of six carbon atoms, their ends of a type of their own; types 1 and 2."""
    zigzag = np.array([[1.27 * (k - 2.5), 0.43 * (-1) ** k, 0.0] for k in range(6)])
    there = lattice(zigzag, per_side, edge, seed) + np.random.default_rng(seed).normal(scale=0.05, size=(27, 6, 3))
    atoms, links = [], {"Bonds": [], "Angles": [], "Dihedrals": []}
    for m, molecule in enumerate(there):
        first = 6 * m + 1
        for k, (x, y, z) in enumerate((molecule % edge).tolist()):
            atoms.append(f"{first + k} {m + 1} {1 if k in (0, 5) else 2} 0 {x!r} {y!r} {z!r}")
        for lines, size in zip(links.values(), (2, 3, 4), strict=True):
            for k in range(7 - size):
                lines.append(f"{len(lines) + 1} 1 {' '.join(str(first + k + j) for j in range(size))}")
    head = f"{len(atoms)} atoms\n" + "".join(f"{len(lines)} {name.lower()}\n" for name, lines in links.items())
    head += "2 atom types\n1 bond types\n1 angle types\n1 dihedral types\n"
    return text_of(head, edge, ["1 12.011", "2 12.011"], {"Atoms # full": atoms, **links})
