"""Radial functions against their formulas in numpy, their limits, and tables against what was tabulated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.mace import radial


@pytest.fixture(autouse=True)
def _double() -> object:
    with jax.enable_x64(True):
        yield


def test_hidden_layers_with_layer_norms() -> None:
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=(4, 3)), rng.normal(size=(4, 5))
    first, second, shift, norms = (rng.normal(size=s) for s in ((3, 5), (5, 6), (6,), (2, 2, 6)))
    network = radial.Perceptron(None, [first, second], [shift], [norms[0][:, :5], norms[1]])
    expected = x
    for matrix, added, (slope, base) in zip((first, second), (bias, shift), network.norms, strict=True):
        y = expected @ matrix + added
        y = (y - y.mean(axis=1, keepdims=True)) / np.sqrt(y.var(axis=1, keepdims=True) + 1e-3) * slope + base
        expected = y / (1 + np.exp(-y))
    found = radial.normalised_hidden(jnp.asarray(x), jnp.asarray(bias), network, 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("power", [2.0, 5.0, 6.0, 5.5])
def test_envelope_falls_from_one_to_zero_with_two_derivatives(power: float) -> None:
    cutoff = 4.0

    def value(r: jax.Array) -> jax.Array:
        return radial.envelope(r, cutoff, power)

    assert value(jnp.asarray(0.0)) == 1.0
    assert value(jnp.asarray(4.0)) == 0.0
    assert value(jnp.asarray(9.0)) == 0.0
    near = jnp.asarray(cutoff - 1e-6)
    assert abs(jax.grad(value)(near)) < 1e-8
    assert abs(jax.grad(jax.grad(value))(near)) < 1e-4
    r, u = 3.1, 3.1 / 4.0
    p = power
    expected = 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)
    np.testing.assert_allclose(value(jnp.asarray(r)), expected, rtol=1e-12)


def test_bessel() -> None:
    r, k = np.array([0.7, 2.0, 5.9]), np.pi / 6 * np.arange(1, 9)
    found = radial.bessel(jnp.asarray(r), jnp.asarray(k), np.sqrt(2 / 6))
    np.testing.assert_allclose(found, np.sqrt(2 / 6) * np.sin(k * r[:, None]) / r[:, None], rtol=1e-13)


def test_agnesi_at_contact() -> None:
    """u = 1: 1 / (1 + a/2)."""
    np.testing.assert_allclose(radial.agnesi(jnp.asarray(1.4), 1.4, 1.0805, 4.5791, 0.9183), 1 / (1 + 1.0805 / 2))


def test_agnesi_near_and_far() -> None:
    a, p, q = 1.0805, 4.5791, 0.9183
    near, far = jnp.asarray(0.02), jnp.asarray(500.0)
    np.testing.assert_allclose(1 - radial.agnesi(near, 1.0, a, p, q), a * near**p, rtol=1e-5)
    np.testing.assert_allclose(radial.agnesi(far, 1.0, a, p, q), 1 / (1 + a * far**q), rtol=1e-8)


def test_zbl_is_a_screened_coulomb_energy() -> None:
    c = (0.1818, 0.5099, 0.2802, 0.02817)
    r, length = 0.9, 0.12
    phi = sum(a * np.exp(-d * r / length) for a, d in zip(c, radial.ZBL_DECAY, strict=True))
    found = radial.zbl(jnp.asarray(r), jnp.asarray(26.0 * 8.0), jnp.asarray(length), c)
    np.testing.assert_allclose(found, radial.COULOMB * 26 * 8 / r * phi, rtol=1e-13)


def test_network_of_nothing_is_nothing() -> None:
    """What makes places that are not used harmless: no bias anywhere."""
    matrices = [jnp.ones((8, 16)), jnp.ones((16, 16))]
    assert not radial.hidden(jnp.zeros((3, 8)), matrices).any()


def _table(rng: np.random.Generator, intervals: int = 50) -> radial.PiecewiseTable:
    return radial.PiecewiseTable(
        jnp.asarray(np.pad(rng.normal(size=(3, intervals, 4, 5)), ((0, 0), (0, 1), (0, 0), (0, 0)))),
        jnp.asarray(0.5),
        jnp.asarray(intervals / 4.5),
    )


def test_table_is_its_polynomials() -> None:
    rng = np.random.default_rng(0)
    table = _table(rng)
    r, pair = rng.uniform(0.5, 5.0, (7, 4)), rng.integers(0, 3, (7, 4))
    place = (r - 0.5) * 50 / 4.5
    x = place - np.floor(place)
    pieces = np.asarray(table.coefficients)[pair, np.floor(place).astype(int)]
    expected = sum(pieces[..., power, :] * x[..., None] ** power for power in range(4))
    for chunk in (1, 5, 28, 100):
        found = radial.look_up(table, jnp.asarray(r), jnp.asarray(pair), chunk)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_slope_of_a_table_is_its_polynomials() -> None:
    rng = np.random.default_rng(2)
    table = _table(rng)
    r, pair = jnp.asarray(rng.uniform(0.0, 5.5, (7, 4))), jnp.asarray(rng.integers(0, 3, (7, 4)))
    weight = jnp.asarray(rng.normal(size=(7, 4, 5)))

    def total(r: jax.Array) -> jax.Array:
        return jnp.sum(weight * radial.look_up(table, r, pair, 5))

    step = 1e-6  # no node of the table is that near
    difference = [(total(r.at[i].add(step)) - total(r.at[i].add(-step))) / (2 * step) for i in np.ndindex(r.shape)]
    np.testing.assert_allclose(jax.grad(total)(r).ravel(), difference, rtol=1e-6, atol=1e-6)
    curvature = jax.grad(lambda r: jnp.sum(jax.grad(total)(r)))(r)
    change = jax.grad(total)(r + step) - jax.grad(total)(r - step)
    np.testing.assert_allclose(curvature, change / (2 * step), rtol=1e-5, atol=1e-4)


def test_no_silent_derivative_by_the_table() -> None:
    table = _table(np.random.default_rng(0))
    with pytest.raises(TypeError, match="evaluate the network"):
        jax.grad(lambda table: jnp.sum(radial.look_up(table, jnp.ones(3), jnp.asarray(0), 2)))(table)


def test_table_is_held_below_and_zero_beyond() -> None:
    table = _table(np.random.default_rng(1))
    low = radial.look_up(table, jnp.asarray([0.0, 0.5]), jnp.asarray(1), 9)
    high = radial.look_up(table, jnp.asarray([5.0, 77.0]), jnp.asarray(1), 9)
    np.testing.assert_array_equal(low[0], low[1])
    assert not high.any()


def test_slope_of_a_table_keeps_float32() -> None:
    """The slope has coefficients of its own and is no difference of values, which would cost a factor of 100."""
    intervals, start, end = 512, 0.25, 6.0
    r = np.linspace(start, end, intervals + 1)
    step = r[1] - r[0]
    y, d = np.sin(3 * r) + 2, 3 * np.cos(3 * r) * step
    rise = np.diff(y)
    pieces = np.stack([y[:-1], d[:-1], 3 * rise - 2 * d[:-1] - d[1:], d[:-1] + d[1:] - 2 * rise], axis=1)
    pieces = np.pad(pieces[None, :, :, None], ((0, 0), (0, 1), (0, 0), (0, 0)))
    table = radial.PiecewiseTable(*(jnp.asarray(a, jnp.float32) for a in (pieces, start, 1 / step)))
    at = np.random.default_rng(0).uniform(start, end, 500).astype(np.float32)
    slope = jax.vmap(jax.grad(lambda r: radial.look_up(table, r, jnp.asarray(0), 9)[0]))(jnp.asarray(at))
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, 3 * np.cos(3 * at.astype(float)), atol=1e-5)
