"""Every ion of a published set in a crystal at 0 K: the lattice constant at which its energy is lowest.

A crystal is scaled as a whole, with the axial ratio and positions in the cell that were measured at room temperature:
R. W. G. Wyckoff, Crystal Structures, 2nd ed. (Interscience, 1963-1968), but of FeO, the stoichiometric one that B. T.
M. Willis and H. P. Rooksby, Proc. Phys. Soc. B 66, 950 (1953) extrapolate to.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from scipy.optimize import minimize_scalar

from refine.formula import amounts_of
from refine.potentials.classical import base_potential
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.sets import SETS
from refine.system import System, make_system
from refine.units import COULOMB

CUT = 12.0
"""Å, of the short-range part."""

EWALD = 5.0
"""Å, of the pair part of an Ewald sum."""


def rock_salt(cation: str, anion: str, a: float) -> Atoms:
    return bulk(cation + anion, "rocksalt", a=a)


def fluorite(four: str, eight: str, a: float) -> Atoms:
    """Four atoms of one element and eight of the other in the cubic cell."""
    at = [(0, 0, 0), (0.25, 0.25, 0.25)]
    return crystal([four, eight], at, spacegroup=225, cellpar=[a, a, a, 90, 90, 90], primitive_cell=True)


def cuprite(metal: str, a: float) -> Atoms:
    at = [(0.25, 0.25, 0.25), (0, 0, 0)]
    return crystal([metal, "O"], at, spacegroup=224, cellpar=[a, a, a, 90, 90, 90])


def corundum(metal: str, a: float, c: float, z: float, x: float) -> Atoms:
    at = [(0, 0, z), (x, 0, 0.25)]
    return crystal([metal, "O"], at, spacegroup=167, cellpar=[a, a, c, 90, 90, 120], primitive_cell=True)


def rutile(metal: str, a: float, c: float, x: float) -> Atoms:
    return crystal([metal, "O"], [(0, 0, 0), (x, x, 0)], spacegroup=136, cellpar=[a, a, c, 90, 90, 90])


def wurtzite(metal: str, a: float, c: float, z: float) -> Atoms:
    at = [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, z)]
    return crystal([metal, "O"], at, spacegroup=186, cellpar=[a, a, c, 90, 90, 120])


def quartz(metal: str, a: float, c: float, x: float, oxygen: tuple[float, float, float]) -> Atoms:
    return crystal([metal, "O"], [(x, 0, 2 / 3), oxygen], spacegroup=154, cellpar=[a, a, c, 90, 90, 120])


def berlinite(a: float, c: float) -> Atoms:
    """AlPO4: quartz with Al and P in turn."""
    at = [(0.466, 0, 1 / 3), (0.467, 0, 5 / 6), (0.416, 0.292, 0.398), (0.416, 0.258, 0.884)]
    return crystal(["Al", "P", "O", "O"], at, spacegroup=152, cellpar=[a, a, c, 90, 90, 120])


def bixbyite(metal: str, a: float, x: float, oxygen: tuple[float, float, float]) -> Atoms:
    at = [(0.25, 0.25, 0.25), (x, 0, 0.25), oxygen]
    return crystal([metal, metal, "O"], at, spacegroup=206, cellpar=[a, a, a, 90, 90, 90], primitive_cell=True)


def sesquioxide(metal: str, a: float, c: float, z: float, oxygen: float) -> Atoms:
    """Of the large rare earths, type A."""
    at = [(1 / 3, 2 / 3, z), (0, 0, 0), (1 / 3, 2 / 3, oxygen)]
    return crystal([metal, "O", "O"], at, spacegroup=164, cellpar=[a, a, c, 90, 90, 120])


OXIDES = {
    "Li": fluorite("O", "Li", 4.619),
    "Na": fluorite("O", "Na", 5.55),
    "K": fluorite("O", "K", 6.436),
    "Be": wurtzite("Be", 2.698, 4.380, 0.378),
    "Mg": rock_salt("Mg", "O", 4.212),
    "Ca": rock_salt("Ca", "O", 4.811),
    "Sr": rock_salt("Sr", "O", 5.160),
    "Ba": rock_salt("Ba", "O", 5.539),
    "Sc": bixbyite("Sc", 9.845, -0.035, (0.391, 0.154, 0.382)),
    "Ti": rutile("Ti", 4.594, 2.959, 0.306),
    "Zr": fluorite("Zr", "O", 5.07),
    "Cr": corundum("Cr", 4.958, 13.594, 0.3475, 0.306),
    "Mn": rock_salt("Mn", "O", 4.445),
    "Fe2+": rock_salt("Fe", "O", 4.332),
    "Fe3+": corundum("Fe", 5.035, 13.75, 0.355, 0.300),
    "Co": rock_salt("Co", "O", 4.267),
    "Ni": rock_salt("Ni", "O", 4.168),
    "Cu": cuprite("Cu", 4.270),
    "Ag": cuprite("Ag", 4.72),
    "Zn": wurtzite("Zn", 3.250, 5.207, 0.375),
    "Al": corundum("Al", 4.759, 12.991, 0.352, 0.306),
    "Si": quartz("Si", 4.913, 5.405, 0.470, (0.413, 0.268, 0.786)),
    "Ge": quartz("Ge", 4.987, 5.652, 0.451, (0.398, 0.302, 0.757)),
    "Sn": rutile("Sn", 4.737, 3.186, 0.307),
    "P": berlinite(4.943, 10.974),
    "Nd": sesquioxide("Nd", 3.831, 5.999, 0.245, 0.645),
    "Gd": bixbyite("Gd", 10.813, -0.030, (0.390, 0.151, 0.380)),
    "Er": bixbyite("Er", 10.547, -0.034, (0.390, 0.152, 0.381)),
}


def reciprocal(system: System, charges: np.ndarray, alpha: float) -> float:
    """What an Ewald sum has besides its pair function (docs/theory/potentials.md), eV, of a neutral cell."""
    lattice = 2 * np.pi * np.linalg.inv(system.cell).T
    reach = [
        range(-n, n + 1) for n in np.ceil(8 * alpha * np.linalg.norm(system.cell, axis=1) / (2 * np.pi)).astype(int)
    ]
    k = np.array([n for n in itertools.product(*reach) if any(n)]) @ lattice
    square = np.sum(k**2, axis=1)
    structure = np.abs(np.exp(1j * k @ system.positions.T) @ charges) ** 2
    waves = 2 * np.pi / system.volume * np.sum(np.exp(-square / (4 * alpha**2)) / square * structure)
    return COULOMB * float(waves - alpha / np.sqrt(np.pi) * np.sum(charges**2))


def lowest(base: str, atoms: Atoms, ion: str = "") -> float:
    """By how much the lattice constant at the lowest energy is larger than that of `atoms`, as a fraction."""
    counts = {element: list(atoms.symbols).count(element) for element in dict.fromkeys(atoms.symbols)}
    at = np.concatenate([atoms.positions[atoms.symbols == element] for element in counts])
    system = make_system(counts, atoms.cell.array, at)
    species = system.species
    pairs = tuple((a, b) for i, a in enumerate(species) for b in species[i:])
    ions = {element: ion for element in species if ion not in ("", element) and ion.startswith(element)}
    potential = base_potential(base, species, pairs, {}, CUT, truncation="none", ions=ions)
    numbers = np.repeat(np.arange(len(species)), system.n_per_species)
    reach = [range(-n, n + 1) for n in np.ceil(1.1 * CUT / system.heights).astype(int)]
    images = np.array(list(itertools.product(*reach))) @ system.cell
    apart = np.linalg.norm(at[:, None, None] - at[None, :, None] + images, axis=3)
    distances = []
    for a, b in pairs:
        chosen = apart[numbers == species.index(a)][:, numbers == species.index(b)]
        distances.append((chosen[(chosen > 0) & (chosen < 1.1 * CUT)], 0.5 if a == b else 1.0))
    charges = dict(zip(species, potential.coulomb.charges, strict=True))
    sums = Coulomb.of(species, pairs, charges, EWALD, "ewald")
    coulomb = sum(half * sums.pair(r[r < EWALD])[0][row].sum() for row, (r, half) in enumerate(distances))
    coulomb += reciprocal(system, sums.charges[numbers], sums.alpha)

    def energy(scale: float) -> float:
        parts = [half * potential.short_range(scale * r)[0][row].sum() for row, (r, half) in enumerate(distances)]
        return float(sum(parts)) + coulomb / scale

    found = minimize_scalar(energy, bounds=(0.9, 1.12), method="bounded", options={"xatol": 1e-4})
    return float(found.x) - 1.0


TOLERANCES = {"pedone-2006": 0.02, "du-teter": 0.03, "guillot-sator-2007": 0.03}
"""How far rigid ions with one set of numbers for all oxides are off. Pedone and others fitted theirs to such crystals,
the others to silicates and their melts."""

LARGER = {("pedone-2006", "Na"): 0.045, ("pedone-2006", "K"): 0.05, ("guillot-sator-2007", "K"): 0.09}
"""Where alkalis have four O around them; in the silicates that the sets are for they have more."""


@pytest.mark.parametrize(
    ("base", "ion"), [(name, ion) for name in TOLERANCES for ion in SETS[name].charges if ion != "O"]
)
def test_the_oxide_of_every_ion(base: str, ion: str) -> None:
    assert abs(lowest(base, OXIDES[ion], ion)) < LARGER.get((base, ion), TOLERANCES[base])


SALTS = {
    "LiF": 4.017,
    "LiCl": 5.130,
    "LiBr": 5.501,
    "LiI": 6.000,
    "NaF": 4.620,
    "NaCl": 5.641,
    "NaBr": 5.973,
    "NaI": 6.473,
    "KF": 5.347,
    "KCl": 6.293,
    "KBr": 6.600,
    "KI": 7.066,
    "RbF": 5.640,
    "RbCl": 6.581,
    "RbBr": 6.854,
    "RbI": 7.342,
    "CsF": 6.008,
}


def test_every_alkali_halide() -> None:
    """Tosi and Fumi fitted them at room temperature, to which a crystal of alkali halide expands by 0.5 to 1 % of its
    lattice constant (G. K. White and J. G. Collins, Proc. R. Soc. A 333, 237 (1973)): at 0 K all are smaller, by less
    than 2 %."""
    assert set(SALTS) == set(SETS["tosi-fumi-1964"].salts)
    for salt, a in SALTS.items():
        assert -0.02 < lowest("tosi-fumi-1964", rock_salt(*amounts_of(salt), a)) < 0.0, salt
