"""Forces, energies and virials of a sum of pair functions, one tabulated function for each pair of species.

    U = sum_{i<j} u_ab(r_ij),     f_i = sum_j g_ab(r_ij) (r_i - r_j),     g = -u'(r) / r

The table holds g on a grid that is uniform in r^2 (no square root and no division in the loop), linear between the
nodes. The energy that is reported is the exact integral of that piecewise linear force,

    u(r) = u(r_cut) + 1/2 integral of g(s) ds from s = r^2 to r_cut^2,

so force and energy belong together to rounding, whatever the size of the table. The distance to the function that was
tabulated is O(spacing^2): for Lennard-Jones with 4096 nodes from 1.8 to 8.5 Å the force is off by 4e-5 of itself at
2.8 Å. Below r_min, g continues linearly in r^2 with the slope of the first interval, or stays constant where that
slope would make it less repulsive: finite down to r = 0, and repulsive whenever it is so at r_min. From r_cut on force
and energy are zero.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import Components
from kernels.fusion import store, sum_together
from kernels.neighbors import NeighborList, points_of
from kernels.species import number_of_pairs, pair_row, species_of

PARTS = 2  # of a list, worked on side by side; a list has a multiple of eight slots


class PairTable(NamedTuple):
    """Pair functions of P species pairs, rows in the order (0,0), (0,1), ..., (1,1), ..., as linear pieces of g(r^2).

    A changed potential changes these numbers and never their shapes, so nothing is compiled again. The pieces cover
    r^2 from zero to r_cut^2 in equal steps; the last one, which is zero, stands for everything beyond.

    value, slope: (P, pieces) eV/Å^2, g at the start of a piece and its increase over it.
    energy: (P, pieces) eV, u at the start of a piece.
    offset: () the place of r^2 = 0 in the first piece (0 to 1). r2_cut: () Å^2. inverse_spacing: () pieces per Å^2.
    """

    value: jax.Array
    slope: jax.Array
    energy: jax.Array
    offset: jax.Array
    r2_cut: jax.Array
    inverse_spacing: jax.Array


class InconsistentTable(ValueError):
    """The tabulated derivative of a pair is not that of its energy.

    Attributes:
        pair: row of the table.
        words: what is wrong, without the pair.
    """

    def __init__(self, pair: int, words: str) -> None:
        super().__init__(f"pair {pair}: {words} (or the table needs more nodes)")
        self.pair, self.words = pair, words


def table_radii(r_min: float, r_cut: float, size: int) -> np.ndarray:
    """Radii (size,) float64 of the nodes, uniform in r^2 from r_min to r_cut (Å), 0 < r_min < r_cut or ValueError.

    >>> table_radii(1.0, 3.0, 5).round(3).tolist()
    [1.0, 1.732, 2.236, 2.646, 3.0]
    """
    if not 0 < r_min < r_cut:
        raise ValueError(f"a table needs 0 < r_min < r_cut; got r_min {r_min} and r_cut {r_cut}")
    if size < 3:
        raise ValueError(f"a table needs at least 3 nodes; got {size}")
    return np.sqrt(np.linspace(r_min**2, r_cut**2, size))


def pair_table(
    energy: np.ndarray,
    derivative: np.ndarray,
    r_min: float,
    r_cut: float,
    dtype: np.typing.DTypeLike = np.float32,
    tolerance: float = 1e-9,
    scale: np.ndarray | None = None,
) -> PairTable:
    """The table of u (eV) and du/dr (eV/Å), both (P, size) float64, given on `table_radii(r_min, r_cut, size)`.

    Of `energy` only the value at r_cut enters, the rest is the integral of the force; but all of it is compared with
    that integral. A disagreement beyond 1 % of the local energy plus 1 % of the deepest well plus `tolerance` (eV)
    raises InconsistentTable: then `derivative` is not that of `energy`, or the nodes are too far apart for it.
    scale: (P, size) eV, in place of the local energy; for a sum whose terms cancel, the sum of their sizes.
    dtype: float32 or float64, usually that of the positions.

    >>> r = table_radii(2.0, 8.0, 2000)
    >>> table = pair_table((r[-1] - r)[None] ** 2, -2.0 * (r[-1] - r)[None], 2.0, 8.0)
    >>> table.energy.shape, float(table.r2_cut)
    ((1, 2134), 64.0)
    """
    energy, derivative = np.asarray(energy, np.float64), np.asarray(derivative, np.float64)
    if energy.ndim != 2 or energy.shape != derivative.shape:
        raise ValueError(f"energy {energy.shape} and derivative {derivative.shape} must both be (pairs, size)")
    if not (np.isfinite(energy).all() and np.isfinite(derivative).all()):
        raise ValueError("the tabulated energy or its derivative is not finite everywhere between r_min and r_cut")
    r = table_radii(r_min, r_cut, energy.shape[1])
    spacing = (r_cut**2 - r_min**2) / (len(r) - 1)
    below = int(np.ceil(r_min**2 / spacing))  # pieces between zero and r_min

    g = -derivative / r
    rise = np.maximum(g[:, :1] - g[:, 1:2], 0)
    nodes = np.concatenate([g[:, :1] + rise * np.arange(below, 0, -1), g], axis=1)
    steps = spacing / 4 * (nodes[:, :-1] + nodes[:, 1:])
    integral = energy[:, -1:] + np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    _check_consistency(energy, integral[:, below:], r, tolerance, np.abs(energy) if scale is None else scale)

    beyond = np.zeros((len(g), 1))
    pieces = (nodes[:, :-1], np.diff(nodes, axis=1), integral)
    with np.errstate(over="ignore"):  # looked for in the next line
        fields = [
            *(np.asarray(np.concatenate([field, beyond], axis=1), dtype) for field in pieces),
            *(np.asarray(scalar, dtype) for scalar in (below - r_min**2 / spacing, r_cut**2, 1 / spacing)),
        ]
    if not all(np.isfinite(field).all() for field in fields):
        raise ValueError(
            f"the force at r_min = {r_min} is too large for {np.dtype(dtype)}; start the table further out"
        )
    with jax.enable_x64(np.dtype(dtype) == np.float64):  # or jax would make float32 of it
        return PairTable(*(jnp.asarray(field) for field in fields))


def _check_consistency(
    energy: np.ndarray, integral: np.ndarray, r: np.ndarray, tolerance: float, scale: np.ndarray
) -> None:
    size = scale[:, :-1] + np.abs(energy.min(axis=1, keepdims=True))
    wrong = np.abs(integral - energy[:, :-1]) > 0.01 * size + tolerance
    if wrong.any():
        pair, node = np.argwhere(wrong)[-1]
        raise InconsistentTable(
            int(pair),
            f"at r = {r[node]:.3f} the energy is {energy[pair, node]:.6g} but its derivative integrates "
            f"to {integral[pair, node]:.6g}; the two must belong together",
        )


def pair_forces(
    positions: jax.Array,
    neighbors: NeighborList,
    table: PairTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> jax.Array:
    """Forces (N, 3) in eV/Å, of the type (float32 or float64) of the positions.

    positions: (N, 3) Å, wrapped or not, atoms sorted by species. neighbors: built with at least the table's cutoff,
    of nearest images or with explicit ones.
    cell: (3, 3) Å. n_per_species (static): number of atoms of each species, in order. orthorhombic: static.

    The work is cut into two loops, and the list into parts, for the reasons in `kernels.fusion`.
    """
    forces = []
    for (dx, dy, dz), g in _parts_with_forces(positions, neighbors, table, cell, n_per_species, orthorhombic):
        forces.append((g * dx, g * dy, g * dz))
    return jnp.stack(_sum_slots(forces), axis=1).astype(positions.dtype)


def pair_observables(
    positions: jax.Array,
    neighbors: NeighborList,
    table: PairTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> tuple[jax.Array, jax.Array]:
    """Energy (N,) and virial (N,) of each atom in eV, half of every pair's share to each of its two atoms.

    sum(energy) = U and sum(virial) = W = sum_{i<j} r_ij . f_ij, so that p V = N k T + W / 3. Arguments as in
    `pair_forces`.
    """
    _check_shapes(positions, neighbors, table, n_per_species)
    halves = []
    points = _Points(*points_of(positions, neighbors, cell, orthorhombic), n_per_species)
    for idx, piece in _parts_with_pieces(points, neighbors.idx, table):
        r2 = _square(*_displacements(points, idx))
        fraction = _place_in_row(r2, table) - _piece_in_row(points, piece, idx, table)
        value, slope, start = (_look_up(field, piece) for field in (table.value, table.slope, table.energy))
        energy = start - (value + slope * fraction / 2) * fraction / (2 * table.inverse_spacing)
        used = idx != jnp.arange(positions.shape[0], dtype=jnp.int32)
        halves.append((jnp.where(used, energy / 2, 0), (value + slope * fraction) * r2 / 2))
    energy, virial = _sum_slots(halves)
    return energy.astype(positions.dtype), virial.astype(positions.dtype)


def pair_virial_tensor(
    positions: jax.Array,
    neighbors: NeighborList,
    table: PairTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> jax.Array:
    """Virial tensor (3, 3) in eV, W = sum_{i<j} r_ij (x) f_ij, symmetric; its trace is the sum of the virials of
    `pair_observables`. Arguments as in `pair_forces`.
    """
    products = []
    for (dx, dy, dz), g in _parts_with_forces(positions, neighbors, table, cell, n_per_species, orthorhombic):
        fx, fy, fz = g * dx / 2, g * dy / 2, g * dz / 2
        products.append((fx * dx, fx * dy, fx * dz, fy * dy, fy * dz, fz * dz))
    xx, xy, xz, yy, yz, zz = (jnp.sum(of_atoms) for of_atoms in _sum_slots(products))
    return jnp.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz]).reshape(3, 3).astype(positions.dtype)


def _parts_with_forces(
    positions: jax.Array,
    neighbors: NeighborList,
    table: PairTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> Iterator[tuple[Components, jax.Array]]:
    """Of each part of the list: r_i - r_j, and the force on atom i divided by r, each of the shape of the part."""
    _check_shapes(positions, neighbors, table, n_per_species)
    points = _Points(*points_of(positions, neighbors, cell, orthorhombic), n_per_species)
    for idx, piece in _parts_with_pieces(points, neighbors.idx, table):
        apart = _displacements(points, idx)
        fraction = _place_in_row(_square(*apart), table) - _piece_in_row(points, piece, idx, table)
        yield apart, _look_up(table.value, piece) + fraction * _look_up(table.slope, piece)


class _Points(NamedTuple):
    """Atoms and what the list counts; see `kernels.neighbors.points_of`."""

    here: Components
    there: Components
    fold: Callable[..., Components]
    n_per_species: tuple[int, ...]


def _check_shapes(
    positions: jax.Array, neighbors: NeighborList, table: PairTable, n_per_species: tuple[int, ...]
) -> None:
    species = len(n_per_species)
    if sum(n_per_species) != positions.shape[0]:
        raise ValueError(f"n_per_species {n_per_species} does not add up to the {positions.shape[0]} atoms")
    if neighbors.idx.shape[1] != positions.shape[0]:
        raise ValueError(f"the list was built for {neighbors.idx.shape[1]} atoms, not for {positions.shape[0]}")
    if table.value.shape[0] != number_of_pairs(species):
        raise ValueError(
            f"{species} species need {number_of_pairs(species)} pair functions; got {table.value.shape[0]}"
        )


def _displacements(points: _Points, idx: jax.Array) -> Components:
    """x, y, z of r_i - r_j, each of the shape of idx, (slots, N). Zero in the slots that are not used (j = i)."""
    return points.fold(*(a[None] - _look_up(b, idx) for a, b in zip(points.here, points.there, strict=True)))


def _square(dx: jax.Array, dy: jax.Array, dz: jax.Array) -> jax.Array:
    return dx * dx + dy * dy + dz * dz


def _parts_with_pieces(points: _Points, idx: jax.Array, table: PairTable) -> list[tuple[jax.Array, jax.Array]]:
    """The list in PARTS of (K / PARTS, N) slots, each with the stored pieces of the flattened table its pairs are on.

    What comes after gathers the positions again: cheaper than storing three displacements, too.
    """
    r2 = _square(*_displacements(points, idx))
    piece = _place_in_row(r2, table).astype(jnp.int32) + _pair_rows(points, idx) * table.value.shape[1]
    return list(zip(jnp.split(idx, PARTS), store(piece, PARTS), strict=True))


def _place_in_row(r2: jax.Array, table: PairTable) -> jax.Array:
    """Number of pieces that lie below r^2, a real number of the type of r2; the zero piece beyond the cutoff."""
    place = jnp.where(r2 >= table.r2_cut, table.value.shape[1] - 1, r2 * table.inverse_spacing + table.offset)
    return place.astype(r2.dtype)


def _piece_in_row(points: _Points, piece: jax.Array, idx: jax.Array, table: PairTable) -> jax.Array:
    return piece - _pair_rows(points, idx) * table.value.shape[1]


def _pair_rows(points: _Points, idx: jax.Array) -> jax.Array:
    """Row of the table for every slot of the list, of the shape of idx."""
    n, counted = idx.shape[1], points.there[0].shape[0]
    atom = species_of(jnp.arange(n, dtype=jnp.int32), points.n_per_species)
    neighbor = species_of(idx if counted == n else idx % n, points.n_per_species)
    return pair_row(atom[None], neighbor, len(points.n_per_species))


def _look_up(values: jax.Array, index: jax.Array) -> jax.Array:
    """values.ravel()[index] for indices that are known to be in range: no wrapping of negative ones, no fill."""
    return values.ravel().at[index.astype(jnp.uint32)].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _sum_slots(parts: Sequence[tuple[jax.Array, ...]]) -> tuple[jax.Array, ...]:
    """Sums over all slots of the list, (N,), of quantities that are given part by part, each (K / PARTS, N)."""
    total = parts[0]
    for part in parts[1:]:
        total = tuple(a + b for a, b in zip(total, part, strict=True))
    return sum_together(total, axis=0)
