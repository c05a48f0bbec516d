"""The model against itself: fast kernels, tables and precisions against the reference formulas, and weights' gradients.

That the reference formulas are MACE is what test_parity.py shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.model import Mace
from refine.potentials.mace.pieces import narrow
from tests.potentials.mace.models import random_checkpoint

SPECIES, N_PER_SPECIES = ("O", "Fe"), (5, 4)
SLOTS = 7

VARIANTS: dict[str, dict[str, Any]] = {
    "one layer, cubic": {"layers": 1, "correlation": 3, "channels": 2},
    "three layers of scalars, linear": {"layers": 3, "l_hidden": 0, "correlation": 1},
    "tensors, density": {"l_hidden": 2, "channels": 2, "density": True},
    "mixed by species first": {"residual": False},
    "agnesi, density, no repulsion": {"agnesi": True, "density": True, "zbl": False},
    "non-linear": {"nonlinear": True, "edge_channels": 2, "envelope_on_weights": True, "agnesi": True},
    "non-linear, envelope on the Bessel functions": {"nonlinear": True, "l_hidden": 0, "layers": 3, "max_ell": 1},
}

PADDED: dict[str, dict[str, Any]] = {
    "density, agnesi": {"density": True, "agnesi": True},
    "biases": {"nonlinear": True, "channels": 2},
    "biases, envelope on the weights": {"nonlinear": True, "channels": 2, "envelope_on_weights": True},
}
CHARGED = (BoxInput("total_spin", 0), BoxInput("total_charge", 2))


def _edges(seed: int = 0, n: int = 9, r_max: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that belong to no configuration: the model is a function of each of them."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(n, SLOTS, 3))
    length = rng.uniform(1.2, r_max, (n, SLOTS, 1))
    vectors = directions / np.linalg.norm(directions, axis=-1, keepdims=True) * length
    vectors[:, -1] = (r_max, 0.0, 0.0)  # a place that is not used
    return vectors, rng.integers(0, n, (n, SLOTS)).astype(np.int32)


def _evaluate(model: Mace, vectors: np.ndarray, senders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with jax.enable_x64(model.precision == "float64"):
        v = jnp.asarray(vectors, model.precision)
        energies, gradients = jax.jit(model.energies_and_gradients)(model.params, v, jnp.asarray(senders))
    assert energies.dtype == gradients.dtype == model.precision
    return np.asarray(energies, float), np.asarray(gradients, float)


def test_gradients_differentiated_again() -> None:
    """As derivatives through a trajectory do: of the gradients alone, which leaves the energies without a cotangent."""
    checkpoint = random_checkpoint(1, channels=2)
    vectors, senders = _edges()
    weight = np.random.default_rng(5).normal(size=vectors.shape)
    found = []
    for plain in (True, False):
        model = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", plain=plain)
        with jax.enable_x64(True):

            def total(v: jax.Array, model: Mace = model) -> jax.Array:
                return jnp.sum(weight * model.energies_and_gradients(model.params, v, jnp.asarray(senders))[1])

            found.append(np.asarray(jax.jit(jax.grad(total))(jnp.asarray(vectors))))
    np.testing.assert_allclose(found[1], found[0], atol=1e-11 * np.abs(found[0]).max())


def test_no_silent_derivative_by_the_parameters() -> None:
    model = Mace(random_checkpoint(1, channels=2), SPECIES, N_PER_SPECIES)
    vectors, senders = _edges()
    v = jnp.asarray(vectors, jnp.float32)
    with pytest.raises(TypeError, match="has no derivative by"):
        jax.grad(lambda params: jnp.sum(model.energies_and_gradients(params, v, jnp.asarray(senders))[0]))(model.params)


@pytest.mark.parametrize("name", VARIANTS)
def test_fast_kernels_and_tables(name: str) -> None:
    checkpoint = random_checkpoint(1, **VARIANTS[name])
    edges = _edges()
    plain = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", plain=True)
    energies, gradients = _evaluate(plain, *edges)
    assert np.ptp(energies) > 1e-3
    force = np.abs(gradients).max()

    fast = _evaluate(Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64"), *edges)
    np.testing.assert_allclose(fast[0], energies, rtol=1e-12)
    np.testing.assert_allclose(fast[1], gradients, atol=1e-12 * force)

    single = Mace(checkpoint, SPECIES, N_PER_SPECIES)
    assert single.table
    found = _evaluate(single, *edges)
    np.testing.assert_allclose(found[0], energies, rtol=1e-5)
    np.testing.assert_allclose(found[1], gradients, atol=1e-5 * force)


def test_tables_in_float64() -> None:
    """Their own error, which float32 hides."""
    checkpoint = random_checkpoint(8, density=True, agnesi=True)
    models = [Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", table=table) for table in (False, True)]
    (energies, gradients), found = (_evaluate(model, *_edges()) for model in models)
    np.testing.assert_allclose(found[0], energies, rtol=1e-7)
    np.testing.assert_allclose(found[1], gradients, atol=3e-7 * np.abs(gradients).max())


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", PADDED)
def test_places_that_are_not_used_add_exactly_nothing(name: str, precision: str) -> None:
    model = Mace(random_checkpoint(2, **PADDED[name]), SPECIES, N_PER_SPECIES, precision=precision)
    vectors, senders = _edges()
    far = np.broadcast_to([0.0, -1.7 * model.cutoff, 0.3], (9, 4, 3))
    more = np.concatenate([vectors, far], axis=1), np.concatenate([senders, np.zeros((9, 4), np.int32)], axis=1)
    energies, gradients = _evaluate(model, *more)
    assert not gradients[:, SLOTS - 1 :].any()
    # the longer sums may be added up in another order
    expected = _evaluate(model, vectors, senders)
    np.testing.assert_allclose(energies, expected[0], rtol=1e-14 if precision == "float64" else 1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", PADDED)
def test_a_wide_list_in_any_order(name: str, precision: str) -> None:
    """Slots beyond the cutoff between the others, as with a skin; one atom fills nearly all, so a chunk needs them."""
    slots = 30
    rng = np.random.default_rng(4)
    vectors, senders = rng.normal(size=(9, slots, 3)), rng.integers(0, 9, (9, slots)).astype(np.int32)
    within = rng.permuted(np.arange(slots) < np.array([7, 3, 0, 5, 28, 9, 2, 24, 25])[:, None], axis=1)
    length = np.where(within, rng.uniform(1.5, 4.9, (9, slots)), rng.uniform(5.1, 9.0, (9, slots)))
    vectors *= (length / np.linalg.norm(vectors, axis=2))[..., None]
    checkpoint = random_checkpoint(2, **PADDED[name])
    plain = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", plain=True)
    model = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision=precision)
    assert model.cutoff == 5.0
    assert narrow(slots) == 24
    energies, gradients = _evaluate(plain, vectors, senders)
    found = _evaluate(model, vectors, senders)
    tolerance = 1e-12 if precision == "float64" else 1e-5
    np.testing.assert_allclose(found[0], energies, rtol=tolerance)
    np.testing.assert_allclose(found[1], gradients, atol=tolerance * np.abs(gradients).max())
    assert not found[1][~within].any()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"density": True}, {"nonlinear": True, "inputs": CHARGED}], ids=str)
def test_derivative_by_every_weight(options: dict[str, Any]) -> None:
    """Against central differences, for one direction in each array."""
    checkpoint = random_checkpoint(3, correlation=2, **options)
    model = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", plain=True)
    vectors, senders = _edges()
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        weights = {name: jnp.asarray(array) for name, array in checkpoint.weights.items()}
        factors = jnp.asarray(rng.normal(size=9))

        @jax.jit
        def total(weights: dict[str, jax.Array]) -> jax.Array:
            params = model.prepare(weights, xp=jnp)
            return jnp.sum(factors * model.site_energies(params, jnp.asarray(vectors), jnp.asarray(senders)))

        slopes = jax.grad(total)(weights)
        for name, array in weights.items():
            if name == "energies":
                continue  # not part of the site energies
            direction = jnp.asarray(rng.normal(size=array.shape))
            ends = [total(weights | {name: array + sign * 1e-5 * direction}) for sign in (1, -1)]
            slope = float(jnp.sum(slopes[name] * direction))
            assert slope == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-7), name


def test_weights_are_arguments_not_constants() -> None:
    model = Mace(random_checkpoint(4), SPECIES, N_PER_SPECIES)
    edges = [jnp.asarray(x) for x in _edges()]
    compiled = jax.jit(model.site_energies)
    vectors = jnp.asarray(edges[0], jnp.float32)
    before = compiled(model.params, vectors, edges[1])
    after = compiled(model.params | {"scale": 2 * model.params["scale"]}, vectors, edges[1])
    shift = model.params["shift"]
    np.testing.assert_allclose(after - shift, 2 * (before - shift), rtol=1e-6)
    assert compiled._cache_size() == 1


def test_heads_differ_and_are_named() -> None:
    checkpoint = random_checkpoint(5, heads=("pbe", "r2scan"))
    results = []
    for head in ("pbe", "r2scan"):
        model = Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", head=head)
        results.append(_evaluate(model, *_edges())[0])
        row = checkpoint.architecture.heads.index(head)
        np.testing.assert_array_equal(model.isolated, checkpoint.weights["energies"][row][[1, 3]])
    assert np.abs(results[0] - results[1]).max() > 1e-3
    with pytest.raises(InputError, match="several heads; choose one of pbe, r2scan"):
        Mace(checkpoint, SPECIES, N_PER_SPECIES)
    with pytest.raises(InputError, match="no head 'hse'; it has pbe, r2scan"):
        Mace(checkpoint, SPECIES, N_PER_SPECIES, head="hse")


def test_charge_and_spin_change_the_features_of_every_atom() -> None:
    checkpoint = random_checkpoint(9, nonlinear=True, inputs=CHARGED, layers=1)
    edges = _edges()
    found = [
        _evaluate(Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float64", charge=charge, spin=spin), *edges)[0]
        for charge, spin in [(0, 1), (1, 1), (0, 2)]
    ]
    assert np.abs(found[1] - found[0]).min() > 1e-4
    assert np.abs(found[2] - found[0]).min() > 1e-4
    # the same features written into the table of the species: silu of the joined vectors
    arrays, weights = dict(checkpoint.arrays), checkpoint.weights
    joined = np.concatenate([weights["inputs.0"][2], weights["inputs.1"][2]]) @ weights["project"]
    plain = replace(checkpoint.architecture, inputs=())
    arrays["embedding"] = weights["embedding"] + joined / (1 + np.exp(-joined))
    arrays = {name: array for name, array in arrays.items() if name not in ("inputs.0", "inputs.1", "project")}
    model = Mace(replace(checkpoint, architecture=plain, arrays=arrays), SPECIES, N_PER_SPECIES, precision="float64")
    np.testing.assert_allclose(_evaluate(model, *edges)[0], found[2], rtol=1e-12)


def test_charges_and_spins_that_no_model_knows() -> None:
    checkpoint = random_checkpoint(9, inputs=CHARGED)
    with pytest.raises(InputError, match="charge = 3 is not known to the model; from -2 to 2"):
        Mace(checkpoint, SPECIES, N_PER_SPECIES, charge=3)
    with pytest.raises(InputError, match="spin = -1 is not known to the model; from 0 to 4"):
        Mace(checkpoint, SPECIES, N_PER_SPECIES, spin=-1)
    with pytest.raises(InputError, match="takes no spin, so spin = 2 has no effect; leave it out"):
        Mace(random_checkpoint(9), SPECIES, N_PER_SPECIES, spin=2)


def test_errors_of_users() -> None:
    checkpoint = random_checkpoint(6)
    with pytest.raises(InputError, match="does not know Xe; it knows H, O, Ar, Fe"):
        Mace(checkpoint, ("O", "Xe"), N_PER_SPECIES)
    with pytest.raises(InputError, match="float16"):
        Mace(checkpoint, SPECIES, N_PER_SPECIES, precision="float16")


def test_parity_forbidden_paths_are_refused() -> None:
    """e3nn and e3nn_jax differ in the sign of those."""
    checkpoint = random_checkpoint(7)
    layer = checkpoint.architecture.layers[1]
    wrong = replace(layer, paths=((1, 1, 1), *layer.paths[1:]))
    architecture = replace(checkpoint.architecture, layers=(checkpoint.architecture.layers[0], wrong))
    with pytest.raises(ValueError, match="parity"):
        Mace(replace(checkpoint, architecture=architecture), SPECIES, N_PER_SPECIES)
