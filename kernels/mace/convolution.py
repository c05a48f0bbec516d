"""Channel-wise tensor product of neighbour features with spherical harmonics, summed over neighbours.

    M_k[i, m3, c] = sum_j  W_k[i, j, c]  sum_{m1 m2} w3j_k[m1, m2, m3]  h[j, m1, c]  Y[i, j, m2],     W = a . R

for every path k = (l1, l2, l3): h are the features of the neighbours, Y the spherical harmonics of the edge, a the last
hidden layer of the radial network and R its output matrix. Arrays: (N, K) neighbours, channels last.

    h         (N, sum over l1 of 2 l1 + 1, C)
    senders   (N, K) int32
    Y         (N, K, (l_max + 1)^2)
    a         (N, K, H), zero in slots that are not used
    R         (H, P, C)
    result    (N, sum over paths of 2 l3 + 1, C)

`convolve` works through the atoms in chunks that stay in the cache, and its derivative, written by hand, makes W again
instead of storing it: 5 kB an edge for 10 paths of 128 channels, which is what a step waits for. `convolve_plain` is
the formula above for the tests, and for derivatives by R.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.mace.chunks import cut, join
from kernels.mace.radial import HIGHEST

Paths = tuple[tuple[int, int, int], ...]

_einsum = partial(jnp.einsum, precision=HIGHEST)

Slots = tuple[jax.Array, ...]
"""Senders, Y and a of the slots of some atoms."""
Bars = tuple[list[jax.Array], jax.Array, jax.Array]


class Made(NamedTuple):
    """What the derivative of a chunk needs: Y, W, gathered features, and these times W for each l2."""

    harmonics: jax.Array
    weights: jax.Array
    gathered: jax.Array
    weighted: list[jax.Array]


class Couplings:
    """The static part: paths, and their w3j tensors (2 l1 + 1, 2 l2 + 1, 2 l3 + 1). Hashable by what it holds."""

    def __init__(self, paths: Paths, tensors: list[np.ndarray]) -> None:
        self.paths, self.tensors = paths, tensors
        self.l1 = sorted({l1 for l1, _, _ in paths})
        l2s = sorted({l2 for _, l2, _ in paths})
        self.groups = [(l2, [k for k, path in enumerate(paths) if path[1] == l2]) for l2 in l2s]
        """Each l2 with its paths: one matrix product with the harmonics of that l serves all of them."""
        self._key = (paths, tuple(tensor.tobytes() for tensor in tensors))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Couplings) and self._key == other._key

    def sender_slice(self, l: int) -> slice:
        """Where the components of l stand in h."""
        start = sum(2 * below + 1 for below in self.l1 if below < l)
        return slice(start, start + 2 * l + 1)

    def widths(self, paths: list[int]) -> list[int]:
        """2 l1 + 1 of some paths."""
        return [2 * self.paths[k][0] + 1 for k in paths]

    def result_slices(self) -> list[slice]:
        """Where the components of each path stand in the result: group after group."""
        slices, end = [slice(0)] * len(self.paths), 0
        for k in (k for _, ks in self.groups for k in ks):
            start, end = end, end + 2 * self.paths[k][2] + 1
            slices[k] = slice(start, end)
        return slices

    def blocks(self) -> list[np.ndarray]:
        """Of each group the tensors of its paths as one, (2 l2 + 1, sum of 2 l1 + 1, sum of 2 l3 + 1), for one matrix
        product: zero between one path's a and another's m."""
        return [self._block(ks) for _, ks in self.groups]

    def _block(self, ks: list[int]) -> np.ndarray:
        tensors = [self.tensors[k].transpose(1, 0, 2) for k in ks]
        block = np.zeros((len(tensors[0]), *(sum(tensor.shape[axis] for tensor in tensors) for axis in (1, 2))))
        row = column = 0
        for tensor in tensors:
            _, rows, columns = tensor.shape
            block[:, row : row + rows, column : column + columns] = tensor
            row, column = row + rows, column + columns
        return block


def convolve_plain(
    h: jax.Array, senders: jax.Array, harmonics: jax.Array, a: jax.Array, matrix: jax.Array, couplings: Couplings
) -> jax.Array:
    """The definition, term by term."""
    weights = _einsum("nkh,hpc->nkpc", a, matrix)
    gathered = h[senders]
    messages = []
    for l2, k in ((l2, k) for l2, ks in couplings.groups for k in ks):
        l1 = couplings.paths[k][0]
        feature, harmonic = gathered[:, :, couplings.sender_slice(l1)], harmonics[:, :, _harmonic_slice(l2)]
        tensor = jnp.asarray(couplings.tensors[k], h.dtype)
        messages.append(_einsum("abm,nkac,nkb,nkc->nmc", tensor, feature, harmonic, weights[:, :, k]))
    return jnp.concatenate(messages, axis=1)


@partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def convolve(
    h: jax.Array,
    senders: jax.Array,
    harmonics: jax.Array,
    a: jax.Array,
    matrix: jax.Array,
    couplings: Couplings,
    chunk: int,
    narrow: int,
) -> jax.Array:
    """The same numbers, `chunk` atoms at a time. Reverse mode by h, Y and a; a derivative by R raises TypeError.

    narrow: slots worked through for all atoms. Those behind are left out, while the program runs, for a chunk in which
    a is zero in all of them; their cotangents are then zero. Replicas under vmap leave nothing out.
    """

    def each(atoms: tuple[jax.Array, ...]) -> jax.Array:
        return _messages(h, *_split(atoms, narrow), matrix, couplings)[0]

    return join(jax.lax.map(each, cut((senders, harmonics, a), chunk)), len(senders))


def _forward(
    h: Any, senders: Any, harmonics: Any, a: Any, matrix: Any, couplings: Couplings, chunk: int, narrow: int
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    if matrix.perturbed:
        raise TypeError("convolve has no derivative by the radial matrix; use convolve_plain")
    arguments = tuple(argument.value for argument in (h, senders, harmonics, a, matrix))
    return convolve(*arguments, couplings, chunk, narrow), arguments


def _backward(
    couplings: Couplings, chunk: int, narrow: int, saved: tuple[jax.Array, ...], cotangent: jax.Array
) -> tuple[Any, ...]:
    h, senders, harmonics, a, matrix = saved

    def step(h_bar: jax.Array, atoms: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        *slots, of_atoms = atoms
        near, far = _split(tuple(slots), narrow)
        made = _convolved(h, *near, matrix=matrix, couplings=couplings)[1]
        return _scattered(h_bar, h, made, near, far, of_atoms, matrix, couplings)

    chunks = cut((senders, harmonics, a, cotangent), chunk)
    h_bar, (harmonics_bar, a_bar) = jax.lax.scan(step, jnp.zeros_like(h), chunks)
    return h_bar, None, join(harmonics_bar, len(senders)), join(a_bar, len(senders)), None


convolve.defvjp(_forward, _backward, symbolic_zeros=True)


def energies_in_one_pass(
    h: jax.Array,
    slots: Slots,
    own: Any,
    rest: Callable[[jax.Array, Any, Any], jax.Array],
    kinds: np.ndarray,
    parameters: Any,
    matrix: jax.Array,
    couplings: Couplings,
    narrow: int,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array, Any]]:
    """Energies that atoms have of their own messages alone, as in a last layer, and the derivative of their sum.

    A chunk's derivative follows at once on its messages, while W and the products of W and h are still in the cache;
    `convolve` and its derivative make them twice.

    Args:
        h: of `convolve`.
        slots: senders, Y and a of `convolve` in chunks, (pieces, chunk, K, ...).
        own: tree of arrays (pieces, chunk, ...), what else the energies depend on.
        rest: energies (chunk,) of messages (chunk, ., C), own (chunk, ...) and the parameters of one kind.
        kinds: (pieces,) the kind of the atoms of each chunk.
        parameters: tree of arrays (kinds, ...).

    Returns:
        energies (pieces, chunk), and the derivative of their sum by h, Y, a and own.
    """

    def total(messages: jax.Array, own: Any, kind: jax.Array) -> tuple[jax.Array, jax.Array]:
        energies = rest(messages, own, jax.tree.map(lambda array: array[kind], parameters))
        return jnp.sum(energies), energies

    def step(h_bar: jax.Array, piece: tuple[Slots, Any, jax.Array]) -> tuple[jax.Array, Any]:
        slots, own, kind = piece
        near, far = _split(slots, narrow)
        messages, made = _messages(h, near, far, matrix, couplings)
        (_, energies), (bar, own_bar) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(messages, own, kind)
        h_bar, bars = _scattered(h_bar, h, made, near, far, bar, matrix, couplings)
        return h_bar, (energies, *bars, own_bar)

    h_bar, (energies, *bars) = jax.lax.scan(step, jnp.zeros_like(h), (slots, own, jnp.asarray(kinds, jnp.int32)))
    return energies, (h_bar, *bars)


def _split(arrays: Slots, narrow: int) -> tuple[Slots, Slots]:
    """Arrays (n, K, ...) before and behind slot `narrow`."""
    return tuple(array[:, :narrow] for array in arrays), tuple(array[:, narrow:] for array in arrays)


def _used(slots: Slots) -> jax.Array:
    """() bool: whether a, the last array, has anything in them; NaN is something."""
    return jnp.any(slots[-1] != 0)


def near_first(vectors: jax.Array, senders: jax.Array, cutoff: float) -> tuple[jax.Array, jax.Array]:
    """Slots (N, K, 3) and (N, K) in the order in which `convolve` leaves most of them out: of each atom those within
    the cutoff, then the others. Otherwise they keep their order."""
    n, slots = senders.shape
    near = jnp.sum(vectors * vectors, axis=-1) < cutoff**2
    before = jnp.cumsum(near, axis=1, dtype=jnp.int32)
    slot = jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32), (n, slots))
    place = jnp.where(near, before - 1, before[:, -1:] + slot - before)
    # a fifth of the time of a sort
    order = jnp.zeros_like(slot).at[jnp.arange(n)[:, None], place].set(slot, mode="promise_in_bounds")
    take = partial(jnp.take_along_axis, axis=1, mode="promise_in_bounds")
    return take(vectors, order[..., None]), take(senders, order)


def _weights(a: jax.Array, matrix: jax.Array) -> jax.Array:
    """(n, K, H) x (H, P, C) -> (n, K, P, C) as one matrix product."""
    hidden, paths, channels = matrix.shape
    flat = jnp.matmul(a.reshape(-1, hidden), matrix.reshape(hidden, -1), precision=HIGHEST)
    return flat.reshape(*a.shape[:2], paths, channels)


def _messages(h: jax.Array, near: Slots, far: Slots, matrix: jax.Array, couplings: Couplings) -> tuple[jax.Array, Made]:
    """Messages of a chunk from all slots that are in use, and what was made of the near ones."""
    value, made = _convolved(h, *near, matrix=matrix, couplings=couplings)
    if far[0].shape[1] > 0:
        value += jax.lax.cond(
            _used(far),
            lambda *far: _convolved(h, *far, matrix=matrix, couplings=couplings)[0],
            lambda *_: jnp.zeros_like(value),
            *far,
        )
    return value, made


def _scattered(
    h_bar: jax.Array,
    h: jax.Array,
    made: Made,
    near: Slots,
    far: Slots,
    cotangent: jax.Array,
    matrix: jax.Array,
    couplings: Couplings,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The cotangent of h with that of a chunk added, and the chunk's of Y and a. made: of the near slots."""

    def transposed(*slots: jax.Array) -> Bars:
        return _transposed(_convolved(h, *slots, matrix=matrix, couplings=couplings)[1], cotangent, matrix, couplings)

    def scattered(h_bar: jax.Array, senders: jax.Array, gathered_bar: list[jax.Array]) -> jax.Array:
        # l by l: XLA fuses a concatenation of all l into the scatter, and the sums before it are then slow
        for l, part in zip(couplings.l1, gathered_bar, strict=True):
            h_bar = h_bar.at[senders, couplings.sender_slice(l)].add(part)
        return h_bar

    gathered_bar, *bars = _transposed(made, cotangent, matrix, couplings)
    h_bar = scattered(h_bar, near[0], gathered_bar)
    if far[0].shape[1] > 0:
        # all of h_bar would be copied into a branch and out of it
        nothing = jax.tree.map(lambda bar: jnp.zeros(bar.shape, bar.dtype), jax.eval_shape(transposed, *far))
        gathered_bar, *others = jax.lax.cond(_used(far), transposed, lambda *_: nothing, *far)
        h_bar = scattered(h_bar, far[0], gathered_bar)
        bars = [jnp.concatenate(both, axis=1) for both in zip(bars, others, strict=True)]
    return h_bar, tuple(bars)


def _convolved(
    h: jax.Array, senders: jax.Array, harmonics: jax.Array, a: jax.Array, *, matrix: jax.Array, couplings: Couplings
) -> tuple[jax.Array, Made]:
    """Messages of a chunk, and what its derivative needs."""
    weights, gathered = _weights(a, matrix), h[senders]
    messages, weighted = [], []
    for (l2, paths), block in zip(couplings.groups, couplings.blocks(), strict=True):
        features = _weighted(gathered, weights, paths, couplings)
        # first the sum over neighbours, a matrix product, then the few numbers of the w3j tensors
        outer = _einsum("nkb,nkac->nbac", harmonics[:, :, _harmonic_slice(l2)], features)
        messages.append(_einsum("nbam,nbac->nmc", _each(block, outer), outer))
        weighted.append(features)
    return jnp.concatenate(messages, axis=1), Made(harmonics, weights, gathered, weighted)


def _each(block: np.ndarray, atoms: jax.Array) -> jax.Array:
    """A block for each of the atoms: a product with one for all would first move the channels away from the end."""
    return jnp.broadcast_to(jnp.asarray(block, atoms.dtype), (len(atoms), *block.shape))


def _weighted(gathered: jax.Array, weights: jax.Array, paths: list[int], couplings: Couplings) -> jax.Array:
    """Features of neighbours times the weights of some paths, path after path: (n, K, sum over them of 2 l1 + 1, C)."""
    parts = [gathered[:, :, couplings.sender_slice(couplings.paths[k][0])] * weights[:, :, k, None] for k in paths]
    return jnp.concatenate(parts, axis=2)


def _cut(array: jax.Array, widths: list[int]) -> list[jax.Array]:
    """(n, ., sum of widths, C) cut along the third axis."""
    return jnp.split(array, np.cumsum(widths)[:-1].tolist(), axis=2)


def _transposed(made: Made, cotangent: jax.Array, matrix: jax.Array, couplings: Couplings) -> Bars:
    """Cotangents of the gathered features of each l1 (n, K, 2 l1 + 1, C), of Y (n, K, .) and of a (n, K, H)."""
    harmonics, weights, gathered, weighted = made
    slots, dtype = harmonics.shape[:2], cotangent.dtype
    zero = jnp.zeros((), dtype)
    feature_bar: dict[int, jax.Array] = dict.fromkeys(couplings.l1, zero)
    l_max = round(harmonics.shape[-1] ** 0.5) - 1
    harmonic_bar: list[jax.Array] = [jnp.zeros((*slots, 2 * l + 1), dtype) for l in range(l_max + 1)]
    weights_bar: dict[int, jax.Array] = {}
    blocks = couplings.blocks()
    ending = jnp.split(cotangent, np.cumsum([block.shape[2] for block in blocks])[:-1].tolist(), axis=1)
    for (l2, paths), block, features, part in zip(couplings.groups, blocks, weighted, ending, strict=True):
        outer_bar = _einsum("nbam,nmc->nbac", _each(block, part), part)
        product_bar = _einsum("nkb,nbac->nkac", harmonics[:, :, _harmonic_slice(l2)], outer_bar)
        harmonic_bar[l2] += _einsum("nbac,nkac->nkb", outer_bar, features)
        for k, part in zip(paths, _cut(product_bar, couplings.widths(paths)), strict=True):
            l1 = couplings.paths[k][0]
            weights_bar[k] = jnp.sum(part * gathered[:, :, couplings.sender_slice(l1)], axis=2)
            feature_bar[l1] += part * weights[:, :, k, None]
    flat = jnp.stack([weights_bar[k] for k in range(len(couplings.paths))], axis=2).reshape(
        -1, matrix.shape[1] * matrix.shape[2]
    )
    a_bar = jnp.matmul(flat, matrix.reshape(matrix.shape[0], -1).T, precision=HIGHEST).reshape(*slots, -1)
    return [feature_bar[l] for l in couplings.l1], jnp.concatenate(harmonic_bar, 2), a_bar


def _harmonic_slice(l: int) -> slice:
    return slice(l * l, (l + 1) ** 2)
