"""Real spherical harmonics of directions, in the convention of e3nn.

Component normalisation: sum_m Y_lm^2 = 2l + 1 on the unit sphere. m runs from -l to l, the polar axis is y, and there
is no Condon-Shortley sign, so l = 1 is sqrt(3) (x, y, z).

With w = (z + i x)^m = C_m + i S_m, and Q_lm the associated Legendre functions of y divided by sin^m,

    Y_lm = N_lm Q_lm(y) C_m   (m >= 0)        Y_l,-m = N_lm Q_lm(y) S_m   (m > 0)
    N_lm^2 = (2l + 1) (2 - delta_m0) (l - m)! / (l + m)!

which are polynomials in x, y, z for every l: smooth at the poles, and differentiable any number of times.
"""

import math

import jax
import jax.numpy as jnp


def spherical_harmonics(directions: jax.Array, l_max: int) -> jax.Array:
    """Y_lm of unit vectors (..., 3) for l = 0 to l_max: (..., (l_max + 1)^2), l after l, m ascending.

    The last three are sqrt(3) times x, y, z:

    >>> print(spherical_harmonics(jnp.array([0.6, 0.0, 0.8]), 1).round(3))
    [1.    1.039 0.    1.386]
    """
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    cosine, sine = [jnp.ones_like(x)], [jnp.zeros_like(x)]
    for _ in range(l_max):
        c, s = cosine[-1], sine[-1]
        cosine.append(z * c - x * s)
        sine.append(z * s + x * c)
    legendre = _legendre(y, l_max)
    components = []
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            factor = _normalisation(l, abs(m)) * legendre[l, abs(m)]
            components.append(factor * (sine[-m] if m < 0 else cosine[m]))
    return jnp.stack(components, axis=-1)


def _normalisation(l: int, m: int) -> float:
    return math.sqrt((2 * l + 1) * (1 if m == 0 else 2) * math.factorial(l - m) / math.factorial(l + m))


def _legendre(y: jax.Array, l_max: int) -> dict[tuple[int, int], jax.Array]:
    """P_lm(y) / sin^m, without sign, by the recursion in l that is stable for m <= l."""
    q: dict[tuple[int, int], jax.Array] = {}
    for m in range(l_max + 1):
        q[m, m] = math.prod(range(1, 2 * m, 2)) * jnp.ones_like(y)
        if m < l_max:
            q[m + 1, m] = (2 * m + 1) * y * q[m, m]
        for l in range(m + 2, l_max + 1):
            q[l, m] = ((2 * l - 1) * y * q[l - 1, m] - (l + m - 1) * q[l - 2, m]) / (l - m)
    return q
