"""What ideas for a faster MACE are worth, each beside what it replaces, in one process.

    python experiments/benchmarks/mace_kernels.py [--atoms 216] [--neighbors 88] [--channels 128] [--processor]

Arrays are random and have the shapes of the published "medium" model (10 paths, scalars and vectors). Energy and
derivative are timed, milliseconds, best of several, alternating. The results and what was decided are in README.md.
--processor times the processor and not the clock, which other programs disturb less; then give XLA one thread
(XLA_FLAGS=--xla_cpu_multi_thread_eigen=false).

a. radial network or table; and a table of its output for every path and channel instead of the matrix product
b. cotangents of gathered features scattered chunk by chunk, or stored and gathered through the reversed edges
c. symmetric contraction with the derivative kept from the forward pass, or differentiated by jax
d. products of the convolution with the harmonics, all paths of one l together, or path by path
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np

from kernels.mace import convolution, radial
from kernels.mace.chunks import cut
from kernels.mace.contraction import contract, contract_plain, pack
from kernels.mace.convolution import Couplings
from refine.potentials.mace.pieces import CONTRACTION_CHUNK, CONVOLUTION_CHUNK

PATHS = ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 2, 1), (0, 2, 2), (1, 1, 2), (1, 3, 2), (0, 3, 3), (1, 2, 3))
HIDDEN, BESSEL, INTERVALS, CUTOFF = 64, 10, 512, 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=216)
    parser.add_argument("--neighbors", type=int, default=88)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processor", action="store_true")
    arguments = parser.parse_args()
    n, k, c = arguments.atoms, arguments.neighbors, arguments.channels
    random = Random()
    print(f"{jax.devices()[0]}, {n} atoms, {k} neighbours, {c} channels, float32; ms")
    report = partial(_report, arguments.repeats, time.process_time if arguments.processor else time.perf_counter)
    report("a. radial functions, both layers", radial_functions(random, n, k))
    report("a. their output, forward only", radial_output(random, n, k, c))
    report("b. derivative of the convolution", convolutions(random, n, k, c))
    report("c. symmetric contraction", contractions(random, n, c))
    for title, cases in harmonics(random, n, k, c).items():
        report(title, cases)


class Random:
    """Arrays of standard normal float32 numbers."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, *shape: int) -> jax.Array:
        return jnp.asarray(self.generator.normal(size=shape), jnp.float32)

    def integers(self, high: int, *shape: int) -> jax.Array:
        return jnp.asarray(self.generator.integers(0, high, shape), jnp.int32)

    def distances(self, *shape: int) -> jax.Array:
        """Evenly spread in space."""
        return jnp.asarray(CUTOFF * self.generator.uniform(0.05, 1, shape) ** (1 / 3), jnp.float32)


Case = dict[str, tuple[Callable, tuple]]


def radial_functions(random: Random, n: int, k: int) -> Case:
    r, weight = random.distances(n, k), random(n, k, HIDDEN)
    matrices = [random(BESSEL, HIDDEN) / 3, random(HIDDEN, HIDDEN) / 8, random(HIDDEN, HIDDEN) / 8]
    waves = jnp.arange(1, BESSEL + 1, dtype=jnp.float32) * np.pi / CUTOFF
    table = radial.PiecewiseTable(
        random(1, INTERVALS + 1, 4, HIDDEN), jnp.float32(0.25), jnp.float32(INTERVALS / (CUTOFF - 0.25))
    )

    def network(r: jax.Array, layer: jax.Array) -> jax.Array:
        features = radial.bessel(r, waves, 0.6) * radial.envelope(r, CUTOFF, 5.0)[..., None]
        return jnp.sum(weight * radial.hidden(features, [layer * matrix for matrix in matrices]))

    def tabulated(r: jax.Array, layer: jax.Array) -> jax.Array:
        own = table._replace(coefficients=layer * table.coefficients)
        return jnp.sum(weight * radial.look_up(own, r, jnp.zeros((), jnp.int32), CONVOLUTION_CHUNK * k))

    def both(function: Callable) -> Callable:
        return jax.value_and_grad(lambda r, one: function(r, one) + function(r, 2 * one))

    one = jnp.float32(1)
    return {"network": (both(network), (r, one)), "table": (both(tabulated), (r, one))}


def radial_output(random: Random, n: int, k: int, c: int) -> Case:
    """The (paths, C) numbers of each edge, summed over neighbours so that nothing large is handed back."""
    columns = len(PATHS) * c
    a, matrix, rows = random(n, k, HIDDEN), random(HIDDEN, columns), random(INTERVALS * 4, columns)
    at, x = random.integers(INTERVALS - 1, n, k), random(n, k)

    def summed(output: jax.Array) -> jax.Array:
        return jnp.sum(output, axis=1)

    def product(atoms: tuple) -> jax.Array:
        return summed((atoms[0].reshape(-1, HIDDEN) @ matrix).reshape(*atoms[0].shape[:2], columns))

    def spline(atoms: tuple) -> jax.Array:
        place, fraction = atoms
        pieces = (rows.at[4 * place + power].get(mode="promise_in_bounds") for power in range(4))
        return summed(sum(piece * (fraction**power)[..., None] for power, piece in enumerate(pieces)))

    def chunked(function: Callable) -> Callable:
        return lambda *arrays: jax.lax.map(function, cut(arrays, CONVOLUTION_CHUNK))

    return {"matrix product": (chunked(product), (a,)), "spline of every channel": (chunked(spline), (at, x))}


def convolutions(random: Random, n: int, k: int, c: int) -> Case:
    tensors = [np.asarray(e3nn_jax.clebsch_gordan(*path), np.float64) for path in PATHS]
    couplings = Couplings(PATHS, tensors)
    h, senders, harmonics = random(n, 4, c), random.integers(n, n, k), random(n, k, 16)
    a, matrix = random(n, k, HIDDEN), random(HIDDEN, len(PATHS), c)
    cotangent = random(n, sum(2 * l3 + 1 for _, _, l3 in PATHS), c)
    reverse = random.integers(n * k, n, k)

    def scattered(h: jax.Array, harmonics: jax.Array, a: jax.Array) -> tuple:
        saved = (h, senders, harmonics, a, matrix)
        return convolution._backward(couplings, CONVOLUTION_CHUNK, k, saved, cotangent)[::2]

    def gathered(h: jax.Array, harmonics: jax.Array, a: jax.Array) -> tuple:
        chunks = cut((senders, harmonics, a, cotangent), CONVOLUTION_CHUNK)

        def step(atoms: tuple) -> tuple:
            *slots, of_atoms = atoms
            made = convolution._convolved(h, *slots, matrix=matrix, couplings=couplings)[1]
            gathered_bar, *bars = convolution._transposed(made, of_atoms, matrix, couplings)
            return jnp.concatenate(gathered_bar, axis=2), *bars

        h_bar, harmonics_bar, a_bar = jax.lax.map(step, chunks)
        return jnp.sum(h_bar.reshape(-1, *h_bar.shape[3:])[reverse], axis=1), harmonics_bar, a_bar

    arrays = (h, harmonics, a)
    return {"scattered": (scattered, arrays), "stored, gathered through reversed edges": (gathered, arrays)}


def contractions(random: Random, n: int, c: int) -> Case:
    x, counts = random(n, 16, c), (2 * n // 5, n - 2 * n // 5)
    tensors = [np.zeros((2, c, 4, *(16,) * degree), np.float32) for degree in (1, 2, 3)]
    polynomial = jax.tree.map(jnp.asarray, pack(*tensors))

    def by_hand(x: jax.Array) -> tuple:
        return jax.value_and_grad(lambda x: jnp.sum(contract(x, polynomial, counts, CONTRACTION_CHUNK)))(x)

    def by_jax(x: jax.Array) -> tuple:
        return jax.value_and_grad(lambda x: jnp.sum(contract_plain(x, polynomial, counts)))(x)

    return {"derivative kept": (by_hand, (x,)), "differentiated by jax": (by_jax, (x,))}


def harmonics(random: Random, n: int, k: int, c: int) -> dict[str, Case]:
    """The kernel as it is, and with couplings whose paths are never put together."""
    tensors = [np.asarray(e3nn_jax.clebsch_gordan(*path), np.float64) for path in PATHS]
    together, apart = Couplings(PATHS, tensors), Couplings(PATHS, tensors)
    apart.groups = [(path[1], [k]) for k, path in enumerate(PATHS)]
    h, senders, spherical = random(n, 4, c), random.integers(n, n, k), random(n, k, 16)
    a, matrix = random(n, k, HIDDEN), random(HIDDEN, len(PATHS), c)
    cotangent = random(n, sum(2 * l3 + 1 for _, _, l3 in PATHS), c)
    saved = (h, senders, spherical, a, matrix)
    named = {"together": together, "path by path": apart}

    def value(couplings: Couplings) -> Callable:
        return lambda *arrays: convolution.convolve(*arrays, couplings, CONVOLUTION_CHUNK, k)

    def derivative(couplings: Couplings) -> Callable:
        def found(*arrays: jax.Array) -> list:
            by = convolution._backward(couplings, CONVOLUTION_CHUNK, k, arrays, cotangent)
            return [one for one in by if one is not None]

        return found

    return {
        "d. convolution, value": {name: (value(couplings), saved) for name, couplings in named.items()},
        "d. convolution, derivative": {name: (derivative(couplings), saved) for name, couplings in named.items()},
    }


def _report(repeats: int, clock: Callable[[], float], title: str, cases: Case) -> None:
    compiled = {name: (jax.jit(function), arguments) for name, (function, arguments) in cases.items()}
    best = dict.fromkeys(compiled, float("inf"))
    for repeat in range(repeats + 1):
        for name, (function, arguments) in compiled.items():
            start = clock()
            jax.block_until_ready(function(*arguments))
            if repeat:  # the first call compiles
                best[name] = min(best[name], 1000 * (clock() - start))
    print(f"  {title:34s}" + "   ".join(f"{name} {value:.1f}" for name, value in best.items()))


if __name__ == "__main__":
    main()
