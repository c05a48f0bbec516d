"""Optimisers by name: what is refused, and a memory that loses nothing."""

import json

import numpy as np
import pytest

from refine.errors import InputError
from refine.refinement import optimisers


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "adabelief", "lion"])
def test_a_resumed_run_is_bit_equal(name):
    optimiser = optimisers.make(name, 0.03)
    finals = []
    for resumed in (False, True):
        x, memory = np.array([1.0, -2.0, 1 / 3]), None
        for _ in range(5):
            change, memory = optimisers.step(optimiser, memory, x, 2 * x + 0.1 * np.sin(x))
            x = x + change
            memory = json.loads(json.dumps(memory)) if resumed else memory
        finals.append(x)
    np.testing.assert_array_equal(*finals)
    assert np.all(finals[0] != [1.0, -2.0, 1 / 3])


def test_sgd_and_adam_take_their_steps():
    x, slope = np.zeros(2), np.array([3.0, -0.01])
    np.testing.assert_allclose(optimisers.step(optimisers.make("sgd", 0.1), None, x, slope)[0], -0.1 * slope)
    # Adam's first step is the learning rate, whatever the gradient's size (up to its epsilon, 1e-8)
    first = optimisers.step(optimisers.make("adam", 0.1), None, x, slope)[0]
    np.testing.assert_allclose(first, [-0.1, 0.1], rtol=2e-6)


@pytest.mark.parametrize("name", ["nonsense", "chain", "apply_updates", "polyak_sgd"])
def test_refusals(name):
    with pytest.raises(InputError, match=r"optax has no|needs more"):
        optimisers.make(name, 0.1)
