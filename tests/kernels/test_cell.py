"""Minimum image and wrapping against explicit sums over images."""

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.cell import inverse_cell, is_orthorhombic, minimum_image, perpendicular_heights, split, wrap
from tests.kernels.boxes import CELLS, all_images, random_positions


def test_perpendicular_heights() -> None:
    assert perpendicular_heights(np.diag([3.0, 4.0, 5.0])) == pytest.approx([3.0, 4.0, 5.0])
    sheared = np.array([[10.0, 0, 0], [10.0, 10.0, 0], [0, 0, 7.0]])
    assert perpendicular_heights(sheared) == pytest.approx([10 / np.sqrt(2), 10.0, 7.0])


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(2)], ids=["flat", "nan", "2x2"])
def test_bad_cell_is_refused(cell: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cell"):
        perpendicular_heights(cell)


def test_only_a_diagonal_matrix_is_orthorhombic() -> None:
    assert is_orthorhombic(CELLS["orthorhombic"])
    assert not is_orthorhombic(CELLS["triclinic"])
    assert not is_orthorhombic(CELLS["orthorhombic"][[1, 0, 2]])


@pytest.mark.parametrize("kind", CELLS)
def test_minimum_image_is_the_shortest_up_to_half_the_height(kind: str) -> None:
    cell = CELLS[kind]
    positions = random_positions(60, cell)
    apart = jnp.asarray(positions[:, None] - positions[None])
    image = minimum_image(*split(apart), jnp.asarray(cell), is_orthorhombic(cell))
    found = np.sqrt(sum(np.asarray(component, np.float64) ** 2 for component in image))
    expected = all_images(positions, cell)
    near = expected < perpendicular_heights(cell).min() / 2
    assert near.sum() > 500
    np.testing.assert_allclose(found[near], expected[near], atol=2e-4)
    assert (found[~near] >= perpendicular_heights(cell).min() / 2 - 2e-4).all()


@pytest.mark.parametrize("kind", CELLS)
def test_wrap_moves_by_whole_lattice_vectors_into_the_cell(kind: str) -> None:
    cell = CELLS[kind]
    positions = random_positions(100, cell)
    wrapped = wrap(positions, cell)
    fractional = wrapped @ np.linalg.inv(cell)
    assert fractional.min() > -1e-12
    assert fractional.max() < 1 + 1e-12
    moved = (positions - wrapped) @ np.linalg.inv(cell)
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_inverse_cell(kind: str) -> None:
    found = inverse_cell(jnp.asarray(CELLS[kind], jnp.float32))
    np.testing.assert_allclose(found, np.linalg.inv(CELLS[kind]), atol=1e-7)
