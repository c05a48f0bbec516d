"""Offsets of the weights where hills are narrow beside the ground that a trajectory covers."""

import numpy as np
import pytest
from scipy.integrate import quad

from refine.errors import InputError
from refine.sampling.bias import Bias, Hills, Variable


def hills(centres: np.ndarray, width: float, heights: np.ndarray) -> Hills:
    variables = tuple(Variable(str(k), np.zeros((1, 1, 1)), np.zeros(1), None, width) for k in range(centres.shape[1]))
    return Hills(centres, heights, Bias(variables, 1.0, 10.0, 5.0))


@pytest.mark.parametrize("far", [5.0, 1e4])
def test_c_of_t_is_that_of_the_integrals(far: float) -> None:
    """One hill of 8 kT between the ends of a trajectory, which cover 1e4 widths of it, or five; against quadrature."""
    made = hills(np.array([[0.0], [0.37 * far], [far]]), 1.0, np.array([8.0, 1e-9, 1e-9]))
    low, high = -3.0 - 0.37 * far, 3.0 + 0.63 * far  # about the hill

    def integral(exponent: float) -> float:
        found = quad(lambda s: np.expm1(exponent * np.exp(-0.5 * s**2)), max(low, -9.0), min(high, 9.0), epsabs=1e-12)
        return float(found[0]) + high - low

    factor = 5.0
    exact = np.log(integral(factor * 8.0 / (factor - 1.0)) / integral(8.0 / (factor - 1.0)))
    assert made.offsets()[-1] == pytest.approx(exact, rel=1e-3)


def test_hills_too_narrow_for_where_the_atoms_went_are_refused() -> None:
    made = hills(np.array([[0.0, 0.0], [1e4, 1e4]]), 1.0, np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="narrow"):
        made.offsets()
