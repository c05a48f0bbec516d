"""A MACE model with random weights, to be trained: of the family of mace-torch's ScaleShiftMACE.

Layers are residual and messages are divided by the average number of neighbours. Weights are normal deviates, those of
the product divided by the number of couplings, and their factors are e3nn's, as in mace-torch, so that features begin
with a variance of the order of one and learning rates mean the same. The couplings are an orthonormal basis of all
equivariant polynomials (e3nn_jax), each once. Source: I. Batatia et al., NeurIPS 35, 11423 (2022).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from refine.potentials.mace.architecture import ZBL, Architecture, Checkpoint, Layer, monomials

Array = NDArray[np.float64]

SILU = 1.6765324703310907
"""1 / sqrt(<silu(x)^2>) of normal x, with which e3nn multiplies silu."""

REPULSION = ZBL(p=6.0, a_exp=0.300, a_prefactor=0.4543, c=(0.1818, 0.5099, 0.2802, 0.02817))
"""As in mace-torch."""

ENVELOPE = 5.0
"""Power of the envelope, as in mace-torch's default."""

ORIGIN = "new model"
"""In the place of a file's name."""


@dataclass(frozen=True)
class Design:
    """What a new model is built as; letters and words are those of `refine.potentials.mace.architecture`.

    Attributes:
        r_max: cutoff, Å.
        channels: C.
        l: highest l of the features between layers.
        max_ell: highest l of the spherical harmonics and messages.
        layers: number of them.
        correlation: highest degree of the product, 1 to 3.
        basis: Bessel functions.
        radial: units of the hidden layers of the radial networks.
        readout: hidden units of the last readout.
        zbl: whether there is a ZBL repulsion.
    """

    r_max: float
    channels: int
    l: int
    max_ell: int
    layers: int
    correlation: int
    basis: int
    radial: tuple[int, ...]
    readout: int
    zbl: bool


def fresh(
    design: Design, species: Sequence[str], isolated: Sequence[float], neighbors: float, scale: float, seed: int
) -> Checkpoint:
    """A model with random weights.

    Args:
        design: its sizes.
        species: symbols of elements.
        isolated: E0 of each, eV.
        neighbors: average number of them.
        scale: of the energy of an atom, eV: what forces are of, in Å.
        seed: of the weights.
    """
    number = {symbol: atomic_numbers[symbol] for symbol in species}
    ordered = sorted(species, key=lambda symbol: number[symbol])
    arrays, factors, layers = _weights(design, len(ordered), neighbors, np.random.default_rng(seed))
    arrays["energies"] = np.array([[isolated[list(species).index(symbol)] for symbol in ordered]], np.float64)
    if design.zbl:
        arrays["covalent_radii"] = covalent_radii[[number[symbol] for symbol in ordered]].astype(np.float32)
    architecture = Architecture(
        r_max=design.r_max,
        species=tuple(number[symbol] for symbol in ordered),
        heads=("default",),
        channels=design.channels,
        max_ell=design.max_ell,
        bessel_prefactor=float(np.sqrt(2 / design.r_max)),
        envelope_power=ENVELOPE,
        envelope_on_weights=False,
        agnesi=None,
        zbl=REPULSION if design.zbl else None,
        scale=(scale,),
        shift=(0.0,),
        layers=layers,
        dtype="float32",
    )
    digest = hashlib.sha256(repr(architecture).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return Checkpoint(architecture, arrays, factors, digest.hexdigest(), ORIGIN)


def _weights(
    design: Design, z: int, neighbors: float, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.floating]], dict[str, float], tuple[Layer, ...]]:
    """Arrays, factors and layers; E0 and radii are added by the caller."""
    c, radial = design.channels, design.radial
    arrays: dict[str, NDArray[np.floating]] = {}
    factors: dict[str, float] = {}

    def normal(name: str, *shape: int, factor: float) -> None:
        arrays[name] = rng.normal(size=shape).astype(np.float32)
        factors[name] = float(factor)

    arrays["bessel"] = (np.pi * np.arange(1, design.basis + 1) / design.r_max).astype(np.float32)
    normal("embedding", z, c, factor=z**-0.5)
    layers = []
    for t in range(design.layers):
        layer = _layer(design, t)
        layers.append(layer)
        for l in layer.l_in:
            normal(f"layers.{t}.up.{l}", c, c, factor=c**-0.5)
            if l in layer.l_out:
                normal(f"layers.{t}.skip.{l}", z, c, c, factor=(c * z) ** -0.5)
        inputs = (design.basis, *radial)
        for k, units in enumerate(radial):
            normal(f"layers.{t}.radial.{k}", inputs[k], units, factor=(SILU if k else 1.0) * inputs[k] ** -0.5)
        normal(f"layers.{t}.radial.last", radial[-1], len(layer.paths), c, factor=SILU * radial[-1] ** -0.5)
        for l in layer.l_message:
            count = len(layer.paths_to(l))
            normal(f"layers.{t}.message.{l}", count, c, c, factor=(c * count) ** -0.5 / neighbors)
        for l in layer.l_out:
            for degree in range(1, design.correlation + 1):
                basis = _couplings(design.max_ell, degree, l)
                arrays[f"layers.{t}.basis.{l}.{degree}"] = basis.astype(np.float32)
                normal(f"layers.{t}.product.{l}.{degree}", z, basis.shape[2], c, factor=1.0)
                arrays[f"layers.{t}.product.{l}.{degree}"] /= basis.shape[2]
            normal(f"layers.{t}.linear.{l}", c, c, factor=c**-0.5)
        if layer.readout == "linear":
            normal(f"layers.{t}.readout.0", c, 1, factor=c**-0.5)
        else:
            normal(f"layers.{t}.readout.0", c, design.readout, factor=c**-0.5)
            normal(f"layers.{t}.readout.1", design.readout, 1, factor=SILU * design.readout**-0.5)
    return arrays, factors, tuple(layers)


def _layer(design: Design, t: int) -> Layer:
    last = t == design.layers - 1
    l_in = (0,) if t == 0 else tuple(range(design.l + 1))
    l_message = tuple(range(design.max_ell + 1))
    paths = tuple(
        path
        for path in sorted(itertools.product(l_in, l_message, l_message), key=lambda path: path[2])
        if sum(path) % 2 == 0 and abs(path[0] - path[1]) <= path[2] <= path[0] + path[1]
    )
    return Layer(
        density=False,
        residual=True,
        l_in=l_in,
        l_message=l_message,
        l_out=(0,) if last else tuple(range(design.l + 1)),
        paths=paths,
        path_factors=tuple(float(np.sqrt(2 * l3 + 1)) for _, _, l3 in paths),
        radial_hidden=len(design.radial),
        correlation=design.correlation,
        readout="nonlinear" if last else "linear",
        readout_hidden=design.readout if last else 0,
    )


def _couplings(max_ell: int, degree: int, l: int) -> Array:
    """(monomials, 2l + 1, K): a basis of the equivariant polynomials of a degree in components of l = 0 to max_ell."""
    import e3nn_jax

    irreps = e3nn_jax.Irreps([(1, (k, (-1) ** k)) for k in range(max_ell + 1)])
    wanted = [e3nn_jax.Irrep(l, (-1) ** l)]
    found = e3nn_jax.reduced_symmetric_tensor_product_basis(irreps, degree, keep_ir=wanted)
    tensor = np.asarray(found.array, np.float64).reshape(*((max_ell + 1) ** 2,) * degree, -1, 2 * l + 1)
    # a monomial stands for all orders of its factors
    rows = [sum(tensor[order] for order in set(itertools.permutations(row))) for row in _index(max_ell, degree)]
    return np.stack(rows).transpose(0, 2, 1)


def _index(max_ell: int, degree: int) -> list[list[int]]:
    index: list[list[int]] = monomials((max_ell + 1) ** 2, degree).tolist()
    return index
