"""Lennard-Jones on the absolute scale and its parameters from a study file."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.classical import LennardJones, base_potential

PAIRS = (("Ar", "Ar"),)
MIX = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))


def test_minimum_depth_and_place():
    lj = LennardJones.from_parameters(("Ar",), PAIRS, {"epsilon": 0.010324, "sigma": 3.405}, 8.5)
    r = 2 ** (1 / 6) * 3.405
    assert lj.energy([r])[0, 0] == pytest.approx(-0.010324, rel=1e-12)
    assert lj.derivative([r])[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert lj.energy([3.405])[0, 0] == pytest.approx(0.0, abs=1e-14)


def test_derivative_and_smooth_end():
    lj = LennardJones.from_parameters(("Ar",), PAIRS, {"epsilon": 0.010324, "sigma": 3.405}, 8.5)
    r, step = np.linspace(2.5, 9.0, 400), 1e-5
    slope = (lj.energy(r + step) - lj.energy(r - step)) / (2 * step)
    np.testing.assert_allclose(lj.derivative(r), slope, rtol=1e-6, atol=1e-9)
    assert np.all(lj.energy([8.5, 9.0]) == 0.0)
    assert np.all(lj.derivative([8.5, 9.0]) == 0.0)


def test_lorentz_berthelot_and_explicit_pairs():
    parameters = {"epsilon": {"Ar": 0.01, "Kr": 0.04}, "sigma": {"Ar": 3.4, "Kr": 3.6, "Kr-Ar": 3.45}}
    lj = LennardJones.from_parameters(("Ar", "Kr"), MIX, parameters, 8.5)
    np.testing.assert_allclose(lj.epsilon, [0.01, 0.02, 0.04])
    np.testing.assert_allclose(lj.sigma, [3.4, 3.45, 3.6])


@pytest.mark.parametrize(
    "parameters",
    [{}, {"epsilon": 1.0}, {"epsilon": 1.0, "sigma": -1.0}, {"epsilon": {"Ar": 1.0}, "sigma": 3.0}, {"eps": 1.0}],
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(InputError):
        LennardJones.from_parameters(("Ar", "Kr"), MIX, parameters, 8.5)


def test_unknown_base():
    with pytest.raises(InputError, match="lennard-jones"):
        base_potential("lennard-jone", ("Ar",), PAIRS, {}, 8.5)
