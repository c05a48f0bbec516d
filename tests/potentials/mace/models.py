"""Small MACE checkpoints with random weights, made without torch: equivariant, every array of the architecture."""

from __future__ import annotations

import functools
import hashlib
import itertools

import e3nn_jax
import numpy as np
from ase.data import atomic_numbers, covalent_radii

from refine.potentials.mace.architecture import ZBL, Agnesi, Architecture, BoxInput, Checkpoint, Layer, monomials

SILU = 1.6791767923989418
"""What e3nn multiplies silu with."""


def random_checkpoint(
    seed: int = 0,
    *,
    species: tuple[str, ...] = ("H", "O", "Ar", "Fe"),
    r_max: float = 5.0,
    channels: int = 4,
    max_ell: int = 2,
    l_hidden: int = 1,
    layers: int = 2,
    correlation: int = 2,
    density: bool = False,
    residual: bool = True,
    heads: tuple[str, ...] = ("default",),
    agnesi: bool = False,
    zbl: bool = True,
    scale: float = 0.3,
    nonlinear: bool = False,
    edge_channels: int | None = None,
    envelope_on_weights: bool = False,
    inputs: tuple[BoxInput, ...] = (),
) -> Checkpoint:
    """A model of the family of the published ones, three orders of magnitude smaller; `scale` is that of its forces."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    numbers = np.array([atomic_numbers[symbol] for symbol in species])
    z, c, basis, hidden, units = len(species), channels, 5, 8, 4

    def normal(name: str, *shape: int, fan_in: int) -> None:
        arrays[name] = rng.normal(size=shape) / np.sqrt(fan_in)

    arrays["energies"] = rng.uniform(-3000.0, -10.0, (len(heads), z))
    arrays["bessel"] = np.pi * np.arange(1, basis + 1) / r_max
    if agnesi or zbl:
        arrays["covalent_radii"] = covalent_radii[numbers]
    normal("embedding", z, c, fan_in=1)
    for k in range(len(inputs)):
        normal(f"inputs.{k}", 5, 2, fan_in=1)
    if inputs:
        normal("project", 2 * len(inputs), c, fan_in=2)
    edge, made = edge_channels or c, []
    for t in range(layers):
        last = t == layers - 1
        l_in = (0,) if t == 0 else tuple(range(l_hidden + 1))
        l_message = tuple(range(max_ell + 1))
        l_out = (0,) if last else tuple(range(l_hidden + 1))
        paths = tuple(
            path
            for path in sorted(itertools.product(l_in, l_message, l_message), key=lambda path: path[2])
            if sum(path) % 2 == 0 and abs(path[0] - path[1]) <= path[2] <= path[0] + path[1]
        )
        layer = Layer(
            density=density or nonlinear,
            residual=residual or t > 0 or nonlinear,
            l_in=l_in,
            l_message=l_message,
            l_out=l_out,
            paths=paths,
            path_factors=tuple(float(np.sqrt(2 * path[2] + 1)) for path in paths),
            radial_hidden=2,
            correlation=correlation,
            readout="linear" if not last else "biased" if nonlinear else "nonlinear",
            readout_hidden=units if last else 0,
            edge_channels=edge_channels,
            nonlinear=nonlinear,
            density_hidden=1 if nonlinear else 0,
            norm_epsilon=1e-5 if nonlinear else 0.0,
        )
        made.append(layer)
        for ell in l_in:
            normal(f"layers.{t}.up.{ell}", c, edge, fan_in=c)
        width = basis + 2 * c if nonlinear else basis
        normal(f"layers.{t}.radial.0", width, hidden, fan_in=width)
        normal(f"layers.{t}.radial.1", hidden, hidden, fan_in=hidden)
        normal(f"layers.{t}.radial.last", hidden, len(paths), edge, fan_in=hidden)
        if nonlinear:
            normal(f"layers.{t}.density.0", width, hidden, fan_in=width)
            normal(f"layers.{t}.density.last", hidden, 1, fan_in=hidden)
            normal(f"layers.{t}.radial_bias.last", len(paths), edge, fan_in=1)
            normal(f"layers.{t}.density_bias.last", 1, fan_in=1)
            for name, k in (("radial", 0), ("radial", 1), ("density", 0)):
                normal(f"layers.{t}.{name}_bias.{k}", hidden, fan_in=4)
                arrays[f"layers.{t}.{name}_norm.{k}"] = np.stack([np.full(hidden, 1.2), rng.normal(size=hidden)])
            normal(f"layers.{t}.source", z, c, fan_in=1)
            normal(f"layers.{t}.target", z, c, fan_in=1)
            arrays[f"layers.{t}.normaliser"] = np.array([2.0, 0.7])
        elif density:
            normal(f"layers.{t}.density", basis, 1, fan_in=basis)
        for ell in l_message:
            count, columns = len(layer.paths_to(ell)), c * (len(l_message) if nonlinear and ell == 0 else 1)
            normal(f"layers.{t}.message.{ell}", count, edge, columns, fan_in=edge * count)
            if not layer.density:
                arrays[f"layers.{t}.message.{ell}"] /= 8.0
            if nonlinear:
                normal(f"layers.{t}.gated.{ell}", c, c, fan_in=c)
                if ell in l_in:
                    normal(f"layers.{t}.residual.{ell}", edge, columns, fan_in=edge)
        for ell in [ell for ell in l_in if ell in l_out] if layer.residual else l_message:
            normal(f"layers.{t}.skip.{ell}", *(() if nonlinear else (z,)), c, c, fan_in=c)
        for ell in l_out:
            for nu in range(1, correlation + 1):
                couplings = _couplings(max_ell, nu, ell)
                arrays[f"layers.{t}.basis.{ell}.{nu}"] = couplings
                rows = 1 if nonlinear else z
                normal(f"layers.{t}.product.{ell}.{nu}", rows, couplings.shape[2], c, fan_in=couplings.shape[2])
            normal(f"layers.{t}.linear.{ell}", c, c, fan_in=c)
        if last and nonlinear:
            many = len(heads) * units
            normal(f"layers.{t}.readout.0", c, many, fan_in=c)
            normal(f"layers.{t}.readout.1", many, many, fan_in=units)
            normal(f"layers.{t}.readout.2", many, len(heads), fan_in=units)
            normal(f"layers.{t}.readout_bias.1", many, fan_in=1)
            normal(f"layers.{t}.readout_bias.2", len(heads), fan_in=1)
        elif last:
            normal(f"layers.{t}.readout.0", c, len(heads) * units, fan_in=c)
            normal(f"layers.{t}.readout.1", len(heads) * units, len(heads), fan_in=units)
        else:
            normal(f"layers.{t}.readout.0", c, len(heads), fan_in=c)
    architecture = Architecture(
        r_max=r_max,
        species=tuple(numbers.tolist()),
        heads=heads,
        channels=c,
        max_ell=max_ell,
        bessel_prefactor=float(np.sqrt(2 / r_max)),
        envelope_power=5.0,
        envelope_on_weights=envelope_on_weights,
        agnesi=Agnesi(a=1.0805, p=4.5791, q=0.9183) if agnesi else None,
        zbl=ZBL(p=6.0, a_exp=0.3, a_prefactor=0.4543, c=(0.1818, 0.5099, 0.2802, 0.02817)) if zbl else None,
        scale=(scale,) * len(heads),
        shift=tuple(0.1 * (k + 1) for k in range(len(heads))),
        layers=tuple(made),
        dtype="float64",
        inputs=inputs,
    )
    after_silu = ("radial.1", "radial.last", "readout.1")
    factors = {name: SILU for name in arrays if name.endswith(after_silu) and not nonlinear}
    return Checkpoint(architecture, arrays, factors, hashlib.sha256(str(seed).encode()).hexdigest(), "random.model")


@functools.cache
def _couplings(max_ell: int, degree: int, ell: int) -> np.ndarray:
    """(monomials, 2l + 1, K): all equivariant polynomials of a degree in the components of ell = 0 .. max_ell."""
    irreps = e3nn_jax.Irreps([(1, (k, (-1) ** k)) for k in range(max_ell + 1)])
    wanted = e3nn_jax.Irrep(ell, (-1) ** ell)
    basis = e3nn_jax.reduced_symmetric_tensor_product_basis(irreps, degree, keep_ir=[wanted])
    components = (max_ell + 1) ** 2
    tensor = np.asarray(basis.array, np.float64).reshape(*(components,) * degree, -1, 2 * ell + 1)
    index = monomials(components, degree)
    rows = np.stack([sum(tensor[order] for order in set(itertools.permutations(row))) for row in index.tolist()])
    return rows.transpose(0, 2, 1)
