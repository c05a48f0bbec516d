"""MACE as a pure function of neighbour vectors: site energies, and their derivatives.

`prepare` turns the arrays of a checkpoint into the parameters of the species at hand; everything that depends on
species alone is multiplied out there (`preparation`), once, in float64:

- the first layer's features are a table by species, so its gather, its radial output matrix and its linear mixing are
  one matrix for each pair of species (`first.l`), and no neighbour's features are ever gathered;
- couplings and weights of the symmetric contraction become one polynomial for each species and channel.

Energies here are without the isolated atoms E0: those can be large and would then take the digits of a float32
sum. Add `Mace.isolated` on the host, in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.mace import radial
from kernels.mace.contraction import contract, contract_plain
from kernels.mace.convolution import convolve, convolve_plain, near_first
from kernels.mace.spherical_harmonics import spherical_harmonics
from kernels.species import species_of
from refine.errors import InputError
from refine.potentials.mace.architecture import Checkpoint, Layer
from refine.potentials.mace.pieces import CONTRACTION_CHUNK, CONVOLUTION_CHUNK, at_a_time, narrow
from refine.potentials.mace.preparation import (
    couplings_of,
    embedded,
    head_of,
    input_rows,
    prepare_layer,
    residuals,
    rows_of,
)
from refine.potentials.mace.readouts import final_map, readout
from refine.potentials.mace.tabulate import FINEST, sampling_points, tabulate

_einsum = functools.partial(jnp.einsum, precision=radial.HIGHEST)


class Mace:
    """A MACE model for atoms that are sorted by species; every method is a pure function of `params`.

    Args:
        checkpoint: the model.
        species: chemical symbols, in the order of the atoms.
        n_per_species: atoms of each.
        head: of a model with several; may be left out where there is one.
        charge, spin: total charge (e) and spin multiplicity of the box, for models that take them.
        precision: "float32" or "float64".
        plain: the reference formulas instead of the fast kernels: several times slower, but differentiable by the
            weights (through `prepare`), in forward mode, and any number of times.
        table: interpolate the radial network instead of evaluating it (`refine.potentials.mace.tabulate`); default:
            in float32, unless plain.

    Attributes:
        cutoff: Å.
        isolated: (S,) float64 eV, energies of the isolated atoms, which are not part of the site energies.
        params: the argument of the methods, arrays of the precision.

    Raises:
        InputError: a species that the model does not know, an unknown head, an unknown precision, a charge or spin
            that the model does not know or take.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        species: Sequence[str],
        n_per_species: tuple[int, ...],
        *,
        head: str | None = None,
        charge: int = 0,
        spin: int = 1,
        precision: str = "float32",
        plain: bool = False,
        table: bool | None = None,
    ) -> None:
        if precision not in ("float32", "float64"):
            raise InputError(f"precision is {precision!r}; it must be float32 or float64")
        if len(species) != len(n_per_species):
            raise ValueError(f"{len(species)} species and {len(n_per_species)} numbers of atoms")
        self.architecture = checkpoint.architecture
        self.species, self.n_per_species = tuple(species), tuple(n_per_species)
        self.cutoff, self.precision, self.plain = self.architecture.r_max, precision, plain
        self.table = precision == "float32" and not plain if table is None else table
        self._rows = rows_of(self.architecture, self.species, checkpoint.origin)
        self._head = head_of(self.architecture, head, checkpoint.origin)
        self._inputs = input_rows(checkpoint, charge, spin, checkpoint.origin)
        self._couplings = [couplings_of(layer) for layer in self.architecture.layers]
        self.isolated: NDArray[np.float64] = checkpoint.weights["energies"][self._head, self._rows]
        self._sample_network = jax.jit(self._values_and_slopes, static_argnums=0)
        self._weights = checkpoint.weights
        self.params = self.load({})

    def load(self, changed: Mapping[str, Any], inputs: tuple[int, ...] | None = None) -> Any:
        """`params` with some arrays of `Checkpoint.weights` changed, and `inputs` of `prepare`; a second call compiles
        nothing."""
        params = self.prepare({**self._weights, **changed}, inputs=inputs)
        if self.table:
            params = self._tabulated(params)
        with jax.enable_x64(self.precision == "float64"):
            return jax.tree.map(lambda leaf: jnp.asarray(leaf, self.precision), params)

    def prepare(self, weights: Mapping[str, Any], xp: Any = np, inputs: Any = None) -> dict[str, Any]:
        """The parameters of an evaluation without tables, from `Checkpoint.weights`.

        inputs: of `input_rows`, of another box; None: of that of the model's charge and spin.
        With xp = jax.numpy it can be traced, and differentiated together with a `plain` evaluation.
        """
        architecture, rows = self.architecture, self._rows
        numbers = np.array([architecture.species[row] for row in rows], float)
        params: dict[str, Any] = {
            "bessel": weights["bessel"],
            "scale": architecture.scale[self._head],
            "shift": architecture.shift[self._head],
        }
        if architecture.agnesi is not None or architecture.zbl is not None:
            radii = xp.asarray(weights["covalent_radii"])[rows]
            params["contact"] = radii[:, None] + radii[None, :]
        if architecture.zbl is not None:
            power = numbers**architecture.zbl.a_exp
            screening = architecture.zbl.a_prefactor * radial.BOHR / (power[:, None] + power[None, :])
            params["screening"] = xp.asarray(screening)
            params["charges"] = xp.asarray(numbers[:, None] * numbers[None, :])
        embedding = embedded(architecture, weights, self._inputs if inputs is None else inputs, rows, xp)
        params["layers"] = []
        for t, layer in enumerate(architecture.layers):

            def of(name: str, t: int = t) -> Any:
                return weights[f"layers.{t}.{name}"]

            params["layers"].append(prepare_layer(layer, of, rows, self._head, embedding if t == 0 else None, xp))
        return params

    def site_energies(self, params: Any, vectors: jax.Array, senders: jax.Array) -> jax.Array:
        """Energy of each atom without its E0: (N,) eV.

        vectors: (N, K, 3) Å, from each neighbour to the atom, r_i - r_j with the image. A slot that is not used has
        any vector that is finite and not shorter than the cutoff; it then adds exactly nothing.
        senders: (N, K) int32, the atom in each slot.
        """
        return self._evaluated(params, vectors, senders)[0]

    def features(self, params: Any, vectors: jax.Array, senders: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of each atom the derivative of its energy by the weights of the readouts' final linear maps, (N, P) eV, and
        its invariant features behind every layer, (N, D). Arguments as of `site_energies`."""
        layers, scalars = self.architecture.layers, self._evaluated(params, vectors, senders)[1]
        each = zip(layers, params["layers"], scalars, strict=True)
        last = [final_map(layer, weights, x)[0] for layer, weights, x in each if layer.readout != "none"]
        return params["scale"] * jnp.concatenate(last, axis=1), jnp.concatenate(scalars, axis=1)

    def _evaluated(self, params: Any, vectors: jax.Array, senders: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """Site energies, and the invariant features (N, C) behind each layer."""
        architecture, slots = self.architecture, senders.shape[1]
        if not self.plain and narrow(slots) < slots:
            vectors, senders = near_first(vectors, senders, self.cutoff)
        receiver = jnp.asarray(np.repeat(np.arange(len(self.species)), self.n_per_species)[:, None], jnp.int32)
        sender = species_of(senders, self.n_per_species)
        r = jnp.sqrt(jnp.sum(vectors * vectors, axis=-1))
        harmonics = spherical_harmonics(vectors / r[..., None], architecture.max_ell)
        if not self.table:
            pair = {"contact": params["contact"][receiver, sender]} if "contact" in params else {}
            features, cut = self._features(params["bessel"], r, **pair)
        energy = jnp.zeros(vectors.shape[0], vectors.dtype)
        if architecture.zbl is not None:
            energy += self._repulsion(params, r, receiver, sender)
        h, scalars = None, []
        for t, layer in enumerate(architecture.layers):
            weights = params["layers"][t]
            if self.table:
                row, chunk = self._table_row(receiver, sender), slots * at_a_time(CONVOLUTION_CHUNK)
                a, density = self._split(layer, radial.look_up(weights["table"], r, row, chunk))
            else:
                a, density = self._network(layer, weights, features, cut, lambda table: table[receiver, sender])
                if layer.nonlinear and cut is None:  # biases: an edge beyond the cutoff would not be zero
                    a, density = jnp.where((r < self.cutoff)[..., None], a, 0), jnp.where(r < self.cutoff, density, 0)
            lifted: list[jax.Array] = []
            if t == 0:
                parts = self._first_message(layer, weights, harmonics, a, sender)
            else:
                lifted = self._lifted(layer, weights, h)
                parts = self._message(t, layer, weights, lifted, senders, harmonics, a)
            if layer.nonlinear:
                parts = self._gated(layer, weights, parts, jnp.sum(density, axis=1), lifted, receiver)
            message = jnp.concatenate(parts, axis=1)
            if layer.density and not layer.nonlinear:
                message = message / (1 + jnp.sum(density, axis=1))[:, None, None]
            h = self._product(layer, weights, message, h, receiver)
            energy += readout(layer, weights, h[:, 0])
            scalars.append(h[:, 0])
        energies: jax.Array = params["scale"] * energy + params["shift"]
        return energies, scalars

    def energies_and_gradients(
        self, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Site energies (N,) eV, and the derivative of their sum by the vectors, (N, K, 3) eV/Å."""
        return with_gradients(self.site_energies, params, vectors, senders)

    # ---- parameters of the species at hand

    def _tabulated(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters with a table in each layer instead of its radial network."""
        contact = params["contact"].ravel()[:, None] if self.architecture.agnesi is not None else None
        rows = len(self.species) ** 2 if self._of_pairs else 1

        layers = []
        r = np.broadcast_to(sampling_points(self.cutoff), (rows, FINEST + 1))
        for layer, weights in zip(self.architecture.layers, params["layers"], strict=True):
            kept = {key: value for key, value in weights.items() if key not in ("radial", "density", "density_last")}
            network = {key: value for key, value in weights.items() if key not in kept}
            with jax.enable_x64(True):
                values, slopes = jax.device_get(
                    self._sample_network(layer, network, params["bessel"], contact, jnp.asarray(r))
                )
            layers.append(kept | {"table": tabulate(values, slopes, self.cutoff)})
        return {**params, "layers": layers}

    def _values_and_slopes(
        self, layer: Layer, weights: Any, bessel: jax.Array, contact: Any, r: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The radial network of a layer, its density last where there is one, and its derivative by r."""

        def network(r: jax.Array) -> jax.Array:
            features, cut = self._features(bessel, r, contact)
            # a row of the table for each pair of species
            a, density = self._network(
                layer, weights, features, cut, lambda table: table.reshape(-1, 1, table.shape[2])
            )
            return a if density is None else jnp.concatenate([a, density[..., None]], axis=-1)

        return jax.jvp(network, (r,), (jnp.ones_like(r),))

    # ---- the parts of an evaluation

    def _features(
        self, wave_numbers: jax.Array, r: jax.Array, contact: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Input of the radial networks (..., B), and the envelope where it belongs to their output."""
        architecture = self.architecture
        cut = radial.envelope(r, architecture.r_max, architecture.envelope_power)[..., None]
        if architecture.agnesi is not None:
            assert contact is not None
            agnesi = architecture.agnesi
            r = radial.agnesi(r, contact / 2, agnesi.a, agnesi.p, agnesi.q)
        features = radial.bessel(r, wave_numbers, architecture.bessel_prefactor)
        return (features, cut) if architecture.envelope_on_weights else (features * cut, None)

    @staticmethod
    def _network(
        layer: Layer, weights: Any, features: jax.Array, cut: jax.Array | None, pick: Callable[[jax.Array], jax.Array]
    ) -> tuple[jax.Array, Any]:
        """Last hidden layer of the radial network (..., H), and the density function (...,) where there is one.

        pick: of a table by receiver and sender (S, S, .) what belongs to each edge.
        """
        density: jax.Array | None = None
        if layer.nonlinear:
            of_radial, of_density = (
                radial.normalised_hidden(features, pick(weights[name].pair), weights[name], layer.norm_epsilon)
                for name in ("radial", "density")
            )
            a = jnp.concatenate([of_radial, jnp.ones_like(of_radial[..., :1])], axis=-1)  # the 1 is for the last bias
            last, bias = weights["density_last"]
            density = jnp.tanh((_einsum("...h,h->...", of_density, last) + bias) ** 2)
        else:
            a = radial.hidden(features, weights["radial"])
            if layer.density:
                density = jnp.tanh(_einsum("...b,b->...", features, weights["density"]) ** 2)
        if cut is None:
            return a, density
        return a * cut, None if density is None else density * cut[..., 0]

    def _repulsion(self, params: Any, r: jax.Array, receiver: jax.Array, sender: jax.Array) -> jax.Array:
        zbl = self.architecture.zbl
        assert zbl is not None
        charges, screening, contact = (params[name][receiver, sender] for name in ("charges", "screening", "contact"))
        pair = radial.zbl(r, charges, screening, zbl.c) * radial.envelope(r, contact, zbl.p)
        return jnp.sum(pair, axis=1) / 2

    @staticmethod
    def _split(layer: Layer, functions: jax.Array) -> tuple[jax.Array, Any]:
        """What a table holds, as `_network` gives it."""
        return (functions[..., :-1], functions[..., -1]) if layer.density else (functions, None)

    @property
    def _of_pairs(self) -> bool:
        """Whether the radial functions differ from one pair of species to another."""
        return self.architecture.agnesi is not None or any(layer.nonlinear for layer in self.architecture.layers)

    def _table_row(self, receiver: jax.Array, sender: jax.Array) -> jax.Array:
        """Row of the tables for each edge."""
        if not self._of_pairs:
            return jnp.zeros((), jnp.int32)
        return receiver * len(self.species) + sender

    def _first_message(
        self, layer: Layer, weights: Any, harmonics: jax.Array, a: jax.Array, sender: jax.Array
    ) -> list[jax.Array]:
        """(N, 2 l + 1, .) of each l, from the sums over the neighbours of each species of Y a, (N, D, S H)."""
        n, _, hidden = a.shape
        number = len(self.species)
        if number == 1:
            sums = _einsum("nkm,nkh->nmh", harmonics, a)
        else:  # Y is spread over the species and not a, which is larger
            of_species = sender[..., None, None] == jnp.arange(number, dtype=sender.dtype)
            spread = jnp.where(of_species, harmonics[..., None], 0)
            sums = _einsum("nkms,nkh->nmsh", spread, a).reshape(n, -1, number * hidden)
        parts = []
        for l, matrix in zip(layer.l_message, weights["first"], strict=True):
            part = sums[:, l * l : (l + 1) ** 2]
            flat = matrix.reshape(matrix.shape[0], number * hidden, -1)
            parts.append(_einsum("nmh,hd->nmd", part, flat[0]) if len(flat) == 1 else self._by_species(part, flat))
        return parts

    @staticmethod
    def _lifted(layer: Layer, weights: Any, h: Any) -> list[jax.Array]:
        """(N, 2 l + 1, E) of each incoming l: what neighbours gather."""
        return [
            _einsum("nmc,cd->nmd", block, matrix)
            for block, matrix in zip(_blocks(h, layer.l_in), weights["up"], strict=True)
        ]

    def _message(
        self,
        t: int,
        layer: Layer,
        weights: Any,
        lifted: list[jax.Array],
        senders: jax.Array,
        harmonics: jax.Array,
        a: jax.Array,
    ) -> list[jax.Array]:
        """(N, 2 l + 1, .) of each l: features gathered from the neighbours, convolved and mixed."""
        couplings = self._couplings[t]
        arguments = (jnp.concatenate(lifted, axis=1), senders, harmonics, a, weights["matrix"], couplings)
        if self.plain:
            paths = convolve_plain(*arguments)
        else:
            paths = convolve(*arguments, at_a_time(CONVOLUTION_CHUNK), narrow(senders.shape[1]))
        slices = couplings.result_slices()
        parts = []
        for l, mix in zip(layer.l_message, weights["mix"], strict=True):
            # one product over paths and channels
            ending = jnp.concatenate([paths[:, slices[k]] for k in layer.paths_to(l)], axis=2)
            parts.append(_einsum("nmx,xd->nmd", ending, mix.reshape(-1, mix.shape[-1])))
        if not layer.residual:
            parts = [self._by_species(part, skip) for part, skip in zip(parts, weights["skip"], strict=True)]
        return parts

    @staticmethod
    def _gated(
        layer: Layer,
        weights: Any,
        sums: list[jax.Array],
        density: jax.Array,
        lifted: list[jax.Array],
        receiver: jax.Array,
    ) -> list[jax.Array]:
        """Messages of a non-linear layer, (N, 2 l + 1, C) of each l, from the sums over neighbours."""
        alpha, beta = weights["normaliser"]
        parts = [part / (alpha + beta * density)[:, None, None] for part in sums]
        if "first_residual" in weights:
            parts[0] += weights["first_residual"][receiver]
        else:
            for l, block, matrix in zip(residuals(layer), lifted, weights["residual"], strict=True):
                parts[l] += _einsum("nmc,cd->nmd", block, matrix)
        # (1 + l_max) C scalars: those of the message, then the gates of each l
        scalars, *gates = jnp.split(parts[0], len(parts), axis=2)
        opened = [jax.nn.silu(scalars)]
        opened += [part * jax.nn.sigmoid(gate) for part, gate in zip(parts[1:], gates, strict=True)]
        return [_einsum("nmc,cd->nmd", part, mix) for part, mix in zip(opened, weights["gated"], strict=True)]

    def _product(self, layer: Layer, weights: Any, message: jax.Array, h: Any, receiver: jax.Array) -> jax.Array:
        """Outgoing features (N, sum over l_out of 2l + 1, C)."""
        polynomial = weights["product"]
        atoms = self.n_per_species if len(polynomial.linear) > 1 else (len(message),)
        if self.plain:
            contracted = contract_plain(message, polynomial, atoms)
        else:
            contracted = contract(message, polynomial, atoms, at_a_time(CONTRACTION_CHUNK))
        out = {
            l: _einsum("nmc,cd->nmd", block, matrix)
            for l, block, matrix in zip(layer.l_out, _blocks(contracted, layer.l_out), weights["linear"], strict=True)
        }
        if "first_skip" in weights:
            out[0] += weights["first_skip"][receiver]
        elif layer.residual:
            blocks = dict(zip(layer.l_in, _blocks(h, layer.l_in), strict=True))
            shared = [l for l in layer.l_in if l in layer.l_out]
            for l, skip in zip(shared, weights["skip"], strict=True):
                out[l] += (
                    _einsum("nmc,cd->nmd", blocks[l], skip) if layer.nonlinear else self._by_species(blocks[l], skip)
                )
        return jnp.concatenate([out[l] for l in layer.l_out], axis=1)

    def _by_species(self, x: jax.Array, matrices: jax.Array) -> jax.Array:
        """(N, m, C) times the matrix (S, C, D) of each atom's own species."""
        atoms = jnp.split(x, np.cumsum(self.n_per_species)[:-1].tolist())
        return jnp.concatenate(
            [_einsum("nmc,cd->nmd", part, matrix) for part, matrix in zip(atoms, matrices, strict=True)]
        )


def with_gradients(
    site_energies: Callable[[Any, jax.Array, jax.Array], jax.Array],
    params: Any,
    vectors: jax.Array,
    senders: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Site energies (N,) of a function like `Mace.site_energies`, and their sum's derivative by the vectors."""

    def total(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        sites = site_energies(params, vectors, senders)
        return jnp.sum(sites), sites

    (_, sites), gradient = jax.value_and_grad(total, has_aux=True)(vectors)
    return sites, gradient


def _blocks(h: jax.Array, ls: tuple[int, ...]) -> list[jax.Array]:
    """(N, sum over l of 2l + 1, C) cut by l."""
    return jnp.split(h, np.cumsum([2 * l + 1 for l in ls])[:-1].tolist(), axis=1)
