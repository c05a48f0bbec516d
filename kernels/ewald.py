"""Reciprocal part of an exact Ewald sum, for any cell.

With charges q_j, S(k) = Σ_j q_j exp(i k r_j) and k = 2 pi h inverse(cell)^T for whole h, not all zero,

    phi(r) = 4 pi / V  Σ_k exp(-k^2 / 4 alpha^2) / k^2  Re[S(k)* exp(i k r)],      U = 1/2 Σ_j q_j phi(r_j)

and `self_energy` takes each one's own out: the whole sum is in docs/theory/potentials.md. Units: those of q^2 over a
length. Virial: D. M. Heyes, Phys. Rev. B 49, 755 (1994).

The phase factors of h = (h, k, l) are products of one for (h, k) and one for l, so S(k) and the sums over k are matrix
products over atoms, without a sine and a cosine for every atom and wave vector. The real and the imaginary part of
either factor make four products, which hold l and -l both; of k and -k one is kept.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import inverse_cell

HIGHEST = jax.lax.Precision.HIGHEST


@dataclass(frozen=True, eq=False)
class EwaldSum:
    """Wave vectors, chosen once for a cell; the cell of a call may differ from it by a few percent.

    Attributes:
        charges: (N,), in units whose square over a length is an energy.
        alpha: inverse width of the Gaussians, 1/Å.
        plane: (P, 2) the whole numbers h and k; of (h, k) and (-h, -k) one is there.
        weight: (2, P, L) of (h, k, l) and of (h, k, -l), l = 0 ... L - 1: 2 where the wave vector (which stands for its
            negative, too) belongs to the sum, else 0.
    """

    charges: np.ndarray
    alpha: float
    plane: np.ndarray
    weight: np.ndarray

    @classmethod
    def for_cell(cls, charges: np.ndarray, cell: np.ndarray, alpha: float, k_cut: float) -> "EwaldSum":
        """With the wave vectors up to k_cut (1/Å) of a cell (3, 3) Å.

        >>> ions = EwaldSum.for_cell(np.array([1.0, -1.0]), 4.0 * np.eye(3), alpha=0.8, k_cut=2.0)
        >>> ions.size  # six vectors of length 2 pi/4, three and their negatives
        3
        """
        cell = np.asarray(cell, np.float64)
        most = np.floor(k_cut * np.linalg.norm(cell, axis=1) / (2 * math.pi)).astype(int)
        h, k, l = (np.arange(-n, n + 1) for n in most)
        pairs = np.stack(np.meshgrid(h, k, indexing="ij"), axis=-1).reshape(-1, 2)
        pairs = pairs[(pairs[:, 0] > 0) | ((pairs[:, 0] == 0) & (pairs[:, 1] >= 0))]
        l = l[l >= 0]
        inside = np.stack([_square(pairs, sign * l, cell) <= k_cut**2 for sign in (1, -1)])
        inside[1, :, 0] = False  # -0 is 0
        origin = (pairs == 0).all(axis=1)
        inside[1, origin] = False  # along c alone, -l is the negative of l
        inside[0, origin, 0] = False
        used = inside.any(axis=(0, 2))
        used |= origin & ~used.any()  # of weight zero: a cell that is small beside k_cut's wave length has none
        return cls(np.asarray(charges, np.float64), float(alpha), pairs[used], 2.0 * inside[:, used])

    @property
    def size(self) -> int:
        """Wave vectors, counted once with their negatives."""
        return int(np.count_nonzero(self.weight))

    def forces(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """(N, 3) of the type of the positions, which are (N, 3) Å."""
        charges = jnp.asarray(self.charges, positions.dtype)
        plane, axis, turned = self._phases(positions, cell)
        field = self._field(plane, axis, charges, self._strengths(cell, positions.dtype))
        half = len(self.plane)
        of_plane = _product(field, axis)
        slopes = plane[:half] * of_plane[half:] - plane[half:] * of_plane[:half]
        gradients = jnp.concatenate(
            [
                2 * math.pi * _product(jnp.asarray(self.plane.T, positions.dtype), slopes),
                jnp.sum(plane * _product(field, turned), axis=0)[None],
            ]
        )
        return -_product((charges * gradients).T, inverse_cell(cell).astype(positions.dtype).T)

    def observables(self, positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Energy (N,) and virial (N,) of each atom, q phi / 2 and its like; the virials add up to W = Σ r . f."""
        charges = jnp.asarray(self.charges, positions.dtype)
        plane, axis, _ = self._phases(positions, cell)
        strengths = self._strengths(cell, positions.dtype)
        shares = 1 - self._squares(cell, positions.dtype) / (2 * self.alpha**2)
        energy, virial = (
            charges / 2 * jnp.sum(plane * _product(self._field(plane, axis, charges, weights), axis), axis=0)
            for weights in (strengths, strengths * shares)
        )
        return energy, virial

    def virial_tensor(self, positions: jax.Array, cell: jax.Array) -> jax.Array:
        """W (3, 3) = -dU/dstrain, whose trace is the sum of the virials of `observables`:

        W = 1/2 Σ_k w_k |S(k)|^2 [1 - 2 k (x) k (1 / k^2 + 1 / 4 alpha^2)], as S(k) is the same in a strained cell.
        """
        dtype = positions.dtype
        plane, axis, _ = self._phases(positions, cell)
        real, imaginary = self._sums(plane, axis, jnp.asarray(self.charges, dtype))
        energies = self._strengths(cell, dtype) * (real**2 + imaginary**2) / 2
        square = self._squares(cell, dtype)
        weights = 2 * energies * (1 / square + 1 / (4 * self.alpha**2))
        k = jnp.stack(self._vectors(cell, dtype))
        stretched = jnp.einsum("aspl,bspl,spl->ab", k, k, weights, precision=HIGHEST)
        return jnp.sum(energies) * jnp.eye(3, dtype=dtype) - stretched

    def self_energy(self, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Energy (N,) of each atom's own Gaussian and of a background that makes a charged cell neutral, and the virial
        (N,) of the latter."""
        total = float(self.charges.sum())
        volume = _volume(cell)
        charges = jnp.asarray(self.charges, volume.dtype)
        background = -math.pi * total / (2 * self.alpha**2) * charges / volume
        return background - self.alpha / math.sqrt(math.pi) * charges**2, 3 * background

    def _phases(self, positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """cos and sin of the (h, k) phases (2 P, N), of the l phases (2 L, N), and the derivative of the latter by the
        fractional coordinate."""
        fractions = jnp.matmul(positions, inverse_cell(cell), precision=HIGHEST).T
        fractions = fractions - jnp.round(fractions)

        def circle(axis: int, size: int) -> tuple[jax.Array, jax.Array]:
            angles = 2 * math.pi * jnp.arange(size, dtype=positions.dtype)[:, None] * fractions[axis]
            return jnp.cos(angles), jnp.sin(angles)

        # rows are picked by products with zeros and ones: a gather would have XLA compute each cosine for every row
        h, k = self.plane[:, 0], self.plane[:, 1]
        pick_h = jnp.asarray(h[:, None] == np.arange(h.max() + 1), positions.dtype)
        pick_k = jnp.asarray(np.abs(k)[:, None] == np.arange(np.abs(k).max() + 1), positions.dtype)
        ca, sa = (_product(pick_h, part) for part in circle(0, pick_h.shape[1]))
        cb, sb = (_product(pick_k, part) for part in circle(1, pick_k.shape[1]))
        sb = sb * jnp.asarray(np.sign(k)[:, None], positions.dtype)
        size = self.weight.shape[2]
        cc, sc = circle(2, size)
        l = 2 * math.pi * jnp.arange(size, dtype=positions.dtype)[:, None]
        plane = jnp.concatenate([ca * cb - sa * sb, sa * cb + ca * sb])
        return plane, jnp.concatenate([cc, sc]), jnp.concatenate([-l * sc, l * cc])

    def _squares(self, cell: jax.Array, dtype: np.dtype) -> jax.Array:
        """k^2 (2, P, L), 1 where the weight is zero."""
        x, y, z = self._vectors(cell, dtype)
        return jnp.where(self.weight > 0, x**2 + y**2 + z**2, 1)

    def _vectors(self, cell: jax.Array, dtype: np.dtype) -> list[jax.Array]:
        """x, y and z of k, (2, P, L) each."""
        inverse = 2 * math.pi * inverse_cell(cell).astype(dtype)
        l = np.arange(self.weight.shape[2])
        signed = jnp.asarray(np.stack([l, -l])[:, None], dtype)
        plane = jnp.asarray(self.plane, dtype)
        return [row[0] * plane[:, :1] + row[1] * plane[:, 1:] + row[2] * signed for row in inverse]

    def _strengths(self, cell: jax.Array, dtype: np.dtype) -> jax.Array:
        """4 pi / V exp(-k^2 / 4 alpha^2) / k^2 (2, P, L), with the negative of each k in it."""
        square = self._squares(cell, dtype)
        factor = jnp.asarray(self.weight, dtype) * (4 * math.pi / _volume(cell)).astype(dtype)
        return factor * jnp.exp(-square / (4 * self.alpha**2)) / square

    def _field(self, plane: jax.Array, axis: jax.Array, charges: jax.Array, strengths: jax.Array) -> jax.Array:
        """(2 P, 2 L) with which phi(r) = plane(r) . field . axis(r)."""
        real, imaginary = (strengths * part for part in self._sums(plane, axis, charges))
        return jnp.block(
            [
                [real[0] + real[1], imaginary[0] - imaginary[1]],
                [imaginary[0] + imaginary[1], real[1] - real[0]],
            ]
        )

    def _sums(self, plane: jax.Array, axis: jax.Array, charges: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Real and imaginary part of S(k), (2, P, L) each."""
        p, l = len(self.plane), self.weight.shape[2]
        sums = _product(plane, (charges * axis).T)
        cc, cs, sc, ss = sums[:p, :l], sums[:p, l:], sums[p:, :l], sums[p:, l:]
        return jnp.stack([cc - ss, cc + ss]), jnp.stack([sc + cs, sc - cs])


def _square(pairs: np.ndarray, l: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """k^2 (P, L) of all (h, k) with all l, float64."""
    whole = np.concatenate(
        [
            np.broadcast_to(pairs[:, None], (len(pairs), len(l), 2)),
            np.broadcast_to(l[:, None], (len(pairs), len(l), 1)),
        ],
        axis=2,
    )
    return np.asarray(((2 * math.pi * whole @ np.linalg.inv(cell).T) ** 2).sum(axis=2))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=HIGHEST)


def _volume(cell: jax.Array) -> jax.Array:
    return jnp.abs(jnp.dot(cell[0], jnp.cross(cell[1], cell[2])))
