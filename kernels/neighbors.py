"""Neighbour lists of fixed shape that are built, used and rebuilt inside one compiled program.

A list is full (every pair appears under both of its atoms, so no force is scattered) and dense: K slots for each
atom. A slot that is not used holds the atom's own index, so its displacement is zero and so is its force: what
follows needs no mask. When an atom has more than K neighbours nothing is written out of bounds; the list says
`overflow`, and the caller builds again with more slots. Everything but the planning helpers can be jitted and vmapped.

Where the box is large enough, a neighbour is the nearest image of an atom (`kernels.cell.minimum_image`). In a smaller
box an atom has several images of another one, and of itself, within reach: there the candidates are the atoms of
explicit images of the cell (`choose_images`), and the list keeps what is needed to find them again (`Images`).

How a list is made (scatters and cumulative sums over all candidates cost ten times more on a CPU):
1. atoms are put into the cells of a grid, or all into one; the candidates of an atom are those in the cells around it;
2. one bit for each candidate says whether it is near; 32 of them make a word (`_near_words`);
3. the k-th neighbour of an atom is the k-th bit set in its row of words, found by counting bits (`_find_set_bits`).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import Components, fractional, inverse_cell, minimum_image, perpendicular_heights, split
from kernels.fusion import store

WORD = 32  # bits
CAPACITY_STEP = 8  # capacities are multiples of this: whole vector registers
MAX_CANDIDATES = 500_000  # atoms in all images together

HIGHEST = jax.lax.Precision.HIGHEST


class Images(NamedTuple):
    """Where the candidates of a list over explicit images are; whole numbers in the type of the positions.

    cells: (M, 3) lattice vectors of each image; the first is zero.
    home: (N, 3) lattice vectors that carry each atom, where the list was built, into the cell.
    """

    cells: jax.Array
    home: jax.Array


class NeighborList(NamedTuple):
    """Neighbours of every atom within the list's cutoff at `reference`.

    idx: (K, N) int32; column i lists the neighbours of atom i, then i itself in the slots left over. K is the
        capacity asked for, rounded up to a multiple of eight. With images, image m of atom j is m N + j.
    reference: (N, 3) Å, the positions that the list was built from.
    overflow: () bool, True when an atom, or a cell of the grid, had more members than slots: the list is not complete.
    images: None where neighbours are nearest images.
    inner: a second list of the same atoms with a shorter cutoff, or None.
    """

    idx: jax.Array
    reference: jax.Array
    overflow: jax.Array
    images: Images | None = None
    inner: "NeighborList | None" = None


class Grid(NamedTuple):
    """A static division of the box: cells along each lattice vector, and slots for atoms in one cell."""

    shape: tuple[int, int, int]
    occupancy: int


class _Cells(NamedTuple):
    """Atoms sorted into G cells with room for M atoms each, and the J candidates that the atoms of a cell share.

    members: (G, M) int32, the atom in each slot, N where there is none.
    candidates: (G, J) int32, likewise.
    row: (N,) int32, the slot of each atom in the flattened members.
    crowded: () bool, whether some cell had more than M atoms.
    """

    members: jax.Array
    candidates: jax.Array
    row: jax.Array
    crowded: jax.Array


def estimate_capacity(n: int, volume: float, cutoff: float, margin: float = 1.15) -> int:
    """Slots per atom for `n` atoms spread evenly over `volume` (Å^3) and a list cutoff (Å): a multiple of eight.

    margin: over the mean number of neighbours. The force costs as much for an empty slot as for a neighbour; too few
    slots cost one more build and compilation, because overflow is reported.

    >>> estimate_capacity(864, 40000.0, 10.0)  # 90 neighbours on average
    112
    """
    mean = n / volume * 4 / 3 * math.pi * cutoff**3
    return _round_up(max(1, min(margin * mean + 4, n - 1)), CAPACITY_STEP)


def choose_grid(cell: np.ndarray, cutoff: float, n: int, margin: float = 1.5) -> Grid | None:
    """The grid for `build` with this list cutoff (Å), or None where testing all pairs is as fast.

    Cells are at least as high as the cutoff in each direction, so that the 27 around an atom hold all of its
    neighbours; with fewer than four cells along a lattice vector a grid saves nothing. margin: slots in a cell over
    the mean number of atoms. Plain Python: call it outside jit.

    >>> choose_grid(48.0 * np.eye(3), 10.0, 2400)
    Grid(shape=(4, 4, 4), occupancy=64)
    """
    a, b, c = (int(height // cutoff) for height in perpendicular_heights(cell))
    if min(a, b, c) < 4 or n < 1000:
        return None
    return Grid((a, b, c), _round_up(margin * n / (a * b * c) + 4, CAPACITY_STEP))


def choose_images(
    cell: np.ndarray, cutoff: float, n: int, periodic: tuple[bool, bool, bool] = (True, True, True)
) -> np.ndarray | None:
    """Images of the cell for `build` with this list cutoff (Å) and n atoms: (M, 3) int64 whole lattice vectors, zero
    first, or None where the minimum image is right.

    Two atoms in the cell differ by less than one lattice vector along each direction, so image m along a vector with
    perpendicular height h is out of reach beyond |m| = ceil(cutoff / h). Along a vector that is not periodic there are
    no images; the cell must be higher there than the atoms are apart, by twice the cutoff. Plain Python: call it
    outside jit. ValueError where the images hold more than MAX_CANDIDATES atoms.

    >>> choose_images(24.0 * np.eye(3), 10.0, 300) is None, choose_images(15.0 * np.eye(3), 10.0, 75).shape
    (True, (27, 3))
    """
    heights = perpendicular_heights(cell)
    if cutoff <= heights.min() / 2:
        return None
    # a little more than the bound: rounding may leave an atom on either face of the cell
    reach = np.where(periodic, np.ceil(np.minimum(cutoff / heights, 1e6) + 1e-3), 0).astype(int)
    if n * float(np.prod(2.0 * reach + 1)) > MAX_CANDIDATES:
        raise ValueError(
            f"a cutoff of {cutoff:.3f} Å reaches more than {MAX_CANDIDATES} periodic images of {n} atoms: the cell is "
            f"only {heights.min():.3f} Å high"
        )
    return images_within(reach.tolist())


def images_within(reach: Sequence[int]) -> np.ndarray:
    """All images up to so many lattice vectors along each direction, zero first: (M, 3) int64. More than
    `choose_images` asks for are right, too.

    >>> images_within((1, 0, 0)).tolist()
    [[0, 0, 0], [-1, 0, 0], [1, 0, 0]]
    """
    steps = itertools.product(*(range(-k, k + 1) for k in reach))
    return np.array(sorted(steps, key=lambda step: step != (0, 0, 0)), np.int64).reshape(-1, 3)


def build(
    positions: jax.Array,
    cell: jax.Array,
    cutoff: float | jax.Array,
    *,
    capacity: int,
    orthorhombic: bool,
    grid: Grid | None = None,
    images: np.ndarray | jax.Array | None = None,
) -> NeighborList:
    """Neighbours within `cutoff` (Å; potential cutoff plus skin) of every atom.

    positions: (N, 3) Å, wrapped or not. cell: (3, 3) Å. capacity (static): slots per atom, see `estimate_capacity`.
    orthorhombic (static): see `kernels.cell.minimum_image`. grid (static): from `choose_grid`; None tests all pairs.
    images: from `choose_images`, None for nearest images: then the cutoff is at most half of the smallest height
        of the cell (`kernels.cell.perpendicular_heights`).
    Overflow is reported in the result and never raised; an atom whose position is not a number has no neighbours.
    """
    n = positions.shape[0]
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; a list needs at least one slot for each atom")
    if grid is not None and min(grid.shape) < 3:
        raise ValueError(f"a grid of {grid.shape} cells has fewer than three along a lattice vector: use grid=None")
    if grid is not None and images is not None:
        raise ValueError("explicit images are searched without a grid: use grid=None")

    if images is None:
        kept = None
        cells = _one_cell(n) if grid is None else _grid_cells(positions, cell, grid)
        words = _near_words(positions, cutoff, cells, _nearest(cell, orthorhombic))
    else:
        kept = _images(positions, cell, images)
        points = _candidates(positions + _lattice(kept.home, cell), cell, kept)
        cells = _one_cell(n, points.shape[0])
        words = _near_words(points, cutoff, cells, _as_it_is)
    set_bits = _find_set_bits(words[cells.row].T, _round_up(capacity, CAPACITY_STEP))
    neighbors = set_bits.bit if grid is None else _look_up_candidates(cells, set_bits.bit)
    idx = jnp.where(set_bits.exists, neighbors, jnp.arange(n, dtype=jnp.int32))
    return NeighborList(idx, positions, cells.crowded | jnp.any(set_bits.total > idx.shape[0]), kept)


def most_neighbors(
    positions: jax.Array,
    cell: jax.Array,
    cutoff: float | jax.Array,
    *,
    orthorhombic: bool,
    images: np.ndarray | jax.Array | None = None,
) -> jax.Array:
    """() int32: the neighbours of the atom that has most of them, what `build` needs as capacity. Same arguments."""
    if images is None:
        here = there = split(positions)
    else:
        kept = _images(positions, cell, images)
        placed = positions + _lattice(kept.home, cell)
        here, there = split(placed), split(_candidates(placed, cell, kept))
    dx, dy, dz = (a[None] - b[:, None] for a, b in zip(here, there, strict=True))
    if images is None:
        dx, dy, dz = minimum_image(dx, dy, dz, cell, orthorhombic)
    near = dx * dx + dy * dy + dz * dz < cutoff**2
    return jnp.max(jnp.sum(near, axis=0, dtype=jnp.int32)) - 1  # every atom is near itself


def atoms_of(neighbors: NeighborList) -> jax.Array:
    """The atom in each slot of the list, whichever image of it: (K, N) int32."""
    return neighbors.idx if neighbors.images is None else neighbors.idx % neighbors.idx.shape[1]


def points_of(
    positions: jax.Array, neighbors: NeighborList, cell: jax.Array, orthorhombic: bool
) -> tuple[Components, Components, Callable[..., Components]]:
    """What displacements are made of: atoms (N,), what `idx` counts (N,) or (M N,), and what folds their differences.

    fold(here - there[idx]) is r_i - r_j by components, zero in the slots that are not used.

    With images the atoms are followed from where the list was built, so they may leave the cell, be wrapped or both:
    right while none has moved by half of the smallest height of the cell, which a skin below that height guarantees.
    Differentiable by positions and cell.
    """
    if neighbors.images is None:
        here = split(positions)
        return here, here, _nearest(cell, orthorhombic)
    moved = jnp.matmul(positions - neighbors.reference, inverse_cell(cell), precision=HIGHEST)
    placed = positions + _lattice(neighbors.images.home - jax.lax.stop_gradient(jnp.round(moved)), cell)
    return split(placed), split(_candidates(placed, cell, neighbors.images)), _as_it_is


def displacements(positions: jax.Array, neighbors: NeighborList, cell: jax.Array, orthorhombic: bool) -> Components:
    """x, y, z of r_i - r_j, (K, N) each, from the neighbour in each slot to its atom; zero in slots not used.

    positions: (N, 3) Å, wrapped or not. cell: (3, 3) Å. orthorhombic (static): see `kernels.cell.minimum_image`.
    """
    here, there, fold = points_of(positions, neighbors, cell, orthorhombic)
    take = neighbors.idx.astype(jnp.uint32)
    apart = (
        a[None] - b.at[take].get(mode="promise_in_bounds", wrap_negative_indices=False)
        for a, b in zip(here, there, strict=True)
    )
    return fold(*apart)


def _nearest(cell: jax.Array, orthorhombic: bool) -> Callable[..., Components]:
    def fold(dx: jax.Array, dy: jax.Array, dz: jax.Array) -> Components:
        return minimum_image(dx, dy, dz, cell, orthorhombic)

    return fold


def _as_it_is(dx: jax.Array, dy: jax.Array, dz: jax.Array) -> Components:
    return dx, dy, dz


def _images(positions: jax.Array, cell: jax.Array, images: np.ndarray | jax.Array) -> Images:
    home = -jnp.floor(jnp.matmul(positions, inverse_cell(cell), precision=HIGHEST))
    return Images(jnp.asarray(images, positions.dtype), home)


def _lattice(steps: jax.Array, cell: jax.Array) -> jax.Array:
    """Whole lattice vectors as displacements: (..., 3) -> (..., 3) Å."""
    return jnp.matmul(steps, cell, precision=HIGHEST)


def _candidates(placed: jax.Array, cell: jax.Array, images: Images) -> jax.Array:
    """Atoms (N, 3) of the cell in all images, (M N, 3) Å, image after image."""
    return (_lattice(images.cells, cell)[:, None] + placed).reshape(-1, 3)


def needs_rebuild(
    neighbors: NeighborList, positions: jax.Array, cell: jax.Array, skin: float | jax.Array, *, orthorhombic: bool
) -> jax.Array:
    """() bool: whether some atom has moved by more than half of `skin` (Å) since the list was built.

    Until then no pair can have come within (list cutoff - skin). positions: (N, 3) Å, wrapped or not.
    """
    dx, dy, dz = minimum_image(*split(positions - neighbors.reference), cell, orthorhombic)
    return jnp.max(dx * dx + dy * dy + dz * dz) > (skin / 2) ** 2


def _round_up(count: float, multiple: int) -> int:
    return multiple * math.ceil(count / multiple)


def _one_cell(n: int, candidates: int | None = None) -> _Cells:
    atoms = jnp.arange(n, dtype=jnp.int32)
    others = atoms if candidates is None else jnp.arange(candidates, dtype=jnp.int32)
    return _Cells(atoms[None], others[None], atoms, jnp.zeros((), bool))


def _grid_cells(positions: jax.Array, cell: jax.Array, grid: Grid) -> _Cells:
    """Sort the atoms into the cells of a grid; the candidates of a cell are the members of the 27 cells around it."""
    n = positions.shape[0]
    counts = np.array(grid.shape, np.int32)
    strides = np.array([counts[1] * counts[2], counts[2], 1], np.int32)
    number = int(counts.prod())

    where = jnp.clip((fractional(positions, cell) * counts).astype(jnp.int32), 0, counts - 1)
    home = where @ strides
    order = jnp.argsort(home).astype(jnp.int32)
    starts = jnp.searchsorted(home[order], jnp.arange(number + 1, dtype=jnp.int32)).astype(jnp.int32)
    slot = starts[:-1, None] + jnp.arange(grid.occupancy, dtype=jnp.int32)
    members = jnp.where(slot < starts[1:, None], order[jnp.minimum(slot, n - 1)], n)
    rank = jnp.zeros(n, jnp.int32).at[order].set(jnp.arange(n, dtype=jnp.int32)) - starts[home]
    row = home * grid.occupancy + jnp.minimum(rank, grid.occupancy - 1)

    offsets = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(27, 3)
    centres = np.stack(np.meshgrid(*[np.arange(count) for count in counts], indexing="ij"), axis=-1).reshape(
        number, 1, 3
    )
    around = (centres + offsets) % counts @ strides
    candidates = members[around].reshape(number, 27 * grid.occupancy)
    return _Cells(members, candidates, row, jnp.any(starts[1:] - starts[:-1] > grid.occupancy))


def _look_up_candidates(cells: _Cells, number: jax.Array) -> jax.Array:
    """Atoms behind candidate numbers (K, N), where column i counts the candidates of atom i's cell: (K, N) int32."""
    per_cell = cells.candidates.shape[1]
    first = cells.row // cells.members.shape[1] * per_cell
    parts = store(first + jnp.minimum(number, per_cell - 1))
    return jnp.concatenate([cells.candidates.ravel()[part] for part in parts])


def _near_words(
    positions: jax.Array, cutoff: float | jax.Array, cells: _Cells, fold: Callable[..., Components]
) -> jax.Array:
    """(G * M, W) uint32: for each slot in a cell, one bit a candidate: nearer than the cutoff, not the same atom.

    positions: (atoms or image atoms, 3). fold: of a displacement, to its nearest image or to itself.
    """
    n = positions.shape[0]
    candidates = cells.candidates
    padding = -candidates.shape[1] % WORD
    candidates = jnp.pad(candidates, ((0, 0), (0, padding)), constant_values=n)
    # an atom at NaN is near nothing: that is what stands in the empty slots
    x, y, z = (jnp.append(component, jnp.nan) for component in split(positions))
    here: Components = (x[cells.members], y[cells.members], z[cells.members])
    there: Components = (x[candidates], y[candidates], z[candidates])
    dx, dy, dz = (a[:, :, None] - b[:, None, :] for a, b in zip(here, there, strict=True))
    dx, dy, dz = fold(dx, dy, dz)
    near = (dx * dx + dy * dy + dz * dz < cutoff**2) & (cells.members[:, :, None] != candidates[:, None, :])
    bits = near.reshape(cells.members.size, -1, WORD).astype(jnp.uint32) << jnp.arange(WORD, dtype=jnp.uint32)
    return bits.sum(axis=-1, dtype=jnp.uint32)


class _SetBits(NamedTuple):
    """bit: (K, N) int32, position of the k-th bit set in each column, arbitrary unless exists; total: (N,) int32."""

    bit: jax.Array
    exists: jax.Array
    total: jax.Array


def _find_set_bits(words: jax.Array, slots: int) -> _SetBits:
    """The positions of the first `slots` bits set in each column of words: (W, N) uint32, lowest bit first."""
    number, n = words.shape
    upto = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32), axis=0)
    k = jnp.arange(slots, dtype=jnp.int32)[:, None]
    word = _count_rows_up_to(upto, k)
    exists = word < number
    at = jnp.minimum(word, number - 1) * n + jnp.arange(n, dtype=jnp.int32)
    bits = words.ravel()[at]
    rank = k - (upto.ravel()[at] - jax.lax.population_count(bits).astype(jnp.int32))
    return _SetBits(word * WORD + _select_bit(bits, rank), exists, upto[-1])


def _count_rows_up_to(values: jax.Array, limits: jax.Array) -> jax.Array:
    """Number of rows w with values[w, n] <= limits[k], for values (W, N) and limits (K, 1): (K, N) int32.

    Sixteen rows at a time, written out: as a sum over an axis the loop is not vectorised and takes ten times longer.
    """
    block = 16
    padded = jnp.pad(values, ((0, -values.shape[0] % block), (0, 0)), constant_values=np.iinfo(values.dtype).max)

    def add(count: jax.Array, rows: jax.Array) -> tuple[jax.Array, None]:
        for row in rows:
            count = count + (row <= limits)
        return count, None

    count, _ = jax.lax.scan(
        add, jnp.zeros((limits.shape[0], values.shape[1]), jnp.int32), padded.reshape(-1, block, values.shape[1])
    )
    return count


def _select_bit(bits: jax.Array, rank: jax.Array) -> jax.Array:
    """Position of the bit number `rank` (from zero, lowest first) among those set in a 32-bit word, by bisection."""
    position = jnp.zeros_like(rank)
    for width in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(bits & jnp.uint32(2**width - 1)).astype(jnp.int32)
        upper = rank >= below
        rank = jnp.where(upper, rank - below, rank)
        bits = jnp.where(upper, bits >> width, bits)
        position = position + jnp.where(upper, width, 0)
    return position
