"""The optimisers of a training, with the step sizes of torch's, for which learning rates are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

DECAYS = (0.9, 0.999)
"""Of the first and second moments."""

EPSILON = 1e-8


def amsgrad(rate: float) -> optax.GradientTransformation:
    r"""AMSGrad as in torch: of moments m and v after t steps, the change of a weight is

        -rate m / (1 - b1^t) / (sqrt(max v) / sqrt(1 - b2^t) + eps).

    The maximum is of the moment as it is; optax.amsgrad takes that of the corrected one, in which the first gradients
    count for ever. Source: S. J. Reddi et al., ICLR 2018; torch.optim.Adam(amsgrad=True).
    """
    first, second = DECAYS

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        steps = state.count + 1
        mu = jax.tree.map(lambda m, g: first * m + (1 - first) * g, state.mu, gradient)
        nu = jax.tree.map(lambda v, g: second * v + (1 - second) * g**2, state.nu, gradient)
        largest = jax.tree.map(jnp.maximum, state.nu_max, nu)
        of_mu, of_nu = 1 - first**steps, jnp.sqrt(1 - second**steps)
        change = jax.tree.map(lambda m, v: -rate * m / of_mu / (jnp.sqrt(v) / of_nu + EPSILON), mu, largest)
        return change, optax.ScaleByAmsgradState(count=steps, mu=mu, nu=nu, nu_max=largest)

    return optax.GradientTransformation(optax.scale_by_amsgrad().init, update)


def adam(rate: float) -> optax.GradientTransformation:
    """Adam. Source: D. P. Kingma, J. Ba, ICLR 2015."""
    return optax.adam(rate, *DECAYS, eps=EPSILON)


OPTIMISERS: dict[str, Callable[[float], optax.GradientTransformation]] = {"amsgrad": amsgrad, "adam": adam}
