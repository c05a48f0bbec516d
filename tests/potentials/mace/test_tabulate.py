"""Tables of smooth functions to their tolerance, with the fewest intervals, and the refusal of others."""

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.mace.radial import look_up
from refine.errors import InputError
from refine.potentials.mace.tabulate import START, TOLERANCE, sampling_points, tabulate

R_MAX = 5.0


def _waves(r: np.ndarray, numbers: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    k = np.array(numbers)
    return np.sin(k * r[:, None])[None], (k * np.cos(k * r[:, None]))[None]


@pytest.mark.parametrize("numbers", [(1.0,), (3.0, 5.0), (0.5, 25.0)])
def test_error_between_the_nodes(numbers: tuple[float, ...]) -> None:
    import jax

    table = tabulate(*_waves(sampling_points(R_MAX), numbers), R_MAX)
    assert not table.coefficients[:, -1].any()
    r = np.random.default_rng(0).uniform(START, R_MAX, 2000)
    with jax.enable_x64(True):
        found = look_up(jax.tree.map(jnp.asarray, table), jnp.asarray(r), jnp.asarray(0), 512)
    np.testing.assert_allclose(found, _waves(r, numbers)[0][0], atol=1.2 * TOLERANCE)


def test_faster_functions_take_more_intervals() -> None:
    sizes = [tabulate(*_waves(sampling_points(R_MAX), (k,)), R_MAX).coefficients.shape[1] for k in (1.0, 20.0)]
    assert sizes[0] < sizes[1]


def test_a_function_that_is_too_fast() -> None:
    with pytest.raises(InputError, match="float64"):
        tabulate(*_waves(sampling_points(R_MAX), (3000.0,)), R_MAX)
