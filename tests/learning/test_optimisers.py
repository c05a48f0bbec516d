"""Step sizes of the optimisers, against torch's formula written out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refine.learning.optimisers import OPTIMISERS


@pytest.mark.parametrize("name", ["amsgrad", "adam"])
def test_step_sizes_are_those_of_torch(name: str) -> None:
    """Of gradients that are large at first: AMSGrad's steps grow with time by sqrt(1 - b2^t) alone."""
    with jax.enable_x64(True):
        optimiser = OPTIMISERS[name](1.0)
        weights = {"a": jnp.zeros(2), "b": jnp.zeros(())}
        state, update = optimiser.init(weights), jax.jit(optimiser.update)
        m = v = largest = 0.0
        steps = []
        for t in range(1, 51):
            g = 1.0 if t <= 3 else 0.05
            change, state = update({"a": jnp.array([g, 0.0]), "b": jnp.asarray(-2 * g)}, state, weights)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            largest = max(largest, v) if name == "amsgrad" else v
            corrected = m / (1 - 0.9**t)
            expected = corrected / (np.sqrt(largest) / np.sqrt(1 - 0.999**t) + 1e-8)
            np.testing.assert_allclose(change["a"], [-expected, 0.0], rtol=1e-9)
            doubled = 2 * corrected / (2 * np.sqrt(largest) / np.sqrt(1 - 0.999**t) + 1e-8)
            np.testing.assert_allclose(change["b"], doubled, rtol=1e-9)
            steps.append(-float(change["a"][0]))
    if name == "amsgrad":
        assert steps[29] == pytest.approx(0.206, abs=1e-3)
