"""Spherical harmonics against scipy, their normalisation and the first few by hand."""

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from kernels.mace.spherical_harmonics import spherical_harmonics

L_MAX = 6


@pytest.fixture
def directions() -> np.ndarray:
    v = np.random.default_rng(3).normal(size=(40, 3))
    v[:3] = np.eye(3)  # the poles of the recursion are among them
    return v / np.linalg.norm(v, axis=1, keepdims=True)


@pytest.fixture
def values(directions: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(spherical_harmonics(jnp.asarray(directions), L_MAX))


def test_scipy(directions: np.ndarray, values: np.ndarray) -> None:
    """Real combinations of scipy's complex ones: polar axis y, azimuth from z to x, times sqrt(4 pi)."""
    x, y, z = directions.T
    theta, phi = np.arccos(np.clip(y, -1, 1)), np.arctan2(x, z)
    for l in range(L_MAX + 1):
        for m in range(-l, l + 1):
            c = sph_harm_y(l, abs(m), theta, phi) * np.sqrt(4 * np.pi)
            expected = c.real if m == 0 else (-1) ** m * np.sqrt(2) * (c.imag if m < 0 else c.real)
            np.testing.assert_allclose(values[:, l * l + l + m], expected, atol=1e-13)


def test_e3nn(directions: np.ndarray, values: np.ndarray) -> None:
    with jax.enable_x64(True):
        irreps = e3nn_jax.Irreps.spherical_harmonics(3)
        theirs = e3nn_jax.spherical_harmonics(irreps, jnp.asarray(directions), True, "component").array
    np.testing.assert_allclose(values[:, :16], theirs, atol=1e-13)


def test_component_normalisation(values: np.ndarray) -> None:
    for l in range(L_MAX + 1):
        np.testing.assert_allclose((values[:, l * l : (l + 1) ** 2] ** 2).sum(axis=1), 2 * l + 1, rtol=1e-13)


def test_first_degree_is_the_direction(directions: np.ndarray, values: np.ndarray) -> None:
    np.testing.assert_allclose(values[:, 1:4], np.sqrt(3) * directions, rtol=1e-14, atol=1e-16)


def test_derivatives_are_finite_at_the_poles(directions: np.ndarray) -> None:
    slopes = jax.vmap(jax.jacfwd(lambda v: spherical_harmonics(v, L_MAX)))(jnp.asarray(directions))
    assert np.isfinite(slopes).all()
