"""The list against vesin, jax-md and explicit images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import vesin

from kernels import neighbors as neighbor_lists
from kernels.cell import is_orthorhombic, perpendicular_heights
from kernels.neighbors import Grid, NeighborList, choose_grid, choose_images, estimate_capacity
from tests.kernels.boxes import CELLS, all_images, random_positions

# compiled, as they are used; one by one, the operations in them take seconds to compile
build = jax.jit(neighbor_lists.build, static_argnames=("capacity", "orthorhombic", "grid"))
displacements = jax.jit(neighbor_lists.displacements, static_argnums=3)
most_neighbors = jax.jit(neighbor_lists.most_neighbors, static_argnames="orthorhombic")
needs_rebuild = jax.jit(neighbor_lists.needs_rebuild, static_argnames="orthorhombic")

LARGE = {
    "orthorhombic": np.diag([34.0, 38.0, 42.0]),
    "triclinic": np.array([[40.0, 0.0, 0.0], [9.0, 38.0, 0.0], [-8.0, 5.0, 41.0]]),
}


def make(
    positions: np.ndarray, cell: np.ndarray, cutoff: float, capacity: int, grid: Grid | None = None
) -> NeighborList:
    return build(
        jnp.asarray(positions, jnp.float32),
        jnp.asarray(cell, jnp.float32),
        cutoff,
        capacity=capacity,
        orthorhombic=is_orthorhombic(cell),
        grid=grid,
    )


def sets_of(neighbors: NeighborList) -> list[set[int]]:
    """The neighbours of each atom; checks that the places left over hold the atom itself and nobody appears twice."""
    columns = np.asarray(neighbors.idx).T
    found = [set(column[column != atom].tolist()) for atom, column in enumerate(columns)]
    for atom, column in enumerate(columns):
        used = len(found[atom])
        assert (column[used:] == atom).all()
        assert (column[:used] != atom).all()
    return found


def reference_sets(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> list[set[int]]:
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True)
    i, j = calculator.compute(points=positions, box=cell, periodic=True, quantities="ij")
    found: list[set[int]] = [set() for _ in positions]
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        found[a].add(b)
    return found


def clear_of(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> float:
    """The cutoff moved to the middle of the widest gap nearby, so that float32 cannot decide differently."""
    distances = all_images(positions, cell, reach=1)
    nearby = np.sort(distances[(distances > cutoff - 0.02) & (distances < cutoff + 0.02)])
    widest = np.argmax(np.diff(nearby))
    assert nearby[widest + 1] - nearby[widest] > 1e-4
    return float(nearby[widest : widest + 2].mean())


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("n", [2, 31, 200])
def test_all_pairs_agree_with_vesin(kind: str, n: int) -> None:
    cell = CELLS[kind]
    positions = random_positions(n, cell, seed=n)
    cutoff = clear_of(positions, cell, 9.0) if n > 100 else 9.0
    neighbors = make(positions, cell, cutoff, capacity=n)
    assert not neighbors.overflow
    assert sets_of(neighbors) == reference_sets(positions, cell, cutoff)


@pytest.mark.parametrize("kind", LARGE)
def test_cells_agree_with_vesin(kind: str) -> None:
    cell = LARGE[kind]
    positions = random_positions(1200, cell, seed=3)
    cutoff = clear_of(positions, cell, 7.0)
    grid = choose_grid(cell, cutoff, len(positions), margin=2.0)
    assert grid is not None
    neighbors = make(positions, cell, cutoff, 80, grid)
    assert not neighbors.overflow
    assert sets_of(neighbors) == reference_sets(positions, cell, cutoff)


def test_agrees_with_jax_md() -> None:
    from jax_md import partition, space

    side = 22.0
    positions = random_positions(150, np.diag([side] * 3), seed=5, wrapped=True).astype(np.float32)
    cutoff = clear_of(positions, np.diag([side] * 3), 8.0)
    displacement, _ = space.periodic(side)
    theirs = partition.neighbor_list(
        displacement, side, r_cutoff=cutoff, dr_threshold=0.0, disable_cell_list=True, format=partition.Dense
    ).allocate(jnp.asarray(positions))
    expected = [set(row[row < 150].tolist()) for row in np.asarray(theirs.idx)]
    assert sets_of(make(positions, np.diag([side] * 3), cutoff, 150)) == expected


@pytest.mark.parametrize("kind", LARGE)
def test_grid_changes_nothing_but_the_order(kind: str) -> None:
    cell = LARGE[kind]
    positions = random_positions(1000, cell, seed=8)
    with_cells = make(positions, cell, 6.0, 64, choose_grid(cell, 6.0, 1000, margin=2.5))
    without = make(positions, cell, 6.0, 64)
    assert sets_of(with_cells) == sets_of(without)


def test_overflow_is_reported_exactly() -> None:
    cell = CELLS["orthorhombic"]
    positions = random_positions(200, cell)
    most = max(len(found) for found in reference_sets(positions, cell, 8.0))
    enough = 8 * -(-most // 8)
    assert not make(positions, cell, 8.0, enough).overflow
    short = make(positions, cell, 8.0, enough - 8)
    assert short.overflow
    assert short.idx.shape == (enough - 8, 200)
    assert (short.idx >= 0).all()
    assert (short.idx < 200).all()


def test_a_full_cell_is_an_overflow() -> None:
    cell = LARGE["orthorhombic"]
    positions = random_positions(1200, cell)
    grid = choose_grid(cell, 7.0, 1200)
    assert grid is not None
    crowded = positions.copy()
    crowded[: grid.occupancy + 1] = 0.5 + np.random.default_rng(0).random((grid.occupancy + 1, 3))
    assert make(crowded, cell, 7.0, 1000, grid).overflow


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cells", [False, True])
def test_an_atom_that_is_nowhere_has_no_neighbours(bad: float, cells: bool) -> None:
    cell = LARGE["orthorhombic"]
    positions = random_positions(1200, cell)
    positions[7] = bad
    grid = choose_grid(cell, 7.0, 1200, margin=3.0) if cells else None
    found = sets_of(make(positions, cell, 7.0, 80, grid))
    assert found[7] == set()
    assert not any(7 in others for others in found)


def test_more_places_than_atoms() -> None:
    neighbors = make(np.array([[0.0, 0, 0], [3.0, 0, 0]]), CELLS["orthorhombic"], 5.0, 32)
    assert neighbors.idx.shape == (32, 2)
    assert sets_of(neighbors) == [{1}, {0}]


def test_vmap_is_one_at_a_time() -> None:
    cell = CELLS["triclinic"]
    batch = jnp.asarray([random_positions(120, cell, seed) for seed in range(3)], jnp.float32)
    one = lambda positions: build(positions, jnp.asarray(cell, jnp.float32), 9.0, capacity=64, orthorhombic=False)  # noqa: E731
    together = jax.jit(jax.vmap(one))(batch)
    for k, positions in enumerate(batch):
        np.testing.assert_array_equal(together.idx[k], one(positions).idx)


def test_needs_rebuild_at_half_the_skin_and_through_the_wall() -> None:
    cell = CELLS["triclinic"]
    positions = random_positions(50, cell, wrapped=True)
    neighbors = make(positions, cell, 9.0, 48)

    def asked(moved: np.ndarray) -> bool:
        changed = jnp.asarray(moved, jnp.float32)
        return bool(needs_rebuild(neighbors, changed, jnp.asarray(cell, jnp.float32), 1.0, orthorhombic=False))

    step = np.zeros_like(positions)
    step[17] = [0.3, 0.3, 0.2]  # 0.469 Å
    assert not asked(positions + step)
    assert not asked(positions + step + [1, -1, 2] @ cell)
    assert asked(positions + 1.2 * step)


def test_capacity_and_grid_helpers() -> None:
    assert estimate_capacity(500, 500 / 0.02125, 9.5) == 92 + 4
    assert estimate_capacity(5, 1000.0, 9.0) == 8
    assert estimate_capacity(1, 1000.0, 9.0) == 8
    assert choose_grid(np.diag([28.7] * 3), 9.5, 500) is None
    grid = choose_grid(np.diag([57.3] * 3), 9.5, 4000)
    assert grid is not None
    assert grid.shape == (6, 6, 6)
    assert grid.occupancy * 6**3 > 1.5 * 4000


def test_wrong_arguments_are_named() -> None:
    positions = random_positions(10, CELLS["orthorhombic"])
    with pytest.raises(ValueError, match="capacity is 0"):
        make(positions, CELLS["orthorhombic"], 5.0, 0)
    with pytest.raises(ValueError, match="fewer than three"):
        make(positions, CELLS["orthorhombic"], 5.0, 8, Grid((2, 4, 4), 8))


# ---- explicit images: cells smaller than twice the cutoff

SMALL = {
    "cubic": np.diag([3.1, 3.1, 3.1]),
    "orthorhombic": np.diag([4.0, 9.0, 14.5]),
    "one short vector": np.array([[2.1, 0.0, 0.0], [1.0, 11.0, 0.0], [0.5, -2.0, 13.0]]),
    "primitive fcc": np.array([[0.0, 2.7, 2.7], [2.7, 0.0, 2.7], [2.7, 2.7, 0.0]]),
    "left-handed": np.array([[0.0, 0.0, 6.0], [0.0, 5.5, 1.0], [5.0, 0.3, 0.0]]),
}


def skewed(seed: int) -> np.ndarray:
    """A random cell with vectors of 2 to 9 Å at angles down to about 25 degrees."""
    rng = np.random.default_rng(seed)
    while True:
        cell = rng.normal(size=(3, 3))
        cell *= (rng.uniform(2.0, 9.0, 3) / np.linalg.norm(cell, axis=1))[:, None]
        if perpendicular_heights(cell).min() > 0.8:
            return cell


def with_images(positions: np.ndarray, cell: np.ndarray, cutoff: float, capacity: int) -> NeighborList:
    with jax.enable_x64(True):
        images = choose_images(cell, cutoff, len(positions))
        assert images is not None
        return build(
            jnp.asarray(positions), jnp.asarray(cell), cutoff, capacity=capacity, orthorhombic=False, images=images
        )


def vectors_of(neighbors: NeighborList, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(pairs, 5): atom, neighbour, displacement, in lexicographic order; what `displacements` gives for used places."""
    with jax.enable_x64(True):
        apart = displacements(jnp.asarray(positions), neighbors, jnp.asarray(cell), False)
    x, y, z = (np.asarray(component) for component in apart)
    atoms = np.broadcast_to(np.arange(len(positions)), x.shape)
    used = np.asarray(neighbors.idx) != atoms
    assert (np.stack([x, y, z])[:, ~used] == 0).all()
    others = np.asarray(neighbor_lists.atoms_of(neighbors))
    return in_order(np.column_stack([atoms[used], others[used], x[used], y[used], z[used]]))


def in_order(table: np.ndarray) -> np.ndarray:
    return table[np.lexsort(np.round(table, 6).T[::-1])]


def reference_vectors(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> np.ndarray:
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True)
    i, j, vectors = calculator.compute(points=positions, box=cell, periodic=True, quantities="ijD")
    return in_order(np.column_stack([i, j, -vectors]))


@pytest.mark.parametrize(
    ("kind", "n"), [("cubic", 2), ("orthorhombic", 7), ("one short vector", 7), ("primitive fcc", 1), (0, 1), (1, 7)]
)
def test_images_agree_with_vesin(kind: str | int, n: int) -> None:
    cell = skewed(kind) if isinstance(kind, int) else SMALL[kind]
    positions = random_positions(n, cell, seed=n)
    expected = reference_vectors(positions, cell, 6.0)
    most = int(np.bincount(expected[:, 0].astype(int), minlength=n).max())
    neighbors = with_images(positions, cell, 6.0, most)
    assert not neighbors.overflow
    found = vectors_of(neighbors, positions, cell)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert with_images(positions, cell, 6.0, most - 8).overflow if most > 8 else True
    images = choose_images(cell, 6.0, n)
    with jax.enable_x64(True):
        arguments = (jnp.asarray(positions), jnp.asarray(cell), 6.0)
        assert most_neighbors(*arguments, orthorhombic=False, images=images) == most


def test_images_agree_with_ase() -> None:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    cell, cutoff = skewed(11), 7.3
    positions = random_positions(3, cell, seed=4)
    i, j, vectors = neighbor_list("ijD", Atoms("Ar3", positions, cell=cell, pbc=True), cutoff)
    neighbors = with_images(positions, cell, cutoff, 400)
    expected = in_order(np.column_stack([i, j, -vectors]))
    np.testing.assert_allclose(vectors_of(neighbors, positions, cell), expected, atol=1e-9)


def test_images_in_a_large_box_are_the_nearest() -> None:
    cell = CELLS["triclinic"]
    positions = random_positions(60, cell, seed=2)
    assert choose_images(cell, 9.0, 60) is None
    explicit = jnp.asarray([[0, 0, 0], *(step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1))]).at[1:].add(-1)
    with jax.enable_x64(True):
        arguments = (jnp.asarray(positions), jnp.asarray(cell), 9.0)
        nearest = build(*arguments, capacity=60, orthorhombic=False)
        images = build(*arguments, capacity=60, orthorhombic=False, images=explicit)
        assert most_neighbors(*arguments, orthorhombic=False) == max(map(len, sets_of(nearest)))
    assert [set(column) for column in np.asarray(neighbor_lists.atoms_of(images)).T] == [
        set(column) for column in np.asarray(nearest.idx).T
    ]
    np.testing.assert_allclose(vectors_of(images, positions, cell), vectors_of(nearest, positions, cell), atol=1e-9)


@pytest.mark.parametrize("kind", ["cubic", "left-handed"])
def test_a_list_of_images_follows_atoms_out_of_the_cell_and_through_wrapping(kind: str) -> None:
    """Within half of the skin the list holds every pair within the cutoff, wherever the atoms are written down."""
    cell, cutoff, skin = SMALL[kind], 5.5, 1.0
    rng = np.random.default_rng(5)
    positions = random_positions(4, cell, seed=1)
    positions[0] = 1e-9  # on a corner, where a step decides in which cell it is
    neighbors = with_images(positions, cell, cutoff + skin, 600)
    steps = rng.normal(size=positions.shape)
    moved = positions + 0.499 * skin * steps / np.linalg.norm(steps, axis=1)[:, None]
    expected = reference_vectors(moved, cell, cutoff)
    wrapped = (moved @ np.linalg.inv(cell)) % 1.0 @ cell
    for written in (moved, wrapped, moved + rng.integers(-3, 4, (4, 3)) @ cell):
        found = vectors_of(neighbors, written, cell)
        near = np.linalg.norm(found[:, 2:], axis=1) < cutoff
        np.testing.assert_allclose(in_order(found[near]), expected, atol=1e-8)


def test_displacements_to_images_move_with_positions_and_cell() -> None:
    """The derivative of a sum over displacements along a strain is that of the strained box, listed anew."""
    cell = skewed(3)
    positions = random_positions(3, cell, seed=1)
    with jax.enable_x64(True):
        neighbors = with_images(positions, cell, 6.0, 300)
        shear = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))

        def energy(amount: jax.Array) -> jax.Array:
            strain = jnp.eye(3) + amount * shear
            x, y, z = neighbor_lists.displacements(positions @ strain, neighbors, cell @ strain, False)
            return jnp.sum(jnp.exp(-(x * x + y * y + z * z) / 4))  # places not used add a constant

        slope = jax.jit(jax.grad(energy))(0.0)
        step, compiled = 1e-4, jax.jit(energy)
        numbers = [compiled(jnp.asarray(sign * step)) for sign in (1, -1)]
        np.testing.assert_allclose(slope, (numbers[0] - numbers[1]) / (2 * step), rtol=1e-6)


def test_images_that_are_too_many_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"reaches more than 500000 periodic images of 100 atoms: the cell is only 0\.5"
    ):
        choose_images(np.diag([0.5, 0.5, 0.5]), 8.0, 100)
    with pytest.raises(ValueError, match="without a grid"):
        build(
            jnp.zeros((2, 3)),
            jnp.eye(3),
            1.0,
            capacity=8,
            orthorhombic=True,
            grid=Grid((4, 4, 4), 8),
            images=np.zeros((1, 3), int),
        )


def test_images_along_periodic_vectors_only() -> None:
    images = choose_images(np.diag([4.0, 4.0, 40.0]), 6.0, 5, (True, True, False))
    assert images is not None
    assert (images[0] == 0).all()
    assert sorted(map(tuple, images.tolist())) == [(a, b, 0) for a in range(-2, 3) for b in range(-2, 3)]
