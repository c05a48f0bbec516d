"""Forces, energies and virials against direct sums, finite differences and jax-md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import neighbors as neighbor_lists
from kernels import pair
from kernels.cell import is_orthorhombic, perpendicular_heights
from kernels.neighbors import NeighborList
from kernels.pair import InconsistentTable, PairTable, pair_table, table_radii
from tests.kernels.boxes import CELLS, random_positions

EPSILON, SIGMA = 0.010324, 3.405
R_MIN, R_CUT = 2.0, 8.0
# compiled, as they are used; one by one, the operations in them take seconds to compile
build = jax.jit(neighbor_lists.build, static_argnames=("capacity", "orthorhombic", "grid"))
pair_forces = jax.jit(pair.pair_forces, static_argnames=("n_per_species", "orthorhombic"))
pair_observables = jax.jit(pair.pair_observables, static_argnames=("n_per_species", "orthorhombic"))
pair_virial_tensor = jax.jit(pair.pair_virial_tensor, static_argnames=("n_per_species", "orthorhombic"))

Function = Callable[[np.ndarray], np.ndarray]


def lennard_jones(scale: float = 1.0) -> tuple[Function, Function]:
    """u(r) and u'(r), zero at R_CUT."""

    def bare(r: np.ndarray) -> np.ndarray:
        s6 = (scale * SIGMA / r) ** 6
        return 4 * EPSILON * (s6 * s6 - s6)

    def slope(r: np.ndarray) -> np.ndarray:
        s6 = (scale * SIGMA / r) ** 6
        return -24 * EPSILON * (2 * s6 * s6 - s6) / r

    return lambda r: bare(r) - bare(np.array(R_CUT)), slope


def tabulated(scales: list[float], size: int = 4096, dtype: type = np.float64) -> PairTable:
    r = table_radii(R_MIN, R_CUT, size)
    functions = [lennard_jones(scale) for scale in scales]
    return pair_table(
        np.array([u(r) for u, _ in functions]), np.array([d(r) for _, d in functions]), R_MIN, R_CUT, dtype
    )


def spread_positions(n: int, cell: np.ndarray, seed: int = 0, nearest: float = 2.6) -> np.ndarray:
    """Random positions no two of which are nearer than `nearest`, wrapped or not."""
    inverse, placed = np.linalg.inv(cell), np.empty((0, 3))
    rng = np.random.default_rng(seed)
    while len(placed) < n:
        trial = rng.random(3) @ cell
        apart = (trial - placed) @ inverse
        if len(placed) == 0 or np.linalg.norm((apart - np.round(apart)) @ cell, axis=1).min() > nearest:
            placed = np.vstack([placed, trial])
    return placed + rng.integers(-1, 2, (n, 3)) @ cell


def listed(positions: jax.Array, cell: np.ndarray, capacity: int = 200) -> NeighborList:
    device = jnp.asarray(cell, positions.dtype)
    return build(positions, device, R_CUT + 1.0, capacity=capacity, orthorhombic=is_orthorhombic(cell))


def direct_sum(
    positions: np.ndarray, cell: np.ndarray, counts: tuple[int, ...], scales: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forces (N, 3), energies (N,), virials (N,) by a float64 double loop over i < j, minimum image by fractions."""
    inverse = np.linalg.inv(cell)
    kinds = np.repeat(np.arange(len(counts)), counts)
    rows = {}
    for a in range(len(counts)):
        for b in range(a, len(counts)):
            rows[a, b] = len(rows)
    forces, energy, virial = np.zeros((len(positions), 3)), np.zeros(len(positions)), np.zeros(len(positions))
    for i in range(len(positions)):
        for j in range(i + 1, len(positions)):
            apart = (positions[i] - positions[j]) @ inverse
            d = (apart - np.round(apart)) @ cell
            r = np.linalg.norm(d)
            if r >= R_CUT:
                continue
            u, slope = lennard_jones(scales[rows[kinds[i], kinds[j]]])
            pull = -slope(r) / r * d
            forces[i] += pull
            forces[j] -= pull
            energy[[i, j]] += u(r) / 2
            virial[[i, j]] += pull @ d / 2
    return forces, energy, virial


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("counts", "scales"), [((120,), [1.0]), ((50, 70), [1.0, 0.8, 0.9]), ((40, 30, 50), [1, 0.9, 0.8, 0.85, 0.95, 0.7])]
)
def test_against_a_direct_sum(kind: str, counts: tuple[int, ...], scales: list[float], precision: type) -> None:
    cell = CELLS[kind]
    positions = spread_positions(sum(counts), cell)
    expected = direct_sum(positions, cell, counts, scales)
    with jax.enable_x64(precision is np.float64):
        device = jnp.asarray(positions, precision)
        table, box = tabulated(scales, dtype=precision), jnp.asarray(cell, precision)
        arguments = device, listed(device, cell), table, box, counts, is_orthorhombic(cell)
        forces = pair_forces(*arguments)
        energy, virial = pair_observables(*arguments)
    assert forces.dtype == energy.dtype == virial.dtype == precision
    # the interpolation's own error is 1e-4 of the steepest force; float32 positions add 1e-5
    size = np.abs(expected[0]).max()
    np.testing.assert_allclose(forces, expected[0], atol=2e-4 * size)
    np.testing.assert_allclose(energy, expected[1], atol=2e-4 * np.abs(expected[1]).max())
    np.testing.assert_allclose(virial, expected[2], atol=2e-4 * np.abs(expected[2]).max())


def test_error_of_the_table_falls_with_the_square_of_its_spacing() -> None:
    u, slope = lennard_jones()
    r = np.linspace(2.3, 7.9, 400)
    errors = []
    with jax.enable_x64(True):
        for size in (512, 1024, 2048):
            force, energy = dimer(r, tabulated([1.0], size))
            errors.append((np.abs(force / -slope(r) - 1)[r < 3.5].max(), np.abs(energy - u(r)).max()))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert (ratios > 3).all()
    assert (ratios < 5).all()


def dimer(r: np.ndarray, table: PairTable) -> tuple[np.ndarray, np.ndarray]:
    """Force on the second atom along the bond (positive: apart) and energy of two atoms at each distance."""
    force, energy = _dimer(jnp.asarray(r), table)
    return np.asarray(force), np.asarray(energy)


@jax.jit
def _dimer(r: jax.Array, table: PairTable) -> tuple[jax.Array, jax.Array]:
    cell = jnp.diag(jnp.array([40.0, 40.0, 40.0]))

    def one(distance: jax.Array) -> tuple[jax.Array, jax.Array]:
        positions = jnp.zeros((2, 3)).at[1, 0].set(distance)
        neighbors = build(positions, cell, 9.0, capacity=8, orthorhombic=True)
        force = pair_forces(positions, neighbors, table, cell, (2,), True)
        return force[1, 0], pair_observables(positions, neighbors, table, cell, (2,), True)[0].sum()

    return jax.vmap(one)(r)


def test_lennard_jones_table_is_as_good_as_its_docstring_says() -> None:
    r = table_radii(1.8, 8.5, 4096)
    s6 = (SIGMA / r) ** 6
    energy, slope = 4 * EPSILON * (s6**2 - s6), -24 * EPSILON * (2 * s6**2 - s6) / r
    with jax.enable_x64(True):
        table = pair_table(energy[None], slope[None], 1.8, 8.5, np.float64)
        between = np.linspace(2.795, 2.805, 50)
        s6 = (SIGMA / between) ** 6
        exact = 24 * EPSILON * (2 * s6**2 - s6) / between
        assert np.abs(dimer(between, table)[0] / exact - 1).max() < 4e-5


@pytest.mark.parametrize("size", [64, 4096])
@pytest.mark.parametrize("r", [0.3, 1.2, R_MIN, 2.01, 3.3, 6.0, 7.99])
def test_force_is_minus_the_derivative_of_the_energy_for_any_table(size: int, r: float) -> None:
    r_table = table_radii(R_MIN, R_CUT, size)
    energy, slope = np.exp(-r_table) - np.exp(-R_CUT), -np.exp(-r_table)
    with jax.enable_x64(True):
        table = pair_table(energy[None], slope[None], R_MIN, R_CUT, np.float64)
        step = 1e-5
        _, around = dimer(np.array([r - step, r + step]), table)
        force, _ = dimer(np.array([r]), table)
    assert force[0] == pytest.approx(-(around[1] - around[0]) / (2 * step), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("kind", CELLS)
def test_forces_are_minus_the_gradient_of_the_total_energy(kind: str) -> None:
    cell, counts = CELLS[kind], (40, 60)
    with jax.enable_x64(True):
        positions = jnp.asarray(spread_positions(100, cell, seed=4))
        neighbors, table, box = listed(positions, cell), tabulated([1.0, 0.8, 0.9], 512), jnp.asarray(cell)

        def total(moved: jax.Array) -> jax.Array:
            return pair_observables(moved, neighbors, table, box, counts, is_orthorhombic(cell))[0].sum()

        forces = pair_forces(positions, neighbors, table, box, counts, is_orthorhombic(cell))
        np.testing.assert_allclose(forces, -jax.grad(total)(positions), atol=1e-9)
        direction = np.random.default_rng(0).normal(size=(100, 3))
        step = 1e-5
        slope = (total(positions + step * direction) - total(positions - step * direction)) / (2 * step)
        assert float(slope) == pytest.approx(-float((forces * direction).sum()), rel=1e-6)


def test_virial_is_the_derivative_with_respect_to_volume() -> None:
    cell = CELLS["triclinic"]
    with jax.enable_x64(True):
        positions = spread_positions(80, cell, seed=6)
        neighbors, table = listed(jnp.asarray(positions), cell), tabulated([1.0], 512)

        def total(stretch: float) -> float:
            moved, box = jnp.asarray(positions * stretch), jnp.asarray(cell * stretch)
            return float(pair_observables(moved, neighbors, table, box, (80,), False)[0].sum())

        _, virial = pair_observables(jnp.asarray(positions), neighbors, table, jnp.asarray(cell), (80,), False)
        step = 1e-6
        # W = -dU/d(ln stretch)
        expected = -(total(1 + step) - total(1 - step)) / (2 * step)
        # pairs that cross the cutoff jump in force but not in energy, so the derivative exists
        assert float(virial.sum()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_the_virial_tensor_is_the_derivative_with_respect_to_strain(kind: str) -> None:
    """Of two species; by strains of shape, whose energies are those of the strained box (central differences)."""
    cell, counts = CELLS[kind], (40, 60)
    with jax.enable_x64(True):
        positions = spread_positions(100, cell, seed=4)
        neighbors, table = listed(jnp.asarray(positions), cell), tabulated([1.0, 0.8, 0.9], 512)

        def total(strain: np.ndarray) -> float:
            moved, box = jnp.asarray(positions @ strain), jnp.asarray(cell @ strain)
            return float(pair_observables(moved, neighbors, table, box, counts, False)[0].sum())

        arguments = (jnp.asarray(positions), neighbors, table, jnp.asarray(cell), counts, is_orthorhombic(cell))
        tensor = np.asarray(pair_virial_tensor(*arguments))
        for a, b in ((0, 0), (0, 1), (1, 2), (2, 0), (2, 2)):
            step = np.zeros((3, 3))
            step[a, b] = 1e-6
            expected = -(total(np.eye(3) + step) - total(np.eye(3) - step)) / 2e-6
            assert tensor[a, b] == pytest.approx(expected, abs=1e-5 * np.abs(tensor).max())
        np.testing.assert_array_equal(tensor, tensor.T)
        assert np.trace(tensor) == pytest.approx(float(pair_observables(*arguments)[1].sum()), rel=1e-12)


def test_newtons_third_law_and_translation() -> None:
    cell = CELLS["triclinic"]
    positions = jnp.asarray(spread_positions(100, cell), jnp.float32)
    table, box = tabulated([1.0], dtype=np.float32), jnp.asarray(cell, jnp.float32)
    forces = pair_forces(positions, listed(positions, cell), table, box, (100,), False)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-5 * float(jnp.abs(forces).max()) * 10)
    moved = positions + jnp.array([5.0, -7.0, 30.0])
    again = pair_forces(moved, listed(moved, cell), table, box, (100,), False)
    np.testing.assert_allclose(forces, again, atol=1e-4 * float(jnp.abs(forces).max()))


def test_agrees_with_jax_md() -> None:
    from jax_md import energy, space

    side, n = 22.0, 120
    with jax.enable_x64(True):
        positions = jnp.asarray(spread_positions(n, np.diag([side] * 3), seed=2) % side)
        r = table_radii(R_MIN, R_CUT, 8192)
        s6 = (SIGMA / r) ** 6
        bare, slope = 4 * EPSILON * (s6**2 - s6), -24 * EPSILON * (2 * s6**2 - s6) / r
        onset = 7.0 / SIGMA
        # jax-md's switching function between r_onset and r_cutoff, from its documentation
        inner, outer = (onset * SIGMA) ** 2, R_CUT**2
        s = (outer - r**2) ** 2 * (outer + 2 * r**2 - 3 * inner) / (outer - inner) ** 3
        ds = 12 * r * (outer - r**2) * (inner - r**2) / (outer - inner) ** 3
        s, ds = np.where(r**2 < inner, 1.0, s), np.where(r**2 < inner, 0.0, ds)
        table = pair_table((bare * s)[None], (slope * s + bare * ds)[None], R_MIN, R_CUT, np.float64)
        displacement, _ = space.periodic(side)
        theirs = energy.lennard_jones_pair(displacement, None, SIGMA, EPSILON, onset, R_CUT / SIGMA)
        box = jnp.diag(jnp.array([side] * 3))
        arguments = positions, listed(positions, np.diag([side] * 3)), table, box, (n,), True
        ours, _ = pair_observables(*arguments)
        assert float(ours.sum()) == pytest.approx(float(theirs(positions)), rel=1e-5)
        expected = -jax.grad(theirs)(positions)
        np.testing.assert_allclose(pair_forces(*arguments), expected, atol=1e-4 * float(jnp.abs(expected).max()))


def test_below_r_min_the_force_stays_finite_and_repulsive() -> None:
    r = np.linspace(0.0, R_MIN, 50)
    force, energy = dimer(r, tabulated([1.0], dtype=np.float32))
    assert np.isfinite(force).all()
    assert np.isfinite(energy).all()
    assert (force[1:] > 0).all()
    assert (np.diff(energy[1:]) < 0).all()


def test_a_core_that_would_soften_stays_constant_below_r_min() -> None:
    r = table_radii(R_MIN, R_CUT, 256)
    energy = (R_CUT**2 - r**2) ** 2  # g = 4 (r_cut^2 - r^2): rises inwards
    hollow = np.where(r < 3, r**2 * (r**2 - 18) - 9 * (9 - 18), 0.0)  # g = -4 (r^2 - 9): falls inwards faster below
    slope = -4 * r * (R_CUT**2 - r**2) + np.where(r < 3, 4 * r * (r**2 - 9), 0.0) * -20
    table = pair_table((energy - 20 * hollow)[None], slope[None], R_MIN, R_CUT)
    force, _ = dimer(np.array([0.5, 1.0, 1.5]), table)
    g = force / np.array([0.5, 1.0, 1.5])
    np.testing.assert_allclose(g, g[0], rtol=1e-5)


def test_two_atoms_at_one_point_and_empty_places_are_finite() -> None:
    positions = jnp.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    box, table = jnp.diag(jnp.array([30.0] * 3)), tabulated([1.0], dtype=np.float32)
    neighbors = build(positions, box, 9.0, capacity=16, orthorhombic=True)
    forces = pair_forces(positions, neighbors, table, box, (3,), True)
    energy, virial = pair_observables(positions, neighbors, table, box, (3,), True)
    np.testing.assert_array_equal(forces, 0)
    assert np.isfinite(energy).all()
    assert energy[0] > 1e3 * EPSILON  # the pair is counted, the empty places are not
    assert energy[2] == 0
    np.testing.assert_array_equal(virial, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_position_that_is_not_a_number_shows(bad: float) -> None:
    positions = jnp.asarray(spread_positions(50, CELLS["orthorhombic"]), jnp.float32)
    box, table = jnp.asarray(CELLS["orthorhombic"], jnp.float32), tabulated([1.0], dtype=np.float32)
    neighbors = listed(positions, CELLS["orthorhombic"])
    broken = positions.at[3, 1].set(bad)
    forces = pair_forces(broken, neighbors, table, box, (50,), True)
    energy, virial = pair_observables(broken, neighbors, table, box, (50,), True)
    touched = (neighbors.idx == 3).any(axis=0)
    assert jnp.isnan(forces[touched]).all(axis=1).all()
    assert jnp.isnan(virial[touched]).all()
    assert not jnp.isfinite(energy.sum())
    assert jnp.isfinite(forces[~touched]).all()


def test_a_longer_list_changes_nothing() -> None:
    cell = CELLS["orthorhombic"]
    positions = jnp.asarray(spread_positions(100, cell), jnp.float32)
    box, table = jnp.asarray(cell, jnp.float32), tabulated([1.0], dtype=np.float32)
    tight = build(positions, box, R_CUT, capacity=72, orthorhombic=True)
    loose = build(positions, box, 10.0, capacity=99, orthorhombic=True)
    assert not tight.overflow
    assert float(perpendicular_heights(cell).min()) / 2 > 10.0
    ours = [pair_forces(positions, neighbors, table, box, (100,), True) for neighbors in (tight, loose)]
    np.testing.assert_allclose(*ours, atol=1e-5 * float(jnp.abs(ours[0]).max()))


def test_vmap_over_replicas_and_no_compilation_for_a_new_table() -> None:
    cell, counts = CELLS["triclinic"], (30, 50)
    batch = jnp.asarray([spread_positions(80, cell, seed) for seed in range(3)], jnp.float32)
    box = jnp.asarray(cell, jnp.float32)
    neighbors = jax.vmap(lambda positions: listed(positions, cell))(batch)
    compiled = []

    @jax.jit
    def together(table: PairTable) -> jax.Array:
        compiled.append(1)
        return jax.vmap(lambda r, n: pair_forces(r, n, table, box, counts, False))(batch, neighbors)

    for scales in ([1.0, 0.8, 0.9], [0.9, 1.0, 0.7]):
        table = tabulated(scales, dtype=np.float32)
        found = together(table)
        for k in range(3):
            one = jax.tree.map(lambda leaf, k=k: leaf[k], neighbors)
            expected = pair_forces(batch[k], one, table, box, counts, False)
            np.testing.assert_allclose(found[k], expected, atol=1e-5 * float(jnp.abs(expected).max()))
    assert len(compiled) == 1


def test_radii_are_even_in_the_square() -> None:
    r = table_radii(1.0, 7.0, 13)
    assert r.dtype == np.float64
    np.testing.assert_allclose(np.diff(r**2), 4.0)
    assert (r[0], r[-1]) == (1.0, 7.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u, d: (u, 2 * d), "belong together"),
        (lambda u, d: (u, -d), "belong together"),
        (lambda u, d: (u[0], d[0]), r"must both be \(pairs, size\)"),
        (lambda u, d: (u, d[:, 1:]), r"must both be \(pairs, size\)"),
        (lambda u, d: (u * np.nan, d), "not finite"),
        (lambda u, d: (1e40 * u, 1e40 * d), "too large for float32"),
    ],
)
def test_bad_tables_are_refused(change: Callable[..., tuple[np.ndarray, np.ndarray]], message: str) -> None:
    r = table_radii(R_MIN, R_CUT, 512)
    u, slope = lennard_jones()
    with pytest.raises(ValueError, match=message):
        pair_table(*change(u(r)[None], slope(r)[None]), R_MIN, R_CUT)


def test_a_table_that_contradicts_itself_is_told_by_its_pair() -> None:
    r = table_radii(R_MIN, R_CUT, 512)
    u, slope = lennard_jones()
    with pytest.raises(InconsistentTable, match=r"pair 1: at r = .* belong together") as caught:
        pair_table(np.tile(u(r), (3, 1)), np.array([[1.0], [2.0], [1.0]]) * slope(r), R_MIN, R_CUT)
    assert caught.value.pair == 1
    assert caught.value.words.startswith("at r = ")


@pytest.mark.parametrize(("r_min", "r_cut", "size"), [(0.0, 5.0, 10), (5.0, 5.0, 10), (1.0, 5.0, 2)])
def test_bad_ranges_are_refused(r_min: float, r_cut: float, size: int) -> None:
    with pytest.raises(ValueError, match="a table needs"):
        table_radii(r_min, r_cut, size)


def test_arguments_that_do_not_belong_together_are_named() -> None:
    cell = CELLS["orthorhombic"]
    positions = jnp.asarray(random_positions(20, cell), jnp.float32)
    box, table, neighbors = jnp.asarray(cell, jnp.float32), tabulated([1.0], dtype=np.float32), listed(positions, cell)
    with pytest.raises(ValueError, match="does not add up to the 20 atoms"):
        pair_forces(positions, neighbors, table, box, (10,), True)
    with pytest.raises(ValueError, match="2 species need 3 pair functions; got 1"):
        pair_forces(positions, neighbors, table, box, (10, 10), True)
    with pytest.raises(ValueError, match="built for 20 atoms, not for 10"):
        pair_forces(positions[:10], neighbors, table, box, (10,), True)


def test_a_cell_smaller_than_the_cutoff_is_its_supercell() -> None:
    """Explicit images of a few atoms give what the minimum image gives for 4 x 4 x 4 copies of them."""
    cell = np.array([[5.0, 0.0, 0.0], [1.0, 4.8, 0.0], [-1.5, 0.7, 5.2]])
    small = np.array([[0.1, 0.2, 0.3], [2.9, 2.6, 2.4], [7.4, -2.2, 5.1]])
    steps = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    # atom by atom, so that the copies stay sorted by species
    large = (small[:, None] + steps @ cell).reshape(-1, 3)
    table = tabulated([1.0, 0.9, 0.8])
    results = []
    for positions, box, copies in ((small, cell, 1), (large, 4 * cell, 64)):
        with jax.enable_x64(True):
            r, device = jnp.asarray(positions), jnp.asarray(box)
            images = neighbor_lists.choose_images(box, R_CUT, len(r))
            assert (images is None) == (copies == 64)
            neighbors = build(r, device, R_CUT, capacity=80, orthorhombic=False, images=images)
            assert not neighbors.overflow
            arguments = (r, neighbors, table, device, (2 * copies, copies), False)
            results.append([np.asarray(x) for x in (pair_forces(*arguments), *pair_observables(*arguments))])
    for few, many in zip(*results, strict=True):
        assert np.abs(few).max() > 1e-3
        np.testing.assert_allclose(many, np.repeat(few, 64, axis=0), rtol=1e-9, atol=1e-12)


def test_a_sum_that_cancels_is_judged_by_its_terms() -> None:
    """Steep dispersion under a hill of the same size, in nodes that give the energy of either to a part in 200."""
    r = table_radii(0.4985, 8.0, 4096)
    steep, hill = -0.3 / r**8, 0.3 / 0.5**8 * (8.0 - r) / 7.5
    energy, derivative = (steep + hill)[None], (2.4 / r**9 - 0.3 / 0.5**8 / 7.5)[None]
    with pytest.raises(InconsistentTable):
        pair_table(energy, derivative, r[0], 8.0)
    sizes = (np.abs(steep) + np.abs(hill))[None]
    pair_table(energy, derivative, r[0], 8.0, scale=sizes)
    with pytest.raises(InconsistentTable):
        pair_table(energy, 1.1 * derivative, r[0], 8.0, scale=sizes)
