"""What is simulated: atoms in a periodic cell, and the box that the forward model sees of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kernels.shells import ideal_pair_counts
from refine.errors import InputError
from refine.formula import element_of
from refine.units import MASS_DENSITY_UNIT

Array = NDArray[np.float64]

SaidIsotopes = Mapping[str, int | Mapping[int, float]]
"""Mass number of a species, or shares by mass number of a mixture."""

DEUTERIUM_MASS = 2.014102
"""amu (AME2020)."""

TAPER = 3.0
"""Å over which g - 1 is brought to zero before r_max of a box."""

MOST_BINS = 10_000
"""Of a histogram of pair distances: to 200 Å in bins of 0.02 Å. Matrices of the forward model have as many rows and
columns, 800 MB."""


def taper_width(r_max: float) -> float:
    """`TAPER`, or a quarter of r_max (Å) where that is less.

    >>> taper_width(12.0), taper_width(2.0)
    (3.0, 0.5)
    """
    return min(TAPER, 0.25 * r_max)


def species_pairs(species: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """All unordered pairs i <= j in row order: (0, 0), (0, 1), ..., (1, 1), ...; S (S + 1) / 2 of them.

    >>> species_pairs(["Si", "O"])
    (('Si', 'Si'), ('Si', 'O'), ('O', 'O'))
    """
    return tuple((a, b) for i, a in enumerate(species) for b in species[i:])


def heights(cell: Array) -> Array:
    """Perpendicular heights (3,) of a cell (3, 3), rows its vectors, in its unit; no jax, as `kernels.cell` needs.

    >>> heights(np.array([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 6.0]])).round(3).tolist()
    [3.922, 5.0, 6.0]
    """
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0))


@dataclass(frozen=True)
class System:
    """What is simulated: atoms sorted by species in a periodic cell.

    species: in order, element symbols or elements in one of their places, "H:methyl".  n_per_species: atoms of each.
    cell: (3, 3) Å, rows are lattice vectors.
    masses: (N,) amu.  positions: (N, 3) Å, or None where a packing is still to be made.
    isotopes: of species of which a structure or formula says D. Neutrons know of them, the dynamics do not.
    notes: what was done to what a file says, for messages.

    >>> box = make_system({"Ar": 108}, 17.0 * np.eye(3))
    >>> box.r_box, round(box.number_density, 4)
    (8.5, 0.022)
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    cell: Array
    masses: Array
    positions: Array | None = None
    isotopes: SaidIsotopes = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.species) != len(self.n_per_species) or len(set(self.species)) != len(self.species):
            raise ValueError(f"species {self.species} and numbers of atoms {self.n_per_species} do not belong together")
        if min(self.n_per_species, default=0) < 1:
            raise ValueError(f"every species needs at least one atom; got {self.n_per_species}")
        if self.cell.shape != (3, 3) or not np.isfinite(self.cell).all() or self.volume <= 0:
            raise ValueError("a cell is three independent, finite lattice vectors, the rows of a (3, 3) matrix")
        if self.masses.shape != (self.n_atoms,) or not (self.masses > 0).all():
            raise ValueError(f"{self.n_atoms} atoms need as many masses above zero; got shape {self.masses.shape}")
        if self.positions is not None and self.positions.shape != (self.n_atoms, 3):
            raise ValueError(f"{self.n_atoms} atoms need positions ({self.n_atoms}, 3); got {self.positions.shape}")

    @property
    def n_atoms(self) -> int:
        """Of all species together."""
        return sum(self.n_per_species)

    @property
    def volume(self) -> float:
        """Å^3."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def number_density(self) -> float:
        """Atoms per Å^3."""
        return self.n_atoms / self.volume

    @property
    def orthorhombic(self) -> bool:
        """Whether the lattice vectors lie along x, y and z exactly."""
        from kernels.cell import is_orthorhombic  # with jax, which reading a structure does not need

        return is_orthorhombic(self.cell)

    @property
    def heights(self) -> Array:
        """Perpendicular heights of the cell (3,), Å."""
        return heights(self.cell)

    @property
    def r_box(self) -> float:
        """Half of the smallest perpendicular height, Å: up to here the minimum image is exact."""
        return float(self.heights.min() / 2)

    def check_distance(self, length: float, name: str) -> None:
        """InputError when a length (Å) that is measured by the minimum image is not above 0, or beyond `r_box`."""
        if not 0 < length <= self.r_box * (1 + 1e-9):
            raise InputError(
                f"{name} is {length:.3f} Å; half of the smallest height of the box is {self.r_box:.3f} Å",
                fix="use more atoms or a shorter distance",
            )

    @property
    def composition(self) -> dict[str, float]:
        """Atomic fractions."""
        return {name: n / self.n_atoms for name, n in zip(self.species, self.n_per_species, strict=True)}


def make_system(
    species_counts: dict[str, int], cell: Array, positions: Array | None = None, *, where: str | None = None
) -> System:
    """A System of so many atoms of each species (standard atomic weights, IUPAC as in ase.data), positions sorted
    already.

    >>> make_system({"Si": 2, "O": 4}, 4.5 * np.eye(3)).masses.round(3).tolist()
    [28.085, 28.085, 15.999, 15.999, 15.999, 15.999]
    """
    from ase.data import atomic_masses, atomic_numbers

    elements = [element_of(name) for name in species_counts]
    unknown = [name for name in elements if atomic_numbers.get(name, 0) == 0]
    if unknown:
        raise InputError(f"unknown element {unknown[0]!r}", where=where, fix="use the symbols of the periodic table")
    wrong = {name: n for name, n in species_counts.items() if n < 1}
    if wrong or not species_counts:
        raise InputError(f"numbers of atoms must be at least 1; got {dict(species_counts)}", where=where)
    masses = np.repeat([atomic_masses[atomic_numbers[name]] for name in elements], list(species_counts.values()))
    return System(
        tuple(species_counts), tuple(species_counts.values()), np.asarray(cell, np.float64), masses, positions
    )


def bins_within(reach: float, width: float, where: str | None = None) -> int:
    """How many whole bins of a width lie within a reach, both in Å.

    Raises:
        InputError: more than `MOST_BINS`; where: for its message.

    >>> bins_within(8.5, 0.02)
    425
    """
    if not reach / width <= MOST_BINS:
        raise InputError(
            f"half of the box is {reach:.4g} Å: {reach / width:.3g} bins of {width:g} Å, and {MOST_BINS} are the most",
            where=where,
            fix="check the density or the cell, or raise [sampling] bin_width",
        )
    return int(reach / width)


def is_cubic(cell: Array) -> bool:
    """Whether a cell (3, 3) is a cube along the axes."""
    edge = float(cell[0, 0])
    return bool(np.allclose(cell, edge * np.eye(3), atol=1e-6 * edge))


def number_density_from_mass(
    counts: Mapping[str, int], mass_density: float, isotopes: SaidIsotopes | None = None
) -> float:
    """Atoms/Å^3 of a composition with a density in g/cm^3, with standard atomic weights.

    isotopes: of species that a structure or formula calls D; weights of other isotopes are not known here.

    >>> round(number_density_from_mass({"Si": 1, "O": 2}, 2.20), 5)  # silica glass
    0.06615
    >>> round(number_density_from_mass({"H": 2, "O": 1}, 1.105, {"H": 2}), 4)  # heavy water
    0.0997
    """
    from ase.data import atomic_masses, atomic_numbers

    mass = 0.0
    for name, n in counts.items():
        given = (isotopes or {}).get(name)
        heavy = 0.0 if given is None else given.get(2, 0.0) if isinstance(given, Mapping) else float(given == 2)
        standard = atomic_masses[atomic_numbers[element_of(name)]]
        mass += n * (heavy * DEUTERIUM_MASS + (1.0 - heavy) * standard) / sum(counts.values())
    return float(mass_density / (MASS_DENSITY_UNIT * mass))


def replicate(system: System, repeats: tuple[int, int, int]) -> System:
    """A larger cell of (a, b, c) copies along its three vectors; atoms stay sorted by species.

    Raises ValueError for a system without positions, and for repeats below 1.

    >>> cubic = make_system({"Ar": 1}, 4.0 * np.eye(3), np.zeros((1, 3)))
    >>> replicate(cubic, (2, 1, 1)).positions.tolist()
    [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]
    """
    if system.positions is None:
        raise ValueError("a system without positions cannot be repeated")
    if min(repeats) < 1:
        raise ValueError(f"repeats are whole numbers from 1 on; got {repeats}")
    copies = math.prod(repeats)
    shifts = np.array(list(itertools.product(*map(range, repeats)))) @ system.cell
    first = np.cumsum([0, *system.n_per_species])
    blocks = [system.positions[a:b][None] + shifts[:, None] for a, b in itertools.pairwise(first)]
    return System(
        system.species,
        tuple(n * copies for n in system.n_per_species),
        np.asarray(repeats)[:, None] * system.cell,
        np.concatenate([np.tile(system.masses[a:b], copies) for a, b in itertools.pairwise(first)]),
        np.concatenate([block.reshape(-1, 3) for block in blocks]),
        system.isotopes,
        system.notes,
    )


@dataclass(frozen=True)
class Box:
    """A system and the bins in which its pair distances are counted: what the forward model needs of a simulated state.

    Attributes:
        species: as of `System`; pairs follow `species_pairs`.
        n_per_species: atoms of each.
        volume: Å^3.
        edges: (bins + 1,) of the pair-distance histogram, Å, from 0 to r_max.
        cell: (3, 3) Å, rows are lattice vectors; None: a cube of that volume.
        isotopes: as of `System`.

    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> box.pairs, box.r_max, float(box.ideal_counts.sum().round(1))
    ((('Ar', 'Ar'),), 8.5, 3025.4)
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    volume: float
    edges: Array
    cell: Array | None = None
    isotopes: SaidIsotopes = field(default_factory=dict)

    @classmethod
    def of(cls, system: System, edges: Array) -> Box:
        """The box of a system; the last edge, (bins + 1,) Å, is at most `System.r_box`.

        >>> argon = make_system({"Ar": 864}, 34.4 * np.eye(3))
        >>> box = Box.of(argon, 0.02 * np.arange(860 + 1))
        >>> box.pairs, box.r_max, argon.r_box
        ((('Ar', 'Ar'),), 17.2, 17.2)
        """
        return cls(system.species, system.n_per_species, system.volume, edges, system.cell, system.isotopes)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Species pairs, i <= j."""
        return species_pairs(self.species)

    @property
    def number_density(self) -> float:
        """atoms/Å^3."""
        return sum(self.n_per_species) / self.volume

    @property
    def fractions(self) -> Array:
        """Atomic fractions (species,)."""
        return np.array(self.n_per_species) / sum(self.n_per_species)

    @property
    def centres(self) -> Array:
        """Bin centres (bins,), Å."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def r_max(self) -> float:
        """The last edge, Å; g(r) is known below."""
        return float(self.edges[-1])

    @property
    def taper(self) -> Array:
        """(bins,): 1, falling smoothly to 0 at r_max."""
        x = np.clip((self.r_max - self.centres) / taper_width(self.r_max), 0.0, 1.0)
        return np.asarray(x**2 * (3.0 - 2.0 * x))

    @property
    def image_distances(self) -> Array:
        """Lengths of the lattice vectors but zero, up to 3 r_max, Å: how far away an atom's own images are."""
        cell = np.eye(3) * self.volume ** (1.0 / 3.0) if self.cell is None else self.cell
        reach = 3.0 * self.r_max
        spans = [np.arange(-n, n + 1) for n in np.ceil(reach / heights(cell)).astype(int)]
        steps = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
        lengths = np.linalg.norm(steps @ cell, axis=1)
        return np.sort(lengths[(lengths > 0.0) & (lengths <= reach)])

    @property
    def closure(self) -> Array:
        """(bins,) kernel of the correction for a closed box: g_infinite - 1 = (g - 1) + closure . (g - 1).

        The box holds a fixed number of atoms, so g - 1 averages to zero over its whole volume, while in an infinite
        system its integral is the Kirkwood-Buff integral G: the two differ by a constant, -G/V, at all r. G is taken
        from the g within r_max with weights w = 1 - 23 x^3/8 + 3 x^4/4 + 9 x^5/8, x = r/r_max, which make the constant
        -Σ w s (g - 1) / (V - Σ w s), s the shell volumes. For a dense liquid it is 1/N; left out, it biases S(Q) at
        low Q, and a fit would answer with a ramp in the potential. Sources: P. Ganguly and N. F. A. van der Vegt, J.
        Chem. Theory Comput. 9, 1347 (2013); weights: P. Krüger and T. J. H. Vlugt, Phys. Rev. E 97, 051301 (2018).
        """
        x = self.centres / self.r_max
        weights = 1.0 - 23.0 * x**3 / 8.0 + 3.0 * x**4 / 4.0 + 9.0 * x**5 / 8.0
        weighted = weights * 4.0 / 3.0 * math.pi * np.diff(self.edges**3)
        return np.asarray(weighted / (self.volume - weighted.sum()))

    @property
    def ideal_counts(self) -> Array:
        """Mean counts of an ideal gas, (pairs, bins)."""
        return ideal_pair_counts(self.n_per_species, self.volume, self.edges)


def pair_index(pairs: tuple[tuple[str, str], ...], pair: tuple[str, str], where: str) -> int:
    """Index of a species pair, in either order.

    >>> pair_index((("Si", "Si"), ("Si", "O"), ("O", "O")), ("O", "Si"), "pair")
    1
    """
    for index, (a, b) in enumerate(pairs):
        if pair in ((a, b), (b, a)):
            return index
    raise InputError(f"{'-'.join(pair)} is no pair of the system", where=where, fix="name two of its species")
